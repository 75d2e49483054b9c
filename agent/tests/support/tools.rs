//! Programs of the machine that tests use.

use std::process::{Command, Output};

/// Runs a program that has to end well.
pub fn run(command: &mut Command) -> Output {
    command.env("LC_ALL", "C").env("HOME", "/root");
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Records that a test could not run here.
///
/// # Panics
/// When CI=true: what CI skips is not tested anywhere.
pub fn skip(name: &str, why: &str) {
    use std::io::Write;
    assert!(!std::env::var("CI").is_ok_and(|value| value == "true"), "{name}: {why}");
    let Some(file) = std::env::var_os("ASSENT_TEST_SKIPS") else { return };
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
    file.write_all(format!("{name}: {why}\n").as_bytes()).unwrap();
}
