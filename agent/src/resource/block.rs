//! A block of lines between two markers that name it. Everything outside of the markers is somebody else's.

use super::lines::Lines;
use super::{line, refuse};
use shared::facts::TemplateFacts;
use shared::manifest::{Block, BlockWant, ParamValue, TextSource};
use shared::refusal::Refused;
use shared::strict::Map;
use shared::template;
use std::borrow::Cow;

/// The text after the edit.
///
/// # Errors
/// The markers are damaged, the template does not render, or the line that the place names is not there.
pub fn edit(
    want: &Block,
    text: &str,
    params: &Map<String, ParamValue>,
    facts: &TemplateFacts,
) -> Result<String, Refused> {
    let failed = |why: &str| refuse(format!("block {} of {}: {why}", want.name, want.path));
    let mut lines = Lines::of(text);
    let (begin, end) = want.markers();
    let found = markers(&lines, &begin, &end).map_err(|why| failed(&why))?;
    let BlockWant::Present { source, place, .. } = &want.want else {
        if let Some((first, last)) = found {
            lines.remove(first..=last);
        }
        return Ok(lines.to_string());
    };
    let content: Cow<'_, str> = match source {
        TextSource::Content(text) => text.into(),
        TextSource::Template(text) => {
            template::render(text, params, facts).map_err(|problem| failed(&problem.to_string()))?.into()
        }
    };
    if content.lines().any(|l| l == begin || l == end) {
        return Err(failed("the rendered template contains a marker line; nothing could tell where it ends"));
    }
    let at = match found {
        Some((first, last)) => {
            let inside = lines.iter().skip(first + 1).take(last - first - 1);
            if inside.eq(content.lines()) {
                return Ok(text.to_owned());
            }
            lines.remove(first..=last);
            first
        }
        None => line::position(place, &lines).map_err(|why| failed(&why))?,
    };
    let all = std::iter::once(begin.as_str()).chain(content.lines()).chain([end.as_str()]);
    for (offset, body) in all.enumerate() {
        lines.insert(at + offset, body);
    }
    Ok(lines.to_string())
}

/// Numbers of the two marker lines; `None` when there is neither.
fn markers(lines: &Lines, begin: &str, end: &str) -> Result<Option<(usize, usize)>, String> {
    let all = |marker: &str| -> Vec<usize> {
        lines.iter().enumerate().filter(|(_, body)| *body == marker).map(|(at, _)| at).collect()
    };
    match (all(begin).as_slice(), all(end).as_slice()) {
        ([], []) => Ok(None),
        ([first], [last]) if first < last => Ok(Some((*first, *last))),
        _ => Err(format!(
            "its marker lines are damaged; there must be one {begin:?} and behind it one {end:?}, or neither"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(json: &str) -> Block {
        serde_json::from_str(&format!(r#"{{"path":"/a","name":"x",{json}}}"#)).unwrap()
    }

    fn facts() -> TemplateFacts {
        TemplateFacts {
            hostname: "web1".into(),
            fqdn: "web1".into(),
            os_id: String::new(),
            os_version: String::new(),
            os_codename: String::new(),
            kernel: String::new(),
            arch: String::new(),
            addresses: vec![],
            agent_id: String::new(),
            host_class: String::new(),
        }
    }

    fn run(json: &str, text: &str) -> Result<String, Refused> {
        edit(&block(json), text, &Map::default(), &facts())
    }

    #[test]
    fn the_block_is_brought_replaced_and_removed() {
        let own = "# BEGIN assent x\n1\n2\n# END assent x\n";
        for (json, before, after) in [
            (r#""content":"1\n2\n""#, "", own.to_owned()),
            (r#""content":"1\n2""#, "a", format!("a\n{own}")),
            (r#""content":"1\n2","place":"start""#, "a\n", format!("{own}a\n")),
            (r#""content":"1\n2""#, "a\n# BEGIN assent x\nold\n# END assent x\nb\n", format!("a\n{own}b\n")),
            (r#""content":"1\n2""#, "a\n# BEGIN assent x\n# END assent x", format!("a\n{own}")),
            (
                r#""template":"{{facts.hostname}}","comment":"//""#,
                "",
                "// BEGIN assent x\nweb1\n// END assent x\n".into(),
            ),
            (r#""state":"absent""#, &format!("a\n{own}b"), "a\nb".into()),
            (r#""state":"absent""#, "a\n# BEGIN assent xx\n", "a\n# BEGIN assent xx\n".into()),
        ] {
            let once = run(json, before).unwrap();
            assert_eq!(once, after, "{json} {before:?}");
            assert_eq!(run(json, &once).unwrap(), once, "a second run: {json} {before:?}");
        }
    }

    #[test]
    fn damaged_markers_are_refused() {
        for text in [
            "# BEGIN assent x\n",
            "# END assent x\n",
            "# END assent x\n# BEGIN assent x\n",
            "# BEGIN assent x\n# BEGIN assent x\n# END assent x\n",
        ] {
            for json in [r#""content":"1""#, r#""state":"absent""#] {
                assert!(run(json, text).unwrap_err().message.contains("damaged"), "{text:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn absent_is_the_inverse_of_present(text in "[ab\r\n# ]{0,40}", content in "[ab\n]{0,12}", start in any::<bool>()) {
            let place = if start { "start" } else { "end" };
            let json = serde_json::json!({ "path": "/a", "name": "x", "content": content, "place": place });
            let want: Block = serde_json::from_value(json).unwrap();
            let there = edit(&want, &text, &Map::default(), &facts()).unwrap();
            let gone = run(r#""state":"absent""#, &there).unwrap();
            // A last line without a break has got one where the block follows it.
            prop_assert_eq!(gone.trim_end_matches(['\r', '\n']), text.trim_end_matches(['\r', '\n']));
        }
    }
}
