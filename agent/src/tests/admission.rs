//! Attacks on admission: each is refused with its code, signed, recorded, and changes nothing on the host.

use super::Bench;
use super::site::{
    AUTHOR, FIRST, FIRST_AGAIN, NOW, PUBLISHER, SECOND, approval, approve, behind_a_canary, canary_said, key,
    manifest, site_id, stranger,
};
use crate::tests::site::TestSite;
use shared::approval::Decision;
use shared::bundle::{Bundle, GateFile};
use shared::change::{Change, Target};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::limits::GATE_ENDS;
use shared::receipt::HostOutcome;
use shared::refusal::Code;
use shared::statement::Statement;
use shared::strict;
use shared::time::Interval;
use shared::tuf::TargetName;

/// Signs the change of a bundle again after `bend`; everything else stays.
fn edited(bundle: &Bundle, signer: u8, bend: impl FnOnce(&mut Change)) -> Bundle {
    let mut body = bundle.change.body.clone();
    bend(&mut body);
    Bundle { change: Statement::sign(body, &key(signer)), ..bundle.clone() }
}

/// An approval of `name` after `bend`, signed with key `n`.
fn bent(
    bundle: &Bundle,
    name: &str,
    n: u8,
    bend: impl FnOnce(&mut shared::approval::Approval),
) -> Statement<shared::approval::Approval> {
    let mut body = approval(bundle, name, NOW);
    bend(&mut body);
    Statement::sign(body, &key(n))
}

/// A gate is judged by the file of its wave: what is no such file, of another wave or of another change opens nothing.
#[test]
fn a_later_wave_begins_by_what_earlier_hosts_signed_for_its_gate() {
    let mut bench = Bench::new();
    let bundle = bench.approved(1, behind_a_canary);
    let change = &bundle.change;
    let file = |ends: Vec<Envelope>| GateFile { ends }.to_bytes();
    let good = canary_said(change, HostOutcome::Applied, NOW.plus(-60));
    let other = Statement::sign(Change { revision: 2, ..change.body.clone() }, &key(AUTHOR));
    for (what, wave, bytes) in [
        ("nothing", 0, file(vec![])),
        ("no such file", 1, b"{}".to_vec()),
        ("a file that is too long", 1, file(vec![good.clone(); GATE_ENDS + 1])),
        ("an end of another change", 1, file(vec![canary_said(&other, HostOutcome::Applied, NOW.plus(-60))])),
        ("an end that is watched", 1, file(vec![canary_said(change, HostOutcome::Applied, NOW.plus(-59))])),
        (
            "a failed one too",
            1,
            file(vec![good.clone(), canary_said(change, HostOutcome::Failed, NOW.plus(-90))]),
        ),
    ] {
        bench.site.show_gate(&change.body, wave, &bytes);
        bench.site.list(&bundle);
        let report = bench.tick();
        assert_eq!(
            (report.codes(), report.ran.len()),
            (vec![Code::WaveGate], 0),
            "{what}: {:?}",
            report.lines
        );
    }
    // As long as it is watched the file is fetched once, whatever else is new.
    let fetched = |bench: &Bench| {
        let fetched = std::mem::take(&mut bench.site.0.borrow_mut().fetched);
        fetched.iter().filter(|name| name.ends_with(".gate.C-1.1.1.json")).count()
    };
    let late = canary_said(change, HostOutcome::Applied, NOW.plus(-30));
    bench.site.show_gate(&change.body, 1, &file(vec![late]));
    fetched(&bench);
    for _ in 0..3 {
        bench.site.list(&bundle);
        assert_eq!(bench.tick().ran, []);
    }
    assert_eq!(fetched(&bench), 1);
    bench.site.show_gate(&change.body, 1, &file(vec![good]));
    bench.site.list(&bundle);
    let report = bench.tick();
    assert_eq!(report.ran.len(), 1, "{:?}", report.lines);
}

#[test]
fn nobody_or_too_few_approved() {
    for (names, code) in [
        (&[][..], Code::ApprovalMissing),
        (&[("first", FIRST)][..], Code::ApprovalQuorum),
        // One person with two keys, and the same statement twice, are one person.
        (&[("first", FIRST), ("first", FIRST_AGAIN)][..], Code::ApprovalQuorum),
        (&[("first", FIRST), ("first", FIRST)][..], Code::ApprovalQuorum),
        // The author and the publisher do not count as somebody else.
        (&[("first", FIRST), ("author", AUTHOR)][..], Code::ApprovalQuorum),
        (&[("first", FIRST), ("publisher", PUBLISHER)][..], Code::ApprovalQuorum),
        // A key that the policy does not know, and a known key in another one's name.
        (&[("first", 99)][..], Code::ApprovalUnknownKey),
        (&[("second", FIRST)][..], Code::ApprovalUnknownKey),
    ] {
        let mut bench = Bench::new();
        let mut bundle = bench.approved(1, |_| {});
        bundle.approvals.clear();
        approve(&mut bundle, names, NOW);
        bench.refuses(&bundle, code);
    }
}

#[test]
fn an_approval_that_is_not_for_this_or_not_good_any_more() {
    type Bend = fn(&mut shared::approval::Approval);
    let cases: [(Bend, Code); 6] = [
        (|a| a.expires = NOW, Code::ApprovalExpired),
        (|a| a.at = NOW.plus(4_000), Code::ApprovalInvalid),
        (|a| a.change = Digest::of(b"another"), Code::ApprovalOther),
        (|a| a.revision = 2, Code::ApprovalOther),
        (|a| a.site = "ffffffffffffffff".parse().unwrap(), Code::ApprovalOther),
        (|a| a.decision = Decision::Withdraw, Code::ApprovalWithdrawn),
    ];
    for (bend, code) in cases {
        let mut bench = Bench::new();
        let mut bundle = bench.approved(1, |_| {});
        bundle.approvals = vec![bent(&bundle, "first", FIRST, |_| {}), bent(&bundle, "second", SECOND, bend)];
        bench.refuses(&bundle, code);
    }
}

#[test]
fn an_approval_of_another_plan_set_does_not_count() {
    let mut bench = Bench::new();
    let mut bundle = bench.approved(1, |_| {});
    let other = bent(&bundle, "second", SECOND, |a| a.saw.plan_set = Digest::of(b"another plan set"));
    bundle.approvals = vec![bent(&bundle, "first", FIRST, |_| {}), other];
    bench.refuses(&bundle, Code::ApprovalQuorum);
}

#[test]
fn a_change_that_was_bent_after_approval() {
    type Bend = fn(&mut Change);
    let cases: [(u8, Bend, Code); 6] = [
        // Another window, signed by the author: it is another statement, which nobody approved.
        (
            AUTHOR,
            |c| c.intervals = vec![Interval { from: NOW.plus(-9), until: NOW.plus(9) }],
            Code::ChangeRevision,
        ),
        (FIRST, |c| c.title = "signed by no author".into(), Code::ChangeAuthor),
        (AUTHOR, |c| c.revision = 2, Code::ChangeInvalid),
        (AUTHOR, |c| c.change_id = "C-2".parse().unwrap(), Code::ChangeInvalid),
        (AUTHOR, |c| c.site = "ffffffffffffffff".parse().unwrap(), Code::ChangeSite),
        (AUTHOR, |c| c.targets[0].key = stranger().digest(), Code::ChangeNotForMe),
    ];
    for (signer, bend, code) in cases {
        let mut bench = Bench::new();
        let bundle = bench.approved(1, |_| {});
        let edited = edited(&bundle, signer, bend);
        let name = TargetName::Change { id: "C-1".parse().unwrap(), revision: 1 };
        bench.site.0.borrow_mut().bundles.insert(name, edited.to_bytes());
        let refused = refused_as_served(&mut bench);
        assert_eq!(refused, [code]);
    }
}

/// The codes of one tick over what the site lists, after checking that nothing changed.
fn refused_as_served(bench: &mut Bench) -> Vec<Code> {
    let before = bench.machine.world.borrow().clone();
    bench.site.publish();
    let report = bench.tick();
    assert_eq!(report.ran, [], "{:?}", report.lines);
    assert_eq!(*bench.machine.world.borrow(), before);
    report.codes()
}

/// A host that has not seen the change before: nothing but the statement itself protects it.
#[test]
fn a_change_bent_before_this_host_ever_saw_it() {
    type Bend = fn(&mut Change);
    let cases: [(u8, Bend, Code); 5] = [
        (FIRST, |_| {}, Code::ChangeAuthor),
        (AUTHOR, |c| c.site = "ffffffffffffffff".parse().unwrap(), Code::ChangeSite),
        (AUTHOR, |c| c.targets[0].key = stranger().digest(), Code::ChangeNotForMe),
        (AUTHOR, |c| c.manifests[0].version = semver::Version::new(1, 4, 3), Code::ManifestUnknown),
        (AUTHOR, |c| c.manifests[0].sha256 = Digest::of(b"another"), Code::ManifestUnknown),
    ];
    for (signer, bend, code) in cases {
        let mut bench = Bench::new();
        bench.tick();
        let named = bench.site.add_manifest(manifest("1.2.0", "hello"));
        let mut change = bench.site.change(1, named);
        bend(&mut change);
        let change = Statement::sign(change, &key(signer));
        let mut bundle = bench.site.bundle(&change);
        approve(&mut bundle, &[("first", FIRST), ("second", SECOND)], NOW);
        bench.refuses(&bundle, code);
    }
}

#[test]
fn a_change_for_other_hosts_is_none_of_this_hosts_business() {
    let mut bench = Bench::new();
    let other = Target { agent: stranger().agent_id(), key: stranger().digest() };
    let named = bench.site.add_manifest(manifest("1.2.0", "hello"));
    let mut change = bench.site.change(1, named);
    change.targets = vec![other];
    let change = Statement::sign(change, &key(AUTHOR));
    bench.site.list(&bench.site.bundle(&change));
    let report = bench.tick();
    assert_eq!((report.codes(), report.ran.len()), (vec![], 0));
    let told: Vec<_> = report.standings.values().map(|t| (t.standing.as_str(), t.code)).collect();
    assert_eq!(told, [("not_for_this_host", Some(Code::ChangeNotForMe))]);
    // The same host id with another key, as after a re-installation, is not this host.
    bench.site.wish(&change);
    assert_eq!(bench.tick().codes(), [Code::ChangeNotForMe], "a plan that is asked for is refused aloud");
}

#[test]
fn an_older_revision_after_a_newer_one() {
    let mut bench = Bench::new();
    let first = bench.approved(1, |_| {});
    bench.planned(1, |change| change.revision = 2);
    bench.refuses(&first, Code::ChangeRevision);
    // Nor is it planned again.
    bench.site.unlist_all();
    bench
        .site
        .wish(&Statement::sign(Change { title: "rev 1 again".into(), ..first.change.body }, &key(AUTHOR)));
    assert_eq!(bench.tick().codes(), [Code::ChangeRevision]);
}

#[test]
fn a_host_outside_its_window_or_after_the_end() {
    let mut bench = Bench::new();
    let bundle = bench.approved(1, |change| {
        change.intervals = vec![Interval { from: NOW.plus(1_000), until: NOW.plus(2_000) }];
    });
    bench.refuses(&bundle, Code::TimeWindow);
    bench.at(NOW.plus(2_000));
    assert_eq!(bench.tick().codes(), [Code::TimeOver]);
    assert_eq!(bench.motd(), None);
}

#[test]
fn a_removed_approver_does_not_count() {
    let mut bench = Bench::new();
    let bundle = bench.approved(1, |_| {});
    let mut held = bench.site.0.borrow_mut();
    held.policy.version = 6;
    held.policy.persons.retain(|p| p.id.as_str() != "second");
    drop(held);
    bench.refuses(&bundle, Code::ApprovalUnknownKey);
}

#[test]
fn an_older_or_foreign_policy_is_refused_even_when_governance_signed_it() {
    type Bend = fn(&mut shared::policy::Policy);
    let cases: [(Bend, Code); 3] = [
        (|p| p.version = 4, Code::PolicyRollback),
        (|p| p.site = "ffffffffffffffff".parse().unwrap(), Code::PolicySite),
        (|p| p.rules[0].require.approvals = 0, Code::PolicyInvalid),
    ];
    for (bend, code) in cases {
        let mut bench = Bench::new();
        let bundle = bench.approved(1, |_| {});
        bend(&mut bench.site.0.borrow_mut().policy);
        bench.refuses(&bundle, code);
    }
}

/// 29: the edition that was seen is on the disk. Older ones stay refused after a restart, also when the approvals of a
/// change are all that they ask for, and each refusal of them is on record.
#[test]
fn older_policies_stay_refused_after_a_restart_whatever_they_would_allow() {
    type Bend = fn(&mut shared::policy::Policy);
    let older: [(&str, Bend); 4] = [
        ("the one before", |p| p.version = 5),
        ("an early one", |p| p.version = 1),
        ("one that asked for less", |p| (p.version, p.rules[0].require.approvals) = (4, 1)),
        ("one of another day", |p| (p.version, p.issued) = (3, NOW.plus(100))),
    ];
    for (what, bend) in older {
        let mut bench = Bench::new();
        let mut bundle = bench.approved(1, |_| {});
        approve(&mut bundle, &[("first", FIRST)], NOW);
        let newest = {
            let mut held = bench.site.0.borrow_mut();
            held.policy.version = 6;
            held.policy.clone()
        };
        bench.site.publish();
        bench.tick();
        bench.boot().unwrap();
        bend(&mut bench.site.0.borrow_mut().policy);
        bench.refuses(&bundle, Code::PolicyRollback);
        bench.boot().unwrap();
        bench.at(NOW.plus(60));
        assert_eq!(bench.tick().ran, [], "{what}");
        assert_eq!(bench.motd(), None, "{what}");
        // With the newest edition again, it was this alone that was wrong.
        bench.site.0.borrow_mut().policy = newest;
        bench.at(NOW.plus(120));
        bench.site.publish();
        let report = bench.tick();
        assert_eq!(report.ran.len(), 1, "{what}: {:?}", report.lines);
    }
}

/// The server edits the policy file itself, without governance: its digest is not the signed one.
#[test]
fn an_edited_policy_is_refused() {
    let mut bench = Bench::new();
    let mut bundle = bench.approved(1, |_| {});
    bundle.approvals.clear();
    let mut edited = bench.site.0.borrow().policy.clone();
    edited.version += 1;
    bench.site.0.borrow_mut().policy = edited.clone();
    bench.site.list(&bundle);
    let signed = strict::to_json(&edited);
    edited.rules.iter_mut().for_each(|rule| rule.require.approvals = 1);
    let bytes = strict::to_json(&edited);
    for served in bench.site.0.borrow_mut().files.values_mut().filter(|file| **file == signed) {
        served.clone_from(&bytes);
    }
    let report = bench.tick();
    assert_eq!((report.codes(), report.ran.len(), bench.motd()), (vec![Code::TufInvalid], 0, None));
}

#[test]
fn rolled_back_metadata_is_refused() {
    let mut bench = Bench::new();
    let bundle = bench.approved(1, |_| {});
    bench.site.list(&bundle);
    let old = bench.site.0.borrow().files["timestamp.json"].clone();
    bench.site.unlist_all();
    bench.tick();
    bench.site.0.borrow_mut().files.insert("timestamp.json".into(), old);
    for _ in 0..2 {
        let report = bench.tick();
        assert_eq!((report.codes(), bench.motd()), (vec![Code::TufRollback], None));
        // The floor is on the disk, not in the process.
        bench.boot().unwrap();
    }
}

#[test]
fn a_replay_of_an_executed_change_is_refused_also_after_a_restart() {
    let mut bench = Bench::new();
    let bundle = bench.approved(1, |_| {});
    bench.site.list(&bundle);
    assert_eq!(bench.tick().ran.len(), 1);
    bench.site.unlist_all();
    bench.tick();
    bench.machine.file("/etc/motd", "changed by hand\n");
    bench.boot().unwrap();
    bench.site.list(&bundle);
    let report = bench.tick();
    assert_eq!((report.codes(), report.ran.len()), (vec![Code::ChangeReplay], 0), "{:?}", report.lines);
    assert_eq!(bench.motd().as_deref(), Some("changed by hand\n"));
    assert!(bench.site.refusals().iter().any(|r| r.reason.code == Code::ChangeReplay));
    // Nor with new approvals of the same persons, with those of another key, or with one more.
    for words in [
        &[("first", FIRST), ("second", SECOND)][..],
        &[("first", FIRST_AGAIN), ("second", SECOND)],
        &[("second", SECOND), ("first", FIRST), ("first", FIRST_AGAIN)],
    ] {
        let mut again = bundle.clone();
        again.approvals.clear();
        approve(&mut again, words, NOW.plus(1));
        bench.site.unlist_all();
        bench.tick();
        bench.site.list(&again);
        bench.boot().unwrap();
        let report = bench.tick();
        assert_eq!((report.codes(), report.ran.len()), (vec![Code::ChangeReplay], 0), "{words:?}");
        assert_eq!(bench.motd().as_deref(), Some("changed by hand\n"));
    }
}

#[test]
fn an_older_manifest_than_the_applied_one_is_refused_unless_the_change_is_a_downgrade() {
    let refused = vec![Code::ManifestDowngrade];
    for (version, downgrade, codes) in [
        ("1.1.9", false, refused.clone()),
        ("1.0.0", false, refused.clone()),
        ("0.9.9", false, refused.clone()),
        ("1.2.0-rc.1", false, refused),
        ("1.1.9", true, vec![]),
    ] {
        let mut bench = Bench::new();
        let bundle = bench.approved(1, |_| {});
        bench.site.list(&bundle);
        assert_eq!(bench.tick().ran.len(), 1);
        let older = bench.site.add_manifest(manifest(version, "older"));
        bench.site.publish();
        let mut change = bench.site.change(2, older);
        change.downgrade = downgrade;
        let change = Statement::sign(change, &key(AUTHOR));
        bench.site.wish(&change);
        let report = bench.tick();
        assert_eq!(report.codes(), codes, "{version}");
        assert_eq!(report.planned.len(), usize::from(downgrade), "{version}");
    }
}

#[test]
fn a_manifest_of_nobody_or_of_another_site_is_refused() {
    let bend: [fn(&TestSite); 2] = [
        |site| site.resign_manifest(FIRST, |_| {}),
        |site| site.resign_manifest(PUBLISHER, |p| p.site = "ffffffffffffffff".parse().unwrap()),
    ];
    for bend in bend {
        let mut bench = Bench::new();
        bench.tick();
        let mut named = bench.site.add_manifest(manifest("1.2.0", "hello"));
        bend(&bench.site);
        named.sha256 = bench.site.only_manifest_digest();
        bench.site.publish();
        let change = Statement::sign(bench.site.change(1, named), &key(AUTHOR));
        bench.site.wish(&change);
        assert_eq!(bench.tick().codes(), [Code::ManifestPublisher]);
    }
}

#[test]
fn a_host_that_became_another_one_since_the_approval_stops() {
    let mut bench = Bench::new();
    bench.machine.file("/etc/motd", "hello");
    // Planned with nothing to do, so nothing may be done.
    let bundle = bench.approved(1, |_| {});
    bench.machine.file("/etc/motd", "changed by hand\n");
    bench.refuses(&bundle, Code::PlanDrift);
    assert_eq!(bench.motd().as_deref(), Some("changed by hand\n"));
}

/// 20: what was approved was planned on a host that was another one in some respect; its own plan of now is more.
#[test]
fn what_a_host_would_do_beyond_the_approved_plan_is_not_begun() {
    type Alter = fn(&Bench);
    // Planned while the file was there, in its right form.
    let alters: [(&str, Alter, Option<Code>); 5] = [
        ("nothing", |_| (), None),
        ("other content", |b| b.machine.file("/etc/motd", "hell0"), Some(Code::PlanDrift)),
        ("more content", |b| b.machine.file("/etc/motd", "hello\n"), Some(Code::PlanDrift)),
        ("an empty file", |b| b.machine.file("/etc/motd", ""), Some(Code::PlanDrift)),
        ("no file", |b| drop(b.machine.world.borrow_mut().nodes.remove("/etc/motd")), Some(Code::PlanDrift)),
    ];
    for (what, alter, code) in alters {
        let mut bench = Bench::new();
        bench.machine.file("/etc/motd", "hello");
        let bundle = bench.approved(1, |_| {});
        alter(&bench);
        let Some(code) = code else {
            bench.site.list(&bundle);
            assert_eq!(bench.tick().ran.len(), 1, "{what}");
            continue;
        };
        bench.refuses(&bundle, code);
    }
}

#[test]
fn the_authors_bound_on_action_classes_holds_for_the_own_plan() {
    let mut bench = Bench::new();
    let bundle = bench.approved(1, |change| change.action_classes.clear());
    bench.refuses(&bundle, Code::PlanClass);
}

#[test]
fn a_plan_of_another_host_or_for_another_change_is_not_this_hosts_plan() {
    let mut bench = Bench::new();
    let good = bench.approved(1, |_| {});
    let mut none = good.clone();
    none.plan_set.plans.clear();
    bench.refuses(&none, Code::PlanMissing);
    let mut unknown = good.clone();
    unknown.plan_set.plans.insert(super::host_id(), Digest::of(b"no plan of mine"));
    bench.site.list(&unknown);
    assert_eq!(bench.tick().codes(), [Code::PlanMissing]);
    assert_eq!((bench.motd(), site_id()), (None, good.change.body.site));
}

#[test]
fn damaged_bundles_are_refused_without_a_crash() {
    let mut bench = Bench::new();
    let bundle = bench.approved(1, |_| {});
    let good = bundle.to_bytes();
    let name = TargetName::Change { id: "C-1".parse().unwrap(), revision: 1 };
    let half = good[..good.len() / 2].to_vec();
    let nested = [b"{\"change\":".as_slice(), &b"[".repeat(10_000)].concat();
    for (minute, bad) in [half, nested, Vec::new(), b"null".to_vec()].into_iter().enumerate() {
        bench.site.0.borrow_mut().bundles.insert(name.clone(), bad);
        assert_eq!(refused_as_served(&mut bench), [Code::ChangeInvalid], "{minute}");
    }
}
