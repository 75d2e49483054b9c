//! Artifacts that become something else after they were checked (research/trust.md §7, 40).

use shared::digest::Digest;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::world::NewChange;
use tests::{Said, World};

const TOOL: &str = "#!/bin/sh\necho tool\n";
const EVIL: &str = "#!/bin/sh\necho evil\n";

fn put(world: &World, name: &str, text: &str) -> Digest {
    let file = world.file(name, text);
    world.assent(&["artifact", "put", file.to_str().unwrap()]).ok();
    Digest::of(text.as_bytes())
}

/// Every file and directory below.
fn below(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![dir.to_owned()];
    for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
        match entry.file_type().unwrap().is_dir() {
            true => all.extend(below(&entry.path())),
            false => all.push(entry.path()),
        }
    }
    all
}

type Exchange = fn(&Path);

/// A program of somebody without rights on this machine.
fn as_nobody(script: &str, path: &Path) -> Said {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--", "sh", "-c", script, "sh"]);
    Said::of(command.arg(path))
}

on_both! {
    fn an_artifact_that_is_exchanged_after_it_was_checked_is_not_used(world) {
        world.join("a1", "production");
        let sha256 = put(world, "tool", TOOL);
        let body = format!(
            "resources:\n  - file: {{path: /opt/tool, mode: \"0755\", artifact: {{sha256: {sha256}, length: {}}}}}\n",
            TOOL.len()
        );
        let attempts: [(&str, Exchange); 4] = [
            ("other bytes of the same length", |path| std::fs::write(path, EVIL).unwrap()),
            ("cut short", |path| std::fs::write(path, &TOOL[..5]).unwrap()),
            ("something after it", |path| std::fs::write(path, format!("{TOOL}{EVIL}")).unwrap()),
            ("a link to somewhere else", |path| {
                let other = path.with_extension("other");
                std::fs::write(&other, EVIL).unwrap();
                std::fs::remove_file(path).unwrap();
                std::os::unix::fs::symlink(&other, path).unwrap();
            }),
        ];
        for (n, (what, exchange)) in attempts.into_iter().enumerate() {
            let version = format!("1.0.{n}");
            world.publish("tools", &version, &body).ok();
            let manifest = format!("tools@{version}");
            let new = NewChange { manifests: &[&manifest], window: "now+1h..+4h", ..NewChange::default() };
            let id = world.request_and_approve(&new);
            world.tick("a1");
            let fetched = world.hosts["a1"].state().join(format!("artifacts/{sha256}"));
            assert_eq!(std::fs::read_to_string(&fetched).unwrap(), TOOL, "fetched and checked before the window");
            // Nobody but root can do that.
            let said = as_nobody("echo x >\"$1\"", &fetched);
            assert_ne!(said.code, 0, "{said}");
            exchange(&fetched);
            world.shift_clock(3_700);
            // It is fetched again, or not used.
            let receipt = world.tick_until_receipt("a1", &id);
            assert_eq!(receipt.body.outcome.as_str(), "applied", "{what}");
            assert_eq!(world.hosts["a1"].read("/opt/tool").as_deref(), Some(TOOL), "{what}");
            std::fs::remove_file(world.hosts["a1"].path("/opt/tool")).unwrap();
            tests::check::accept(world, "a1");
        }
        for path in below(&world.hosts["a1"].state()) {
            let script = if path.is_dir() { "touch \"$1/x\"" } else { "echo x >>\"$1\"" };
            let said = as_nobody(script, &path);
            assert_ne!(said.code, 0, "{} may be written by anybody: {said}", path.display());
        }
    }
}
