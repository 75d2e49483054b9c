//! Access control lists on real private roots, compared with what getfacl(1) and setfacl(1) make of them.

use super::files::Bench;
use serde_json::{Value, json};
use shared::plan::UndoContract;
use shared::receipt::HostOutcome;
use shared::risk::ActionClass;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn tool(program: &str, arguments: &[&str], path: &Path) -> String {
    let ran = Command::new(program).args(arguments).arg(path).output().unwrap();
    assert!(ran.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

fn getfacl(path: &Path) -> String {
    tool("getfacl", &["-n", "-c", "-p", "-E"], path)
}

fn setfacl(arguments: &[&str], path: &Path) {
    tool("setfacl", arguments, path);
}

/// Applies one resource to `/srv/x`, which is a directory or a file with these ACLs.
fn applied(bench: &mut Bench, resources: Value) -> HostOutcome {
    let site = bench.site(resources);
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(site.plan(&mut bench.machine).unwrap(), [], "a second run has nothing to do");
    bench.journal.receipt_made(shared::digest::Digest::of(b"r")).unwrap();
    outcome.outcome
}

#[test]
fn entries_are_set_merged_and_purged_as_setfacl_does_it() {
    // What is there before, what is wanted, and what setfacl is told instead.
    let cases: [(&[&str], Value, &[&str]); 9] = [
        (&[], json!({ "access": ["user:web:rwx"] }), &["-m", "u:33:rwx"]),
        (
            &[],
            json!({ "access": ["user:web:r--", "group:web:-w-", "mask::r--"] }),
            &["-m", "u:33:r,g:33:w,m::r"],
        ),
        (&["-m", "u:7:rwx,m::r"], json!({ "access": ["group:web:r-x"] }), &["-m", "g:33:rx"]),
        (
            &["-m", "u:7:rwx,u:33:r"],
            json!({ "access": ["user:web:r-x"], "purge": true }),
            &["-x", "u:7", "-m", "u:33:rx"],
        ),
        (&["-m", "u:7:rwx,g:33:r,d:u:7:rwx"], json!({ "purge": true }), &["-b", "-k"]),
        (&[], json!({ "default": ["user:web:rwx", "other::---"] }), &["-m", "d:u:33:rwx,d:o::-"]),
        (&["-m", "d:g:33:r"], json!({ "default": ["user:web:rwx"] }), &["-m", "d:u:33:rwx"]),
        (&["-m", "d:g:33:r,u:7:r"], json!({ "access": ["user::rw-", "other::r--"] }), &["-m", "u::rw,o::r"]),
        (
            &["-m", "d:g:33:rx,d:u:33:w"],
            json!({ "default": ["user:web:-w-"], "purge": true }),
            &["-x", "d:g:33", "-m", "d:u:33:w"],
        ),
    ];
    for (before, wanted, instead) in cases {
        let mut bench = Bench::new();
        let (ours, twin) = (bench.path("srv/x"), bench.path("srv/twin"));
        for path in [&ours, &twin] {
            fs::create_dir(path).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o750)).unwrap();
            if !before.is_empty() {
                setfacl(before, path);
            }
        }
        setfacl(instead, &twin);
        let mut acl = wanted.clone();
        acl["path"] = json!("/srv/x");
        let site = bench.site(json!([{ "acl": acl.clone() }]));
        let plan = site.plan(&mut bench.machine).unwrap();
        let [action] = plan.as_slice() else { panic!("{wanted}: {plan:#?}") };
        assert_eq!((action.class, action.undo.undo), (ActionClass::SensitiveFile, UndoContract::Yes));
        assert_eq!(applied(&mut bench, json!([{ "acl": acl }])), HostOutcome::Applied, "{wanted}");
        assert_eq!(getfacl(&ours), getfacl(&twin), "{before:?} {wanted}");
    }
}

#[test]
fn a_plan_shows_the_lists_by_name_and_what_goes() {
    let mut bench = Bench::new();
    let path = bench.path("srv/x");
    fs::write(&path, "x").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    setfacl(&["-m", "u:4711:r"], &path);
    let acl = json!({ "path": "/srv/x", "access": ["user:web:rw-"], "purge": true });
    let before = bench.tree();
    let plan = bench.site(json!([{ "acl": acl }])).plan(&mut bench.machine).unwrap();
    assert_eq!(bench.tree(), before);
    assert_eq!(
        plan[0].summary,
        "change the ACL of /srv/x; set user:web:rw-, mask::rw-; remove user:4711:r--"
    );
    let shown = plan[0].diff.as_deref().unwrap();
    for line in ["-user:4711:r--\n", "+user:web:rw-\n", "-mask::r--\n", "+mask::rw-\n", " other::---\n"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
}

/// Steps see what the steps before leave: a directory and a file that the same plan makes, with what is handed down.
#[test]
fn what_the_same_plan_makes_gets_its_lists_and_loses_them_again() {
    for fails in [false, true] {
        let mut bench = Bench::new();
        fs::write(bench.path("srv/old"), "old").unwrap();
        setfacl(&["-m", "u:7:rw"], &bench.path("srv/old"));
        let before = bench.tree();
        let mut resources = json!([
            { "group": { "name": "ops" } },
            { "acl": { "path": "/srv/app", "default": ["group:ops:rwx", "user:web:r--"], "requires": ["group:ops"] } },
            { "directory": { "path": "/srv/app", "mode": "2750" } },
            { "file": { "path": "/srv/app/x", "content": "x", "mode": "0640", "requires": ["acl:/srv/app"] } },
            { "acl": { "path": "/srv/app/x", "access": ["user:web:rw-", "mask::r--"] } },
            { "directory": { "path": "/srv/app/sub", "mode": "0700", "requires": ["acl:/srv/app"] } },
            { "acl": { "path": "/srv/app/sub", "purge": true, "access": ["mask::---"] } },
            { "file": { "path": "/srv/old", "content": "new", "mode": "0600" } },
            { "acl": { "path": "/srv/old", "access": ["other::---", "mask::---"] } },
        ]);
        if fails {
            let fail =
                json!({ "name": "fail", "run": ["/bin/false"], "needed": "always", "undo": ["/bin/true"] });
            resources.as_array_mut().unwrap().push(json!({ "command": fail }));
        }
        let site = bench.site(resources);
        let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
        if fails {
            assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
            assert_eq!(bench.tree(), before);
            continue;
        }
        assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
        let group = fs::read_to_string(bench.path("etc/group")).unwrap();
        let ops = group.lines().find(|line| line.starts_with("ops:")).unwrap().split(':').nth(2).unwrap();
        assert_eq!(
            getfacl(&bench.path("srv/app/x")),
            format!("user::rw-\nuser:33:rw-\ngroup::r-x\ngroup:{ops}:rwx\nmask::r--\nother::---")
        );
        let sub = getfacl(&bench.path("srv/app/sub"));
        assert!(sub.starts_with("user::rwx\ngroup::r-x\nmask::---\nother::---"), "{sub}");
        assert!(!sub.contains("default:"), "{sub}");
        assert_eq!(
            getfacl(&bench.path("srv/old")),
            "user::rw-\nuser:7:rw-\ngroup::r--\nmask::---\nother::---"
        );
        assert_eq!(site.plan(&mut bench.machine).unwrap(), [], "a second run has nothing to do");
    }
}

/// Replacing a file by a new one under its name is no reason to change who may read it.
#[test]
fn a_replaced_file_keeps_its_list_and_gets_no_other() {
    let mut bench = Bench::new();
    for (name, mode) in [("kept", 0o640), ("none", 0o640), ("edited", 0o600)] {
        let path = bench.path(&format!("srv/{name}"));
        fs::write(&path, "old\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    for name in ["kept", "edited"] {
        setfacl(&["-m", "u:7:rw,g:8:r"], &bench.path(&format!("srv/{name}")));
    }
    setfacl(&["-m", "d:u:9:rwx"], &bench.path("srv"));
    let lists =
        |bench: &Bench| ["kept", "none", "edited"].map(|name| getfacl(&bench.path(&format!("srv/{name}"))));
    let before = lists(&bench);
    let resources = |mode: Value| {
        let mut kept = json!({ "path": "/srv/kept", "content": format!("new {mode}\n") });
        if !mode.is_null() {
            kept["mode"] = mode;
        }
        json!([
            { "file": kept },
            { "file": { "path": "/srv/none", "content": "new\n" } },
            { "line": { "path": "/srv/edited", "name": "a", "line": "new" } },
            { "file": { "path": "/srv/made", "content": "new\n", "mode": "0640" } },
        ])
    };
    assert_eq!(applied(&mut bench, resources(Value::Null)), HostOutcome::Applied);
    assert_eq!(lists(&bench), before);
    let made = getfacl(&bench.path("srv/made"));
    assert_eq!(
        made, "user::rw-\nuser:9:rwx\ngroup::r-x\nmask::r--\nother::---",
        "what its directory hands down"
    );
    assert_eq!(applied(&mut bench, resources(json!("0660"))), HostOutcome::Applied);
    assert_eq!(
        lists(&bench)[0],
        before[0].replace("mask::r--", "mask::rw-"),
        "the mode of the group is the mask"
    );
}

#[test]
fn what_goes_comes_back_with_its_lists() {
    let mut bench = Bench::new();
    for dir in ["srv/tree/sub", "srv/plain"] {
        fs::create_dir_all(bench.path(dir)).unwrap();
    }
    for file in ["srv/tree/a", "srv/tree/sub/b", "srv/plain/c", "srv/plain/d"] {
        fs::write(bench.path(file), "x").unwrap();
    }
    setfacl(&["-m", "u:7:rw,m::r"], &bench.path("srv/tree/a"));
    setfacl(&["-m", "g:8:rwx,d:g:8:rwx"], &bench.path("srv/tree/sub"));
    setfacl(&["-m", "u:7:r"], &bench.path("srv/plain/c"));
    setfacl(&["-m", "d:u:9:rwx"], &bench.path("srv/plain"));
    let before = bench.tree();
    let site = bench.site(json!([
        { "directory": { "path": "/srv/tree", "purge": true } },
        { "file": { "path": "/srv/plain/c", "state": "absent" } },
        { "symlink": { "path": "/srv/plain/d", "target": "c" } },
        { "acl": { "path": "/srv/plain", "access": ["user:web:r--"], "purge": true } },
        { "command": { "name": "fail", "run": ["/bin/false"], "needed": "always", "undo": ["/bin/true"] } },
    ]));
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
    assert_eq!(bench.tree(), before);
}

#[test]
fn what_has_no_list_is_refused_with_the_reason() {
    let mut bench = Bench::new();
    fs::write(bench.path("srv/file"), "x").unwrap();
    fs::hard_link(bench.path("srv/file"), bench.path("srv/again")).unwrap();
    fs::write(bench.path("srv/one"), "x").unwrap();
    std::os::unix::fs::symlink("file", bench.path("srv/link")).unwrap();
    for (acl, why) in [
        (json!({ "path": "/srv/none", "access": ["user:web:r--"] }), "does not exist"),
        (json!({ "path": "/srv/link", "access": ["user:web:r--"] }), "is a link to file"),
        (json!({ "path": "/srv/file", "access": ["user:web:r--"] }), "2 names"),
        (json!({ "path": "/srv/one", "default": ["user:web:r--"] }), "is no directory"),
        (json!({ "path": "/srv/one", "access": ["user:nobody-here:r--"] }), "no user nobody-here"),
        (json!({ "path": "/srv/one", "access": ["group:nobody-here:r--"] }), "no group nobody-here"),
    ] {
        let refused = bench.site(json!([{ "acl": acl.clone() }])).plan(&mut bench.machine).unwrap_err();
        assert!(refused.message.contains(why), "{acl}: {refused}");
    }
}

/// A file system of memory without attributes; mounted in a namespace of its own would need a process of its own.
#[test]
fn a_file_system_without_lists_is_told_and_files_on_it_are_replaced_all_the_same() {
    let mut bench = Bench::new();
    let place = bench.path("srv");
    let mounted = Command::new("mount").args(["-t", "ramfs", "none"]).arg(&place).status().unwrap();
    assert!(mounted.success(), "ramfs cannot be mounted; these tests run as root");
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        fs::write(bench.path("srv/x"), "old").unwrap();
        let acl = json!({ "path": "/srv/x", "access": ["user:web:r--"] });
        let refused = bench.site(json!([{ "acl": acl }])).plan(&mut bench.machine).unwrap_err();
        assert!(refused.message.contains("file system does not support"), "{refused}");
        let file = json!({ "path": "/srv/x", "content": "new", "mode": "0600" });
        assert_eq!(applied(&mut bench, json!([{ "file": file }])), HostOutcome::Applied);
        assert_eq!(fs::read_to_string(bench.path("srv/x")).unwrap(), "new");
    }));
    assert!(Command::new("umount").arg(&place).status().unwrap().success());
    outcome.unwrap();
}
