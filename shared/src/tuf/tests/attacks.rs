//! Attacks on the repository; the numbers are those of the list of attack cases in the trust design.

use super::*;
use crate::digest::Digest;
use crate::tuf::backend::Verifier;
use crate::tuf::canonical;
use crate::tuf::metadata::{HexSignature, Key, RoleKeys, Root, Signature};
use crate::tuf::names::Role;
use serde_json::{Value, json};

/// Signs any JSON as metadata, also what our types cannot hold.
fn sign_value(signed: &Value, signers: &[u8]) -> Vec<u8> {
    let message = canonical::encode(signed).unwrap();
    let signatures: Vec<_> = signers
        .iter()
        .map(|number| Signature {
            keyid: Key::new(key(*number).public()).id(),
            sig: HexSignature(key(*number).sign(&message)),
        })
        .collect();
    serde_json::to_vec(&json!({"signatures": signatures, "signed": signed})).unwrap()
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice::<Value>(bytes).unwrap()["signed"].clone()
}

/// A host that has refreshed from version 2 of a site with version 2 of every file.
fn at_version_2() -> (Site, Host) {
    let mut site = Site::new();
    site.put(Role::Targets, 2, top(2, 10));
    site.put(Role::Changes, 2, changes_file(2, 10));
    site.put(content("web"), 2, web(2, &["manifest.web.base.1.0.0.json"]));
    site.seal(2);
    let mut host = Host::enrolled(&site);
    host.refresh(&site, NOW).unwrap();
    (site, host)
}

#[test]
fn case_01_rollback_is_refused_also_after_a_restart_and_from_an_expired_cache() {
    let (site, host) = at_version_2();
    let old = Site::new();
    assert_eq!(host.clone().outcome(&site, NOW), "trusted");
    assert_eq!(host.clone().outcome(&old, NOW), "stale");
    // The online key is in the attacker's hands from here on: new timestamps over old files.
    let mut snapshot_back = Site::new();
    snapshot_back.seal_as(1, 3);
    assert_eq!(host.clone().outcome(&snapshot_back, NOW), "tuf.rollback");
    for role in [Role::Targets, Role::Changes, content("web")] {
        let (mut back, _) = at_version_2();
        back.put(role.clone(), 1, old.file(&role.file(1)));
        back.seal(3);
        assert_eq!(host.clone().outcome(&back, NOW), "tuf.rollback", "{role}");
        let mut removed = at_version_2().0;
        removed.meta.remove(&MetaName(role.clone()));
        if role != Role::Targets {
            removed.seal(3);
            assert_eq!(host.clone().outcome(&removed, NOW), "tuf.rollback", "{role} removed");
        }
    }
    // A year later every stored file but root, targets and content has expired; the floors hold still.
    let late = later(30);
    let mut back = Site::new();
    back.put(content("web"), 1, old.file("1.content.web.json"));
    let mut snapshot =
        Signed::<Snapshot>::parse(&Role::Snapshot, &old.file("1.snapshot.json")).unwrap().signed;
    (snapshot.version, snapshot.expires) = (3, later(40));
    let bytes = sign(snapshot, &[10]);
    let timestamp = writer::timestamp(3, later(40), late, &bytes).unwrap();
    back.served.insert("3.snapshot.json".into(), bytes);
    back.served.insert("timestamp.json".into(), sign(timestamp, &[10]));
    assert_eq!(host.clone().outcome(&back, late), "tuf.rollback");
    assert_eq!(Host::enrolled(&back).outcome(&back, later(6)), "trusted");
}

#[test]
fn case_01_a_crash_between_timestamp_and_snapshot_loses_no_floor() {
    let (mut site, mut host) = at_version_2();
    site.seal(3);
    host.full_disk_at = Some(1);
    assert_eq!(host.outcome(&site, NOW), "disk");
    assert_eq!(host.kept, ["timestamp"]);
    host.full_disk_at = None;
    let (mut back, _) = at_version_2();
    back.put(content("web"), 1, Site::new().file("1.content.web.json"));
    back.seal(4);
    assert_eq!(host.clone().outcome(&back, NOW), "tuf.rollback");
    assert_eq!(host.outcome(&site, NOW), "trusted");
}

#[test]
fn case_02_a_frozen_repository_counts_as_expired_at_the_second_of_its_end() {
    let site = Site::new();
    let mut host = Host::enrolled(&site);
    assert_eq!(host.outcome(&site, later(1).plus(-1)), "trusted");
    let expired = TufError::Expired { role: Role::Timestamp, at: later(1) };
    for now in [later(1), later(1).plus(1), later(300)] {
        assert_eq!(host.clone().run(&site.served, now).err(), Some(expired.clone()));
        assert_eq!(Host::enrolled(&site).run(&site.served, now).err(), Some(expired.clone()));
    }
    for (role, edit) in [
        (Role::Root, "1.root.json"),
        (Role::Snapshot, "1.snapshot.json"),
        (Role::Targets, "1.targets.json"),
        (Role::Changes, "1.changes.json"),
    ] {
        let mut site = Site::new();
        let mut signed = value(&site.file(edit));
        signed["expires"] = json!(NOW);
        let signers: &[u8] = if matches!(role, Role::Root | Role::Targets) { &[1, 2] } else { &[10] };
        let bytes = sign_value(&signed, signers);
        match role {
            Role::Snapshot => {
                let snapshot = Signed::<Snapshot>::parse(&role, &bytes).unwrap().signed;
                site.seal_with(snapshot, 1);
            }
            Role::Root => site.put_root(&(1, bytes)),
            _ => {
                site.put(role.clone(), 1, bytes);
                site.seal(1);
            }
        }
        let at = NOW;
        let refused = Host::enrolled(&site).run(&site.served, NOW).err();
        assert_eq!(refused, Some(TufError::Expired { role: role.clone(), at }), "{role}");
        assert_ne!(Host::enrolled(&site).run(&site.served, NOW.plus(-1)).err(), refused, "{role}");
    }
}

#[test]
fn case_03_files_of_different_snapshots_do_not_mix() {
    let (site, host) = at_version_2();
    for (asked, other) in [
        ("2.snapshot.json", "1.snapshot.json"),
        ("2.targets.json", "1.targets.json"),
        ("2.changes.json", "1.changes.json"),
    ] {
        let mut mixed = Site { served: site.served.clone(), meta: site.meta.clone(), online: 10 };
        mixed.served.insert(asked.into(), site.file(other));
        assert_eq!(Host::enrolled(&mixed).outcome(&mixed, NOW), "tuf.hash", "{asked}");
    }
    let mut mixed = Site { served: site.served.clone(), meta: site.meta.clone(), online: 10 };
    mixed.served.insert("2.content.web.json".into(), site.file("1.content.web.json"));
    let trusted = Host::enrolled(&mixed).refresh(&mixed, NOW).unwrap();
    assert_eq!(trusted.manifests(&team("web")).unwrap_err().code(), "tuf.hash");
    // A pin with the right digest and the wrong version.
    let mut wrong = Site::new();
    let bytes = top(1, 10);
    wrong.meta.insert(MetaName(Role::Targets), MetaFile::of(5, &bytes));
    wrong.served.insert("5.targets.json".into(), bytes);
    wrong.seal(1);
    assert_eq!(Host::enrolled(&wrong).outcome(&wrong, NOW), "tuf.hash");
    assert_eq!(host.stored.others.len(), 5);
}

#[test]
fn case_04_versions_pushed_far_ahead_are_overcome_by_new_online_keys_only() {
    let far = 1 << 63;
    let mut site = Site::new();
    site.put(Role::Changes, far, changes_file(far, 10));
    site.seal(far);
    let mut host = Host::enrolled(&site);
    assert_eq!(host.refresh(&site, NOW).unwrap().versions().snapshot, far);
    let mut same_keys = Site::new();
    same_keys.put_root(&root_file(2, 10, &[1, 2]));
    same_keys.seal(2);
    assert_eq!(host.clone().outcome(&same_keys, NOW), "stale");
    let mut recovered = Site::new();
    recovered.put_root(&root_file(2, 11, &[1, 2]));
    recovered.online = 11;
    recovered.put(Role::Targets, 2, top(2, 11));
    recovered.put(Role::Changes, 1, changes_file(1, 11));
    recovered.seal(1);
    assert_eq!(host.refresh(&recovered, NOW).unwrap().versions().snapshot, 1);
    let end = Host::new(&root_file(u64::MAX, 10, &[1, 2]).1).outcome(&site, NOW);
    assert_eq!(end, "tuf.root_version");
}

/// A site after its online key was changed to 11, bent at one place; what was pushed ahead was pushed by key 10.
fn recovered(bend: impl FnOnce(&mut Site)) -> Site {
    let mut site = Site::new();
    site.put_root(&root_file(2, 11, &[1, 2]));
    site.online = 11;
    site.put(Role::Targets, 2, top(2, 11));
    site.put(Role::Changes, 1, changes_file(1, 11));
    bend(&mut site);
    site.seal(1);
    site
}

#[test]
fn case_04_whoever_pushed_versions_ahead_cannot_bring_others_back() {
    let far = u64::MAX - 1;
    let mut pushed = Site::new();
    pushed.put(Role::Changes, far, changes_file(far, 10));
    pushed.seal(far);
    let mut host = Host::enrolled(&pushed);
    host.refresh(&pushed, NOW).unwrap();
    let after = |site: &Site| host.clone().outcome(site, NOW);
    assert_eq!(after(&recovered(|_| ())), "trusted");
    // A root that governance did not sign, or not enough of it.
    for signers in [&[1][..], &[10, 11], &[1, 11], &[]] {
        let forged = recovered(|site| site.put_root(&root_file(2, 11, signers)));
        assert_eq!(after(&forged), "tuf.signature", "root by {signers:?}");
    }
    // The root that is asked for next is not there: the old online key still counts, the new one does not.
    let skipped = recovered(|site| {
        site.served.remove("2.root.json");
        site.put_root(&root_file(3, 11, &[1, 2]));
    });
    assert_eq!(after(&skipped), "tuf.signature");
    // The new root, and one file or all of them by the key that was taken away.
    let old_changes = recovered(|site| site.put(Role::Changes, 1, changes_file(1, 10)));
    assert_eq!(after(&old_changes), "tuf.signature");
    let old_key = recovered(|site| site.online = 10);
    assert_eq!(after(&old_key), "tuf.signature");
    let mut old_snapshot = recovered(|_| ());
    let snapshot = Signed::<Snapshot>::parse(&Role::Snapshot, &old_snapshot.file("1.snapshot.json"));
    let bytes = sign(snapshot.unwrap().signed, &[10]);
    let timestamp = writer::timestamp(1, later(1), NOW, &bytes).unwrap();
    old_snapshot.served.insert("1.snapshot.json".into(), bytes);
    old_snapshot.served.insert("timestamp.json".into(), sign(timestamp, &[11]));
    assert_eq!(after(&old_snapshot), "tuf.signature");
    // The recovered host has new floors, and what was pushed ahead is nothing to it any more.
    let mut host = host.clone();
    host.refresh(&recovered(|_| ()), NOW).unwrap();
    let mut again = recovered(|_| ());
    for name in ["timestamp.json", &format!("{far}.snapshot.json"), &format!("{far}.changes.json")] {
        again.served.insert(name.into(), pushed.file(name));
    }
    assert_eq!(host.outcome(&again, NOW), "tuf.signature");
}

#[test]
fn case_05_a_root_must_follow_its_predecessor_and_carry_both_thresholds() {
    let other = KeySet { keys: [5, 6].map(|n| key(n).public()).to_vec(), threshold: 2 };
    let new_keys =
        |signers: &[u8]| (2, sign(writer::new_root(2, later(400), &other, &online(10)).unwrap(), signers));
    for (root, outcome) in [
        (root_file(2, 10, &[1, 2]), "trusted"),
        (root_file(3, 10, &[1, 2]), "tuf.root_version"),
        (root_file(1, 10, &[1, 2]), "tuf.root_version"),
        (root_file(2, 10, &[1]), "tuf.signature"),
        (root_file(2, 10, &[1, 10]), "tuf.signature"),
        (root_file(2, 10, &[]), "tuf.signature"),
        (new_keys(&[5, 6]), "tuf.signature"),
        (new_keys(&[1, 2]), "tuf.signature"),
        (new_keys(&[1, 2, 5]), "tuf.signature"),
    ] {
        let mut site = Site::new();
        site.served.insert("2.root.json".into(), root.1);
        assert_eq!(Host::enrolled(&site).outcome(&site, NOW), outcome);
    }
    let mut site = Site::new();
    site.put_root(&new_keys(&[1, 2, 5, 6]));
    site.put(Role::Targets, 2, sign(top_targets(2, 10), &[5, 6]));
    site.seal(2);
    assert_eq!(Host::enrolled(&site).outcome(&site, NOW), "trusted");
    site.put(Role::Targets, 3, top(3, 10));
    site.seal(3);
    assert_eq!(Host::enrolled(&site).outcome(&site, NOW), "tuf.signature");
}

#[test]
fn case_06_no_file_may_be_longer_than_its_cap_or_its_pin() {
    let site = Site::new();
    let mut host = Host::enrolled(&site);
    host.refresh(&site, NOW).unwrap();
    for (name, max) in &host.asked[2..] {
        assert_eq!(*max, site.file(name).len() as u64, "{name}");
    }
    assert_eq!(host.asked[..2], [("2.root.json".into(), 131_072), ("timestamp.json".into(), 16_384)]);
    for (name, size) in [("2.root.json", 131_073), ("timestamp.json", 16_385)] {
        let mut endless = Site::new();
        let mut bytes = if name == "2.root.json" { root_file(2, 10, &[1, 2]).1 } else { site.file(name) };
        bytes.resize(size - 1, b' ');
        endless.served.insert(name.into(), bytes.clone());
        assert_eq!(Host::enrolled(&endless).outcome(&endless, NOW), "trusted", "{name}");
        bytes.push(b' ');
        endless.served.insert(name.into(), bytes);
        assert_eq!(Host::enrolled(&endless).outcome(&endless, NOW), "tuf.size", "{name}");
    }
    for name in ["1.snapshot.json", "1.targets.json", "1.changes.json"] {
        let mut longer = Site::new();
        longer.served.get_mut(name).unwrap().push(b' ');
        assert_eq!(Host::enrolled(&longer).outcome(&longer, NOW), "tuf.size", "{name}");
    }
    let mut huge = web_targets(1, &["manifest.web.base.1.0.0.json"]);
    huge.targets.values_mut().for_each(|file| file.length = u64::MAX);
    let mut site = Site::new();
    site.put(content("web"), 1, sign(huge, &[20]));
    site.seal(1);
    let trusted = Host::enrolled(&site).refresh(&site, NOW).unwrap();
    assert_eq!(trusted.manifests(&team("web")).unwrap_err().code(), "tuf.size");
}

fn alias_id() -> Digest {
    Digest::of(b"alias")
}

/// A root in which key 1 has a second id, so that it seems to sign twice.
fn alias_root() -> Vec<u8> {
    let mut root = writer::new_root(1, later(400), &governance(), &online(10)).unwrap();
    let (first, alias) = (Key::new(key(1).public()), alias_id());
    root.keys.insert(alias, first);
    root.roles.root = RoleKeys { keyids: vec![first.id(), alias], threshold: 2 };
    let mut file = Signed::by(root, &[&key(1)]);
    let sig = file.signatures[0].sig;
    file.signatures.push(Signature { keyid: alias, sig });
    file.to_bytes()
}

#[test]
fn case_08_one_key_under_two_ids_does_not_count_twice() {
    assert!(Verifier::from_root(&alias_root()).is_ok(), "the library alone accepts it");
    assert_eq!(Host::new(&alias_root()).outcome(&Site::new(), NOW), "tuf.profile");
    let mut twice = writer::new_root(1, later(400), &governance(), &online(10)).unwrap();
    twice.roles.root.keyids = vec![Key::new(key(1).public()).id(); 2];
    assert_eq!(Host::new(&sign(twice, &[1])).outcome(&Site::new(), NOW), "tuf.profile");
    let mut listed_twice = writer::new_root(1, later(400), &governance(), &online(10)).unwrap();
    listed_twice.roles.targets.keyids.push(Key::new(key(1).public()).id());
    assert_eq!(Host::new(&sign(listed_twice, &[1, 2])).outcome(&Site::new(), NOW), "tuf.profile");
    let mut misnamed = writer::new_root(1, later(400), &governance(), &online(10)).unwrap();
    misnamed.keys.insert(alias_id(), Key::new(key(12).public()));
    misnamed.roles.timestamp.keyids.push(alias_id());
    assert_eq!(Host::new(&sign(misnamed, &[1, 2])).outcome(&Site::new(), NOW), "tuf.profile");
    let mut site = Site::new();
    let mut targets = top_targets(1, 10);
    let delegations = targets.delegations.as_mut().unwrap();
    let alias = alias_id();
    delegations.keys.insert(alias, Key::new(key(20).public()));
    delegations.roles[2].keyids.push(alias);
    delegations.roles[2].threshold = 2;
    site.put(Role::Targets, 1, sign(targets, &[1, 2]));
    site.seal(1);
    assert_eq!(Host::enrolled(&site).outcome(&site, NOW), "tuf.profile");
}

#[test]
fn case_09_duplicate_signatures_and_impossible_thresholds_are_refused() {
    let with_threshold = |threshold: u32| {
        let mut root = writer::new_root(1, later(400), &governance(), &online(10)).unwrap();
        root.roles.timestamp.threshold = threshold;
        sign(root, &[1, 2])
    };
    for (threshold, outcome) in [(1, "trusted"), (0, "tuf.profile"), (2, "tuf.profile")] {
        assert_eq!(Host::new(&with_threshold(threshold)).outcome(&Site::new(), NOW), outcome, "{threshold}");
    }
    for (threshold, outcome) in [(1, "trusted"), (0, "tuf.profile"), (2, "tuf.profile")] {
        let mut targets = top_targets(1, 10);
        targets.delegations.as_mut().unwrap().roles[0].threshold = threshold;
        let mut site = Site::new();
        site.put(Role::Targets, 1, sign(targets, &[1, 2]));
        site.seal(1);
        assert_eq!(Host::enrolled(&site).outcome(&site, NOW), outcome, "{threshold}");
    }
    let mut root = Signed::<Root>::parse(&Role::Root, &root_file(1, 10, &[1]).1).unwrap();
    let again = root.signatures[0];
    root.signatures.push(again);
    assert_eq!(Host::new(&root.to_bytes()).outcome(&Site::new(), NOW), "tuf.signature");
    // Also a key that has no say may not sign twice.
    for (times, outcome) in [(1, "trusted"), (2, "tuf.signature")] {
        let mut root = Signed::<Root>::parse(&Role::Root, &root_file(1, 10, &[1, 2]).1).unwrap();
        let keyid = Key::new(key(30).public()).id();
        root.signatures.extend(vec![Signature { keyid, sig: again.sig }; times]);
        assert_eq!(Host::new(&root.to_bytes()).outcome(&Site::new(), NOW), outcome, "{times}");
    }
}

#[test]
fn case_10_a_team_cannot_speak_for_another_team_or_role() {
    let refused = |site: &Site, name: &str| {
        let trusted = Host::enrolled(site).refresh(site, NOW).unwrap();
        trusted.manifests(&team(name)).map(|list| list.len()).map_err(|e| e.code())
    };
    let good = Site::new();
    assert_eq!((refused(&good, "web"), refused(&good, "db")), (Ok(1), Ok(0)));
    // Team web lists a manifest of team db.
    let mut escape = web_targets(2, &["manifest.web.base.1.0.0.json"]);
    escape.targets.insert(target("manifest.db.base.1.0.0.json"), TargetFile::of(MANIFEST));
    let mut site = Site::new();
    site.put(content("web"), 2, sign(escape, &[20]));
    site.seal(2);
    assert_eq!((refused(&site, "web"), refused(&site, "db")), (Err("tuf.profile"), Ok(0)));
    // Team web, and the server, sign the file of team db.
    for signer in [20, 10] {
        let files = files(&["manifest.db.base.1.0.0.json"]);
        let db = writer::content(1, later(9), &team("db"), files).unwrap();
        site.put(content("db"), 1, sign(db.clone(), &[signer]));
        site.seal(2);
        assert_eq!(refused(&site, "db"), Err("tuf.signature"));
        site.put(content("db"), 1, sign(db, &[21]));
        site.seal(2);
        assert_eq!(refused(&site, "db"), Ok(1));
    }
    // The file of one team served as the other's; a delegated role that delegates on.
    let mut site = Site::new();
    site.put(content("db"), 1, site.file("1.content.web.json"));
    let mut deeper = web_targets(1, &[]);
    deeper.delegations = top_targets(1, 10).delegations;
    site.put(content("web"), 1, sign(deeper, &[20]));
    site.seal(1);
    assert_eq!((refused(&site, "web"), refused(&site, "db")), (Err("tuf.profile"), Err("tuf.profile")));
    // The server puts a manifest into `changes`.
    let mut changes = writer::changes(1, later(7), files(&["control.json"])).unwrap();
    changes.targets.insert(target("manifest.web.base.1.0.0.json"), TargetFile::of(b"other"));
    let mut site = Site::new();
    site.put(Role::Changes, 1, sign(changes, &[10]));
    site.seal(1);
    assert_eq!(Host::enrolled(&site).outcome(&site, NOW), "tuf.profile");
}

#[test]
fn case_10_only_the_fixed_delegations_are_accepted() {
    type Edit = fn(&mut Targets);
    let edits: [(&str, Edit); 9] = [
        ("trusted", |_| ()),
        ("tuf.profile", |t| t.delegations.as_mut().unwrap().roles[0].paths.push("manifest.*".into())),
        ("tuf.profile", |t| t.delegations.as_mut().unwrap().roles[2].paths = vec!["*".into()]),
        ("tuf.profile", |t| t.delegations.as_mut().unwrap().roles[2].terminating = false),
        ("tuf.profile", |t| t.delegations.as_mut().unwrap().roles[2].name = Role::Snapshot),
        ("tuf.profile", |t| t.delegations.as_mut().unwrap().roles.swap_remove(0).terminating = true),
        ("tuf.profile", |t| t.delegations = None),
        ("tuf.profile", |t| t.targets.retain(|name, _| *name != TargetName::Policy)),
        ("tuf.profile", |t| t.targets.extend([(target("control.json"), TargetFile::of(b""))])),
    ];
    for (index, (outcome, edit)) in edits.into_iter().enumerate() {
        let mut targets = top_targets(1, 10);
        edit(&mut targets);
        let mut site = Site::new();
        site.put(Role::Targets, 1, sign(targets, &[1, 2]));
        site.seal(1);
        assert_eq!(Host::enrolled(&site).outcome(&site, NOW), outcome, "edit {index}");
    }
}

#[test]
fn case_12_names_that_are_paths_are_refused_wherever_they_stand() {
    let good = value(&Site::new().file("1.content.web.json"));
    let tricks = [
        "../evil.json",
        "/etc/passwd",
        "manifest.web.../x.1.0.0.json",
        "manifest.web.a?b.1.0.0.json",
        "manifest.web.base.1.0.0.json\u{0}",
        "manifest.web.b\u{e1}se.1.0.0.json",
        "COM1",
        "",
    ];
    for (name, outcome) in
        tricks.iter().map(|name| (*name, Err("tuf.parse"))).chain([("manifest.web.other.1.0.0.json", Ok(1))])
    {
        let mut signed = good.clone();
        let file = signed["targets"]["manifest.web.base.1.0.0.json"].take();
        signed["targets"] = json!({ name: file });
        let mut site = Site::new();
        site.put(content("web"), 1, sign_value(&signed, &[20]));
        site.seal(1);
        let trusted = Host::enrolled(&site).refresh(&site, NOW).unwrap();
        assert_eq!(trusted.manifests(&team("web")).map(|l| l.len()).map_err(|e| e.code()), outcome, "{name}");
    }
    for name in ["../x", "content.../x", "content.a/b", "root\u{0}", "1.root"] {
        let mut site = Site::new();
        let mut signed = value(&site.file("1.targets.json"));
        signed["delegations"]["roles"][2]["name"] = json!(name);
        site.put(Role::Targets, 1, sign_value(&signed, &[1, 2]));
        site.seal(1);
        assert_eq!(Host::enrolled(&site).outcome(&site, NOW), "tuf.parse", "{name}");
    }
}

#[test]
fn case_13_json_with_two_meanings_is_refused() {
    let good = String::from_utf8(Site::new().file("timestamp.json")).unwrap();
    let deep = format!("{}{}", "[".repeat(7_000), "]".repeat(7_000));
    for (bad, outcome) in [
        (good.clone(), "trusted"),
        (good.replace("\"version\":1,\"x-issued\"", "\"version\":1,\"version\":1,\"x-issued\""), "tuf.parse"),
        (good.replace("\"version\":1,\"x-issued\"", "\"version\":1.0,\"x-issued\""), "tuf.parse"),
        (good.replace("\"version\":1,\"x-issued\"", "\"version\":0,\"x-issued\""), "tuf.parse"),
        (good.replace("\"version\":1,\"x-issued\"", "\"other\":1,\"version\":1,\"x-issued\""), "tuf.parse"),
        (good.replace("1.0.34", "2.0.34"), "tuf.parse"),
        (good.replace("{\"signatures\"", "{\"signed\":{},\"signatures\""), "tuf.parse"),
        (deep, "tuf.parse"),
    ] {
        let mut site = Site::new();
        site.served.insert("timestamp.json".into(), bad.into_bytes());
        assert_eq!(Host::enrolled(&site).outcome(&site, NOW), outcome);
    }
}

#[test]
fn case_14_a_weak_key_is_refused_when_it_is_declared() {
    let mut signed = value(&Site::new().file("1.root.json"));
    let weak = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa";
    let id = Key::new(key(10).public()).id().hex();
    signed["keys"][&id]["keyval"]["public"] = json!(weak);
    assert_eq!(Host::new(&sign_value(&signed, &[1, 2])).outcome(&Site::new(), NOW), "tuf.parse");
}

#[test]
fn no_changed_byte_in_any_file_goes_unnoticed() {
    let mut site = Site::new();
    site.put_root(&root_file(2, 10, &[1, 2]));
    for name in ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json", "1.content.web.json"] {
        for at in (0..site.served[name].len()).step_by(if name == "timestamp.json" { 1 } else { 7 }) {
            let mut served = site.served.clone();
            served.get_mut(name).unwrap()[at] ^= 1;
            if let Ok(Ended::Trusted(trusted)) = Host::enrolled(&site).run(&served, NOW) {
                let refused = trusted.manifests(&team("web")).is_err();
                assert!(refused && name == "1.content.web.json", "byte {at} of {name}");
            }
        }
    }
}

#[test]
fn each_role_needs_its_own_key() {
    for (role, right, wrong) in
        [(Role::Timestamp, 10, 20), (Role::Snapshot, 10, 1), (Role::Targets, 1, 10), (Role::Changes, 10, 21)]
    {
        for (signer, outcome) in [(right, "trusted"), (wrong, "tuf.signature")] {
            let mut site = Site::new();
            let signers = if role == Role::Targets { vec![signer, 2] } else { vec![signer] };
            let bytes = sign_value(&value(&site.file(&role.file(1))), &signers);
            match role {
                Role::Timestamp => drop(site.served.insert("timestamp.json".into(), bytes)),
                Role::Snapshot => {
                    let timestamp = writer::timestamp(1, later(1), NOW, &bytes).unwrap();
                    site.served.insert("1.snapshot.json".into(), bytes);
                    site.served.insert("timestamp.json".into(), sign(timestamp, &[10]));
                }
                _ => {
                    site.put(role.clone(), 1, bytes);
                    site.seal(1);
                }
            }
            assert_eq!(Host::enrolled(&site).outcome(&site, NOW), outcome, "{role} by {signer}");
        }
    }
}
