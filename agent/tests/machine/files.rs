//! Files and directories on real private roots.

use super::support::site::{Site, manifest};
use super::support::tree::{Tree, snapshot, untouched};
use agent::apply::Stopped;
use agent::disk::RealDisk;
use agent::host::{Attrs, Host, Machine};
use agent::journal::Journal;
use serde_json::{Value, json};
use shared::digest::Digest;
use shared::receipt::HostOutcome;
use shared::refusal::Code;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;

pub struct Bench {
    dir: tempfile::TempDir,
    pub machine: Machine,
    pub journal: Journal<RealDisk>,
}

impl Bench {
    pub fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    fn at(dir: tempfile::TempDir) -> Self {
        for sub in ["etc", "srv", "var/lib/assent"] {
            fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        fs::write(dir.path().join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/:/bin/false\n")
            .unwrap();
        fs::write(dir.path().join("etc/group"), "root:x:0:\nweb:x:33:\n").unwrap();
        let state = dir.path().join("var/lib/assent");
        let machine = Machine::open(dir.path(), &state).unwrap();
        let journal = Journal::open(RealDisk, &state.join("journal")).unwrap();
        Self { dir, machine, journal }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The root without the agent's own directory.
    pub fn tree(&self) -> Tree {
        snapshot(self.dir.path(), &["/var/lib/assent"])
    }

    /// All of the root, with what shows that somebody was there.
    pub fn untouched(&self) -> Tree {
        untouched(self.dir.path(), &[])
    }

    pub fn site(&self, resources: Value) -> Site {
        let mut site = Site::new(vec![manifest("base", resources)]);
        site.artifacts = self.path("var/lib/assent/artifacts");
        site
    }
}

#[test]
fn planning_changes_nothing_and_applying_does_what_was_planned() {
    let mut bench = Bench::new();
    fs::write(bench.path("etc/motd"), "old\n").unwrap();
    fs::set_permissions(bench.path("etc/motd"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("/etc/passwd", bench.path("etc/link")).unwrap();
    let site = bench.site(json!([
        { "directory": { "path": "/srv/app", "owner": "web", "mode": "2750" } },
        { "file": { "path": "/srv/app/on", "template": "host {{facts.hostname}}\n", "owner": "web" } },
        { "file": { "path": "/etc/motd", "content": "new\n" } },
        { "file": { "path": "/etc/link", "content": "a file now\n", "mode": "0640" } },
        { "file": { "path": "/etc/secret", "content": "hunter2\n", "mode": "0600", "sensitive": true } },
        { "file": { "path": "/etc/sudoers.d/web", "content": "x\n" } },
        { "file": { "path": "/etc/none", "state": "absent" } },
    ]));
    fs::create_dir(bench.path("etc/sudoers.d")).unwrap();
    let before = snapshot(bench.dir.path(), &[]);
    let plan = site.plan(&mut bench.machine).unwrap();
    assert_eq!(snapshot(bench.dir.path(), &[]), before);
    let shown: Vec<_> =
        plan.iter().map(|a| (a.summary.as_str(), a.class.as_str(), a.diff.as_deref())).collect();
    assert_eq!(
        shown,
        [
            ("create the directory /srv/app: web:root 2750", "file", None),
            ("create /srv/app/on: 10 bytes, web:root 0644", "file", Some("@@ -1 +1 @@\n+host web1\n")),
            // What others wrote into a file that not everybody may read goes nowhere.
            (
                "update /etc/motd: contents",
                "file",
                Some("(not everybody may read this file: its other lines are not shown)\n-(1 lines)\n+new\n")
            ),
            (
                "replace the link /etc/link (to /etc/passwd) by a file of 11 bytes, root:root 0640",
                "file",
                Some("@@ -1 +1 @@\n+a file now\n")
            ),
            ("create /etc/secret: 8 bytes, root:root 0600", "file", None),
            (
                "create /etc/sudoers.d/web: 2 bytes, root:root 0644",
                "sensitive_file",
                Some("@@ -1 +1 @@\n+x\n")
            ),
        ]
    );
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    let tree = bench.tree();
    assert!(tree["/srv/app"].starts_with("42750 33:0 "), "{}", tree["/srv/app"]);
    assert!(tree["/etc/motd"].starts_with("100600 0:0 "), "mode stays as it was: {}", tree["/etc/motd"]);
    assert_eq!(fs::read(bench.path("etc/link")).unwrap(), b"a file now\n");
    assert!(
        fs::read_to_string(bench.path("etc/passwd")).unwrap().starts_with("root"),
        "the target is untouched"
    );
    assert_eq!(site.plan(&mut bench.machine).unwrap(), [], "a second run has nothing to do");
    let journal = fs::read(bench.path("var/lib/assent/journal/run")).unwrap();
    assert!(!journal.windows(7).any(|w| w == b"hunter2"), "secrets stay out of the journal");
}

#[test]
fn undo_puts_back_bytes_mode_owner_and_links() {
    let mut bench = Bench::new();
    fs::write(bench.path("etc/a"), "a".repeat(100_000)).unwrap();
    fs::set_permissions(bench.path("etc/a"), fs::Permissions::from_mode(0o4711)).unwrap();
    chown(bench.path("etc/a"), Some(33), Some(33)).unwrap();
    fs::set_permissions(bench.path("etc/a"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::write(bench.path("etc/gone"), [0, 159, 255]).unwrap();
    symlink("nowhere", bench.path("etc/link")).unwrap();
    fs::set_permissions(bench.path("srv"), fs::Permissions::from_mode(0o700)).unwrap();
    let before = bench.tree();
    let site = bench.site(json!([
        { "directory": { "path": "/srv", "mode": "0755", "group": "web" } },
        { "directory": { "path": "/srv/new" } },
        { "file": { "path": "/srv/new/f", "content": "f" } },
        { "file": { "path": "/etc/a", "content": "b", "owner": "root", "mode": "0644" } },
        { "file": { "path": "/etc/gone", "state": "absent" } },
        { "file": { "path": "/etc/link", "content": "file" } },
        { "command": { "name": "fail", "run": ["/bin/false"], "needed": "always", "undo": ["/bin/true"] } },
    ]));
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
    assert!(outcome.note.contains("/bin/false ended with exit code 1"), "{}", outcome.note);
    assert_eq!(bench.tree(), before);
    bench.journal.receipt_made(Digest::of(b"r")).unwrap();
    assert_eq!(
        fs::read_dir(bench.path("var/lib/assent/journal/saved")).unwrap().count(),
        0,
        "old contents are gone"
    );
}

#[test]
fn nothing_is_written_through_a_link_of_somebody_else_or_out_of_the_root() {
    let mut bench = Bench::new();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), bench.path("srv/out")).unwrap();
    fs::create_dir(bench.path("srv/home")).unwrap();
    chown(bench.path("srv/home"), Some(33), Some(33)).unwrap();
    symlink("/etc", bench.path("srv/home/conf")).unwrap();
    std::os::unix::fs::lchown(bench.path("srv/home/conf"), Some(33), Some(33)).unwrap();
    symlink("/etc", bench.path("srv/ok")).unwrap();
    let site = bench.site(json!([{ "file": { "path": "/srv/out/x", "content": "x" } }]));
    let refused = site.plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("/srv/out does not exist"), "{refused}");
    let written = bench.machine.put(
        "/srv/out/x",
        &mut &b"x"[..],
        Digest::of(b"x"),
        Attrs { uid: 0, gid: 0, mode: 0o644 },
    );
    assert!(written.is_err(), "the door itself does not lead out either");
    let site = bench.site(json!([{ "file": { "path": "/srv/home/conf/x", "content": "x" } }]));
    let refused = site.plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("belongs to another account"), "{refused}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    assert!(!bench.path("etc/x").exists());
    // A link of root is followed, inside the root.
    let site = bench.site(json!([{ "file": { "path": "/srv/ok/x", "content": "x" } }]));
    site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(fs::read(bench.path("etc/x")).unwrap(), b"x");
    assert_eq!(site.plan(&mut bench.machine).unwrap(), []);
}

/// A step before turns a link: what was approved for an ordinary place is not written into a sensitive one.
#[test]
fn a_link_that_turns_during_the_run_leads_to_no_more_sensitive_place() {
    let mut bench = Bench::new();
    for dir in ["srv/a", "srv/b", "etc/sudoers.d"] {
        fs::create_dir(bench.path(dir)).unwrap();
    }
    for (target, fine) in [("/srv/b", true), ("/etc/sudoers.d", false)] {
        let link = bench.path("srv/d");
        fs::remove_file(&link).ok();
        symlink("/srv/a", &link).unwrap();
        let link = link.to_str().unwrap().to_owned();
        let turn = json!({ "name": "turn", "run": ["/bin/ln", "-sfn", target, link], "needed": "always",
                           "undo": ["/bin/ln", "-sfn", "/srv/a", link] });
        let site = bench.site(json!([
            { "command": turn },
            { "file": { "path": "/srv/d/x", "content": "web ALL=(ALL) ALL\n", "requires": ["command:turn"] } },
            { "directory": { "path": "/srv/d/y", "requires": ["file:/srv/d/x"] } },
        ]));
        let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
        bench.journal.receipt_made(Digest::of(b"r")).unwrap();
        assert_eq!(outcome.outcome == HostOutcome::Applied, fine, "{outcome:#?}");
        assert!(bench.path("srv/b/x").exists(), "an ordinary place is as good as another");
        assert!(fine || outcome.note.contains("in another place than the approved one"), "{}", outcome.note);
    }
    assert_eq!(fs::read_dir(bench.path("etc/sudoers.d")).unwrap().count(), 0);
}

#[test]
fn what_is_in_the_way_or_contradicts_is_refused_when_planning() {
    let mut bench = Bench::new();
    fs::create_dir(bench.path("etc/dir")).unwrap();
    fs::write(bench.path("etc/file"), "").unwrap();
    for (resources, expected) in [
        (json!([{ "file": { "path": "/etc/dir", "content": "" } }]), "is a directory or device"),
        (json!([{ "file": { "path": "/none/x", "content": "" } }]), "/none does not exist"),
        (json!([{ "directory": { "path": "/etc/file" } }]), "exists and is no directory"),
        (json!([{ "service": { "name": "x", "enabled": true } }]), "not available below a private root"),
    ] {
        let refused = bench.site(resources).plan(&mut bench.machine).unwrap_err();
        assert!(refused.code == Code::PlanFailed && refused.message.contains(expected), "{refused}");
    }
    let file = json!([{ "file": { "path": "/etc/x", "content": "" } }]);
    let directory = json!([{ "directory": { "path": "/etc/x" } }]);
    for (second, expected) in [
        (file.clone(), "wanted by a@1.0.0 and by b@1.0.0"),
        (directory, "as a whole by file:/etc/x and by directory:/etc/x"),
    ] {
        let site = Site::new(vec![manifest("a", file.clone()), manifest("b", second)]);
        let refused = site.plan(&mut bench.machine).unwrap_err();
        assert!(refused.message.contains(expected), "{refused}");
    }
}

#[test]
fn an_artifact_with_a_wrong_byte_is_refused_before_anything_changes() {
    let mut bench = Bench::new();
    let good = vec![7u8; 200_000];
    let sha256 = Digest::of(&good);
    let site = bench.site(json!([
        { "file": { "path": "/etc/first", "content": "x" } },
        { "file": { "path": "/srv/blob", "artifact": { "sha256": sha256, "length": good.len() } } },
    ]));
    fs::create_dir_all(&site.artifacts).unwrap();
    let before = bench.tree();
    let mut bad = good.clone();
    bad[100_000] ^= 1;
    for (bytes, code) in [(None, Code::ArtifactMissing), (Some(bad), Code::ArtifactDigest)] {
        if let Some(bytes) = bytes {
            fs::write(site.artifacts.join(sha256.hex()), bytes).unwrap();
        }
        match site.apply(&mut bench.machine, &mut bench.journal) {
            Err(Stopped::Refused(refused)) => assert_eq!(refused.code, code),
            other => panic!("{other:?}"),
        }
        assert_eq!(bench.tree(), before);
    }
    fs::write(site.artifacts.join(sha256.hex()), &good).unwrap();
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied);
    assert_eq!(fs::read(bench.path("srv/blob")).unwrap(), good);
}

/// The file can still be exchanged between the check and its use: the bytes are hashed on their way into place.
#[test]
fn content_that_is_not_what_was_promised_never_gets_its_name() {
    let mut bench = Bench::new();
    let attrs = agent::host::Attrs { uid: 0, gid: 0, mode: 0o644 };
    let put = bench.machine.put("/etc/x", &mut &b"evil"[..], Digest::of(b"good"), attrs);
    assert!(matches!(put, Err(agent::host::Fault::Digest { .. })), "{put:?}");
    let names: Vec<_> = fs::read_dir(bench.path("etc")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn more_than_what_was_approved_is_refused() {
    let mut bench = Bench::new();
    fs::write(bench.path("etc/two"), "right").unwrap();
    let site = bench.site(json!([
        { "file": { "path": "/etc/one", "content": "x" } },
        { "file": { "path": "/etc/two", "content": "right" } },
    ]));
    let approved = site.plan(&mut bench.machine).unwrap();
    assert_eq!(approved.len(), 1);
    fs::write(bench.path("etc/two"), "drifted").unwrap();
    match site.apply_approved(approved, &mut bench.machine, &mut bench.journal) {
        Err(Stopped::Refused(refused)) => assert_eq!(refused.code, Code::PlanDrift),
        other => panic!("{other:?}"),
    }
    assert!(!bench.path("etc/one").exists());
}

#[test]
fn a_script_is_bound_to_its_bytes_and_runs_with_an_empty_environment() {
    let mut bench = Bench::new();
    let script = "#!/bin/sh\nenv | sort > \"$ASSENT_ROOT/srv/env\"\npwd > \"$ASSENT_ROOT/srv/pwd\"\n";
    let site = bench.site(json!([
        { "file": { "path": "/srv/run.sh", "content": script, "mode": "0755" } },
        { "command": { "name": "run", "run": ["/srv/run.sh"], "needed": { "missing": "/srv/env" },
                       "env": { "GREETING": "hi" }, "undo": ["/bin/true"] } },
    ]));
    let plan = site.plan(&mut bench.machine).unwrap();
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    bench.journal.receipt_made(Digest::of(b"r")).unwrap();
    let names: Vec<String> = fs::read_to_string(bench.path("srv/env"))
        .unwrap()
        .lines()
        .map(|l| l.split('=').next().unwrap().to_owned())
        .filter(|n| n != "_")
        .collect();
    assert_eq!(names, ["ASSENT_ROOT", "GREETING", "PATH", "PWD"]);
    let root = bench.dir.path().canonicalize().unwrap();
    assert_eq!(fs::read_to_string(bench.path("srv/pwd")).unwrap().trim(), root.to_str().unwrap());
    assert_eq!(site.plan(&mut bench.machine).unwrap(), [], "not needed any more");
    // The same command with another script is another effect.
    let other = bench.site(json!([
        { "file": { "path": "/srv/run.sh", "content": format!("{script}# more\n"), "mode": "0755" } },
        { "command": { "name": "run", "run": ["/srv/run.sh"], "needed": "always",
                       "env": { "GREETING": "hi" }, "undo": ["/bin/true"] } },
    ]));
    let changed = other.plan(&mut bench.machine).unwrap();
    assert_ne!(changed.last().unwrap().after, plan.last().unwrap().after);
}

/// Figures are for people; the bound only catches a mistake in the order of growth.
#[test]
fn a_thousand_correct_files_are_checked_quickly() {
    let mut bench = Bench::new();
    let resources: Vec<Value> = (0..1_000)
        .map(|n| json!({ "file": { "path": format!("/srv/file-{n}"), "content": format!("{n}\n").repeat(200), "mode": "0640" } }))
        .collect();
    let site = bench.site(Value::Array(resources));
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied);
    let change = site.change();
    let facts = super::support::site::facts();
    let ask =
        agent::plan::Ask::new(site.manifests.iter().zip(&change.body.manifests), &facts, &site.vault, false)
            .unwrap();
    let started = std::time::Instant::now();
    let planned = agent::plan::compute(&ask, &mut bench.machine).unwrap();
    let took = started.elapsed();
    assert_eq!(planned.actions, []);
    println!("1,000 files: {took:?}");
    assert!(took < std::time::Duration::from_secs(2), "{took:?}");
}

/// Who may write beside a managed file must not choose what it becomes between plan and step.
#[test]
fn a_file_becomes_what_was_approved_or_is_left_alone() {
    let mut bench = Bench::new();
    fs::write(bench.path("srv/tool"), "old").unwrap();
    fs::set_permissions(bench.path("srv/tool"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut site = bench.site(json!([
        { "command": { "name": "meddle", "run": ["/bin/chmod", "4755", "srv/tool"], "needed": "always" } },
        { "file": { "path": "/srv/tool", "content": "new", "requires": ["command:meddle"] } },
    ]));
    site.automatic_undo = false;
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Failed, "{outcome:#?}");
    assert!(outcome.note.contains("would not become what was approved"), "{}", outcome.note);
    assert_eq!(fs::read(bench.path("srv/tool")).unwrap(), b"old");
    bench.journal.receipt_made(Digest::of(b"r")).unwrap();
    // What a package brings to a place where a new file was planned gets the approved owner and mode.
    let site = bench.site(json!([
        { "command": { "name": "bring", "run": ["/bin/sh", "-c", "umask 077; mkdir srv/d; echo x > srv/d/conf"], "needed": "always" } },
        { "directory": { "path": "/srv/d", "requires": ["command:bring"] } },
        { "file": { "path": "/srv/d/conf", "content": "new", "requires": ["directory:/srv/d"] } },
    ]));
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    let tree = bench.tree();
    assert!(tree["/srv/d"].starts_with("40755 0:0 "), "{}", tree["/srv/d"]);
    assert!(tree["/srv/d/conf"].starts_with("100644 0:0 "), "{}", tree["/srv/d/conf"]);
}

#[test]
fn a_file_without_end_does_not_keep_the_agent_busy() {
    let mut bench = Bench::new();
    let file = fs::File::create(bench.path("srv/conf")).unwrap();
    file.set_len(1 << 40).unwrap();
    let site = bench.site(json!([{ "file": { "path": "/srv/conf", "content": "new" } }]));
    let refused = site.plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("/srv/conf has more than"), "{refused}");
}

/// The summary is one line; what is approved is shown whole.
#[test]
fn a_command_is_shown_whole_before_it_is_approved() {
    let mut bench = Bench::new();
    let script = format!("echo {}; rm -rf /srv", "x".repeat(100));
    let command = |script: &str| {
        json!([{ "command": {
            "name": "tidy", "run": ["/bin/sh", "-c", script], "needed": { "unless": ["/bin/false", "guard"] },
            "undo": ["/bin/true", "back"], "env": { "LD_PRELOAD": "/srv/x.so" },
        } }])
    };
    let plan = bench.site(command(&script)).plan(&mut bench.machine).unwrap();
    let shown = plan[0].diff.as_deref().unwrap();
    for part in [
        script.as_str(),
        "unless \"/bin/false\" \"guard\"",
        "undo \"/bin/true\" \"back\"",
        "env LD_PRELOAD=\"/srv/x.so\"",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let refused = bench.site(command(&"x".repeat(16 << 10))).plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("too long to be shown"), "{refused}");
}

/// What a file grants follows from where it really lies.
#[test]
fn a_link_does_not_make_an_ordinary_file_of_a_sensitive_one() {
    use shared::risk::ActionClass;
    let mut bench = Bench::new();
    fs::create_dir_all(bench.path("etc/sudoers.d")).unwrap();
    fs::create_dir(bench.path("srv/dir")).unwrap();
    fs::write(bench.path("etc/sudoers.d/old"), "x\n").unwrap();
    symlink("/etc/sudoers.d", bench.path("srv/direct")).unwrap();
    symlink("../direct", bench.path("srv/dir/twice")).unwrap();
    for (resource, class) in [
        (json!({ "file": { "path": "/srv/plain", "content": "x" } }), ActionClass::File),
        (json!({ "file": { "path": "/srv/direct/x", "content": "x" } }), ActionClass::SensitiveFile),
        (json!({ "file": { "path": "/srv/dir/twice/x", "content": "x" } }), ActionClass::SensitiveFile),
        (
            json!({ "line": { "path": "/srv/direct/old", "name": "a", "line": "b" } }),
            ActionClass::SensitiveFile,
        ),
        (json!({ "directory": { "path": "/srv/direct/sub" } }), ActionClass::SensitiveFile),
        (json!({ "directory": { "path": "/srv/direct", "purge": true } }), ActionClass::SensitiveFile),
        (json!({ "symlink": { "path": "/srv/direct/x", "target": "/srv/y" } }), ActionClass::SensitiveFile),
    ] {
        match bench.site(json!([resource])).plan(&mut bench.machine) {
            Ok(plan) => assert_eq!(plan[0].class, class, "{plan:#?}"),
            Err(refused) => assert!(refused.message.contains("is no directory"), "{refused}"),
        }
    }
    // A directory that becomes a link between approval and run is not what was approved.
    fs::create_dir(bench.path("srv/later")).unwrap();
    let site = bench.site(json!([{ "file": { "path": "/srv/later/x", "content": "x" } }]));
    let approved = site.plan(&mut bench.machine).unwrap();
    fs::remove_dir(bench.path("srv/later")).unwrap();
    symlink("/etc/sudoers.d", bench.path("srv/later")).unwrap();
    match site.apply_approved(approved, &mut bench.machine, &mut bench.journal) {
        Err(Stopped::Refused(refused)) => assert_eq!(refused.code, Code::PlanDrift),
        other => panic!("{other:?}"),
    }
    assert!(!bench.path("etc/sudoers.d/x").exists());
}

/// The plan shows what was there: a link of another account must not choose what that is.
#[test]
fn nothing_is_read_through_a_link_of_somebody_else() {
    let mut bench = Bench::new();
    fs::create_dir_all(bench.path("srv/home")).unwrap();
    fs::create_dir_all(bench.path("etc/private")).unwrap();
    fs::write(bench.path("etc/private/conf"), "secret\n").unwrap();
    symlink("/etc/private", bench.path("srv/home/app")).unwrap();
    std::os::unix::fs::lchown(bench.path("srv/home/app"), Some(33), Some(33)).unwrap();
    for path in ["/srv/home/app/conf", "/srv/home/app/../private/conf"] {
        for fault in [
            bench.machine.read(path, 100).map(drop),
            bench.machine.look(path).map(drop),
            bench.machine.real(path).map(drop),
            bench.machine.list(path).map(drop),
        ] {
            assert!(fault.unwrap_err().text().contains("belongs to another account"), "{path}");
        }
    }
    for resource in [
        json!({ "line": { "path": "/srv/home/app/conf", "name": "a", "line": "b" } }),
        json!({ "command": { "name": "x", "run": ["/srv/home/app/conf"], "needed": "always" } }),
    ] {
        let refused = bench.site(json!([resource])).plan(&mut bench.machine).unwrap_err();
        assert!(refused.message.contains("belongs to another account"), "{refused}");
    }
    assert_eq!(
        bench.machine.real("/srv/../etc/./private/conf").unwrap().as_deref(),
        Some("/etc/private/conf")
    );
    assert_eq!(bench.machine.real("/etc/none").unwrap(), None);
    assert_eq!(bench.machine.real("/etc/passwd/x").unwrap(), None);
}
