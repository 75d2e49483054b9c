//! Every command explains itself.

use crate::{empty, expect};
use clap::CommandFactory as _;

fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, String)>) {
    let mut subcommands = command.get_subcommands().filter(|c| c.get_name() != "help").peekable();
    if subcommands.peek().is_none() {
        let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        found.push((path.trim().to_owned(), example));
    }
    for subcommand in subcommands {
        leaves(subcommand, &format!("{path} {}", subcommand.get_name()), found);
    }
}

#[test]
fn every_command_has_help_with_an_example_of_itself() {
    let mut found = Vec::new();
    leaves(&cli::args::Cli::command(), "", &mut found);
    assert!(found.len() >= 36, "commands were lost: {found:#?}");
    for (path, help) in found {
        assert!(help.contains("Example") && help.contains(&format!("assent {path}")), "{path}: {help:?}");
    }
    cli::args::Cli::command().debug_assert();
}

/// Programs use the command as people do. What is left: commands whose output is a document already, that only write files
/// or fill in a terminal, and ceremonies in which persons compare words.
#[test]
fn every_command_tells_programs_as_well() {
    const WITHOUT: &[&str] = &[
        "backup check",
        "backup open",
        "backup recipient",
        "change attachment",
        "completion",
        "governance rehearse",
        "init",
        "key new",
        "key restore",
        "key witness",
        "man",
        "person invite",
        "person join",
        "policy show",
        "release cosign",
        "release manifest",
        "release sign",
        "secret encrypt",
        "secret key",
        "secret rekey",
        "sign",
        "site api",
        "site health",
    ];
    fn without(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        let mut subcommands = command.get_subcommands().filter(|c| c.get_name() != "help").peekable();
        if subcommands.peek().is_none() && !command.get_arguments().any(|a| a.get_long() == Some("json")) {
            found.push(path.trim().to_owned());
        }
        for subcommand in subcommands {
            without(subcommand, &format!("{path} {}", subcommand.get_name()), found);
        }
    }
    let mut found = Vec::new();
    without(&cli::args::Cli::command(), "", &mut found);
    found.sort();
    assert_eq!(found, WITHOUT);
}

/// What a shell completes and what `man` shows is made from the command line itself.
#[test]
fn completions_and_manual_pages_know_every_command() {
    let dir = empty();
    for shell in ["bash", "zsh", "fish"] {
        let (out, _) = expect(dir.path(), 0, &["completion", shell]);
        assert!(out.contains("approve") && out.contains("passphrase-file"), "{shell}: {out}");
    }
    expect(dir.path(), 0, &["man", "."]);
    for (page, word) in [("assent.1", "approve"), ("assent-change-new.1", "canary")] {
        let text = std::fs::read_to_string(dir.path().join(page)).unwrap();
        assert!(text.contains(word), "{page}: {text}");
    }
    let (_, err) = expect(dir.path(), 2, &["man", "missing"]);
    assert!(err.contains("could not write manual pages into missing"), "{err}");
}

#[test]
fn exit_codes_tell_usage_from_help() {
    let dir = empty();
    expect(dir.path(), 0, &["--help"]);
    expect(dir.path(), 0, &["--version"]);
    expect(dir.path(), 2, &[]);
    expect(dir.path(), 2, &["aprove"]);
    let (_, err) = expect(dir.path(), 2, &["change", "list"]);
    assert!(err.starts_with("error: no site is chosen\n  try: "), "{err}");
}

/// Nobody listens on this port: a fault, with the server's address and a remedy.
#[test]
fn a_server_that_does_not_answer_is_a_fault() {
    let dir = crate::new_site();
    let (_, err) = expect(dir.path(), 3, &["--site", "site", "change", "list"]);
    assert!(
        err.starts_with("error: the server at https://127.0.0.1:18443 does not answer\n  why: "),
        "{err}"
    );
}
