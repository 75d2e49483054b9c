//! What the tests of the machine-changing half share: real approvals, private roots, package repositories.

pub mod aptrepo;
pub mod rpmrepo;
pub mod secret;
pub mod site;
pub mod tree;

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

/// What is told of the machine, within the limits.
pub fn facts(machine: &agent::host::Machine) -> shared::facts::Facts {
    let (settings, mut memory) = (agent::facts::Settings::default(), agent::facts::Memory::default());
    let (class, version) = ("lab".parse().unwrap(), semver::Version::new(0, 1, 0));
    let facts = agent::facts::collect(machine, &class, version, &settings, &mut memory).unwrap();
    facts.check().unwrap();
    facts
}
