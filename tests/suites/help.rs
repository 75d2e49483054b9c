//! `--help` of all three programs: every command has an example of itself, every argument is explained, and the
//! exit codes are told.

use std::process::Command;
use tests::programs::{Said, own};

const PROGRAMS: [&str; 3] = ["assent", "assent-agent", "assent-server"];

fn help(program: &str, path: &[String]) -> String {
    // Wide, so that an argument and its explanation stand on one line.
    Said::of(Command::new(own(program)).args(path).arg("-h").env("COLUMNS", "100")).ok().out
}

/// The lines of a section such as `Options:`, without their two blanks; longer lines go on deeper.
fn section(help: &str, title: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    let lines = help.lines().skip_while(|line| *line != title).skip(1).take_while(|line| !line.is_empty());
    for line in lines {
        let starts = line.trim_start().starts_with(['-', '<', '[']) || title == "Commands:";
        let shallow = line.len() - line.trim_start().len() <= 6;
        match entries.last_mut() {
            Some(last) if !(starts && shallow) => {
                last.push_str("  ");
                last.push_str(line.trim());
            }
            _ => entries.push(line.trim().to_owned()),
        }
    }
    entries
}

/// Everything behind the name and its value: what clap itself adds in brackets explains nothing.
fn explanation(entry: &str) -> String {
    let behind = entry.split_once("  ").map_or("", |(_, behind)| behind).trim();
    behind.split(" [").next().unwrap_or_default().trim_start_matches('[').to_owned()
}

fn check(program: &str, path: &[String], found: &mut usize) {
    let text = help(program, path);
    let name = format!("{program} {}", path.join(" ")).trim().to_owned();
    for title in ["Arguments:", "Options:"] {
        for entry in section(&text, title) {
            assert!(explanation(&entry).len() > 4, "{name}: {entry:?} is not explained\n{text}");
            *found += 1;
        }
    }
    let commands: Vec<String> = section(&text, "Commands:")
        .iter()
        .filter_map(|entry| entry.split_whitespace().next().map(str::to_owned))
        .filter(|command| command != "help")
        .collect();
    if commands.is_empty() {
        assert!(text.contains("Example") && text.contains(&name), "{name} shows no example\n{text}");
    }
    for command in commands {
        check(program, &[path, &[command]].concat(), found);
    }
}

#[test]
fn every_argument_of_every_program_is_explained() {
    for program in PROGRAMS {
        let mut found = 0;
        check(program, &[], &mut found);
        assert!(found > 5, "{program}: the help was not understood, {found} arguments");
        assert!(help(program, &[]).contains("Exit codes: 0 done"), "{program}");
    }
}
