//! What the comparisons with real package managers share: pairs of versions, and a program that judges them.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::io::Write;
use std::process::{Command, Stdio};

/// Two texts of their own, or one text and the same after one small change by a piece like `change`.
pub fn pairs(
    text: impl Strategy<Value = String> + Clone,
    change: &'static str,
    count: usize,
) -> Vec<(String, String)> {
    let changed = (text.clone(), any::<prop::sample::Index>(), change);
    let strategy = prop_oneof![
        (text.clone(), text),
        changed.prop_map(|(text, at, piece)| {
            let mut changed = text.clone();
            changed.insert_str(at.index(text.len()), &piece);
            (text, changed)
        }),
    ];
    let mut runner = TestRunner::default();
    (0..count).map(|_| strategy.new_tree(&mut runner).expect("a tree grows").current()).collect()
}

/// Lines that the program prints for lines of `a,b`; `None` where there is no such program.
pub fn judge(program: &str, arguments: &[&str], pairs: &[(String, String)]) -> Option<Vec<String>> {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().ok()?;
    let mut stdin = process.stdin.take().expect("stdin is piped");
    let lines: String = pairs.iter().map(|(a, b)| format!("{a},{b}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = process.wait_with_output().expect("it ends");
    writer.join().expect("the writer ends").expect("it reads all");
    let text = String::from_utf8(output.stdout).expect("verdicts are ASCII");
    Some(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}
