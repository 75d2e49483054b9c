//! What lies below a directory: attributes for all of it, or its removal, on real private roots.

use super::files::Bench;
use proptest::prelude::*;
use serde_json::json;
use shared::receipt::{HostOutcome, StepStatus};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;

fn put(bench: &Bench, path: &str, mode: u32) {
    fs::create_dir_all(bench.path(path).parent().unwrap()).unwrap();
    fs::write(bench.path(path), path).unwrap();
    fs::set_permissions(bench.path(path), fs::Permissions::from_mode(mode)).unwrap();
}

fn prepared() -> Bench {
    let bench = Bench::new();
    put(&bench, "srv/app/kept", 0o600);
    put(&bench, "srv/app/stray", 0o644);
    put(&bench, "srv/app/conf.d/10-ours", 0o640);
    put(&bench, "srv/app/conf.d/20-theirs", 0o755);
    put(&bench, "srv/app/old/deep/file", 0o600);
    symlink("/etc", bench.path("srv/app/link")).unwrap();
    put(&bench, "etc/precious", 0o600);
    bench
}

fn purge() -> serde_json::Value {
    json!([
        { "directory": { "path": "/srv/app", "purge": true,
                         "recurse": { "owner": "web", "directory_mode": "0750", "file_mode": "0640" } } },
        { "file": { "path": "/srv/app/kept", "content": "kept", "mode": "0600" } },
        { "line": { "path": "/srv/app/conf.d/10-ours", "name": "one", "line": "1" } },
    ])
}

#[test]
fn each_entry_is_shown_bound_and_brought_about_and_everything_comes_back() {
    for fails in [false, true] {
        let mut bench = prepared();
        let before = bench.tree();
        let mut all = purge();
        if fails {
            let command =
                json!({ "name": "fail", "run": ["/bin/false"], "needed": "always", "undo": ["/bin/true"] });
            all.as_array_mut().unwrap().push(json!({ "command": command }));
        }
        let site = bench.site(all);
        let plan = site.plan(&mut bench.machine).unwrap();
        assert_eq!(bench.tree(), before);
        let shown: Vec<_> = plan.iter().map(|a| a.summary.as_str()).collect();
        assert_eq!(
            shown[..8],
            [
                "purge the file /srv/app/conf.d/20-theirs (24 bytes)",
                "update /srv/app/conf.d: owner root to web, mode 0755 to 0750",
                "purge the link /srv/app/link (to /etc)",
                "purge the file /srv/app/old/deep/file (21 bytes)",
                "purge the directory /srv/app/old/deep",
                "purge the directory /srv/app/old",
                "purge the file /srv/app/stray (13 bytes)",
                "update /srv/app/kept: contents",
            ]
        );
        let effects: std::collections::BTreeSet<_> = plan.iter().map(|a| a.effect()).collect();
        assert_eq!(effects.len(), plan.len(), "an approval of one entry is none of another");
        let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
        if fails {
            assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
            assert_eq!(bench.tree(), before);
            continue;
        }
        assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
        let tree = bench.tree();
        let left: Vec<&String> = tree.keys().filter(|path| path.starts_with("/srv/app/")).collect();
        assert_eq!(left, ["/srv/app/conf.d", "/srv/app/conf.d/10-ours", "/srv/app/kept"]);
        assert!(tree["/srv/app/conf.d"].starts_with("40750 33:0 "), "{}", tree["/srv/app/conf.d"]);
        assert!(
            tree["/srv/app/conf.d/10-ours"].starts_with("100640 0:0 "),
            "a resource has its own attributes"
        );
        assert!(tree.contains_key("/etc/precious"), "what a link points to stays");
        assert_eq!(site.plan(&mut bench.machine).unwrap(), []);
    }
}

#[test]
fn what_appears_after_the_approval_is_not_purged() {
    let mut bench = prepared();
    let site = bench.site(purge());
    let approved = site.plan(&mut bench.machine).unwrap();
    put(&bench, "srv/app/later", 0o600);
    match site.apply_approved(approved, &mut bench.machine, &mut bench.journal) {
        Err(agent::apply::Stopped::Refused(refused)) => {
            assert!(refused.message.contains("purge the file /srv/app/later"), "{refused}");
        }
        other => panic!("{other:?}"),
    }
    assert!(bench.path("srv/app/stray").exists() && bench.path("srv/app/later").exists());
}

#[test]
fn what_cannot_be_taken_back_or_shown_is_refused() {
    let mut bench = prepared();
    let site = bench.site(purge());
    let socket = UnixListener::bind(bench.path("srv/app/socket")).unwrap();
    let refused = site.plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("/srv/app/socket is a device, pipe or socket"), "{refused}");
    drop(socket);
    fs::remove_file(bench.path("srv/app/socket")).unwrap();
    fs::write(bench.path("srv/app/new\nline"), "").unwrap();
    let refused = site.plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("control characters"), "{refused}");
    fs::remove_file(bench.path("srv/app/new\nline")).unwrap();
    let odd = std::path::PathBuf::from(std::ffi::OsString::from(bench.path("srv/app").display().to_string()));
    let odd = odd.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"caf\xe9"));
    fs::write(&odd, "").unwrap();
    let refused = site.plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("no UTF-8 text"), "{refused}");
    fs::remove_file(&odd).unwrap();
    for n in 0..1_001 {
        fs::write(bench.path(&format!("srv/app/old/{n}")), "").unwrap();
    }
    let refused = site.plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("more than 1000 entries"), "{refused}");
}

#[test]
fn the_nearest_directory_governs_what_lies_below() {
    let mut bench = prepared();
    chown(bench.path("srv/app/stray"), Some(33), Some(33)).unwrap();
    let site = bench.site(json!([
        { "directory": { "path": "/srv/app", "recurse": { "file_mode": "0644" } } },
        { "directory": { "path": "/srv/app/conf.d", "recurse": { "file_mode": "0400" } } },
    ]));
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert!(outcome.results.iter().all(|r| r.status == StepStatus::Done), "{outcome:#?}");
    let tree = bench.tree();
    for (path, expected) in [
        ("/srv/app/kept", "100644 0:0"),
        ("/srv/app/old/deep/file", "100644 0:0"),
        ("/srv/app/conf.d/10-ours", "100400 0:0"),
        ("/srv/app/conf.d/20-theirs", "100400 0:0"),
        ("/srv/app/stray", "100644 33:33"),
    ] {
        assert!(tree[path].starts_with(expected), "{path}: {}", tree[path]);
    }
    assert_eq!(site.plan(&mut bench.machine).unwrap(), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_is_purged_to_what_is_managed_and_comes_back(
        files in proptest::collection::vec(("[ab](/[ab]){0,2}/[cd]", 0u32..0o1000), 0..10),
        managed in proptest::collection::vec("[ab](/[ab]){0,1}/[cd]", 0..3),
        fails in any::<bool>(),
    ) {
        let mut bench = Bench::new();
        fs::create_dir(bench.path("srv/x")).unwrap();
        for (path, mode) in &files {
            put(&bench, &format!("srv/x/{path}"), *mode);
        }
        let managed: std::collections::BTreeSet<&String> =
            managed.iter().filter(|path| bench.path(&format!("srv/x/{path}")).is_file()).collect();
        let mut all = vec![json!({ "directory": { "path": "/srv/x", "purge": true,
                                                  "recurse": { "file_mode": "0600", "group": "web" } } })];
        all.extend(managed.iter().map(|path| json!({ "file": { "path": format!("/srv/x/{path}"), "content": "m" } })));
        if fails {
            let command = json!({ "name": "fail", "run": ["/bin/false"], "needed": "always", "undo": ["/bin/true"] });
            all.push(json!({ "command": command }));
        }
        let before = bench.tree();
        let site = bench.site(all.into());
        site.plan(&mut bench.machine).unwrap();
        prop_assert_eq!(&bench.tree(), &before);
        let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
        let after = bench.tree();
        if fails {
            prop_assert_eq!(outcome.outcome, HostOutcome::RolledBack);
            prop_assert_eq!(after, before);
            return Ok(());
        }
        let left = after.keys().filter(|path| path.starts_with("/srv/x/") && bench.path(&path[1..]).is_file());
        let wanted: std::collections::BTreeSet<String> = managed.iter().map(|path| format!("/srv/x/{path}")).collect();
        prop_assert_eq!(left.cloned().collect::<std::collections::BTreeSet<_>>(), wanted);
        prop_assert_eq!(site.plan(&mut bench.machine).unwrap(), vec![]);
    }
}

/// Who may write into a directory can give a foreign file a name there, where the kernel does not keep him from it.
#[test]
fn a_file_with_several_names_keeps_its_owner_and_mode() {
    let mut bench = prepared();
    put(&bench, "etc/shadow", 0o600);
    fs::hard_link(bench.path("etc/shadow"), bench.path("srv/app/planted")).unwrap();
    let recurse = json!([{ "directory": { "path": "/srv/app",
        "recurse": { "owner": "web", "file_mode": "0644" } } }]);
    let site = bench.site(recurse);
    let refused = site.plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("/srv/app/planted is one of 2 names"), "{refused}");
    // Planted after the plan was made: the step refuses as well.
    fs::remove_file(bench.path("srv/app/planted")).unwrap();
    put(&bench, "srv/app/planted", 0o600);
    let attrs = agent::host::Attrs { uid: 33, gid: 33, mode: 0o644 };
    fs::remove_file(bench.path("srv/app/planted")).unwrap();
    fs::hard_link(bench.path("etc/shadow"), bench.path("srv/app/planted")).unwrap();
    let refused = agent::host::Host::set_attrs(&mut bench.machine, "/srv/app/planted", attrs).unwrap_err();
    assert!(refused.text().contains("one of 2 names"), "{}", refused.text());
    assert!(bench.tree()["/etc/shadow"].starts_with("100600 0:0 "), "{}", bench.tree()["/etc/shadow"]);
}
