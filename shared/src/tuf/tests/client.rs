//! The refresh when nobody attacks: order, reuse, restarts, full disks, old sources, history.

use super::*;
use crate::digest::Digest;
use crate::tuf::client::{Stored, lasting, offline};
use crate::tuf::history::verify_root_chain;
use crate::tuf::metadata::Timestamp;

#[test]
fn a_new_host_fetches_each_file_once_and_keeps_it_in_the_order_of_trust() {
    let site = Site::new();
    let mut host = Host::enrolled(&site);
    let trusted = host.refresh(&site, NOW).unwrap();
    let names: Vec<_> = host.asked.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "2.root.json",
        "timestamp.json",
        "1.snapshot.json",
        "1.targets.json",
        "1.changes.json",
        "1.content.web.json",
    ];
    assert_eq!(names, expected);
    assert_eq!(host.kept, ["timestamp", "snapshot", "targets", "changes", "content.web"]);
    for role in [Role::Timestamp, Role::Snapshot, Role::Targets, Role::Changes, content("web")] {
        assert_eq!(host.stored.others[&role], site.file(&role.file(1)));
    }
    assert_eq!(trusted.policy().unwrap(), &TargetFile::of(POLICY));
    assert!(trusted.policy().unwrap().check(&TargetName::Policy, POLICY).is_ok());
    assert_eq!(
        trusted.policy().unwrap().check(&TargetName::Policy, b"{\"policy\":2}").unwrap_err().code(),
        "tuf.hash"
    );
    let name = target("manifest.web.base.1.0.0.json");
    let file = trusted.find(&name).unwrap().unwrap();
    assert_eq!(name.served_as(file), format!("{}.manifest.web.base.1.0.0.json", Digest::of(MANIFEST)));
    assert_eq!(trusted.find(&target("manifest.web.base.2.0.0.json")).unwrap(), None);
    assert_eq!(trusted.find(&target("manifest.db.base.1.0.0.json")).unwrap(), None);
    assert_eq!(trusted.manifests(&team("web")).unwrap()[0].1.to_string(), "1.0.0");
    assert_eq!(trusted.changes().unwrap()[0].0.as_str(), "C-1");
    assert_eq!(trusted.issued(), NOW);
    assert_eq!(trusted.expiries().len(), 6);
}

#[test]
fn a_second_refresh_asks_only_whether_something_is_new() {
    let mut site = Site::new();
    let mut host = Host::enrolled(&site);
    host.refresh(&site, NOW).unwrap();
    host.refresh(&site, NOW).unwrap();
    let asked = |host: &Host| host.asked.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(asked(&host), ["2.root.json", "timestamp.json"]);
    assert_eq!(host.kept, [""; 0]);
    site.put(
        content("db"),
        1,
        sign(
            writer::content(1, later(9), &team("db"), files(&["manifest.db.base.1.0.0.json"])).unwrap(),
            &[21],
        ),
    );
    site.seal(2);
    let trusted = host.refresh(&site, NOW).unwrap();
    assert_eq!(asked(&host), ["2.root.json", "timestamp.json", "2.snapshot.json", "1.content.db.json"]);
    assert_eq!(trusted.manifests(&team("db")).unwrap().len(), 1);
}

#[test]
fn a_write_that_fails_ends_the_refresh_and_the_next_one_goes_on_from_there() {
    let mut site = Site::new();
    site.put_root(&root_file(2, 10, &[1, 2]));
    for failing in 0..6 {
        let mut host = Host { full_disk_at: Some(failing), ..Host::enrolled(&site) };
        assert_eq!(host.outcome(&site, NOW), "disk");
        assert_eq!(host.kept.len(), failing);
        host.full_disk_at = None;
        assert_eq!(host.outcome(&site, NOW), "trusted");
        assert_eq!(host.kept.len(), 6 - failing);
    }
}

#[test]
fn an_older_source_is_stale_and_another_source_can_be_asked_at_once() {
    let old = Site::new();
    let mut new = Site::new();
    new.seal(2);
    let mut host = Host::enrolled(&new);
    host.refresh(&new, NOW).unwrap();
    assert_eq!(host.outcome(&old, NOW), "stale");
    let Step::Fetch(root) = start(host.stored.clone(), NOW).unwrap() else { panic!("no fetch") };
    let Step::Fetch(ask) = root.not_found().unwrap() else { panic!("no fetch") };
    let Step::Stale(stale) = ask.found(&old.file("timestamp.json")).unwrap() else { panic!("not stale") };
    assert_eq!((stale.trusted, stale.offered), (2, 1));
    let step = stale.again().found(&new.file("timestamp.json")).unwrap();
    let Step::Done(trusted) = step else { panic!("not done") };
    assert_eq!(trusted.versions().timestamp, 2);
}

#[test]
fn without_a_source_the_stored_files_are_trusted_until_they_expire() {
    let site = Site::new();
    let mut host = Host::enrolled(&site);
    assert_eq!(offline(host.stored.clone(), NOW).unwrap_err().code(), "tuf.missing");
    host.refresh(&site, NOW).unwrap();
    let trusted = offline(host.stored.clone(), NOW).unwrap();
    assert_eq!(trusted.versions().snapshot, 1);
    let name = target("manifest.web.base.1.0.0.json");
    assert!(trusted.still_valid(later(1).plus(-1), Some(&name)).is_ok());
    let expired = TufError::Expired { role: Role::Timestamp, at: later(1) };
    assert_eq!(trusted.still_valid(later(1), None), Err(expired.clone()));
    assert_eq!(offline(host.stored.clone(), later(1)).unwrap_err(), expired);
    host.stored.others.remove(&Role::Targets);
    assert_eq!(offline(host.stored.clone(), NOW).unwrap_err().code(), "tuf.missing");
}

#[test]
fn a_kept_result_is_judged_again_with_the_role_that_lists_the_target() {
    let mut site = Site::new();
    let name = target("manifest.web.base.1.0.0.json");
    let mut web = web_targets(2, &["manifest.web.base.1.0.0.json"]);
    web.expires = NOW.plus(100);
    site.put(content("web"), 2, sign(web, &[20]));
    let mut changes = writer::changes(2, later(7), files(&["control.json"])).unwrap();
    changes.expires = NOW.plus(200);
    site.put(Role::Changes, 2, sign(changes, &[10]));
    site.seal(2);
    let trusted = Host::enrolled(&site).refresh(&site, NOW).unwrap();
    let expired = |role, seconds| Err(TufError::Expired { role, at: NOW.plus(seconds) });
    assert_eq!(trusted.still_valid(NOW.plus(99), Some(&name)), Ok(()));
    assert_eq!(trusted.still_valid(NOW.plus(100), Some(&name)), expired(content("web"), 100));
    assert_eq!(trusted.still_valid(NOW.plus(199), None), Ok(()));
    assert_eq!(trusted.still_valid(NOW.plus(200), None), expired(Role::Changes, 200));
}

#[test]
fn damaged_stored_metadata_is_refused_and_not_forgotten() {
    let site = Site::new();
    let mut host = Host::enrolled(&site);
    host.refresh(&site, NOW).unwrap();
    for role in [Role::Timestamp, Role::Snapshot] {
        let mut broken = host.clone();
        broken.stored.others.get_mut(&role).unwrap().truncate(40);
        assert_eq!(broken.outcome(&site, NOW), "tuf.store");
    }
    host.stored.root.truncate(40);
    assert_eq!(host.outcome(&site, NOW), "tuf.parse");
}

#[test]
fn one_team_that_let_its_metadata_expire_does_not_stop_the_others() {
    let mut site = Site::new();
    let mut file = web_targets(2, &["manifest.web.base.1.0.0.json"]);
    file.expires = NOW;
    site.put(content("web"), 2, sign(file, &[20]));
    site.put(
        content("db"),
        1,
        sign(
            writer::content(1, later(9), &team("db"), files(&["manifest.db.base.1.0.0.json"])).unwrap(),
            &[21],
        ),
    );
    site.seal(2);
    let trusted = Host::enrolled(&site).refresh(&site, NOW).unwrap();
    let expired = TufError::Expired { role: content("web"), at: NOW };
    assert_eq!(trusted.find(&target("manifest.web.base.1.0.0.json")), Err(expired.clone()));
    assert_eq!(trusted.manifests(&team("db")).unwrap().len(), 1);
    assert_eq!(trusted.teams(), [(&team("db"), None), (&team("web"), Some(&expired))]);
}

#[test]
fn what_governance_and_publishers_signed_lasts_longer_than_the_servers_word_for_it() {
    let mut site = Site::new();
    let mut file = web_targets(2, &["manifest.web.base.1.0.0.json"]);
    file.expires = later(60);
    site.put(content("web"), 2, sign(file, &[20]));
    site.seal(2);
    let mut host = Host::enrolled(&site);
    host.refresh(&site, NOW).unwrap();
    let stored = host.stored.clone();
    let check = |stored: &Stored, now| lasting(stored, now).map_err(|e| e.code());
    let name = target("manifest.web.base.1.0.0.json");
    for days in [0, 1, 7, 30, 59] {
        assert_eq!(offline(stored.clone(), later(days)).is_ok(), days == 0, "{days}");
        let trusted = check(&stored, later(days)).unwrap();
        assert_eq!(trusted.versions(), offline(stored.clone(), NOW).unwrap().versions());
        assert!(trusted.find(&name).unwrap().is_some());
        trusted.lasts(later(days), [&team("web"), &team("db")]).unwrap();
    }
    // Each end of what was signed offline still holds, to the second.
    let trusted = check(&stored, later(60)).unwrap();
    assert_eq!(trusted.lasts(later(60).plus(-1), [&team("web")]), Ok(()));
    let expired = TufError::Expired { role: content("web"), at: later(60) };
    assert_eq!(trusted.lasts(later(60), [&team("web")]), Err(expired));
    assert!(check(&stored, later(400).plus(-1)).is_ok());
    assert_eq!(check(&stored, later(400)).map(drop), Err("tuf.expired"));
    // And so does everything but freshness.
    for role in [Role::Timestamp, Role::Snapshot, Role::Targets, Role::Changes] {
        let mut broken = stored.clone();
        let bytes = broken.others.get_mut(&role).unwrap();
        let place = bytes.windows(4).position(|four| four == b"\"sig").unwrap() + 8;
        bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
        assert!(check(&broken, later(30)).is_err(), "{role}");
        broken.others.remove(&role);
        assert_eq!(check(&broken, later(30)).map(drop), Err("tuf.missing"), "{role}");
    }
}

#[test]
fn more_new_roots_than_one_refresh_follows_are_followed_by_the_next() {
    let mut site = Site::new();
    for version in 2..=70 {
        site.put_root(&root_file(version, 10, &[2, 3]));
    }
    let mut host = Host::enrolled(&site);
    assert_eq!(host.outcome(&site, NOW), "tuf.rotations");
    assert_eq!(host.refresh(&site, NOW).unwrap().versions().root, 70);
}

#[test]
fn old_metadata_is_proven_along_the_root_chain_after_it_expired() {
    let mut site = Site::new();
    site.put_root(&root_file(2, 11, &[1, 2]));
    let chain = [site.file("1.root.json"), site.file("2.root.json")];
    let roots = verify_root_chain(&chain).unwrap();
    let root = &roots[0];
    assert_eq!(root.timestamp(&site.file("timestamp.json")).unwrap().issued, NOW);
    assert_eq!(root.snapshot(&site.file("1.snapshot.json")).unwrap().version, 1);
    let targets = root.targets(&site.file("1.targets.json")).unwrap();
    assert!(targets.delegated(&content("web"), &site.file("1.content.web.json")).is_ok());
    let check = |result: Result<(), TufError>| result.unwrap_err().code();
    // The second root names another online key, so it does not vouch for the old timestamp.
    assert_eq!(check(roots[1].timestamp(&site.file("timestamp.json")).map(drop)), "tuf.signature");
    assert_eq!(
        check(targets.delegated(&Role::Changes, &site.file("1.content.web.json")).map(drop)),
        "tuf.profile"
    );
    assert_eq!(check(root.targets(&site.file("1.changes.json")).map(drop)), "tuf.profile");
    assert_eq!(check(verify_root_chain(&chain[1..]).map(drop)), "tuf.root_version");
    assert_eq!(check(verify_root_chain(&[&chain[0], &chain[0]]).map(drop)), "tuf.root_version");
    assert_eq!(check(verify_root_chain::<Vec<u8>>(&[]).map(drop)), "tuf.missing");
    let stranger = [chain[0].clone(), root_file(2, 11, &[1]).1];
    assert_eq!(check(verify_root_chain(&stranger).map(drop)), "tuf.signature");
    let timestamp =
        Signed::<Timestamp>::parse(&Role::Timestamp, &site.file("timestamp.json")).unwrap().signed;
    assert_eq!(check(root.timestamp(&sign(timestamp, &[20])).map(drop)), "tuf.signature");
}
