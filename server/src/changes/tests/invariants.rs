//! Invariants of a change that quantify over orders, nodes and times; `tests/invariants.md` has them all.

use super::world::{NOW, Reviewed, TOKEN, World, key};
use super::{DAY, answer};
use crate::changes;
use serde_json::{Value, json};
use shared::approval::Decision;
use shared::plan::PlanSet;
use shared::statement::Statement;
use shared::strict;
use shared::wire::Approve;

/// A word of one of the three persons who may say something, signed at a moment of its own.
fn word(world: &World, of: &Reviewed, (person, number, decision): (&str, u8, Decision), at: i64) -> Approve {
    let mut body = world.approval(of, person, decision);
    body.at = NOW.plus(at);
    Approve { plan_set: of.plan_set(), approval: Statement::sign(body, &key(number)).envelope }
}

/// All orders of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(count - 1);
    let put = |order: &Vec<usize>| {
        (0..count).map(|at| [&order[..at], &[count - 1], &order[at..]].concat()).collect::<Vec<_>>()
    };
    shorter.iter().flat_map(put).collect()
}

/// Two yes approve whoever comes first, and a no ends the change at once wherever it stands: what can never get enough does
/// not stay open, and no order brings it to hosts.
#[actix_web::test]
async fn the_order_of_votes_changes_no_outcome() {
    use Decision::{Approve, Reject};
    for mut world in World::each(2, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let yes = [("peer", 2, Approve), ("cora", 3, Approve)];
        for (votes, state, outcome) in [
            (yes.to_vec(), "approved", None),
            ([&yes[..], &[("lead", 1, Reject)]].concat(), "closed", Some("rejected")),
            (vec![("peer", 2, Approve), ("cora", 3, Reject)], "closed", Some("rejected")),
            (vec![("cora", 3, Reject)], "closed", Some("rejected")),
        ] {
            for order in orders(votes.len()) {
                world.clock.set(NOW);
                let of = world.in_review(&base, |_| ()).await;
                world.clock.set(NOW.plus(20));
                let path = format!("/v1/changes/{}/approvals", of.id);
                let mut ended = false;
                for n in &order {
                    // Signed at their own times, whatever the order in which they arrive.
                    let sent = word(&world, &of, votes[*n], 10 + i64::try_from(*n).unwrap());
                    if ended {
                        assert_eq!(world.code("POST", &path, sent).await, "change.state");
                        continue;
                    }
                    let told = answer(&world.good("POST", &path, sent).await);
                    ended = votes[*n].2 == Reject;
                    assert_eq!(told.state == "closed", ended, "{}: {order:?}", world.engine);
                }
                let line = world.good("GET", &format!("/v1/changes/{}", of.id), ()).await["line"].clone();
                assert_eq!(
                    (line["state"].as_str(), line["outcome"].as_str()),
                    (Some(state), outcome),
                    "{order:?}"
                );
                let listed = world.listed().await.contains(&format!("{}.1", of.id));
                assert_eq!(listed, state == "approved", "{}: {order:?}", world.engine);
            }
        }
    }
}

/// What was approved for some hosts is never for more of them: not by a larger plan set, not by a plan that comes later, not
/// by another word of the same person.
#[actix_web::test]
async fn hosts_of_an_approved_revision_never_become_more() {
    for mut world in World::each(1, 3).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| ()).await;
        let path = format!("/v1/changes/{}/approvals", of.id);
        let with = |plan_set: PlanSet, person: &str, at: i64| {
            let mut body = world.approval(&of, person, Decision::Approve);
            (body.at, body.saw.plan_set) = (NOW.plus(at), plan_set.digest());
            Approve { approval: Statement::sign(body, &key(super::approver(person))).envelope, plan_set }
        };
        let mut two = of.plan_set();
        two.plans.remove(&world.hosts[2].agent());
        world.good("POST", &path, with(two.clone(), "peer", 0)).await;
        world.clock.set(NOW.plus(20));
        for (person, at) in [("cora", 1), ("cora", 2), ("peer", 3)] {
            let larger = with(of.plan_set(), person, at);
            assert_eq!(
                world.code("POST", &path, larger).await,
                "approval.other_plan_set",
                "{}",
                world.engine
            );
        }
        let late = world.plan(&world.hosts[2], &of.change, "later");
        assert_eq!(super::refusal(world.send_plan(&world.hosts[2], &late).await), "plan.not_wanted");
        let wider = world.sign(shared::change::Change { title: "wider".into(), ..of.change.body.clone() });
        let first = format!("/v1/changes/{}/revisions/1", of.id);
        assert_eq!(world.code("PUT", &first, &wider.envelope).await, "change.revision_taken");
        world.publish_waiting().await;
        let bundle = world.bundle(&format!("change.{}.1.json", of.id)).await;
        assert_eq!(bundle.plan_set, two, "{}", world.engine);
    }
}

/// A halt keeps hosts from beginning and moves no time: windows go by, and the change ends when its author said.
#[actix_web::test]
async fn a_halt_moves_no_window() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| ()).await;
        world.approve(&of, "peer").await;
        let act = async |action: &str| {
            world.good("POST", &format!("/v1/changes/{}/{action}", of.id), json!({})).await;
        };
        let why = async || world.good("GET", &format!("/v1/why/web1/{}", of.id), ()).await;
        world.clock.set(NOW.plus(3_700));
        act("halt").await;
        assert_eq!(why().await["code"], "change.halted");
        // The first window has gone by while it stood still.
        world.clock.set(NOW.plus(7_300));
        act("resume").await;
        let told = why().await;
        assert_eq!((&told["code"], &told["retry_at"]), (&json!("time.window"), &json!(NOW.plus(DAY))));
        world.publish_waiting().await;
        let bundle = world.bundle(&format!("change.{}.1.json", of.id)).await;
        assert_eq!(bundle.change.digest, of.change.digest, "{}: the signed times", world.engine);
        act("halt").await;
        world.clock.set(NOW.plus(2 * DAY));
        changes::tend(&world.node.db, world.now()).await.unwrap();
        let line = world.good("GET", &format!("/v1/changes/{}", of.id), ()).await["line"].clone();
        assert_eq!((&line["state"], &line["outcome"]), (&json!("closed"), &json!("expired")));
    }
}

/// Two nodes that take in submissions at once give the numbers of a year once and without gaps.
#[actix_web::test]
async fn two_nodes_that_number_changes_at_once_leave_no_gap() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let second = world.second_node().await;
        let mut drafts = Vec::new();
        for _ in 0..12 {
            let id = world.number().await;
            let change = world.sign(world.change(&id, 1, &base));
            world.good("PUT", &format!("/v1/changes/{id}/revisions/1"), &change.envelope).await;
            drafts.push(id);
        }
        let calls = drafts.iter().enumerate().flat_map(|(n, id)| {
            // Each of them twice: the first answer was lost.
            let nodes = if n % 2 == 0 { [&world.node, &second] } else { [&second, &world.node] };
            let (path, world) = (format!("/v1/changes/{id}/submit"), &world);
            nodes.map(|node| {
                let path = path.clone();
                async move {
                    let token = format!("Bearer {TOKEN}");
                    let (to, headers) = (("POST", path.as_str()), [("authorization", token.as_str())]);
                    let body = strict::to_json(&json!({}));
                    let (status, _, body) = world.insist_on(node, to, &headers, body).await;
                    let line: Value = serde_json::from_slice(&body).unwrap();
                    assert_eq!(status, 200, "{line}");
                    line["register"].as_str().unwrap().to_owned()
                }
            })
        });
        let told = futures_util::future::join_all(calls).await;
        let mut given: Vec<_> = told
            .chunks(2)
            .map(|pair| {
                assert_eq!(pair[0], pair[1], "{}: one number for one change", world.engine);
                pair[0].clone()
            })
            .collect();
        given.sort();
        let year = &NOW.to_string()[..4];
        let expected: Vec<_> = (1..=12).map(|n| format!("N-{year}-{n:04}")).collect();
        assert_eq!(given, expected, "{}", world.engine);
        tokio::task::spawn_blocking(move || drop(second)).await.unwrap();
    }
}

/// Whatever looks like a time in an answer says that it is UTC.
#[actix_web::test]
async fn every_time_in_an_answer_has_its_zone() {
    fn times(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text)
                if text.len() > 15 && text.as_bytes()[10] == b'T' && text.as_bytes()[4] == b'-' =>
            {
                found.push(text.clone());
            }
            Value::Array(all) => all.iter().for_each(|one| times(one, found)),
            Value::Object(all) => all.values().for_each(|one| times(one, found)),
            _ => {}
        }
    }
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| ()).await;
        world.approve(&of, "peer").await;
        world.clock.set(NOW.plus(3_700));
        world.report(0, &of, shared::receipt::HostOutcome::Applied).await;
        let mut found = Vec::new();
        for path in [
            "/v1/changes".to_owned(),
            format!("/v1/changes/{}", of.id),
            format!("/v1/changes/{}/course", of.id),
            format!("/v1/changes/{}/notes", of.id),
            format!("/v1/why/web1/{}", of.id),
            "/v1/waiting".into(),
            "/v1/hosts".into(),
            "/v1/cis/web1".into(),
            "/v1/people".into(),
            "/v1/tokens".into(),
            "/v1/site".into(),
        ] {
            times(&world.good("GET", &path, ()).await, &mut found);
        }
        assert!(found.len() > 10, "{found:?}");
        for time in found {
            let read: Result<shared::time::Timestamp, _> = time.parse();
            assert!(read.is_ok() && time.ends_with('Z'), "{time}");
        }
    }
}
