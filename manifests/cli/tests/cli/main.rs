//! Runs the built `assent` binary as a person would.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod ceremony;
mod help;
mod manifests;
mod routes;
mod terminal;

use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

pub const PASSPHRASE: &str = "correct horse battery";

/// The binary with a clean environment; input is not a terminal.
pub fn assent(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assent"))
        .current_dir(dir)
        .args(arguments)
        .env_clear()
        .env("TZ", "UTC")
        .env("ASSENT_PASSPHRASE_FILE", dir.join("pass"))
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs and demands an exit code; returns both outputs.
pub fn expect(dir: &Path, code: i32, arguments: &[&str]) -> (String, String) {
    let output = assent(dir, arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "assent {arguments:?}\n{out}{err}");
    (out, err)
}

pub const INIT: [&str; 11] = [
    "init",
    "site",
    "--person",
    "lead",
    "--name",
    "First Approver",
    "--people-url=https://127.0.0.1:18443",
    "--agent-address",
    "assent.example.org:18444",
    "--recovery-out",
    "recovery.txt",
];

/// A directory with a passphrase file and a fresh site in `site`.
pub fn new_site() -> TempDir {
    let dir = empty();
    expect(dir.path(), 0, &INIT);
    dir
}

pub fn empty() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pass"), format!("{PASSPHRASE}\n")).unwrap();
    dir
}
