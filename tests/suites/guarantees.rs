//! README's tables of guarantees and of what each compromise gives: what they name as proof exists and is a test, so that
//! the tables cannot rot.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The headings whose tables are looked at, and how many rows they have at least.
const TABLES: [(&str, usize); 2] = [("Guarantees", 20), ("Security: what each compromise gives", 15)];

/// The rows of the table below the heading, as pairs of a promise and what proves it: the last column.
fn rows(readme: &str, heading: &str) -> Vec<(String, String)> {
    let section = readme.split(&format!("\n## {heading}\n")).nth(1).expect(heading);
    let table = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|l| l.starts_with('|'));
    let cells = table.skip(2).map(|line| {
        let mut cells = line.trim_matches('|').rsplitn(2, '|').map(|cell| cell.trim().to_owned());
        let proof = cells.next().unwrap();
        (cells.next().unwrap(), proof)
    });
    cells.collect()
}

/// Words in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Why a pointer leads nowhere, for each that does.
fn dead_pointers(proof: &str) -> Vec<String> {
    let mut dead = Vec::new();
    let mut file: Option<(String, String)> = None;
    let mut named = true;
    for word in quoted(proof) {
        if !word.contains('/') {
            named = true;
            let found = file.as_ref().is_some_and(|(_, text)| is_test(text, word));
            if !found {
                dead.push(format!("{word} is no test in {:?}", file.as_ref().map(|(path, _)| path)));
            }
            continue;
        }
        if !named {
            dead.push(format!("no test is named in the file before {word}"));
        }
        let below_tests = word.starts_with("suites/") || word.starts_with("scenarios/");
        let path = root().join(if below_tests { "tests" } else { "" }).join(word);
        match fs::read_to_string(&path) {
            Ok(text) => file = Some((word.to_owned(), text)),
            Err(e) => dead.push(format!("{word}: {e}")),
        }
        // That each scenario is played is a test of its own.
        named = word.starts_with("scenarios/");
    }
    if !named {
        dead.push("no test is named in the last file".into());
    }
    dead
}

/// Whether a file has a function of this name that the test runner runs.
fn is_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let opens = |line: &&str| {
        let after = line.trim_start_matches("async ").strip_prefix("fn ").and_then(|l| l.strip_prefix(name));
        after.is_some_and(|after| after.starts_with('('))
    };
    let Some(at) = lines.iter().position(opens) else { return false };
    let listed = lines.iter().skip_while(|line| **line != "with_both! {").take_while(|line| **line != "}");
    if listed.skip(1).any(|line| *line == name) {
        return true;
    }
    let before = lines[..at].iter().rev();
    let mut marks =
        before.take_while(|line| line.starts_with("#[") || line.starts_with("//") || **line == "on_both! {");
    marks.any(|line| *line == "on_both! {" || line.contains("test]") || line.contains("test("))
}

#[test]
fn every_guarantee_names_tests_that_exist() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for (heading, least) in TABLES {
        let rows = rows(&readme, heading);
        assert!(rows.len() >= least, "{rows:?}");
        for (promise, proof) in &rows {
            assert!(!quoted(proof).is_empty(), "nothing proves: {promise}");
            assert_eq!(dead_pointers(proof), Vec::<String>::new(), "{promise}");
        }
    }
}

/// The check itself notices what it is for.
#[test]
fn pointers_to_helpers_files_without_tests_and_missing_files_are_noticed() {
    let attacks = "`suites/attacks.rs` `an_older_revision_of_a_change_is_refused`";
    assert_eq!(dead_pointers(attacks), Vec::<String>::new());
    for wrong in [
        "`suites/attacks.rs` `approvals_that_do_not_count`",
        "`suites/attacks.rs` `no_such_test`",
        "`suites/attacks.rs`",
        "`suites/attacks.rs`; `scenarios/clock.txt`",
        "`scenarios/none.txt`",
        "`an_older_revision_of_a_change_is_refused`",
    ] {
        assert_eq!(dead_pointers(wrong).len(), 1, "{wrong}");
    }
}
