//! What gets in the way of a change, and what the policy lets nobody approve, on both databases.

use super::world::{Reviewed, TOKEN, World, approver, calendar, hours, key};
use serde_json::{Value, json};
use shared::approval::Decision;
use shared::bundle::Control;
use shared::change::{Change, ChangeType};
use shared::conflict::{Conflict, ConflictKind, ConflictRules};
use shared::policy::Policy;
use shared::statement::Statement;
use shared::strict;
use shared::time::Interval;
use shared::tuf::TargetName;
use shared::wire::Approve;

fn told(conflicts: &Value) -> Vec<(String, String, u64)> {
    let one = |conflict: &Value| {
        let text = |key: &str| conflict[key].as_str().unwrap().to_owned();
        (text("kind"), text("with"), conflict["hosts"].as_u64().unwrap())
    };
    conflicts.as_array().unwrap().iter().map(one).collect()
}

#[actix_web::test]
async fn what_gets_in_the_way_of_a_change_is_listed_the_worst_first() {
    for mut world in World::each(1, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let window = vec![hours(1, 3)];
        let open = |change: &mut Change, times: &[Interval]| {
            change.intervals = times.to_vec();
            change.not_after = times.last().unwrap().until;
        };
        let first = world.in_review(&base, |change| open(change, &window)).await;
        let second = world.in_review(&base, |change| open(change, &[hours(2, 4)])).await;
        let third = world.in_review(&base, |change| open(change, &[hours(3, 5)])).await;
        let id = |of: &Reviewed| of.change.body.change_id.to_string();
        let path = format!("/v1/changes/{}/conflicts", id(&first));
        assert_eq!(told(&world.good("GET", &path, ()).await), [("same_hosts".into(), id(&second), 2)]);
        assert_eq!(
            told(&world.good("GET", &format!("/v1/changes/{}/conflicts", id(&third)), ()).await),
            [("same_hosts".into(), id(&second), 2)],
            "windows that only touch do not overlap"
        );
        world.good("PUT", "/v1/calendars/audit", calendar("warn", &[hours(0, 9)])).await;
        world.good("PUT", "/v1/calendars/year-end", calendar("hard", &[hours(2, 9)])).await;
        let all = world.good("GET", &path, ()).await;
        assert_eq!(
            told(&all),
            [
                ("blackout".into(), "year-end".into(), 2),
                ("warning".into(), "audit".into(), 2),
                ("same_hosts".into(), id(&second), 2)
            ]
        );
        assert_eq!(all[0]["at"]["from"].as_str(), Some(hours(2, 3).from.to_string().as_str()));
        assert_eq!(all[0]["at"]["until"].as_str(), Some(hours(2, 3).until.to_string().as_str()));
        world.good("PUT", "/v1/calendars/all-day", calendar("hard", &[hours(0, 2), hours(2, 9)])).await;
        assert_eq!(told(&world.good("GET", &path, ()).await)[0], ("closed".into(), "all-day".into(), 2));
        world.good("POST", &format!("/v1/changes/{}/withdraw", id(&second)), json!({ "note": "no" })).await;
        assert!(told(&world.good("GET", &path, ()).await).iter().all(|(kind, ..)| kind != "same_hosts"));
        assert_eq!(world.code("GET", "/v1/changes/C-999/conflicts", ()).await, "change.unknown");
    }
}

/// Another change on what these hosts stand on, and budgets that leave too few slots.
#[actix_web::test]
async fn relations_and_short_budgets_get_in_the_way_too() {
    for mut world in World::each(1, 3).await {
        let base = world.publish("base", "1.0.0").await;
        let [guest, vm_host, other] = [0, 1, 2].map(|n: usize| world.hosts[n].agent());
        let only = |agents: &'static [usize]| {
            let keep: Vec<_> = agents.iter().map(|n| [guest, vm_host, other][*n]).collect();
            move |change: &mut Change| {
                change.targets.retain(|target| keep.contains(&target.agent));
                change.intervals = vec![hours(1, 3)];
                change.not_after = hours(1, 3).until;
            }
        };
        let first = world.in_review(&base, only(&[0])).await;
        let below = world.in_review(&base, only(&[1])).await;
        world.in_review(&base, only(&[2])).await;
        let path = |of: &Reviewed| format!("/v1/changes/{}/conflicts", of.change.body.change_id);
        assert_eq!(
            told(&world.good("GET", &path(&first), ()).await),
            [],
            "{}: nothing is declared",
            world.engine
        );
        let to = format!("host:{}", world.hosts[1].name);
        let guest = format!("host:{}", world.hosts[0].name);
        let item = json!({ "item": guest, "relations": [{ "kind": "runs_on", "to": to }] });
        world.good("POST", "/v1/declarations", json!({ "reason": "survey", "items": [item] })).await;
        let named = |of: &Reviewed| of.change.body.change_id.to_string();
        for (one, other) in [(&first, &below), (&below, &first)] {
            let found = told(&world.good("GET", &path(one), ()).await);
            assert_eq!(found, [("related".into(), named(other), 1)], "{}", world.engine);
        }
        let all = world.in_review(&base, only(&[0, 1, 2])).await;
        let short = vec![("slots".to_owned(), "few".to_owned(), 3)];
        for (after, slots, expected) in [(0, 2, short), (1, 3, vec![])] {
            let budget = json!({ "title": "few at a time", "slots": slots, "lease_s": 600 });
            let put = json!({ "after": after, "reason": "agreed", "budget": budget });
            world.good("PUT", "/v1/budgets/few", put).await;
            let mut found = told(&world.good("GET", &path(&all), ()).await);
            found.retain(|(kind, ..)| kind == "slots");
            assert_eq!(found, expected, "{}", world.engine);
        }
    }
}

/// Calendars of windows: each host is meant to be changed in the times of all those that it is in, and elsewhere is a conflict.
#[actix_web::test]
async fn windows_outside_of_those_of_calendars_get_in_the_way() {
    for mut world in World::each(1, 3).await {
        let base = world.publish("base", "1.0.0").await;
        let agents = [0, 1, 2].map(|n: usize| world.hosts[n].agent());
        let meant = |hosts: &[usize], times: &[Interval]| {
            let mut put = calendar("window", times);
            put["calendar"]["hosts"] = json!(hosts.iter().map(|n| agents[*n]).collect::<Vec<_>>());
            put
        };
        let of = world
            .in_review(&base, |change| {
                change.intervals = vec![hours(1, 3), hours(25, 27)];
                change.not_after = hours(25, 27).until;
            })
            .await;
        let emergency = world
            .in_review(&base, |change| {
                change.change_type = ChangeType::Emergency;
                change.intervals = vec![hours(40, 41)];
                change.not_after = hours(40, 41).until;
            })
            .await;
        let found = async |of: &Reviewed| -> Vec<Conflict> {
            serde_json::from_value(world.good("GET", &format!("/v1/changes/{}/conflicts", of.id), ()).await)
                .unwrap()
        };
        let told = async |of: &Reviewed| -> Vec<(String, Interval, u32)> {
            let all = found(of).await;
            assert!(all.iter().all(|found| found.kind == ConflictKind::OutsideWindow && !found.blocks));
            all.into_iter().map(|found| (found.with, found.at, found.hosts)).collect()
        };
        assert_eq!(told(&of).await, [], "{}: there is no such calendar", world.engine);
        world.good("PUT", "/v1/calendars/nights", meant(&[0, 1], &[hours(0, 4)])).await;
        assert_eq!(told(&of).await, [("nights".into(), hours(25, 27), 2)], "{}", world.engine);
        let risk = world.good("GET", &format!("/v1/changes/{}/assessment", of.id), ()).await;
        assert_eq!(risk["facts"]["outside_window"], true, "{}: {risk}", world.engine);
        assert_eq!(told(&emergency).await, [], "the calendar is about normal changes");
        // A host that is in two calendars may be changed in both; what touches is one time.
        world
            .good("PUT", "/v1/calendars/days", meant(&[1, 2], &[hours(0, 2), hours(2, 3), hours(25, 26)]))
            .await;
        assert_eq!(
            told(&of).await,
            [
                ("days".into(), hours(26, 27), 1),
                ("days, nights".into(), hours(26, 27), 1),
                ("nights".into(), hours(25, 27), 1)
            ],
            "{}",
            world.engine
        );
        // What is over counts no more, and hosts are told of nothing.
        world.clock.set(hours(27, 28).from);
        assert_eq!(told(&of).await, [], "{}", world.engine);
        world.clock.set(hours(0, 1).from);
        crate::changes::control(&world.node.db, &world.node.repository, world.now()).await.unwrap();
        let control = world.file(&TargetName::Control).await.map(|bytes| Control::parse(&bytes).unwrap());
        assert!(control.is_none_or(|control| control == Control::default()), "{}", world.engine);
        // Where the policy says so it keeps the change from being approved, but for hosts that are in no calendar.
        let block = [ConflictKind::OutsideWindow].into();
        govern(&world, 2, Some(ConflictRules { block, except: [].into() })).await;
        world.good("PUT", "/v1/calendars/days", json!({ "after": 1, "reason": "over" })).await;
        assert!(found(&of).await.iter().all(|found| found.blocks && found.with == "nights"));
        let to = format!("/v1/changes/{}/approvals", of.id);
        let yes = world.approving(&of, "peer", Decision::Approve);
        let (status, problem) = world.call("POST", &to, &yes).await;
        assert_eq!((status, &problem["code"]), (409, &json!("change.conflict")), "{problem}");
        let mut some = world.approval(&of, "peer", Decision::Approve);
        some.agents = Some(vec![agents[2]]);
        let some = Statement::sign(some, &key(approver("peer"))).envelope;
        world.good("POST", &to, Approve { plan_set: of.plan_set(), approval: some }).await;
        let mut wider = meant(&[0, 1], &[hours(0, 4), hours(24, 28)]);
        wider["after"] = json!(1);
        world.good("PUT", "/v1/calendars/nights", wider).await;
        world.good("POST", &to, &yes).await;
    }
}

/// The next edition of the policy, with these rules for conflicts.
async fn govern(world: &World, version: u64, conflicts: Option<ConflictRules>) {
    let policy = strict::to_json(&Policy { conflicts, ..super::world::policy(&world.site, version, 1) });
    let targets = String::from_utf8(super::world::targets(version, &policy)).unwrap();
    let edition = json!({ "targets": targets, "policy": String::from_utf8(policy).unwrap() });
    world.good("POST", "/v1/tuf/policy", edition).await;
}

fn of_three(hosts: [bool; 3]) -> impl Fn(&mut Change) {
    move |change| {
        let mut keep = hosts.iter();
        change.targets.retain(|_| *keep.next().unwrap());
        change.intervals = vec![hours(1, 3)];
        change.not_after = hours(1, 3).until;
    }
}

/// Of changes that meet one is approved; the next one is when the first is gone, or for the hosts that do not meet it.
#[actix_web::test]
async fn what_the_policy_lets_nobody_approve_waits_until_nothing_is_in_its_way() {
    for mut world in World::each(1, 3).await {
        let rules = |block: &[ConflictKind]| ConflictRules {
            block: block.iter().copied().collect(),
            except: [ChangeType::Emergency].into(),
        };
        govern(&world, 2, Some(rules(&[ConflictKind::SameHosts, ConflictKind::Warning]))).await;
        let base = world.publish("base", "1.0.0").await;
        let first = world.in_review(&base, of_three([true, true, false])).await;
        let second = world.in_review(&base, of_three([false, true, true])).await;
        let emergency = world
            .in_review(&base, |change| {
                of_three([true, true, true])(change);
                change.change_type = ChangeType::Emergency;
            })
            .await;
        let standard = world
            .in_review(&base, |change| {
                of_three([true, false, false])(change);
                change.change_type = ChangeType::Standard;
                change.model = Some("patches".parse().unwrap());
            })
            .await;
        let blocking = async |of: &Reviewed| {
            let path = format!("/v1/changes/{}/conflicts", of.id);
            let all: Vec<Conflict> = serde_json::from_value(world.good("GET", &path, ()).await).unwrap();
            all.into_iter().filter(|found| found.blocks).map(|found| found.with).collect::<Vec<_>>()
        };
        assert!(blocking(&first).await.is_empty() && blocking(&second).await.is_empty(), "neither is first");
        let to = |of: &Reviewed| format!("/v1/changes/{}/approvals", of.id);
        world.approve(&first, "peer").await;
        assert_eq!(blocking(&second).await, [first.id.to_string()], "{}", world.engine);
        let yes = world.approving(&second, "peer", Decision::Approve);
        let (status, told) = world.call("POST", &to(&second), &yes).await;
        assert_eq!((status, told["code"].as_str()), (409, Some("change.conflict")), "{told}");
        assert!(told["why"].as_str().unwrap().contains(first.id.as_str()), "{told}");
        assert_eq!(world.state(&second.id).await, "in_review");
        world.begin_standard().await;
        assert_eq!(
            world.state(&standard.id).await,
            "in_review",
            "{}: a model opens no way around",
            world.engine
        );
        // Whoever leaves out the hosts that are in the way may approve the others.
        let mut some = world.approval(&second, "peer", Decision::Approve);
        some.agents = Some(vec![world.hosts[2].agent()]);
        let some = Statement::sign(some, &key(approver("peer"))).envelope;
        world.good("POST", &to(&second), Approve { plan_set: second.plan_set(), approval: some }).await;
        assert_eq!(
            world.code("POST", &to(&second), &yes).await,
            "change.conflict",
            "not widened to them either"
        );
        assert_eq!(blocking(&emergency).await, Vec::<String>::new());
        world.approve(&emergency, "peer").await;
        assert_eq!(world.state(&emergency.id).await, "approved", "{}", world.engine);
        let withdraw = |of: &Reviewed| format!("/v1/changes/{}/withdraw", of.id);
        for gone in [&first, &emergency] {
            world.good("POST", &withdraw(gone), json!({ "note": "later" })).await;
        }
        world.good("POST", &to(&second), &yes).await;
        world.begin_standard().await;
        assert_eq!(world.state(&standard.id).await, "approved", "{}", world.engine);
        // A calendar that only warns keeps back as well, where the policy says so, and does no more when it no longer does.
        let alone = world.in_review(&base, of_three([true, false, false])).await;
        world.good("POST", &withdraw(&standard), json!({ "note": "later" })).await;
        world.good("PUT", "/v1/calendars/audit", calendar("warn", &[hours(0, 9)])).await;
        let yes = world.approving(&alone, "peer", Decision::Approve);
        assert_eq!(world.code("POST", &to(&alone), &yes).await, "change.conflict", "{}", world.engine);
        // A no is always heard.
        govern(&world, 3, Some(rules(&[]))).await;
        world.good("POST", &to(&alone), &yes).await;
        assert_eq!(world.state(&alone.id).await, "approved", "{}", world.engine);
    }
}

/// Two nodes that are asked at once for two changes in each other's way approve one of them.
#[actix_web::test]
async fn of_two_changes_that_are_approved_at_once_on_two_nodes_one_is_first() {
    for mut world in World::each(1, 1).await {
        govern(&world, 2, Some(ConflictRules { block: [ConflictKind::SameHosts].into(), except: [].into() }))
            .await;
        let base = world.publish("base", "1.0.0").await;
        let second = world.second_node().await;
        for _ in 0..4 {
            let window = |change: &mut Change| {
                change.intervals = vec![hours(1, 3)];
                change.not_after = hours(1, 3).until;
            };
            let [one, other] = [world.in_review(&base, window).await, world.in_review(&base, window).await];
            let yes = |of: &Reviewed| strict::to_json(&world.approving(of, "peer", Decision::Approve));
            let token = format!("Bearer {TOKEN}");
            let headers = [("authorization", token.as_str())];
            let to = |of: &Reviewed| format!("/v1/changes/{}/approvals", of.id);
            let (to_one, to_other) = (to(&one), to(&other));
            let ((a, ..), (b, ..)) = tokio::join!(
                world.insist_on(&world.node, ("POST", &to_one), &headers, yes(&one)),
                world.insist_on(&second, ("POST", &to_other), &headers, yes(&other))
            );
            let mut answers = [a, b];
            answers.sort_unstable();
            assert_eq!(answers, [200, 409], "{}", world.engine);
            let mut states = [world.state(&one.id).await, world.state(&other.id).await];
            states.sort();
            assert_eq!(states, ["approved", "in_review"], "{}", world.engine);
            for of in [&one, &other] {
                let path = format!("/v1/changes/{}/withdraw", of.id);
                world.good("POST", &path, json!({ "note": "next" })).await;
            }
        }
    }
}
