//! Locks of packages (`/etc/zypp/locks`, locks(5) of libzypp) and the list of packages that came as dependencies.

use crate::host::Fault;
use crate::host::settings::{read, replace};
use shared::manifest::NameGlob;
use std::path::Path;

fn stanzas(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").map(|stanza| stanza.trim_matches('\n')).filter(|stanza| !stanza.is_empty())
}

fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// The name or pattern of packages that the stanza locks.
fn locked(stanza: &str) -> Option<&str> {
    field(stanza, "solvable_name").filter(|_| field(stanza, "type").is_none_or(|kind| kind == "package"))
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.parse::<NameGlob>().is_ok_and(|glob| glob.matches(name))
}

/// Names and patterns of packages that are locked.
pub fn names(text: &str) -> Vec<String> {
    stanzas(text).filter_map(locked).map(str::to_owned).collect()
}

/// The text without locks that hold one of these packages.
pub fn without(text: &str, free: &[String]) -> String {
    let stays =
        |stanza: &&str| !locked(stanza).is_some_and(|pattern| free.iter().any(|name| matches(pattern, name)));
    stanzas(text).filter(stays).map(|stanza| format!("\n{stanza}\n")).collect()
}

/// Locks packages, and takes the locks of others away.
///
/// # Errors
/// A pattern that somebody else wrote locks one of them.
pub fn change(path: &Path, hold: &[&str], unhold: &[&str]) -> Result<(), Fault> {
    let text = read(path)?;
    let stays = |stanza: &&str| !locked(stanza).is_some_and(|name| unhold.contains(&name));
    let mut new: String = stanzas(&text).filter(stays).map(|stanza| format!("\n{stanza}\n")).collect();
    for name in unhold {
        if let Some(pattern) = names(&new).iter().find(|pattern| matches(pattern, name)) {
            return Err(Fault::Refused(format!(
                "{name} is held by the pattern {pattern} in {}; take it away with zypper removelock",
                path.display()
            )));
        }
    }
    for name in hold.iter().filter(|name| !names(&text).iter().any(|n| n == *name)) {
        new.push_str(&format!(
            "\ntype: package\nmatch_type: glob\ncase_sensitive: on\nsolvable_name: {name}\n"
        ));
    }
    replace(path, &new)
}

/// Adds names to the list of packages that may go when nothing needs them any more.
pub fn auto(path: &Path, names: &[&str]) -> Result<(), Fault> {
    let mut text = read(path)?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for name in names {
        if !text.lines().any(|line| line == *name) {
            text.push_str(name);
            text.push('\n');
        }
    }
    replace(path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn locks_are_read_added_and_taken_away() {
        let dir = std::env::temp_dir().join(format!("assent-locks-{}", std::process::id()));
        let path = dir.join("zypp/locks");
        change(&path, &["beta", "alpha"], &[]).unwrap();
        change(&path, &["beta"], &[]).unwrap();
        let text = read(&path).unwrap();
        assert_eq!(names(&text), ["beta", "alpha"]);
        assert!(text.starts_with("\ntype: package\nmatch_type: glob\n"), "{text}");
        let pattern = format!("{text}\ntype: patch\nsolvable_name: beta\n\nsolvable_name: ker*\n");
        assert_eq!(names(&pattern), ["beta", "alpha", "ker*"]);
        assert_eq!(names(&without(&pattern, &["kernel".into(), "beta".into()])), ["alpha"]);
        fs::write(&path, pattern).unwrap();
        change(&path, &[], &["beta"]).unwrap();
        assert_eq!(names(&read(&path).unwrap()), ["alpha", "ker*"]);
        let fault = change(&path, &[], &["kernel"]).unwrap_err().text();
        assert!(fault.contains("kernel is held by the pattern ker*"), "{fault}");
        let list = dir.join("AutoInstalled");
        fs::write(&list, "# x\na").unwrap();
        auto(&list, &["a", "b"]).unwrap();
        assert_eq!(read(&list).unwrap(), "# x\na\nb\n");
        fs::remove_dir_all(dir).unwrap();
    }
}
