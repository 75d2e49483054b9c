//! README's tables of guarantees and of what each compromise gives, the list of attack cases in `attacks.md` and the invariants
//! in `invariants.md`: what they name as proof exists and is a test, so that the tables cannot rot.

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

/// The attack cases that there are, and where each has to be shown to fail: in the program's own tests (U), on real agents
/// (E), through the command line of the public suite for TUF clients (C), by fuzzing (F).
const CASES: [&str; 55] = [
    "CE", "CE", "C", "CU", "C", "UE", "E", "U", "CU", "CU", "C", "CU", "UF", "U", "UE", "UE", "UE", "E", "U",
    "E", "U", "U", "U", "UE", "U", "U", "U", "E", "UE", "U", "E", "U", "UE", "U", "E", "E", "E", "E", "E",
    "E", "UE", "U", "UE", "E", "E", "E", "E", "E", "E", "E", "U", "E", "E", "E", "F",
];

/// The levels at which these pointers show something.
fn levels(proof: &str) -> String {
    let mut found: Vec<char> = quoted(proof)
        .into_iter()
        .filter(|word| word.contains('/'))
        .map(|path| match path {
            "suites/conformance.rs" => 'C',
            _ if path.starts_with("suites/") || path.starts_with("scenarios/") => 'E',
            _ if path.starts_with("fuzz/") => 'F',
            _ => 'U',
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().collect()
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
        let below_tests = ["suites/", "scenarios/", "fuzz/"].iter().any(|dir| word.starts_with(dir));
        let path = root().join(if below_tests { "tests" } else { "" }).join(word);
        match fs::read_to_string(&path) {
            Ok(text) => file = Some((word.to_owned(), text)),
            Err(e) => dead.push(format!("{word}: {e}")),
        }
        // That each scenario is played is a test of its own, and each fuzz target is run.
        named = word.starts_with("scenarios/") || word.starts_with("fuzz/");
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

#[test]
fn every_attack_case_is_shown_to_fail_where_it_matters() {
    let text = fs::read_to_string(root().join("tests/attacks.md")).unwrap();
    let rows = rows(&text, "Cases");
    assert_eq!(rows.len(), CASES.len());
    for ((n, asked), (case, proof)) in CASES.iter().enumerate().zip(&rows) {
        let number = format!("{} |", n + 1);
        assert!(case.starts_with(&number), "{case} stands where case {} belongs", n + 1);
        assert_eq!(dead_pointers(proof), Vec::<String>::new(), "{case}");
        let found = levels(proof);
        let missing: String = asked.chars().filter(|level| !found.contains(*level)).collect();
        assert_eq!(missing, "", "case {case} is not shown at every level ({asked}), only at {found}");
    }
}

/// Invariants about tickets, clocks of agreements and advisories, which are not known here yet.
const LATER: [usize; 5] = [10, 11, 12, 13, 18];

#[test]
fn every_invariant_of_changes_and_entries_is_shown() {
    let text = fs::read_to_string(root().join("tests/invariants.md")).unwrap();
    let rows = rows(&text, "Invariants");
    assert_eq!(rows.len(), 22);
    for (n, (invariant, proof)) in (1..).zip(&rows) {
        assert!(invariant.starts_with(&format!("{n} |")), "{invariant} stands where {n} belongs");
        assert_eq!(dead_pointers(proof), Vec::<String>::new(), "{invariant}");
        assert_eq!(quoted(proof).is_empty(), LATER.contains(&n), "{invariant}: {proof}");
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
    assert_eq!(
        levels("`suites/conformance.rs` `a`, `b`; `shared/src/keys.rs` `c`; `scenarios/clock.txt`"),
        "CEU"
    );
    assert_eq!(levels("`fuzz/fuzz_targets/tuf.rs`; nothing/else"), "F");
}
