//! Packages on hold: `excludepkgs` of dnf.conf(5), which every dnf obeys. The plugin for locks is not on every host.

use crate::host::Fault;
use crate::host::settings::{read, replace};
use std::path::Path;

const KEYS: [&str; 2] = ["excludepkgs", "exclude"];

/// The key that a line of the main section sets to a list, and the rest of the line.
fn key(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    let key = key.trim_end();
    KEYS.contains(&key).then_some((key, value))
}

/// Lines of the main section that hold the list, with lines that go on (they begin with a blank).
fn positions(lines: &[&str]) -> Vec<usize> {
    let (mut main, mut within, mut found) = (false, false, Vec::new());
    for (at, line) in lines.iter().enumerate() {
        if line.starts_with('[') {
            (main, within) = (line.trim() == "[main]", false);
        } else if main && key(line).is_some() {
            within = true;
            found.push(at);
        } else if within && line.starts_with([' ', '\t']) && !line.trim().is_empty() {
            found.push(at);
        } else {
            within = false;
        }
    }
    found
}

/// Names and patterns that are left out.
pub fn list(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let words = |at: &usize| {
        let line = lines[*at];
        let value = key(line).map_or(line, |(_, value)| value);
        value.split([',', ' ', '\t']).filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    positions(&lines).iter().flat_map(words).collect()
}

/// The text with another list.
pub(crate) fn with(text: &str, names: &[String]) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let found = positions(&lines);
    for at in found.iter().rev() {
        lines.remove(*at);
    }
    let line = format!("excludepkgs={}", names.join(","));
    let main = lines.iter().position(|line| line.trim() == "[main]");
    match (names.is_empty(), found.first(), main) {
        (true, ..) => {}
        (false, Some(first), _) => lines.insert(*first, &line),
        (false, None, Some(main)) => lines.insert(main + 1, &line),
        (false, None, None) => {
            lines.insert(0, "[main]");
            lines.insert(1, &line);
        }
    }
    lines.join("\n") + "\n"
}

/// Puts packages on hold, and takes others from it.
///
/// # Errors
/// A pattern that somebody else wrote holds one of them.
pub fn change(path: &Path, hold: &[&str], unhold: &[&str]) -> Result<(), Fault> {
    let text = read(path)?;
    let mut names = list(&text);
    names.retain(|name| !unhold.contains(&name.as_str()));
    for name in unhold {
        let by = names
            .iter()
            .find(|p| p.parse::<shared::manifest::NameGlob>().is_ok_and(|glob| glob.matches(name)));
        if let Some(pattern) = by {
            return Err(Fault::Refused(format!(
                "{name} is held by the pattern {pattern} in {}; change it there",
                path.display()
            )));
        }
    }
    names.extend(
        hold.iter()
            .filter(|name| !names.iter().any(|n| n == *name))
            .map(|n| (*n).to_owned())
            .collect::<Vec<_>>(),
    );
    replace(path, &with(&text, &names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_over_several_lines_and_written_in_one() {
        let text =
            "# c\n[main]\ngpgcheck=1\nexcludepkgs = a, kernel*\n  b\n\nbest=True\n[other]\nexclude=x\n";
        assert_eq!(list(text), ["a", "kernel*", "b"]);
        let names: Vec<String> = ["a", "c"].map(str::to_owned).into();
        let new = with(text, &names);
        assert_eq!(new, "# c\n[main]\ngpgcheck=1\nexcludepkgs=a,c\n\nbest=True\n[other]\nexclude=x\n");
        assert_eq!(list(&new), names);
        assert_eq!(with(&new, &[]), "# c\n[main]\ngpgcheck=1\n\nbest=True\n[other]\nexclude=x\n");
        assert_eq!(with("", &names), "[main]\nexcludepkgs=a,c\n");
        assert_eq!(with("[main]\nbest=1\n", &names), "[main]\nexcludepkgs=a,c\nbest=1\n");
    }
}
