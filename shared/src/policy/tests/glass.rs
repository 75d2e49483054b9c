//! Breaking the glass: one person for quorum and window, and nothing else that an approval is held to.

use super::*;
use crate::acceptance::{Grounds, judge_acceptance};
use crate::admit::{self, Sources};
use crate::approval::BreakGlass;
use crate::time::Interval;

/// `first` may break the glass with key 2 and not with key 3; the rule asks for two others.
fn site() -> Policy {
    let mut policy = policy(2);
    policy.persons[1].keys[0].roles = [Role::BreakGlass].into();
    policy
}

fn broken(fixture: &Fixture) -> Approval {
    Approval {
        expires: NOW.plus(4 * 3_600 - 30),
        breakglass: Some(BreakGlass { reason: "the shop is down".into(), by_hand: false }),
        ..fixture.approval("first")
    }
}

/// What the bent word, signed with this key, comes to for the fixture's host.
fn judged_word(policy: &Policy, number: u8, bend: impl FnOnce(&mut Approval)) -> Judgement {
    let mut fixture = Fixture::of(change_body());
    let mut word = broken(&fixture);
    bend(&mut word);
    fixture.add(word, number);
    judged(policy, &fixture, &[ActionClass::File], NOW)
}

#[test]
fn one_person_stands_for_quorum_and_window_for_a_few_hours() {
    assert_eq!(site().problems(), Vec::<String>::new());
    let judgement = judged_word(&site(), 2, |_| {});
    let until = NOW.plus(4 * 3_600 - 30);
    let Verdict::Allowed { voices, approvals, glass } = judgement.verdict else {
        panic!("{:?}", judgement.verdict)
    };
    assert_eq!((voices.len(), approvals.len()), (1, 1));
    assert_eq!(glass, Some(Interval { from: NOW.plus(-30), until }));
    let line =
        format!("break-glass: person first alone, from {} to {until}: the shop is down", NOW.plus(-30));
    assert_eq!(judgement.lines, [line]);
    // The author may have written the change in the same night.
    let mut alone = site();
    alone.persons[0].keys[0].roles.insert(Role::BreakGlass);
    let by_author = judged_word(&alone, 1, |word| word.person = person_id("author"));
    assert_eq!(code(&by_author), Ok(1));
}

#[test]
fn without_role_reason_or_within_too_many_hours_the_glass_is_not_broken() {
    type Bend = fn(&mut Approval);
    let bends: [(&str, u8, Bend, Code); 9] = [
        ("another key of the person", 3, |_| {}, Code::ApprovalBreakGlass),
        ("a key of nobody", 9, |_| {}, Code::ApprovalUnknownKey),
        (
            "no reason",
            2,
            |a| a.breakglass = Some(BreakGlass { reason: " \n\t".into(), by_hand: false }),
            Code::ApprovalBreakGlass,
        ),
        ("a second too long", 2, |a| a.expires = a.at.plus(4 * 3_600 + 1), Code::ApprovalBreakGlass),
        ("over", 2, |a| (a.at, a.expires) = (NOW.plus(-600), NOW), Code::ApprovalExpired),
        ("not yet", 2, |a| (a.at, a.expires) = (NOW.plus(301), NOW.plus(600)), Code::ApprovalInvalid),
        ("a rejection", 2, |a| a.decision = Decision::Reject, Code::ApprovalBreakGlass),
        ("another plan set", 2, |a| a.saw.plan_set = crate::digest::Digest::of(b"x"), Code::ApprovalQuorum),
        ("other hosts", 2, |a| a.agents = Some(vec![]), Code::ApprovalQuorum),
    ];
    for (why, number, bend, expected) in bends {
        assert_eq!(code(&judged_word(&site(), number, bend)), Err(expected), "{why}");
    }
    let mut nobody = site();
    nobody.persons[1].keys[0].roles = [Role::Approver].into();
    assert_eq!(
        code(&judged_word(&nobody, 2, |_| {})),
        Err(Code::ApprovalBreakGlass),
        "the role was taken away"
    );
    let mut web = site();
    web.persons[1].keys[0].assurance = Assurance::ServerRendered;
    assert_eq!(
        code(&judged_word(&web, 2, |_| {})),
        Err(Code::ApprovalQuorum),
        "a rule asks for more assurance"
    );
}

#[test]
fn a_word_that_is_carried_by_hand_names_its_few_hosts() {
    let by_hand = Some(BreakGlass { reason: "the shop is down".into(), by_hand: true });
    let other = |n: usize| crate::ids::AgentId::of_key(&[u8::try_from(n).unwrap(); 32]);
    let to = |hosts: Option<Vec<crate::ids::AgentId>>| {
        let glass = by_hand.clone();
        code(&judged_word(&site(), 2, move |a| (a.agents, a.breakglass) = (hosts, glass)))
    };
    let me = fix::host().public().agent_id();
    let with_me = |count: usize| Some((1..count).map(other).chain([me]).collect());
    assert_eq!(to(with_me(1)), Ok(1));
    assert_eq!(to(with_me(limits::CARRIED_HOSTS)), Ok(1));
    assert_eq!(to(with_me(limits::CARRIED_HOSTS + 1)), Err(Code::ApprovalBreakGlass));
    assert_eq!(to(Some(vec![])), Err(Code::ApprovalBreakGlass));
    assert_eq!(to(None), Err(Code::ApprovalBreakGlass));
    assert_eq!(to(Some(vec![other(1)])), Err(Code::ApprovalQuorum), "for another host");
}

#[test]
fn the_policy_may_say_fewer_hours_and_never_more() {
    for (hours, longest) in [(1, 1), (4, 4)] {
        let policy = Policy { breakglass: Some(GlassRules { max_validity_h: hours }), ..site() };
        assert_eq!(policy.problems(), Vec::<String>::new());
        let until = |secs: i64| judged_word(&policy, 2, move |a| a.expires = a.at.plus(secs));
        assert_eq!(code(&until(longest * 3_600)), Ok(1));
        assert_eq!(code(&until(longest * 3_600 + 1)), Err(Code::ApprovalBreakGlass));
    }
    for hours in [0, 5] {
        let policy = Policy { breakglass: Some(GlassRules { max_validity_h: hours }), ..site() };
        assert_eq!(policy.problems(), ["breakglass.max_validity_h is from 1 to 4"]);
        // A document that got past its checks still gives nobody more.
        let five = judged_word(&policy, 2, |a| a.expires = a.at.plus(5 * 3_600));
        assert_eq!(code(&five), Err(Code::ApprovalBreakGlass));
    }
}

#[test]
fn what_it_does_not_stand_for_stays_as_it_is() {
    let with = |classes: &[ActionClass], bend: fn(&mut Policy), purpose| {
        let mut policy = site();
        bend(&mut policy);
        let mut fixture = Fixture::of(change_body());
        let word = broken(&fixture);
        fixture.add(word, 2);
        code(&judged_on(&policy, &fixture, classes, &host_class(), purpose, NOW))
    };
    assert_eq!(with(&[ActionClass::File], |_| {}, Purpose::Start), Ok(1));
    let files_only: fn(&mut Policy) =
        |p| p.rules[0].matches.action_classes = Some([ActionClass::File].into());
    assert_eq!(with(&[ActionClass::Command], files_only, Purpose::Start), Err(Code::PolicyRule));
    assert_eq!(with(&[ActionClass::File], |_| {}, Purpose::Correction), Err(Code::ApprovalQuorum));
    // It is no voice beside another one, and a rejection stops it; its own person takes it back with the same key.
    let mut fixture = Fixture::of(change_body());
    let (elsewhere, second) =
        (Approval { agents: Some(vec![]), ..broken(&fixture) }, fixture.approval("second"));
    fixture.add(elsewhere, 2);
    fixture.add(second, 4);
    assert_eq!(code(&judged(&site(), &fixture, &[ActionClass::File], NOW)), Err(Code::ApprovalQuorum));
    for (name, number, decision) in [("second", 4, Decision::Reject), ("first", 2, Decision::Withdraw)] {
        let mut fixture = Fixture::of(change_body());
        let (broken, no) = (broken(&fixture), Approval { decision, at: NOW, ..fixture.approval(name) });
        fixture.add(broken, 2);
        fixture.add(no, number);
        let judgement = judged(&site(), &fixture, &[ActionClass::File], NOW);
        assert_eq!(code(&judgement), Err(Code::ApprovalWithdrawn), "{name}");
    }
}

/// What a host does with it at a moment outside of all windows.
fn started(change: Change, now: Timestamp, bend: fn(&mut Approval)) -> Result<Interval, Code> {
    let mut fixture = Fixture::of(change);
    let mut given = Approval { at: now.plus(-30), expires: now.plus(600), ..broken(&fixture) };
    bend(&mut given);
    fixture.add(given, 2);
    let (class, policy) = (host_class(), site());
    let me = fix::me(&class);
    let addressed = admit::address(&policy, fixture.bundle.change.clone(), &me, now).map_err(|r| r.code)?;
    let sources = Sources::default();
    let approved = admit::approve(&policy, &addressed, &fixture.bundle, &fixture.plan, &sources, &me, now);
    let approved = approved.map_err(|r| r.code)?;
    let long_ago = now.plus(-30 * DAY);
    // No blackout holds a broken glass.
    let control = fix::all_closed(now);
    admit::in_time(&policy, &approved, control.closed(fix::me(&class).id()), now, long_ago)
        .map(|w| w.interval())
        .map_err(|r| r.code)
}

#[test]
fn a_host_starts_outside_of_windows_and_without_contact_but_not_after_the_end() {
    let between = NOW.plus(40_000);
    assert!(change_body().interval_at(between).is_err(), "no window then");
    let interval = Interval { from: between.plus(-30), until: between.plus(600) };
    assert_eq!(started(change_body(), between, |_| {}), Ok(interval));
    let end = change_body().not_after;
    assert_eq!(started(change_body(), end, |_| {}), Err(Code::TimeOver));
    let retroactive = fix::accepting(&[fix::finding(&fix::host(), 2)]);
    assert_eq!(started(retroactive, between, |_| {}), Err(Code::ChangeRetroactive));
    let retiring = fix::retiring(&[(&fix::enrolment(&fix::host(), "web1"), None)]);
    assert_eq!(started(retiring, between, |_| {}), Err(Code::ChangeRetroactive));
    let unsigned: fn(&mut Approval) = |a| a.change = crate::digest::Digest::of(b"another change");
    assert_eq!(started(change_body(), between, unsigned), Err(Code::ApprovalOther));
}

#[test]
fn what_brings_nothing_to_hosts_is_no_case_for_it() {
    let found = fix::finding(&fix::host(), 2);
    let joined = fix::enrolment(&fix::host(), "web1");
    let (accepting, retiring) =
        (fix::accepting(std::slice::from_ref(&found)), fix::retiring(&[(&joined, None)]));
    let findings = Grounds { findings: vec![found], enrolments: vec![] };
    let enrolments = Grounds { findings: vec![], enrolments: vec![joined] };
    for (body, grounds) in [(accepting, findings), (retiring, enrolments)] {
        let change = Statement::sign(body, &key(1));
        let mut fixture = Fixture::of(change.body.clone());
        fixture.bundle.plan_set = crate::plan::PlanSet::empty(change.digest);
        let word = Statement::sign(broken(&fixture), &key(2));
        let heard = Hearing::of(&site(), &change, [&word], NOW);
        let judged = judge_acceptance(&site(), &change, &grounds, &heard, NOW);
        assert!(judged.verdict.is_err(), "{:?}", judged.lines);
    }
}
