//! What the agent's own commands print, whatever manifests and hosts bring into it.

use super::files::Bench;
use serde_json::json;
use shared::visible::is_hidden;
use std::fs;
use std::process::Command;

#[test]
fn no_message_of_the_agent_steers_a_terminal() {
    let bench = Bench::new();
    fs::write(bench.path("srv/x"), "old \u{feff}\n").unwrap();
    let hostile = "new \u{202e}exe.txt\u{2066}\u{200b}\tend\r\n";
    let resources = json!([{ "file": { "path": "/srv/x", "content": hostile } },
                           { "symlink": { "path": "/srv/l", "target": "a\u{202e}b" } }]);
    let manifest = json!({ "manifest": "a", "version": "1.0.0", "team": "main", "resources": resources });
    let file = bench.path("manifest.json");
    fs::write(&file, manifest.to_string()).unwrap();
    let agent = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assent-agent"));
        let ran = command.args(arguments).arg("--root").arg(bench.path("")).output().unwrap();
        String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap()
    };
    let planned = agent(&["plan", file.to_str().unwrap()]);
    for shown in ["-old \\u{feff}\n", "\\u{202e}exe.txt", "\tend", "actions; nothing was changed"] {
        assert!(planned.contains(shown), "{shown}: {planned:?}");
    }
    let refused = agent(&["plan", "/nowhere/\u{1b}[2J\u{202e}.json"]);
    assert!(refused.contains("cannot read"), "{refused:?}");
    for text in [planned, refused] {
        assert!(text.chars().all(|c| "\n\t".contains(c) || !is_hidden(c)), "{text:?}");
    }
}
