//! Attack cases on admission: each refused with its code, each beside the case that is accepted.

use crate::admit::{
    Sources, address, admit_policy, approve, ends_in_time, in_correction_window, in_window, open_gate,
    take_turn, verify_publication,
};
use crate::approval::{Decision, Reach};
use crate::budgets::{Holder, Lease, Slots, UsedUp};
use crate::bundle::{Bundle, Control};
use crate::change::{Change, Gate, Missed, PlanBinding, Wave};
use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::fixtures::{
    self as fix, Case, NOW, action, all_closed, change_body, host_class, key, me, person_id, policy,
};
use crate::ids::AgentId;
use crate::manifest::Manifest;
use crate::policy::{Assurance, Policy};
use crate::publication::Publication;
use crate::receipt::{HostOutcome, Receipt};
use crate::refusal::Code;
use crate::risk::ActionClass;
use crate::statement::Statement;
use crate::summary::Summary;
use crate::time::Timestamp;
use crate::windows::Closed;
use std::collections::BTreeSet;

/// Runs steps 5 to 12 as a host does; the bundle goes through its bytes.
fn admit(policy: &Policy, case: &Case, now: Timestamp) -> Result<bool, Code> {
    let class = host_class();
    let bundle = Bundle::parse(&case.bundle.to_bytes()).unwrap();
    let sources = sources("[]");
    let addressed = address(policy, bundle.change.clone(), &me(&class), now).map_err(|r| r.code)?;
    approve(policy, &addressed, &bundle, &case.plan, &sources, &me(&class), now)
        .map(|approved| approved.self_approved())
        .map_err(|r| r.code)
}

/// What the manifest of the change brings, read as a host does.
fn sources(health: &str) -> Sources {
    let manifest = format!(
        r#"{{"manifest":"m","version":"1.0.0","resources":[{{"file":{{"path":"/etc/motd","content":"x"}}}}],"health":{health}}}"#
    );
    let body = Publication {
        site: fix::policy(1).site,
        publisher: person_id("publisher"),
        at: NOW,
        source: Digest::of(b"yaml"),
        manifest: Manifest::from_json(manifest.as_bytes()).unwrap(),
    };
    let published = Statement::sign(body, &key(6)).to_bytes();
    Sources::of([&verify_publication(&fix::policy(1), &published, NOW).unwrap()])
}

fn approved_by(names: &[(&str, u8)]) -> Case {
    let mut case = Case::of(change_body());
    for (name, key_number) in names {
        let approval = case.approval(name);
        case.add(approval, *key_number);
    }
    case
}

#[test]
fn a_good_approval_counts_and_none_does_not() {
    assert_eq!(admit(&policy(1), &approved_by(&[("first", 2)]), NOW), Ok(false));
    assert_eq!(admit(&policy(1), &approved_by(&[]), NOW), Err(Code::ApprovalMissing));
}

#[test]
fn the_quorum_counts_distinct_persons() {
    let two = policy(2);
    assert_eq!(admit(&two, &approved_by(&[("first", 2), ("second", 4)]), NOW), Ok(false));
    for (why, case) in [
        ("one person", approved_by(&[("first", 2)])),
        ("one person with two keys", approved_by(&[("first", 2), ("first", 3)])),
        (
            "one person with two keys, each twice",
            approved_by(&[("first", 3), ("first", 2), ("first", 2), ("first", 3)]),
        ),
        ("the same signature twice", approved_by(&[("first", 2), ("first", 2)])),
        ("the author", approved_by(&[("first", 2), ("author", 1)])),
        ("the author alone, twice", approved_by(&[("author", 1), ("author", 1)])),
        ("the publisher", approved_by(&[("first", 2), ("publisher", 6)])),
        ("the publisher alone, twice", approved_by(&[("publisher", 6), ("publisher", 6)])),
        ("the author and the publisher", approved_by(&[("author", 1), ("publisher", 6)])),
        ("a key of too low assurance", approved_by(&[("first", 2), ("second", 5)])),
    ] {
        assert_eq!(admit(&two, &case, NOW), Err(Code::ApprovalQuorum), "{why}");
    }
}

#[test]
fn only_keys_of_the_policy_count() {
    for (why, names) in [
        ("foreign key", [("first", 9)]),
        ("another person's key", [("first", 4)]),
        ("unknown person", [("stranger", 2)]),
    ] {
        assert_eq!(admit(&policy(1), &approved_by(&names), NOW), Err(Code::ApprovalUnknownKey), "{why}");
    }
    let mut removed = policy(1);
    removed.persons.retain(|p| p.id != person_id("first"));
    assert_eq!(admit(&removed, &approved_by(&[("first", 2)]), NOW), Err(Code::ApprovalUnknownKey));
    let mut expired = policy(1);
    expired.persons[1].keys[0].not_after = Some(NOW);
    assert_eq!(admit(&expired, &approved_by(&[("first", 2)]), NOW), Err(Code::ApprovalUnknownKey));
}

#[test]
fn an_approval_for_something_else_is_refused() {
    type Bend = fn(&mut crate::approval::Approval);
    let bends: [(&str, Bend); 4] = [
        ("other revision", |a| a.revision = 2),
        ("other change", |a| a.change_id = "C-2".parse().unwrap()),
        ("other digest", |a| a.change = Digest::of(b"x")),
        ("other site", |a| a.site = "ffffffffffffffff".parse().unwrap()),
    ];
    for (why, bend) in bends {
        let mut case = Case::of(change_body());
        let mut approval = case.approval("first");
        bend(&mut approval);
        case.add(approval, 2);
        assert_eq!(admit(&policy(1), &case, NOW), Err(Code::ApprovalOther), "{why}");
    }
}

#[test]
fn times_of_an_approval_are_checked() {
    let at = |bend: fn(&mut crate::approval::Approval)| {
        let mut case = Case::of(change_body());
        let mut approval = case.approval("first");
        bend(&mut approval);
        case.add(approval, 2);
        admit(&policy(1), &case, NOW)
    };
    assert_eq!(at(|a| a.expires = NOW.plus(1)), Ok(false));
    assert_eq!(at(|a| a.expires = NOW), Err(Code::ApprovalExpired));
    assert_eq!(at(|a| a.at = NOW.plus(300)), Ok(false));
    assert_eq!(at(|a| a.at = NOW.plus(301)), Err(Code::ApprovalInvalid));
    assert_eq!(at(|a| a.at = NOW.plus(86_400)), Err(Code::ApprovalInvalid));
    assert_eq!(at(|a| a.at = NOW.plus(-901)), Err(Code::ApprovalInvalid));
    assert_eq!(at(|a| a.expires = NOW.plus(-1)), Err(Code::ApprovalExpired));
    let late = approved_by(&[("first", 2)]);
    let mut long = late;
    long.bundle.approvals.clear();
    let mut approval = long.approval("first");
    approval.expires = NOW.plus(90 * 86_400);
    long.add(approval, 2);
    assert_eq!(admit(&policy(1), &long, NOW.plus(48 * 3_600 - 31)), Ok(false));
    assert_eq!(admit(&policy(1), &long, NOW.plus(48 * 3_600 - 30)), Err(Code::ApprovalQuorum));
}

#[test]
fn a_withdrawal_or_rejection_stops_until_a_later_yes() {
    for decision in [Decision::Withdraw, Decision::Reject] {
        // Of another approver or of the same one, with another key of theirs, and wherever it stands in the file.
        for (who, number, stands_first) in
            [("second", 4, false), ("second", 4, true), ("first", 2, false), ("first", 3, true)]
        {
            let why = format!("{decision:?} of {who} with key {number}");
            let mut case = approved_by(&[("first", 2)]);
            let mut no = case.approval(who);
            no.decision = decision;
            no.at = NOW.plus(-20);
            case.add(no, number);
            if stands_first {
                case.bundle.approvals.reverse();
            }
            assert_eq!(admit(&policy(1), &case, NOW), Err(Code::ApprovalWithdrawn), "{why}");
            let mut yes = case.approval(who);
            yes.at = NOW.plus(-10);
            case.add(yes, number);
            assert_eq!(admit(&policy(1), &case, NOW), Ok(false), "{why}");
        }
    }
}

#[test]
fn an_approval_narrowed_to_other_hosts_does_not_count_here() {
    let narrowed = |agent| {
        let mut case = Case::of(change_body());
        let mut approval = case.approval("first");
        approval.agents = Some(vec![agent]);
        case.add(approval, 2);
        admit(&policy(1), &case, NOW)
    };
    assert_eq!(narrowed(fix::host().public().agent_id()), Ok(false));
    assert_eq!(narrowed(key(21).public().agent_id()), Err(Code::ApprovalQuorum));
}

#[test]
fn the_change_itself_must_fit() {
    let refused = |bend: fn(&mut Change)| {
        let mut change = change_body();
        bend(&mut change);
        let mut case = Case::of(change);
        let approval = case.approval("first");
        case.add(approval, 2);
        admit(&policy(1), &case, NOW)
    };
    assert_eq!(refused(|_| ()), Ok(false));
    assert_eq!(refused(|c| c.site = "ffffffffffffffff".parse().unwrap()), Err(Code::ChangeSite));
    assert_eq!(refused(|c| c.targets[0].key = Digest::of(b"x")), Err(Code::ChangeNotForMe));
    assert_eq!(refused(|c| c.targets[0].agent = key(21).public().agent_id()), Err(Code::ChangeNotForMe));
    assert_eq!(
        refused(|c| {
            let other = key(21).public();
            (c.targets[0].agent, c.targets[0].key) = (other.agent_id(), other.digest());
        }),
        Err(Code::ChangeNotForMe)
    );
    assert_eq!(refused(|c| c.author = person_id("first")), Err(Code::ChangeAuthor));
    assert_eq!(refused(|c| c.action_classes = [ActionClass::Service].into()), Err(Code::PlanClass));
    assert_eq!(refused(|c| c.undo.text = " ".into()), Err(Code::ChangeInvalid));
    assert_eq!(refused(|c| c.intervals.reverse()), Err(Code::ChangeInvalid));
    assert_eq!(refused(|c| c.not_after = c.not_after.plus(91 * 86_400)), Err(Code::ChangeInvalid));
}

#[test]
fn an_edited_change_or_plan_set_voids_the_approval() {
    let mut edited = approved_by(&[("first", 2)]);
    let mut body = edited.bundle.change.body.clone();
    body.intervals[0].until = NOW.plus(7_200);
    edited.bundle.change = Statement::sign(body, &key(1));
    assert_eq!(admit(&policy(1), &edited, NOW), Err(Code::PlanMissing));
    edited.bundle.plan_set.change = edited.bundle.change.digest;
    edited.plan = fix::plan(&edited.bundle.change, vec![action("file:/etc/motd", "hello")]);
    edited.bundle.plan_set.plans.insert(edited.plan.body.agent_id, edited.plan.digest);
    assert_eq!(admit(&policy(1), &edited, NOW), Err(Code::ApprovalOther));

    let mut other_plan = approved_by(&[("first", 2)]);
    other_plan.plan = fix::plan(&other_plan.bundle.change, vec![action("file:/etc/motd", "evil")]);
    assert_eq!(admit(&policy(1), &other_plan, NOW), Err(Code::PlanMissing));
    let digest = other_plan.plan.digest;
    other_plan.bundle.plan_set.plans.insert(other_plan.plan.body.agent_id, digest);
    assert_eq!(admit(&policy(1), &other_plan, NOW), Err(Code::ApprovalQuorum));
}

#[test]
fn no_rule_means_no_change() {
    let case = approved_by(&[("first", 2)]);
    let mut none = policy(1);
    none.rules.clear();
    assert_eq!(admit(&none, &case, NOW), Err(Code::PolicyRule));
    let mut other_class = policy(1);
    other_class.rules[0].matches.action_classes = Some([ActionClass::Command].into());
    assert_eq!(admit(&other_class, &case, NOW), Err(Code::PolicyRule));
    let mut other_host = policy(1);
    other_host.rules[0].matches.host_classes = Some(["lab".parse().unwrap()].into());
    assert_eq!(admit(&other_host, &case, NOW), Err(Code::PolicyRule));
    let mut both = policy(1);
    let mut strict = both.rules[0].clone();
    strict.require.approvals = 2;
    both.rules.push(strict);
    assert_eq!(admit(&both, &case, NOW), Err(Code::ApprovalQuorum));
}

#[test]
fn one_person_sites_are_marked() {
    let mut alone = policy(1);
    alone.rules[0].require.distinct_from.clear();
    assert_eq!(admit(&alone, &approved_by(&[("author", 1)]), NOW), Ok(true));
}

#[test]
fn a_policy_of_another_site_or_an_older_one_is_refused() {
    let site = policy(1).site;
    let bytes = crate::strict::to_json(&policy(1));
    assert_eq!(admit_policy(&bytes, &site, 5).unwrap().version, 5);
    assert_eq!(admit_policy(&bytes, &site, 6).unwrap_err().code, Code::PolicyRollback);
    let other = "ffffffffffffffff".parse().unwrap();
    assert_eq!(admit_policy(&bytes, &other, 5).unwrap_err().code, Code::PolicySite);
    type Bend = fn(&mut Policy);
    let bends: [Bend; 4] = [
        |p| p.schema = "assent-policy/2".into(),
        |p| p.rules[0].require.approvals = 0,
        |p| p.persons[1].keys[0].public = p.persons[0].keys[0].public,
        |p| p.persons[1].id = p.persons[0].id.clone(),
    ];
    for bend in bends {
        let mut bad = policy(1);
        bend(&mut bad);
        assert_eq!(
            admit_policy(&crate::strict::to_json(&bad), &site, 5).unwrap_err().code,
            Code::PolicyInvalid
        );
    }
    let unknown = String::from_utf8(bytes).unwrap().replacen("{", "{\"extra\":1,", 1);
    assert_eq!(admit_policy(unknown.as_bytes(), &site, 5).unwrap_err().code, Code::PolicyInvalid);
}

/// 29: what governance signed once is no policy any more when a later edition was seen, whatever else is right about it.
#[test]
fn each_edition_before_the_one_that_was_seen_is_refused_by_its_number() {
    let site = policy(1).site;
    type Bend = fn(&mut Policy);
    let bends: [(&str, Bend, Result<u64, Code>); 6] = [
        ("the same edition", |_| (), Ok(5)),
        ("a later edition", |p| p.version = 6, Ok(6)),
        ("the one before", |p| p.version = 4, Err(Code::PolicyRollback)),
        ("the first one", |p| p.version = 1, Err(Code::PolicyRollback)),
        ("none that there ever was", |p| p.version = 0, Err(Code::PolicyRollback)),
        (
            "an older one that says it is newer",
            |p| (p.version, p.issued) = (4, NOW.plus(86_400)),
            Err(Code::PolicyRollback),
        ),
    ];
    for (what, bend, expected) in bends {
        let mut bent = policy(1);
        bend(&mut bent);
        let read = admit_policy(&crate::strict::to_json(&bent), &site, 5);
        assert_eq!(read.map(|p| p.version).map_err(|r| r.code), expected, "{what}");
    }
}

fn nothing_closed() -> Closed<'static> {
    Closed { blackouts: &[], host: AgentId::of_key(&[1; 32]) }
}

#[test]
fn a_blackout_closes_signed_windows_for_starts_and_corrections_and_cuts_them_short() {
    let (policy, mut change) = (policy(1), change_body());
    let host = change.targets[0].agent;
    let at = |control: &Control, change: &Change, now: Timestamp| {
        let open = in_window(&policy, change, control.closed(host), now, now);
        open.map(|w| (w.interval().until, w.open().until)).map_err(|r| (r.code, r.retry_at))
    };
    let mut control = all_closed(NOW.plus(1_800));
    let end = change.intervals[0].until;
    assert_eq!(at(&control, &change, NOW), Ok((end, NOW.plus(1_800))), "no step starts once it has begun");
    let over = control.blackouts[0].intervals[0].until;
    assert_eq!(at(&control, &change, NOW.plus(1_800)), Err((Code::TimeBlackout, Some(over))));
    change.correct_until = Some(change.not_after);
    let corrected = in_correction_window(&policy, &change, control.closed(host), NOW.plus(1_800), NOW);
    assert_eq!(corrected.unwrap_err().code, Code::TimeBlackout);
    control.blackouts[0].agents = Some([AgentId::of_key(&[9; 32])].into());
    assert_eq!(at(&control, &change, NOW.plus(1_800)), Ok((end, end)), "it holds others");
    // What the server may say of it is read strictly, and an older file has none.
    let bytes = crate::strict::to_json(&control);
    assert_eq!(Control::parse(&bytes).unwrap(), control);
    assert_eq!(Control::parse(br#"{"halted":[]}"#).unwrap(), Control::default());
    let unknown = String::from_utf8(bytes).unwrap().replace("\"title\"", "\"tytle\"");
    assert!(Control::parse(unknown.as_bytes()).is_err());
}

#[test]
fn the_window_is_an_interval_of_the_signed_change_and_needs_contact() {
    let (policy, change) = (policy(1), change_body());
    let code = |now: Timestamp| {
        let open = in_window(&policy, &change, nothing_closed(), now, now);
        open.map(|w| w.interval().from).map_err(|r| (r.code, r.retry_at))
    };
    assert_eq!(code(NOW), Ok(NOW.plus(-60)));
    assert_eq!(code(NOW.plus(-61)), Err((Code::TimeWindow, Some(NOW.plus(-60)))));
    assert_eq!(code(NOW.plus(3_600)), Err((Code::TimeWindow, Some(NOW.plus(86_400)))));
    assert_eq!(code(NOW.plus(86_400)), Ok(NOW.plus(86_400)));
    assert_eq!(code(NOW.plus(90_000)), Err((Code::TimeOver, None)));
    assert_eq!(code(NOW.plus(100_000)), Err((Code::TimeOver, None)));
    let silent = in_window(&policy, &change, nothing_closed(), NOW, NOW.plus(-86_401)).unwrap_err();
    assert_eq!(silent.code, Code::TimeOffline);

    let mut skip = change.clone();
    skip.missed = Missed::Skip;
    assert_eq!(skip.interval_at(NOW.plus(86_400)).unwrap_err().code, Code::TimeOver);
    let mut any = change;
    any.missed = Missed::UntilExpiry;
    assert_eq!(any.interval_at(NOW.plus(50_000)).unwrap().until, NOW.plus(100_000));
}

#[test]
fn a_plan_may_shrink_but_not_grow_unless_it_must_be_exact() {
    let change = Statement::sign(change_body(), &key(1));
    let (a, b) = (action("file:/a", "1"), action("file:/b", "1"));
    let approved = fix::plan(&change, vec![a.clone(), b.clone()]).body;
    let fewer = fix::plan(&change, vec![b.clone()]).body;
    let more = fix::plan(&change, vec![a.clone(), b.clone(), action("file:/c", "1")]).body;
    let other_end = fix::plan(&change, vec![action("file:/a", "2"), b]).body;
    assert!(approved.keeps_to(&approved, PlanBinding::Exact).is_ok());
    assert!(fewer.keeps_to(&approved, PlanBinding::Within).is_ok());
    for (plan, binding) in
        [(&fewer, PlanBinding::Exact), (&more, PlanBinding::Within), (&other_end, PlanBinding::Within)]
    {
        assert_eq!(plan.keeps_to(&approved, binding).unwrap_err().code, Code::PlanDrift);
    }
}

#[test]
fn a_halt_stops_and_a_gate_needs_real_receipts() {
    let me = fix::host().public().agent_id();
    let body = change_body();
    let halted = Control { halted: vec![body.change_id.clone()], ..Control::default() };
    let change = Statement::sign(body.clone(), &key(1));
    assert_eq!(open_gate(&change, &Control::default(), &[], &Reach::default(), me, NOW).unwrap().wave(), 0);
    assert_eq!(
        open_gate(&change, &halted, &[], &Reach::default(), me, NOW).unwrap_err().code,
        Code::ChangeHalted
    );
    let canary = key(21).public();
    let gate = Some(Gate { min_success: 1, max_fail: 0, soak_s: 60 });
    let mut waves = body;
    waves.targets.push(crate::change::Target { agent: canary.agent_id(), key: canary.digest() });
    waves.waves = vec![Wave { agents: vec![canary.agent_id()], gate: None }, Wave { agents: vec![me], gate }];
    assert_eq!(waves.problems(), Vec::<String>::new());
    let waved = Statement::sign(waves.clone(), &key(1));
    let told =
        |finished: Timestamp, of: &Statement<Change>, outcome| fix::receipt(&key(21), of, finished, outcome);
    // Whether hosts told it briefly or as a whole.
    let asked = |receipts: &[Statement<Receipt>], now| {
        let whole: Vec<Envelope> = receipts.iter().map(|receipt| receipt.envelope.clone()).collect();
        let brief: Vec<Envelope> =
            receipts.iter().filter_map(|receipt| Summary::signed(receipt, &key(21))).collect();
        let [whole, brief] = [whole, brief].map(|ends: Vec<Envelope>| {
            open_gate(&waved, &Control::default(), &ends[..], &Reach::default(), me, now)
                .map(|t| t.wave())
                .map_err(|r| r.code)
        });
        assert_eq!(whole, brief);
        whole
    };
    let good = told(NOW.plus(-60), &waved, HostOutcome::Applied);
    assert_eq!(
        open_gate(&waved, &Control::default(), &[], &Reach::default(), canary.agent_id(), NOW)
            .unwrap()
            .wave(),
        0
    );
    assert_eq!(asked(&[], NOW), Err(Code::WaveGate));
    assert_eq!(asked(std::slice::from_ref(&good), NOW), Ok(1));
    assert_eq!(asked(std::slice::from_ref(&good), NOW.plus(-1)), Err(Code::WaveGate), "not soaked yet");
    let failed = told(NOW.plus(-70), &waved, HostOutcome::RolledBack);
    let future = told(NOW.plus(301), &waved, HostOutcome::Applied);
    let other = told(NOW.plus(-60), &change, HostOutcome::Applied);
    for (why, receipts) in [
        ("a failed end counts, whatever else is shown", vec![good.clone(), failed.clone()]),
        ("the order does not matter", vec![failed, good]),
        ("an end in the future is no success", vec![future]),
        ("a receipt of another statement", vec![other]),
    ] {
        assert_eq!(asked(&receipts, NOW), Err(Code::WaveGate), "{why}");
    }
    let pending = told(NOW.plus(-100), &waved, HostOutcome::PendingReboot);
    assert_eq!(asked(std::slice::from_ref(&pending), NOW), Err(Code::WaveGate), "pending is no success");
    let booted = told(NOW.plus(-60), &waved, HostOutcome::Applied);
    assert_eq!(asked(&[pending, booted], NOW), Ok(1), "and no failure");
    waves.waves[1].gate = Some(Gate { min_success: 0, max_fail: 0, soak_s: 0 });
    assert!(waves.problems().iter().any(|p| p.contains("at least one success")));
    waves.waves[1].gate = None;
    assert!(waves.problems().iter().any(|p| p.contains("needs a gate")));
}

/// Whom all who count leave out is not waited for; a failure of theirs counts, and one success is always needed.
#[test]
fn a_gate_does_not_wait_for_hosts_that_everybody_left_out() {
    let me = fix::host().public().agent_id();
    let (ids, mut body): (Vec<AgentId>, _) =
        ([21, 22, 23].map(|n| key(n).public().agent_id()).into(), change_body());
    for n in [21, 22, 23] {
        let key = key(n).public();
        body.targets.push(crate::change::Target { agent: key.agent_id(), key: key.digest() });
    }
    let gate = Some(Gate { min_success: 3, max_fail: 1, soak_s: 0 });
    body.waves = vec![Wave { agents: ids.clone(), gate: None }, Wave { agents: vec![me], gate }];
    assert_eq!(body.problems(), Vec::<String>::new());
    let change = Statement::sign(body.clone(), &key(1));
    let case = Case::of(body);
    let word = |agents: Option<&[AgentId]>| {
        let mut word = case.approval("first");
        word.agents = agents.map(<[_]>::to_vec);
        word
    };
    let all = [ids.clone(), vec![me]].concat();
    let told = |n: u8, outcome| fix::receipt(&key(n), &change, NOW.plus(-60), outcome).envelope;
    let good = |n| told(n, HostOutcome::Applied);
    let asked = |words: &[Option<&[AgentId]>], receipts: &[Envelope]| {
        let words: Vec<_> = words.iter().map(|agents| word(*agents)).collect();
        let reach = Reach::of(&words);
        open_gate(&change, &Control::default(), receipts, &reach, me, NOW)
            .map(|t| t.wave())
            .map_err(|r| r.code)
    };
    let two = [good(21), good(22)];
    let held = Err(Code::WaveGate);
    assert_eq!(asked(&[None], &two), held, "three are needed");
    assert_eq!(asked(&[Some(&[ids[0], ids[1], me])], &two), Ok(1), "the third was left out");
    assert_eq!(asked(&[Some(&[ids[0], ids[1], me]), Some(&all)], &two), held, "not by everybody");
    assert_eq!(asked(&[Some(&[ids[0], ids[1], me]), None], &two), held, "not by everybody");
    assert_eq!(
        asked(&[Some(&[ids[0], me]), Some(&[ids[1], me])], &two),
        Ok(1),
        "both left out the third only"
    );
    assert_eq!(asked(&[], &two), held, "where nobody approves nobody leaves out");
    // Whoever was left out after it succeeded is not counted twice.
    assert_eq!(asked(&[Some(&[ids[1], ids[2], me])], &two), held);
    let failed = [good(21), good(22), told(23, HostOutcome::Failed)];
    assert_eq!(asked(&[Some(&[ids[0], ids[1], me])], &failed), Ok(1), "one may fail");
    let failed = [good(21), told(22, HostOutcome::Failed), told(23, HostOutcome::Failed)];
    assert_eq!(asked(&[Some(&[ids[0], me])], &failed), held, "their failures count all the same");
    assert_eq!(asked(&[Some(&[me])], &[]), held, "one success it always needs");
    assert_eq!(asked(&[Some(&[me])], &two[..1]), Ok(1));
}

/// Half as much time again as the slowest run took that was measured, up to a blackout or the interval's end.
#[test]
fn a_run_that_would_not_end_in_its_window_is_late() {
    let policy = policy(1);
    let mut change = change_body();
    let (first, second) = (change.intervals[0], change.intervals[1].from);
    let now = first.until.plus(-900);
    let me = fix::host().public().agent_id();
    let late = |control: &Control, slowest| {
        let window = in_window(&policy, &change, control.closed(me), now, now).unwrap();
        ends_in_time(&window, &change, slowest, now).map_err(|refused| (refused.code, refused.retry_at))
    };
    let waits = Err((Code::TimeLate, Some(second)));
    for (slowest, expected) in [(0, Ok(())), (600, Ok(())), (601, waits), (i64::MAX, waits)] {
        assert_eq!(late(&Control::default(), slowest), expected, "{slowest}");
    }
    let closed = all_closed(now.plus(300));
    assert_eq!((late(&closed, 200), late(&closed, 201)), (Ok(()), waits), "a blackout begins before");
    change.missed = Missed::Skip;
    let only = in_window(&policy, &change, Control::default().closed(me), now, now).unwrap();
    assert_eq!(
        ends_in_time(&only, &change, 601, now).unwrap_err().retry_at,
        None,
        "no other interval counts"
    );
}

/// A statement of one type is never taken for another, and the subjects must fit.
#[test]
fn types_are_not_confused() {
    let case = approved_by(&[("first", 2)]);
    let approval = case.bundle.approvals[0].to_bytes();
    assert!(Statement::<Change>::parse(&approval).is_err());
    assert!(Statement::<crate::plan::Plan>::parse(&approval).is_err());
    let payload = String::from_utf8(case.bundle.change.envelope.payload.clone()).unwrap();
    let bent = payload.replacen("manifest:main/web-base@1.2.0", "manifest:main/web-base@1.2.1", 1);
    assert_ne!(payload, bent);
    let envelope = crate::envelope::Envelope::sign(bent.into_bytes(), &key(1));
    assert!(Statement::<Change>::open(envelope).unwrap_err().to_string().contains("subjects"));
    assert_eq!(policy(1).persons[2].keys[1].assurance, Assurance::ServerRendered);
}

/// A program in a health check runs with the power of a command, so it needs what a command needs.
#[test]
fn a_program_that_checks_health_is_judged_as_a_command() {
    let class = host_class();
    let me = me(&class);
    let health = r#"[{"name":"ok","command":{"run":["/bin/sh","-c","id"]}}]"#;
    let judged = |allowed: &[ActionClass], policy: &Policy, health: &str| {
        let mut change = change_body();
        change.action_classes = allowed.iter().copied().collect();
        let mut case = Case::of(change);
        let approval = case.approval("first");
        case.add(approval, 2);
        let addressed = address(policy, case.bundle.change.clone(), &me, NOW).unwrap();
        approve(policy, &addressed, &case.bundle, &case.plan, &sources(health), &me, NOW)
            .map_err(|r| r.code)
            .map(drop)
    };
    let mut strict = policy(1);
    let mut commands = strict.rules[0].clone();
    (commands.name, commands.require.approvals) = ("commands".into(), 2);
    commands.matches.action_classes = Some([ActionClass::Command].into());
    strict.rules.push(commands);
    let both = [ActionClass::File, ActionClass::Command];
    assert_eq!(judged(&both, &strict, health), Err(Code::ApprovalQuorum));
    assert_eq!(judged(&[ActionClass::File], &strict, health), Err(Code::PlanClass));
    assert_eq!(judged(&both, &policy(1), health), Ok(()));
    let outside = r#"[{"name":"ok","tcp":{"host":"localhost","port":80}}]"#;
    assert_eq!(judged(&[ActionClass::File], &strict, outside), Ok(()));
}

#[test]
fn a_start_needs_a_slot_of_every_budget_that_covers_the_host_for_longer_than_now() {
    let me = fix::host().public().agent_id();
    let change = Statement::sign(change_body(), &key(1));
    let gate = open_gate(&change, &Control::default(), &[], &Reach::default(), me, NOW).unwrap();
    let named = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<BTreeSet<_>>();
    let lease = |names: &[&str], until| Slots::Granted(Lease { budgets: named(names), until });
    let holders = vec![Holder { who: "web1".into(), since: NOW, until: NOW.plus(60) }];
    let used = UsedUp { budget: "db".parse().unwrap(), title: "one at a time".into(), slots: 1, holders };
    let later = NOW.plus(60);
    for (needed, answer, taken) in [
        (&[][..], None, Ok(&[][..])),
        (&[], Some(lease(&["db"], later)), Ok(&["db"])),
        (&["db"], Some(lease(&["db", "web"], later)), Ok(&["db", "web"])),
        (&["db"], None, Err(Code::LockUnanswered)),
        (&["db"], Some(Slots::Free), Err(Code::LockUnanswered)),
        (&["db"], Some(Slots::Returned), Err(Code::LockUnanswered)),
        (&["db", "web"], Some(lease(&["web"], later)), Err(Code::LockUnanswered)),
        (&["db"], Some(lease(&["db"], NOW)), Err(Code::LockUnanswered)),
        (&["db"], Some(Slots::Held(used.clone())), Err(Code::LockHeld)),
        // The server may know of a budget that this host has not heard of yet.
        (&[], Some(Slots::Held(used)), Err(Code::LockHeld)),
    ] {
        let turn = take_turn(gate, &named(needed), answer.as_ref(), NOW);
        let turn = turn.map(|turn| turn.slots().clone()).map_err(|refused| refused.code);
        assert_eq!(turn, taken.map(named), "{needed:?} {answer:?}");
    }
}
