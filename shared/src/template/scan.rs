//! Bounds a template before the real parser sees it: that one recurses as deep as its input nests.

use super::TemplateProblem;

/// Blocks in one template; nesting cannot be deeper.
const BLOCKS: usize = 64;
/// Open parentheses within one tag.
const PARENTHESES: usize = 8;
/// Tags in one template.
const TAGS: usize = 10_000;

/// Refuses what the parser could understand differently from this scan, and what nests too deep.
pub(super) fn scan(template: &str) -> Result<(), TemplateProblem> {
    let bytes = template.as_bytes();
    let (mut at, mut blocks, mut tags) = (0, 0, 0);
    while let Some(start) = template.get(at..).and_then(|rest| rest.find("{{")).map(|found| at + found) {
        let refuse = |message: &str, remedy: &str| {
            let line = 1 + bytes[..start].iter().filter(|b| **b == b'\n').count();
            Err(TemplateProblem::new(line, message, remedy))
        };
        tags += 1;
        if tags > TAGS {
            return refuse("the template has more than 10000 tags", "split it");
        }
        if start > 0 && bytes[start - 1] == b'\\' {
            return refuse("\\{{ is not supported", "put literal braces into a parameter, or use content");
        }
        let inner = start + 2;
        let Some(length) = tag_length(&bytes[inner..]) else {
            return refuse("a tag is not closed, or uses '[' or '{'", "close it with }}");
        };
        let tag = template[inner..inner + length].trim_start_matches(['~', ' ', '\t', '\r', '\n']);
        if tag.starts_with(['>', '*'])
            || tag.strip_prefix('#').is_some_and(|t| t.trim_start().starts_with(['>', '*']))
        {
            return refuse("partials and decorators are not supported", "write the text out");
        }
        if tag.starts_with(['#', '^']) {
            blocks += 1;
        }
        if blocks > BLOCKS {
            return refuse("the template has more than 64 blocks", "split it");
        }
        if !tag.starts_with('!') && tag.matches('(').count() > PARENTHESES {
            return refuse("a tag has more than 8 parentheses", "split the condition");
        }
        at = inner + length + 2;
    }
    Ok(())
}

/// Bytes of the tag whose inside starts `bytes`, up to its closing braces; `None` when it has none.
fn tag_length(bytes: &[u8]) -> Option<usize> {
    let find = |what: &[u8]| bytes.windows(what.len()).position(|w| w == what);
    if bytes.starts_with(b"!--") {
        return find(b"--}}").map(|at| at + 2);
    }
    if bytes.first() == Some(&b'!') {
        return find(b"}}");
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
