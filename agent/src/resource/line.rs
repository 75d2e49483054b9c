//! One line of a file.
//!
//! Present: the line stands in the file, and no other line matches the pattern. Absent: no line equals the line
//! or matches the pattern. Both are reached in one step, so a second run finds nothing to do.

use super::lines::Lines;
use super::refuse;
use shared::manifest::{Line, LineWant, Place};
use shared::refusal::Refused;

/// The text after the edit.
///
/// # Errors
/// The line that the place names is not there.
pub fn edit(want: &Line, text: &str) -> Result<String, Refused> {
    let mut lines = Lines::of(text);
    match &want.want {
        LineWant::Absent { line, pattern } => {
            let goes = |body: &str| {
                line.as_ref().is_some_and(|l| l.as_str() == body)
                    || pattern.as_ref().is_some_and(|p| p.is_match(body))
            };
            lines.retain(|_, body| !goes(body));
        }
        LineWant::Present { line, pattern, place, .. } => {
            let wanted = line.as_str();
            let matches = |body: &str| pattern.as_ref().is_some_and(|p| p.is_match(body));
            if !lines.iter().any(|body| body == wanted) {
                let first = lines.iter().position(matches);
                match first {
                    Some(first) => lines.replace(first, wanted),
                    None => {
                        let at = position(place, &lines)
                            .map_err(|why| refuse(format!("line {} of {}: {why}", want.name, want.path)))?;
                        lines.insert(at, wanted);
                    }
                }
            }
            lines.retain(|_, body| body == wanted || !matches(body));
        }
    }
    Ok(lines.to_string())
}

/// The number of the line before which something is inserted.
///
/// # Errors
/// No line matches; the answer is for people.
pub fn position(place: &Place, lines: &Lines) -> Result<usize, String> {
    let none = |side: &str, pattern: &dyn std::fmt::Display| {
        format!("no line matches {pattern}, so nothing can be put {side} it; give another place")
    };
    match place {
        Place::End => Ok(lines.len()),
        Place::Start => Ok(0),
        Place::After(pattern) => {
            let last = lines.iter().rposition(|body| pattern.is_match(body));
            last.map(|at| at + 1).ok_or_else(|| none("after", pattern))
        }
        Place::Before(pattern) => {
            lines.iter().position(|body| pattern.is_match(body)).ok_or_else(|| none("before", pattern))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(json: &str) -> Line {
        serde_json::from_str(&format!(r#"{{"path":"/a","name":"x",{json}}}"#)).unwrap()
    }

    #[test]
    fn the_line_stands_once_and_no_other_matches() {
        for (json, before, after) in [
            (r#""line":"x""#, "", "x\n"),
            (r#""line":"x""#, "a", "a\nx\n"),
            (r#""line":"x""#, "x\na\nx\n", "x\na\nx\n"),
            (r#""line":"x","place":"start""#, "a\r\nb", "x\r\na\r\nb"),
            (r#""line":"x","place":{"after":"^a"}"#, "a1\na2\nb\n", "a1\na2\nx\nb\n"),
            (r#""line":"x","place":{"before":"^a"}"#, "b\na1\na2\n", "b\nx\na1\na2\n"),
            (r##""line":"Port 22","match":"^#?Port\\b""##, "#Port 1\na\nPort 2\n", "Port 22\na\n"),
            (
                r##""line":"Port 22","match":"^#?Port\\b""##,
                "#Port 1\nPort 22\nPort 22\n",
                "Port 22\nPort 22\n",
            ),
            (r##""line":"Port 22","match":"^#?Port\\b""##, "a\n", "a\nPort 22\n"),
            (r#""line":"other","match":"^x""#, "x1\nb\nx2", "other\nb\n"),
            (r#""state":"absent","line":"x""#, "x\nxx\n x\nx", "xx\n x\n"),
            (r#""state":"absent","match":"x$""#, "x\nxa\n", "xa\n"),
            (r#""state":"absent","line":"q","match":"x$""#, "x\nxa\nq", "xa\n"),
        ] {
            let want = line(json);
            let once = edit(&want, before).unwrap();
            assert_eq!(once, after, "{json} {before:?}");
            assert_eq!(edit(&want, &once).unwrap(), once, "a second run: {json} {before:?}");
        }
        let refused = edit(&line(r#""line":"x","place":{"after":"^q"}"#), "a\n").unwrap_err();
        assert!(refused.message.contains("line x of /a: no line matches ^q"), "{refused}");
    }
}
