//! Kinds that edit files and single places, on real private roots: plan is effect, a second run has nothing to do,
//! undo leaves the state before.

use super::files::Bench;
use super::support::site::{Site, manifest};
use serde_json::{Value, json};
use shared::digest::Digest;
use shared::receipt::{HostOutcome, StepStatus};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6eR4sCRB0gVZgzy8nW0+8mDqnnFhzuLGJ4ZKoWMHgQ";

/// A root with everything that the kinds look at.
fn prepared() -> Bench {
    let bench = Bench::new();
    for dir in
        ["etc/ssh", "etc/sudoers.d", "etc/sysctl.d", "srv/web", "usr/sbin", "usr/share/zoneinfo/Europe"]
    {
        fs::create_dir_all(bench.path(dir)).unwrap();
    }
    fs::write(bench.path("etc/passwd"), "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv/web:/bin/false\n")
        .unwrap();
    fs::write(
        bench.path("etc/ssh/sshd_config"),
        "Port 22\n#PermitRootLogin yes\nMatch User x\n  PermitRootLogin yes\n",
    )
    .unwrap();
    fs::set_permissions(bench.path("etc/ssh/sshd_config"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::write(bench.path("etc/hosts"), "127.0.0.1 localhost").unwrap();
    fs::write(bench.path("etc/app.ini"), "[a]\nx = 1\n\n[b]\nx = 2\n").unwrap();
    fs::write(bench.path("etc/hostname"), "old\n").unwrap();
    fs::write(bench.path("etc/timezone"), "Etc/UTC\n").unwrap();
    fs::write(bench.path("usr/share/zoneinfo/Europe/Berlin"), "TZif").unwrap();
    symlink("/usr/share/zoneinfo/Etc/UTC", bench.path("etc/localtime")).unwrap();
    symlink("app-1", bench.path("srv/current")).unwrap();
    fs::write(bench.path("srv/file"), "was a file\n").unwrap();
    chown(bench.path("srv/web"), Some(33), Some(33)).unwrap();
    // Stands in for visudo: accepts a file unless it says "broken".
    program(&bench, "usr/sbin/visudo", "! grep -q broken \"$2\"");
    bench
}

fn program(bench: &Bench, path: &str, script: &str) {
    fs::write(bench.path(path), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(bench.path(path), fs::Permissions::from_mode(0o755)).unwrap();
}

fn every_kind() -> Value {
    json!([
        { "symlink": { "path": "/srv/current", "target": "app-2" } },
        { "symlink": { "path": "/srv/file", "target": "/srv/web" } },
        { "line": { "path": "/etc/ssh/sshd_config", "name": "root", "line": "PermitRootLogin no",
                    "match": "^#?PermitRootLogin\\b" } },
        { "line": { "path": "/etc/ssh/sshd_config", "name": "port", "line": "Port 2222", "match": "^Port\\b" } },
        { "block": { "path": "/etc/hosts", "name": "cluster", "template": "192.0.2.1 {{facts.hostname}}\n" } },
        { "setting": { "path": "/etc/hosts", "key": "192.0.2.9", "value": "db", "separator": "space" } },
        { "setting": { "path": "/etc/app.ini", "section": "a", "key": "x", "value": "9",
                       "separator": "spaced_equals" } },
        { "setting": { "path": "/etc/app.ini", "section": "c", "key": "y", "value": "1" } },
        { "setting": { "path": "/srv/new.conf", "key": "k", "value": "v", "create": true } },
        { "sysctl": { "key": "net.ipv4.ip_forward", "value": "0" } },
        { "sysctl": { "key": "kernel.sysrq", "value": "4 4" } },
        { "sudoers": { "name": "web", "content": "web ALL=(ALL) ALL\n" } },
        { "authorized_keys": { "user": "web", "keys": [KEY] } },
        { "hostname": { "name": "web1.example.org" } },
        { "timezone": { "zone": "Europe/Berlin" } },
    ])
}

#[test]
fn every_kind_is_planned_brought_about_once_and_undone() {
    let mut bench = prepared();
    let before = bench.tree();
    let site = bench.site(every_kind());
    let plan = site.plan(&mut bench.machine).unwrap();
    assert_eq!(bench.tree(), before, "planning changes nothing");
    let shown: Vec<_> = plan.iter().map(|a| (a.summary.as_str(), a.class.as_str())).collect();
    assert_eq!(
        shown,
        [
            ("point the link /srv/current to app-2 (is app-1)", "file"),
            ("replace the file /srv/file (11 bytes) by a link to /srv/web", "file"),
            ("update /etc/ssh/sshd_config: contents", "sensitive_file"),
            ("update /etc/ssh/sshd_config: contents", "sensitive_file"),
            ("update /etc/hosts: contents", "file"),
            ("update /etc/hosts: contents", "file"),
            ("update /etc/app.ini: contents", "file"),
            ("update /etc/app.ini: contents", "file"),
            ("create /srv/new.conf: 4 bytes, root:root 0644", "file"),
            ("create /etc/sysctl.d/99-zz-assent.conf: 24 bytes, root:root 0644", "sensitive_file"),
            ("update /etc/sysctl.d/99-zz-assent.conf: contents", "sensitive_file"),
            (
                "create /etc/sudoers.d/web: 18 bytes, root:root 0440, once /usr/sbin/visudo accepts it",
                "sensitive_file"
            ),
            (
                "create the directory /srv/web/.ssh: web:web 0700; create /srv/web/.ssh/authorized_keys: 81 bytes, web:web 0600",
                "sensitive_file"
            ),
            ("update /etc/hostname: contents", "file"),
            (
                "point the link /etc/localtime to ../usr/share/zoneinfo/Europe/Berlin (is /usr/share/zoneinfo/Etc/UTC); update /etc/timezone: contents",
                "file"
            ),
        ]
    );
    assert!(plan.iter().all(|a| a.undo.undo.as_str() == "yes"));
    // The second edit of a file is shown on the result of the first.
    let second = plan[5].diff.as_deref().unwrap();
    assert!(second.contains(" # END assent cluster") && second.contains("+192.0.2.9 db"), "{second}");
    assert_eq!(plan[5].before, Some(plan[4].after));
    // sshd_config is not readable by everyone: its other lines stay on the host.
    assert!(!plan[2].diff.as_deref().unwrap().contains("Match"), "{:?}", plan[2].diff);
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    assert!(outcome.results.iter().all(|r| r.status == StepStatus::Done), "{outcome:#?}");
    let read = |path: &str| fs::read_to_string(bench.path(path)).unwrap();
    assert_eq!(
        read("etc/ssh/sshd_config"),
        "Port 2222\nPermitRootLogin no\nMatch User x\n  PermitRootLogin yes\n"
    );
    assert_eq!(
        read("etc/hosts"),
        "127.0.0.1 localhost\n# BEGIN assent cluster\n192.0.2.1 web1\n# END assent cluster\n192.0.2.9 db\n"
    );
    assert_eq!(read("etc/app.ini"), "[a]\nx = 9\n\n[b]\nx = 2\n\n[c]\ny=1\n");
    assert_eq!(read("etc/sysctl.d/99-zz-assent.conf"), "net.ipv4.ip_forward = 0\nkernel.sysrq = 4 4\n");
    assert_eq!(
        (read("etc/hostname"), read("etc/timezone")),
        ("web1.example.org\n".into(), "Europe/Berlin\n".into())
    );
    let tree = bench.tree();
    assert!(tree["/srv/web/.ssh"].starts_with("40700 33:33 "), "{}", tree["/srv/web/.ssh"]);
    assert!(tree["/srv/web/.ssh/authorized_keys"].starts_with("100600 33:33 "));
    assert!(tree["/etc/sudoers.d/web"].starts_with("100440 0:0 "));
    assert!(tree["/etc/ssh/sshd_config"].starts_with("100640 "));
    assert_eq!(site.plan(&mut bench.machine).unwrap(), [], "a second run has nothing to do");
}

#[test]
fn every_kind_is_undone_to_the_state_before() {
    let mut bench = prepared();
    let before = bench.tree();
    let mut all = every_kind();
    all.as_array_mut().unwrap().push(
        json!({ "command": { "name": "fail", "run": ["/bin/false"], "needed": "always", "undo": ["/bin/true"] } }),
    );
    let outcome = bench.site(all).apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
    assert_eq!(bench.tree(), before);
}

#[test]
fn absence_is_brought_about_and_undone() {
    let mut bench = prepared();
    fs::write(bench.path("etc/hosts"), "a\n# BEGIN assent x\nb\n# END assent x\nc\n").unwrap();
    fs::write(bench.path("etc/sudoers.d/old"), "x\n").unwrap();
    fs::write(bench.path("etc/sysctl.d/99-zz-assent.conf"), "kernel.sysrq = 1\nvm.swappiness = 1\n").unwrap();
    fs::create_dir(bench.path("srv/web/.ssh")).unwrap();
    fs::write(bench.path("srv/web/.ssh/authorized_keys"), format!("# me\n{KEY} me\n")).unwrap();
    let mut all = json!([
        { "symlink": { "path": "/srv/current", "state": "absent" } },
        { "line": { "path": "/etc/hosts", "name": "aa", "state": "absent", "line": "a" } },
        { "block": { "path": "/etc/hosts", "name": "x", "state": "absent" } },
        { "setting": { "path": "/etc/app.ini", "section": "b", "key": "x", "state": "absent" } },
        { "setting": { "path": "/etc/none.ini", "key": "x", "state": "absent" } },
        { "sysctl": { "key": "kernel.sysrq", "state": "absent" } },
        { "sudoers": { "name": "old", "state": "absent" } },
        { "authorized_keys": { "user": "web", "keys": [KEY], "state": "absent" } },
    ]);
    let before = bench.tree();
    let fail = json!({ "command": { "name": "fail", "run": ["/bin/false"], "needed": "always" } });
    let mut failing = all.clone();
    failing.as_array_mut().unwrap().push(fail);
    let outcome = bench.site(failing).apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert!(outcome.note.ends_with("not as before: command:fail"), "{}", outcome.note);
    assert_eq!(bench.tree(), before);
    bench.journal.receipt_made(Digest::of(b"r")).unwrap();
    let site = bench.site(all.take());
    assert_eq!(site.plan(&mut bench.machine).unwrap().len(), 7);
    site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(fs::read_to_string(bench.path("etc/hosts")).unwrap(), "c\n");
    assert_eq!(fs::read_to_string(bench.path("etc/app.ini")).unwrap(), "[a]\nx = 1\n\n[b]\n");
    assert_eq!(fs::read_to_string(bench.path("srv/web/.ssh/authorized_keys")).unwrap(), "# me\n");
    assert!(!bench.tree().contains_key("/srv/current") && !bench.tree().contains_key("/etc/sudoers.d/old"));
    assert_eq!(site.plan(&mut bench.machine).unwrap(), []);
}

#[test]
fn what_cannot_be_is_refused_when_planning() {
    let mut bench = prepared();
    fs::write(bench.path("etc/latin"), b"caf\xe9\n").unwrap();
    symlink("hosts", bench.path("etc/link")).unwrap();
    fs::create_dir(bench.path("etc/dir")).unwrap();
    fs::write(bench.path("etc/block"), "# BEGIN assent x\n").unwrap();
    let line = |path: &str| json!({ "line": { "path": path, "name": "x1", "line": "x" } });
    for (resource, expected) in [
        (line("/etc/none"), "does not exist; require the package"),
        (line("/etc/latin"), "no UTF-8 text"),
        (line("/etc/link"), "is a link to hosts"),
        (line("/etc/dir"), "is a directory or device"),
        (json!({ "symlink": { "path": "/etc/dir", "target": "x" } }), "not replaced by a link"),
        (json!({ "symlink": { "path": "/etc/hosts", "state": "absent" } }), "is no link"),
        (json!({ "symlink": { "path": "/none/x", "target": "x" } }), "/none does not exist"),
        (
            json!({ "line": { "path": "/etc/hosts", "name": "x1", "line": "x", "place": { "after": "^q" } } }),
            "no line matches ^q",
        ),
        (
            json!({ "block": { "path": "/etc/block", "name": "x", "content": "" } }),
            "markers lines are damaged",
        ),
        (json!({ "timezone": { "zone": "Mars/Olympus" } }), "no time zone Mars/Olympus"),
        (json!({ "authorized_keys": { "user": "nobody", "keys": [KEY] } }), "no user nobody"),
        (
            json!({ "file": { "path": "/etc/x", "content": "", "validate": ["/usr/bin/no-such", "{file}"] } }),
            "which the host does not have",
        ),
    ] {
        let refused = bench.site(json!([resource.clone()])).plan(&mut bench.machine).unwrap_err();
        let expected = expected.replace("markers lines", "marker lines");
        assert!(refused.message.contains(&expected), "{resource}: {refused}");
    }
    let parts = |second| Site::new(vec![manifest("a", json!([line("/etc/hosts")])), manifest("b", second)]);
    let site = parts(json!([{ "file": { "path": "/etc/hosts", "content": "" } }]));
    let refused = site.plan(&mut bench.machine).unwrap_err();
    assert!(
        refused.message.contains("as a whole by file:/etc/hosts and in part by line:/etc/hosts:x1"),
        "{refused}"
    );
    let site = parts(json!([{ "line": { "path": "/etc/hosts", "name": "x2", "line": "y" } }]));
    assert_eq!(site.plan(&mut bench.machine).unwrap().len(), 2, "two manifests may edit one file");
}

#[test]
fn what_a_checker_refuses_never_goes_live() {
    let mut bench = prepared();
    program(&bench, "usr/sbin/check", "echo \"$1\" >> \"$ASSENT_ROOT/srv/checked\"; grep -q good \"$1\"");
    fs::write(bench.path("srv/checked"), "").unwrap();
    let own = json!(["/usr/sbin/check", "{file}"]);
    let before = bench.tree();
    for resources in [
        json!([{ "sudoers": { "name": "web", "content": "broken\n" } }]),
        json!([{ "file": { "path": "/etc/x", "content": "bad\n", "validate": own.clone() } }]),
        json!([{ "line": { "path": "/etc/hosts", "name": "x1", "line": "bad", "validate": own.clone() } }]),
        json!([{ "setting": { "path": "/etc/app.ini", "key": "x", "value": "bad", "validate": own.clone() } }]),
    ] {
        let outcome = bench.site(resources).apply(&mut bench.machine, &mut bench.journal).unwrap();
        assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
        assert!(outcome.note.contains("is not changed"), "{}", outcome.note);
        fs::write(bench.path("srv/checked"), "").unwrap();
        assert_eq!(bench.tree(), before, "nothing is left, not even beside the file");
        bench.journal.receipt_made(Digest::of(b"r")).unwrap();
    }
    let site = bench.site(json!([
        { "file": { "path": "/etc/x", "content": "good\n", "validate": own.clone() } },
        { "line": { "path": "/etc/hosts", "name": "x1", "line": "good", "validate": own } },
    ]));
    let plan = site.plan(&mut bench.machine).unwrap();
    let shown: Vec<_> =
        plan.iter().map(|a| (a.summary.as_str(), a.class.as_str(), a.verb.as_str())).collect();
    assert_eq!(
        shown,
        [
            ("run /usr/sbin/check {file} on the new /etc/x before it goes live", "command", "run"),
            ("create /etc/x: 5 bytes, root:root 0644", "file", "create"),
            ("run /usr/sbin/check {file} on the new /etc/hosts before it goes live", "command", "run"),
            ("update /etc/hosts: contents", "file", "update"),
        ]
    );
    assert!(
        plan[0].diff.as_deref().unwrap().contains("program /usr/sbin/check sha256"),
        "{:?}",
        plan[0].diff
    );
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    let root = bench.path("").canonicalize().unwrap();
    let checked = fs::read_to_string(bench.path("srv/checked")).unwrap();
    let staged = |name: &str| root.join(format!("etc/.{name}.assent-unfinished\n")).display().to_string();
    assert_eq!(checked, format!("{}{}", staged("x"), staged("hosts")), "each once, on what is to go live");
    assert_eq!(site.plan(&mut bench.machine).unwrap(), []);
}

#[test]
fn a_result_that_nobody_approved_is_refused() {
    let mut bench = prepared();
    let site = bench.site(json!([{ "line": { "path": "/etc/hosts", "name": "x1", "line": "x" } }]));
    let approved = site.plan(&mut bench.machine).unwrap();
    fs::write(bench.path("etc/hosts"), "somebody else\n").unwrap();
    match site.apply_approved(approved, &mut bench.machine, &mut bench.journal) {
        Err(agent::apply::Stopped::Refused(refused)) => {
            assert_eq!(refused.code, shared::refusal::Code::PlanDrift);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read_to_string(bench.path("etc/hosts")).unwrap(), "somebody else\n");
}

/// A user owns his home: he must not lead the agent elsewhere.
#[test]
fn keys_are_not_written_through_a_link_of_the_user() {
    let mut bench = prepared();
    fs::create_dir(bench.path("root")).unwrap();
    symlink("/root", bench.path("srv/web/.ssh")).unwrap();
    std::os::unix::fs::lchown(bench.path("srv/web/.ssh"), Some(33), Some(33)).unwrap();
    let site = bench.site(json!([{ "authorized_keys": { "user": "web", "keys": [KEY] } }]));
    let refused = site.plan(&mut bench.machine).map(|_| ());
    let message = match refused {
        Err(refused) => refused.message,
        Ok(()) => site.apply(&mut bench.machine, &mut bench.journal).unwrap().note,
    };
    assert!(message.contains("no directory") || message.contains("another account"), "{message}");
    assert_eq!(fs::read_dir(bench.path("root")).unwrap().count(), 0);
}
