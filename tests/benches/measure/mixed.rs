//! Resources of several kinds that all change from round to round, and the least that brings the same effects.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const TEXT: &str = "key = value, one of many in this file\n";

/// What one resource is: of twenty, ten are files, three directories, two links, two lines, two blocks, one a setting.
enum Kind {
    File,
    Template,
    Directory,
    Link,
    Line,
    Block,
    Setting,
}

fn kind(number: usize) -> Kind {
    match number % 20 {
        0..5 => Kind::File,
        5..10 => Kind::Template,
        10..13 => Kind::Directory,
        13..15 => Kind::Link,
        15..17 => Kind::Line,
        17..19 => Kind::Block,
        _ => Kind::Setting,
    }
}

fn text(number: usize, round: usize) -> String {
    format!("{}{number} {round}\n", TEXT.repeat(26))
}

/// The body of the manifest.
pub fn manifest(round: usize, resources: usize) -> String {
    let mut body = "parameters:\n  round: {type: string, default: \"".to_owned();
    writeln!(body, "{round}\"}}\nresources:\n  - directory: {{path: /opt/mixed}}").unwrap();
    for number in 0..resources - 1 {
        let path = format!("/opt/mixed/{number:04}");
        let line = match kind(number) {
            Kind::File => format!("file: {{path: {path}, content: {:?}}}", text(number, round)),
            Kind::Template => {
                let text = format!("{}{number} {{{{params.round}}}}\n", TEXT.repeat(26));
                format!("file: {{path: {path}, template: {text:?}}}")
            }
            Kind::Directory => format!("directory: {{path: {path}, mode: \"07{}5\"}}", 5 + round % 2 * 2),
            Kind::Link => format!("symlink: {{path: {path}, target: /opt/mixed/{round}}}"),
            Kind::Line => {
                format!(
                    "line: {{path: {path}, name: port, line: \"Port {round}\", match: \"^Port \", create: true}}"
                )
            }
            Kind::Block => {
                format!("block: {{path: {path}, name: own, content: \"round {round}\\n\", create: true}}")
            }
            Kind::Setting => {
                format!("setting: {{path: {path}, key: round, value: \"{round}\", create: true}}")
            }
        };
        writeln!(body, "  - {line}").unwrap();
    }
    body
}

/// Writes beside, syncs the file system once, renames, syncs again.
pub fn floor(root: &Path, round: usize, resources: usize) {
    let dir = root.join("opt/mixed");
    fs::create_dir_all(&dir).unwrap();
    let mut renames: Vec<(PathBuf, PathBuf)> = Vec::new();
    for number in 0..resources - 1 {
        let path = dir.join(format!("{number:04}"));
        let beside = dir.join(format!(".{number:04}.new"));
        let content = match kind(number) {
            Kind::File | Kind::Template => text(number, round),
            Kind::Line => format!("Port {round}\n"),
            Kind::Block => format!("# BEGIN\nround {round}\n# END\n"),
            Kind::Setting => format!("round = {round}\n"),
            Kind::Directory => {
                fs::create_dir_all(&path).unwrap();
                continue;
            }
            Kind::Link => {
                symlink(format!("/opt/mixed/{round}"), &beside).unwrap();
                renames.push((beside, path));
                continue;
            }
        };
        File::create(&beside).unwrap().write_all(content.as_bytes()).unwrap();
        renames.push((beside, path));
    }
    let handle = File::open(&dir).unwrap();
    rustix::fs::syncfs(&handle).unwrap();
    for (from, to) in renames {
        fs::rename(from, to).unwrap();
    }
    rustix::fs::syncfs(&handle).unwrap();
}
