//! Whole outputs of a command as a scenario writes them down: what differs from run to run has a word in its place.

use std::collections::BTreeMap;

/// What may stand before a moment without a blank.
const OPENS: [char; 2] = ['(', '"'];

/// The text as it is compared: `TIME` for moments, `ID` for ids and digests, two blanks between columns, no empty lines.
pub fn plain(text: &str) -> String {
    let lines = text.lines().map(line).filter(|line| !line.trim().is_empty());
    lines.map(|line| format!("{line}\n")).collect()
}

/// The scenario with these outputs as the blocks of their steps, which are known by their lines.
pub fn written(scenario: &str, found: &BTreeMap<usize, String>) -> String {
    let (mut out, mut skips) = (String::new(), false);
    for (number, line) in scenario.lines().enumerate() {
        if skips && line.starts_with(' ') {
            continue;
        }
        out.push_str(&format!("{line}\n"));
        let block = found.get(&(number + 1));
        skips = block.is_some();
        for line in block.into_iter().flat_map(|text| text.lines()) {
            out.push_str(&format!("  {line}\n"));
        }
    }
    out
}

fn line(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    let cells = line.trim().split("  ").filter(|cell| !cell.trim().is_empty()).map(|cell| words(cell.trim()));
    format!("{}{}", " ".repeat(indent), cells.collect::<Vec<_>>().join("  "))
}

fn words(cell: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut rest: Vec<&str> = cell.split(' ').collect();
    rest.reverse();
    while let Some(word) = rest.pop() {
        let next = rest.last().copied().unwrap_or_default();
        let begins = is_weekday(word) && is_moment(next);
        if begins || is_moment(word) {
            let last = if begins { rest.pop().unwrap_or_default() } else { word };
            let before = last.get(..last.len() - last.trim_start_matches(OPENS).len()).unwrap_or_default();
            let mut end = trailing(last);
            // The time of the day and the distance to UTC belong to it.
            while let Some(more) = rest.last().copied().filter(|word| end.is_empty() && is_clock(word)) {
                rest.pop();
                end = trailing(more);
            }
            out.push(format!("{before}TIME{end}"));
        } else {
            out.push(id(word));
        }
    }
    out.join(" ")
}

fn is_weekday(word: &str) -> bool {
    ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&word)
}

/// `2026-11-21`, or with a time behind T.
fn is_moment(word: &str) -> bool {
    let shape: String = word
        .trim_start_matches(OPENS)
        .chars()
        .take(10)
        .map(|c| if c.is_ascii_digit() { '9' } else { c })
        .collect();
    shape == "9999-99-99"
}

/// `02:00`, `02:00:00`, `+01:00`, `UTC`.
fn is_clock(word: &str) -> bool {
    let bare = word.trim_start_matches(['+', '-']).trim_end_matches([',', ')', ':', ';']);
    bare == "UTC" || (bare.contains(':') && bare.chars().all(|c| c.is_ascii_digit() || c == ':'))
}

/// What stands behind a moment without a blank.
fn trailing(word: &str) -> &str {
    let bare = word.trim_end_matches([',', ')', ';', '.', '"']);
    word.get(bare.len()..).unwrap_or_default()
}

/// Digests and ids of hosts are hexadecimal and long; a number of the year has the year in it.
fn id(word: &str) -> String {
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if bare.len() >= 16 && bare.bytes().all(|c| c.is_ascii_hexdigit()) {
        return word.replace(bare, "ID");
    }
    let parts: Vec<&str> = bare.split('-').collect();
    match *parts.as_slice() {
        [kind @ ("N" | "E" | "S" | "R"), year, number]
            if year.len() == 4 && number.parse::<u32>().is_ok() =>
        {
            word.replace(bare, &format!("{kind}-YEAR-{number}"))
        }
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_outputs_take_the_place_of_those_before() {
        let scenario = "# one\nprints a\n  old\n  older\nfile x\n  kept\nprints b\n";
        let found = [(2, "new\n".to_owned()), (7, "c\n  d\n".to_owned())].into();
        assert_eq!(
            written(scenario, &found),
            "# one\nprints a\n  new\nfile x\n  kept\nprints b\n  c\n    d\n"
        );
    }

    #[test]
    fn what_differs_from_run_to_run_has_a_word_in_its_place() {
        let text = "HOST    SINCE                        AGENT\n\
                    \n\
                    web1    Fri 2026-11-20 11:07 +00:00  00112233445566778899aabbccddeeff\n\
                    \x20 \"at\": \"2026-11-20T11:07:16Z\",\n\
                    \x20 until Sat 2026-11-21 02:00 +01:00, (2026-11-20T11:07:16Z) sha256 00112233445566778899\n\
                    C-1 (N-2026-0014)  2026-12-01 .. 2026-12-02, 4/5\n";
        assert_eq!(
            plain(text),
            "HOST  SINCE  AGENT\nweb1  TIME  ID\n  \"at\": \"TIME\",\n  until TIME, (2026-11-20T11:07:16Z) sha256 ID\n\
             C-1 (N-YEAR-0014)  TIME .. TIME, 4/5\n"
                .replace("(2026-11-20T11:07:16Z)", "(TIME)")
        );
        assert_eq!(plain("one\ntwo\n"), "one\ntwo\n");
        assert_ne!(plain("one  two\n"), plain("one two\n"), "a column is no blank");
    }
}
