//! Text for terminals: foreign text made harmless, columns, wrapped words, counts.

pub use shared::time::span;
use std::fmt::Write as _;

/// Foreign text on one line: control and direction characters are shown as escapes, never executed. What leaves the
/// program goes through `term`, which does the same again for all of it; here one field cannot become two lines.
pub fn clean(text: &str) -> String {
    shared::visible::line(text)
}

/// Like [`clean`], line by line, for diffs; tabs stay, and so do carriage returns, as escapes.
pub fn clean_lines(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split_terminator('\n').map(shared::visible::lines)
}

/// Rows in columns as wide as their widest cell, two blanks apart, nothing behind the last cell.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing into a String cannot fail.
            let _infallible = write!(line, "{cell:<width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_one_line_or_as_many_as_it_has() {
        assert_eq!(clean("a\u{1b}[2J\nb"), "a\\u{1b}[2J\\u{a}b");
        let lines: Vec<_> = clean_lines("a\tb\r\nc\u{7}\n").collect();
        assert_eq!(lines, ["a\tb\\u{d}", "c\\u{7}"]);
    }

    #[test]
    fn columns_line_up_without_trailing_blanks() {
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        assert_eq!(table(&[row("A", "LONG"), row("längst", "b")]), "A       LONG\nlängst  b\n");
    }

    #[test]
    fn spans_name_two_units() {
        for (seconds, text) in
            [(40, "40 s"), (720, "12 min"), (7_260, "2 h 1 min"), (7_200, "2 h"), (100_000, "1 d 3 h")]
        {
            assert_eq!(span(seconds), text);
        }
    }
}
