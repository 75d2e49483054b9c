//! Bounds a template before the real parser sees it: that one recurses as deep as its input nests.

use super::TemplateProblem;

/// Nested blocks, branches counted; 256 overflow a stack of 1 MiB in a debug build.
const DEPTH: usize = 32;
/// Open parentheses within one tag.
const PARENTHESES: usize = 8;
/// Tags in one template.
const TAGS: usize = 10_000;

/// Refuses what the parser could understand differently from this scan, and what nests too deep.
pub(super) fn scan(template: &str) -> Result<(), TemplateProblem> {
    let bytes = template.as_bytes();
    let mut at = 0;
    let mut tags = 0;
    let mut branches: Vec<usize> = Vec::new();
    while let Some(start) = template.get(at..).and_then(|rest| rest.find("{{")).map(|found| at + found) {
        let refuse = |(message, remedy): (&str, &str)| {
            let line = 1 + bytes[..start].iter().filter(|b| **b == b'\n').count();
            TemplateProblem::new(line, message, remedy)
        };
        let inner = start + 2;
        let escaped = start > 0 && bytes[start - 1] == b'\\';
        if escaped {
            let remedy = "put literal braces into a parameter, or use content";
            return Err(refuse(("\\{{ is not supported", remedy)));
        }
        let length = tag_length(&bytes[inner..])
            .ok_or_else(|| refuse(("a tag is not closed, or uses '[' or '{'", "close it with }}")))?;
        tag(&template[inner..inner + length], &mut branches).map_err(refuse)?;
        tags += 1;
        if tags > TAGS {
            return Err(refuse(("the template has more than 10000 tags", "split it")));
        }
        at = inner + length + 2;
    }
    Ok(())
}

/// Judges the inside of one tag; `branches` counts those of each open block.
fn tag(inside: &str, branches: &mut Vec<usize>) -> Result<(), (&'static str, &'static str)> {
    let tag = inside.trim_start_matches(['~', ' ', '\t', '\r', '\n']);
    if let Some(comment) = tag.strip_prefix('!') {
        let long = inside.starts_with("!--");
        if comment.contains("{{") || (!long && comment.trim_start().starts_with("--")) {
            return Err(("this comment is ambiguous", "write {{!-- text --}}, without braces in it"));
        }
        return Ok(());
    }
    let name = tag.strip_prefix('#').map_or(tag, str::trim_start);
    if name.starts_with(['>', '*']) {
        return Err(("partials and decorators are not supported", "write the text out"));
    }
    if tag.starts_with('#') {
        branches.push(1);
    } else if tag.starts_with('/') {
        branches.pop();
    } else if tag.starts_with("else") || tag.starts_with('^') {
        branches.iter_mut().next_back().into_iter().for_each(|count| *count += 1);
    }
    if branches.iter().sum::<usize>() > DEPTH {
        return Err((
            "more than 32 blocks and branches are nested",
            "split the template, or use eq with and, or",
        ));
    }
    if tag.matches('(').count() > PARENTHESES {
        return Err(("a tag has more than 8 parentheses", "split the condition"));
    }
    Ok(())
}

/// Bytes of the tag whose inside starts `bytes`, up to its closing braces; `None` when it has none.
fn tag_length(bytes: &[u8]) -> Option<usize> {
    let find = |what: &[u8], from: usize| {
        bytes.get(from..)?.windows(what.len()).position(|w| w == what).map(|at| from + at)
    };
    if bytes.starts_with(b"!--") {
        return find(b"--}}", 3).map(|at| at + 2);
    }
    if bytes.first() == Some(&b'!') {
        return find(b"}}", 1);
    }
    let mut quote = None;
    let mut at = usize::from(bytes.first() == Some(&b'{'));
    while let Some(byte) = bytes.get(at) {
        match (quote, byte) {
            (Some(_), b'\\') => at += 1,
            (Some(open), close) if open == close => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'[' | b'{') => return None,
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => {
                let triple = bytes.get(at + 2) == Some(&b'}') && bytes.first() == Some(&b'{');
                return Some(at + usize::from(triple));
            }
            (None, _) => {}
        }
        at += 1;
    }
    None
}
