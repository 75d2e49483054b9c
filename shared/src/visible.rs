//! Text of others for terminals and logs: what would steer a terminal or hide text is shown as an escape.
//!
//! A host name, a package or the output of a program could otherwise move the cursor, turn the reading direction, or
//! make what is approved look like something else. Each program shows text through one door that uses this.

use std::fmt::Write as _;

/// Control characters, and those that change order or presence of others without being seen.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn escaped(text: &str, keep: impl Fn(char) -> bool, escape: impl Fn(&mut String, char)) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) && !keep(c) { escape(&mut out, c) } else { out.push(c) }
    }
    out
}

fn as_in_rust(out: &mut String, c: char) {
    out.extend(c.escape_unicode());
}

/// On one line: line breaks and tabs are shown as escapes too.
pub fn line(text: &str) -> String {
    escaped(text, |_| false, as_in_rust)
}

/// On several lines: line breaks and tabs stay.
pub fn lines(text: &str) -> String {
    escaped(text, |c| c == '\n' || c == '\t', as_in_rust)
}

/// JSON that stays the same value: within its texts such characters may always be written as escapes.
pub fn json(text: &str) -> String {
    let escape = |out: &mut String, c: char| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing into a String cannot fail.
            let _infallible = write!(out, "\\u{unit:04x}");
        }
    };
    escaped(text, |c| c == '\n', escape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal_and_everything_is_seen() {
        for (raw, shown) in [
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("old\rnew", "old\\u{d}new"),
            ("rm\u{202e}fdp.exe", "rm\\u{202e}fdp.exe"),
            ("\u{2066}a\u{2069}", "\\u{2066}a\\u{2069}"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
            ("tag\u{e0041}", "tag\\u{e0041}"),
            ("Größe ✓ 漢字 🙂", "Größe ✓ 漢字 🙂"),
        ] {
            assert_eq!(line(raw), shown);
            assert_eq!(lines(raw), shown);
        }
        assert_eq!((line("a\n\tb").as_str(), lines("a\n\tb").as_str()), ("a\\u{a}\\u{9}b", "a\n\tb"));
    }

    #[test]
    fn json_keeps_its_value() {
        let value = serde_json::json!({ "a": "x\u{1b}\u{7f}\u{202e}\u{e0041}\"\\", "b": [1, "\n"] });
        let text = serde_json::to_string_pretty(&value).unwrap();
        let shown = json(&text);
        assert!(shown.chars().all(|c| c == '\n' || !is_hidden(c)), "{shown:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
