//! Users and groups on real private roots; the tools of the system accept what is written.

use super::files::Bench;
use serde_json::{Value, json};
use shared::digest::Digest;
use shared::receipt::HostOutcome;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6eR4sCRB0gVZgzy8nW0+8mDqnnFhzuLGJ4ZKoWMHgQ";

fn prepared() -> Bench {
    let bench = Bench::new();
    let put = |path: &str, text: &str, mode: u32| {
        fs::write(bench.path(path), text).unwrap();
        fs::set_permissions(bench.path(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    put(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nold:x:1005:1005:Old:/srv/old:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n",
        0o644,
    );
    put("etc/group", "root:x:0:\nadm:x:4:old,web\nold:x:1005:\nweb:x:33:\n", 0o644);
    put(
        "etc/shadow",
        "root:*:19000:0:99999:7:::\nold:$y$j9T$secret:19000:0:99999:7:::\nweb:!:19000::::::\n",
        0o640,
    );
    put("etc/gshadow", "root:*::\nadm:*::old,web\nold:!::\nweb:!::\n", 0o640);
    bench
}

fn wanted() -> Value {
    json!([
        { "group": { "name": "ops", "gid": 1500 } },
        { "user": { "name": "deploy", "uid": 1600, "groups": ["adm", "ops"], "shell": "/bin/bash",
                    "comment": "Deploy", "home": "/srv/deploy" } },
        { "user": { "name": "svc", "system": true, "group": "ops", "locked": true } },
        { "user": { "name": "web", "groups": [], "shell": "/usr/sbin/nologin", "locked": true } },
        { "user": { "name": "old", "state": "absent" } },
        { "directory": { "path": "/srv/deploy", "owner": "deploy", "group": "deploy", "mode": "0700",
                         "requires": ["user:deploy"] } },
        { "authorized_keys": { "user": "deploy", "keys": [KEY], "requires": ["directory:/srv/deploy"] } },
    ])
}

#[test]
fn accounts_are_planned_with_their_numbers_brought_about_and_undone() {
    let mut bench = prepared();
    let before = bench.tree();
    let site = bench.site(wanted());
    let plan = site.plan(&mut bench.machine).unwrap();
    assert_eq!(bench.tree(), before, "planning changes nothing");
    let shown: Vec<_> = plan.iter().map(|a| a.summary.as_str()).collect();
    assert_eq!(
        shown,
        [
            "create group ops: gid 1500",
            "create user deploy: uid 1600, group deploy, other groups adm ops, comment \"Deploy\", home /srv/deploy, shell /bin/bash, locked false",
            "create user svc: uid 999, group ops, other groups none, comment \"\", home /home/svc, shell /usr/sbin/nologin, locked true",
            "update user web: other groups adm to none, shell /bin/sh to /usr/sbin/nologin, locked false to true",
            "remove user old (uid 1005) with its group; its files stay",
            "create the directory /srv/deploy: deploy:deploy 0700",
            "create the directory /srv/deploy/.ssh: deploy:deploy 0700; create /srv/deploy/.ssh/authorized_keys: 81 bytes, deploy:deploy 0600",
        ]
    );
    let sensitive = plan.iter().filter(|a| a.class.as_str() == "sensitive_file").count();
    assert_eq!(sensitive, 6);
    assert!(!serde_json::to_string(&plan).unwrap().contains("secret"));
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    let read = |path: &str| fs::read_to_string(bench.path(path)).unwrap();
    assert_eq!(
        read("etc/passwd"),
        "root:x:0:0:root:/root:/bin/bash\nweb:x:33:33::/srv:/usr/sbin/nologin\ndeploy:x:1600:1600:Deploy:/srv/deploy:/bin/bash\nsvc:x:999:1500::/home/svc:/usr/sbin/nologin\n"
    );
    assert_eq!(
        read("etc/group"),
        "root:x:0:\nadm:x:4:deploy\nweb:x:33:\nops:x:1500:deploy\ndeploy:x:1600:\n"
    );
    assert_eq!(
        read("etc/shadow"),
        "root:*:19000:0:99999:7:::\nweb:!:19000:::::1:\ndeploy:!::0:99999:7:::\nsvc:!::0:99999:7::1:\n"
    );
    assert_eq!(read("etc/gshadow"), "root:*::\nadm:*::deploy\nweb:!::\nops:!::deploy\ndeploy:!::\n");
    let tree = bench.tree();
    assert!(tree["/srv/deploy/.ssh/authorized_keys"].starts_with("100600 1600:1600 "));
    assert!(tree["/etc/shadow"].starts_with("100640 "), "{}", tree["/etc/shadow"]);
    accepted(&bench);
    assert_eq!(site.plan(&mut bench.machine).unwrap(), [], "a second run has nothing to do");
    bench.journal.receipt_made(Digest::of(b"r")).unwrap();
}

#[test]
fn undo_brings_back_passwords_memberships_and_places() {
    let mut bench = prepared();
    let before = bench.tree();
    let mut all = wanted();
    all.as_array_mut().unwrap().push(
        json!({ "command": { "name": "fail", "run": ["/bin/false"], "needed": "always", "undo": ["/bin/true"] } }),
    );
    let outcome = bench.site(all).apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
    assert_eq!(bench.tree(), before);
    let journal = fs::read_to_string(bench.path("var/lib/assent/journal/run")).unwrap();
    assert!(!journal.contains("secret"), "password entries stay out of the records");
    let mode = |path: &str| fs::metadata(bench.path(path)).unwrap().permissions().mode() & 0o077;
    let saved = fs::read_dir(bench.path("var/lib/assent/journal/saved")).unwrap();
    for file in saved {
        assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o077, 0, "only root reads them");
    }
    assert_eq!(mode("var/lib/assent/journal/run"), 0);
}

#[test]
fn what_would_leave_files_or_people_behind_is_refused_when_planning() {
    let mut bench = prepared();
    for (resource, expected) in [
        (json!({ "user": { "name": "root", "state": "absent" } }), "user:root: an account with the number 0"),
        (json!({ "user": { "name": "web", "uid": 34 } }), "has the number 33, not 34"),
        (json!({ "user": { "name": "x", "groups": ["none"] } }), "no group none"),
        (json!({ "group": { "name": "old", "state": "absent" } }), "main group of old"),
    ] {
        let refused = bench.site(json!([resource])).plan(&mut bench.machine).unwrap_err();
        assert!(refused.message.contains(expected), "{refused}");
    }
    fs::remove_file(bench.path("etc/passwd")).unwrap();
    let refused = bench.site(json!([{ "user": { "name": "x" } }])).plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("no /etc/passwd"), "{refused}");
}

/// The tools of the system find nothing wrong. They ask the machine that runs the test for other accounts, homes
/// and shells, which says nothing about the files.
fn accepted(bench: &Bench) {
    for (tool, files) in [("grpck", ["etc/group", "etc/gshadow"]), ("pwck", ["etc/passwd", "etc/shadow"])] {
        let ran = Command::new(tool).arg("-r").args(files.map(|file| bench.path(file))).output().unwrap();
        let told = String::from_utf8(ran.stdout).unwrap();
        let elsewhere = ["no user", "no group", "does not exist", "no changes", "delete member"];
        let is_fine = |line: &str| elsewhere.iter().any(|words| line.contains(words));
        assert!(told.lines().all(is_fine), "{tool}: {told}");
    }
}
