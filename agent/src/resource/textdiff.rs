//! Readable differences of two texts, as `diff -u` shows them, within a bounded size and time.

use shared::limits;
use shared::plan::CUT;

const CONTEXT: usize = 3;
/// Cells of the comparison table: texts that differ in more are shown as removed and added as a whole.
const CELLS: usize = 1 << 20;

enum Line<'a> {
    Same(&'a str),
    Old(&'a str),
    New(&'a str),
}

/// The difference of two texts, without file names; `None` when one of them is no text.
pub fn unified(old: &[u8], new: &[u8]) -> Option<String> {
    let (old, new) = (text(old)?, text(new)?);
    let lines = compare(&old.lines().collect::<Vec<_>>(), &new.lines().collect::<Vec<_>>());
    let mut shown = render(&lines);
    for (which, text) in [("old", old), ("new", new)] {
        if !text.is_empty() && !text.ends_with('\n') {
            shown.push_str(&format!("\\ the {which} text has no line break at its end\n"));
        }
    }
    Some(cap(shown))
}

/// Only what is new, for files whose other contents stay on the host; how many lines go is told.
pub fn added(old: &[u8], new: &[u8]) -> Option<String> {
    let (old, new) = (text(old)?, text(new)?);
    let lines = compare(&old.lines().collect::<Vec<_>>(), &new.lines().collect::<Vec<_>>());
    let gone = lines.iter().filter(|line| matches!(line, Line::Old(_))).count();
    let mut shown = String::from("(not everybody may read this file: its other lines are not shown)\n");
    if gone > 0 {
        shown.push_str(&format!("-({gone} lines)\n"));
    }
    for line in &lines {
        if let Line::New(text) = line {
            shown.push_str(&format!("+{text}\n"));
        }
    }
    Some(cap(shown))
}

fn text(bytes: &[u8]) -> Option<&str> {
    let printable = |c: char| !c.is_control() || matches!(c, '\n' | '\t' | '\r');
    std::str::from_utf8(bytes).ok().filter(|t| t.chars().all(printable))
}

fn cap(mut text: String) -> String {
    if text.len() > limits::DIFF_BYTES {
        let mut end = limits::DIFF_BYTES - CUT.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(CUT);
    }
    text
}

/// Longest common subsequence of what lies between the common start and end.
fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (o, n) = (&old[head..], &new[head..]);
    let tail = o.iter().rev().zip(n.iter().rev()).take_while(|(a, b)| a == b).count();
    let (o, n) = (&o[..o.len() - tail], &n[..n.len() - tail]);
    let mut lines: Vec<Line<'a>> = old[..head].iter().map(|l| Line::Same(l)).collect();
    if o.len().saturating_mul(n.len()) > CELLS {
        lines.extend(o.iter().map(|l| Line::Old(l)));
        lines.extend(n.iter().map(|l| Line::New(l)));
    } else {
        middle(o, n, &mut lines);
    }
    lines.extend(old[old.len() - tail..].iter().map(|l| Line::Same(l)));
    lines
}

fn middle<'a>(old: &[&'a str], new: &[&'a str], lines: &mut Vec<Line<'a>>) {
    let width = new.len() + 1;
    // common[i][j]: length of the longest common subsequence of old[i..] and new[j..].
    let mut common = vec![0u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = if old[i] == new[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(Line::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || (i < old.len() && common[(i + 1) * width + j] >= common[i * width + j + 1])
        {
            lines.push(Line::Old(old[i]));
            i += 1;
        } else {
            lines.push(Line::New(new[j]));
            j += 1;
        }
    }
}

/// Changed lines with their context; `@@ -line +line @@` where something is left out.
fn render(lines: &[Line<'_>]) -> String {
    let changed: Vec<usize> =
        lines.iter().enumerate().filter(|(_, l)| !matches!(l, Line::Same(_))).map(|(i, _)| i).collect();
    let mut shown = String::new();
    let (mut old, mut new, mut near, mut gap) = (1, 1, 0, true);
    for (index, line) in lines.iter().enumerate() {
        while changed.get(near).is_some_and(|c| c + CONTEXT < index) {
            near += 1;
        }
        let show = changed.get(near).is_some_and(|c| c.abs_diff(index) <= CONTEXT);
        if show && gap {
            shown.push_str(&format!("@@ -{old} +{new} @@\n"));
        }
        gap = !show;
        let (mark, text) = match line {
            Line::Same(text) => (' ', text),
            Line::Old(text) => ('-', text),
            Line::New(text) => ('+', text),
        };
        if show && shown.len() <= limits::DIFF_BYTES {
            shown.push(mark);
            shown.push_str(text);
            shown.push('\n');
        }
        old += usize::from(!matches!(line, Line::New(_)));
        new += usize::from(!matches!(line, Line::Old(_)));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_lines_are_shown_with_three_lines_around_them() {
        let old: String = (1..=20).map(|n| format!("line {n}\n")).collect();
        let new = old.replace("line 10\n", "line ten\n").replace("line 20\n", "line 20\nline 21\n");
        let diff = unified(old.as_bytes(), new.as_bytes()).unwrap();
        assert_eq!(
            diff,
            "@@ -7 +7 @@\n line 7\n line 8\n line 9\n-line 10\n+line ten\n line 11\n line 12\n line 13\n@@ -18 +18 @@\n line 18\n line 19\n line 20\n+line 21\n"
        );
        assert_eq!(unified(b"", b"a\n").unwrap(), "@@ -1 +1 @@\n+a\n");
        assert!(unified(b"a", b"a\n").unwrap().contains("old text has no line break"));
    }

    #[test]
    fn what_is_there_already_can_be_left_out() {
        let shown = added(b"secret=1\nport=2\n", b"secret=1\nport=3\n").unwrap();
        assert!(shown.ends_with("-(1 lines)\n+port=3\n") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn no_text_gives_no_difference_and_long_ones_are_cut() {
        assert_eq!(unified(b"a\0b", b"x"), None);
        assert_eq!(unified(b"\x1b[31m", b"x"), None);
        assert_eq!(unified(&[0xff], b"x"), None);
        let long: String = (0..50_000).map(|n| format!("{n}\n")).collect();
        let other = long.replace('1', "2");
        let diff = unified(long.as_bytes(), other.as_bytes()).unwrap();
        assert!(diff.len() <= limits::DIFF_BYTES && diff.ends_with(CUT));
    }
}
