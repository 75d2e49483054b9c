//! Retroactive changes on both databases: which findings they may accept, who decides, and what becomes of the findings.

use super::*;
use crate::changes;
use crate::changes::tests::world::{Node, TOKEN, WEEK, answer, door, key};
use shared::approval::Decision;
use shared::change::Change;
use shared::ids::ChangeId;
use shared::statement::Statement;
use std::collections::BTreeMap;

async fn hear(world: &World) {
    crate::findings::hear(&world.node.db, world.now()).await.unwrap();
}

/// Disposition, and the change that waits to accept it, of each finding; newest first.
async fn standing(world: &World) -> Vec<(String, Option<(String, String)>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let proposed = |line: &Value| {
        line.get("proposed").map(|proposed| (text(&proposed["change"]), text(&proposed["state"])))
    };
    lines(world, "").await.iter().map(|line| (text(&line["disposition"]), proposed(line))).collect()
}

fn open() -> (String, Option<(String, String)>) {
    ("open".into(), None)
}

async fn outcome(world: &World, id: &ChangeId) -> Value {
    world.good("GET", &format!("/v1/changes/{id}"), ()).await["line"]["outcome"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_is_accepted_by_somebody_else_than_the_author_and_reaches_no_host() {
    for (mut world, of) in each().await {
        let found = [(0, world.find(0, &of, |_| {}).await), (1, world.find(1, &of, |_| {}).await)];
        let retro = world.accepting_draft(&found).await;
        let id = retro.id.to_string();
        let waits = |state: &str| ("open".to_owned(), Some((id.clone(), state.to_owned())));
        assert_eq!(standing(&world).await, vec![waits("draft"); 2]);
        world.good("POST", &format!("/v1/changes/{id}/submit"), json!({})).await;
        assert_eq!(standing(&world).await, vec![waits("review"); 2]);
        let file = world.good("GET", &format!("/v1/changes/{id}"), ()).await;
        assert_eq!(file["findings"].as_array().unwrap().len(), 2, "reviewers see what hosts signed");
        let why = world.good("GET", &format!("/v1/why/web1/{id}"), ()).await;
        assert_eq!(why["code"], "change.retroactive");
        // The author is an approver of this site, and does not count here.
        let own = Statement::sign(world.approval(&retro, "lead", Decision::Approve), &key(1));
        let own = shared::wire::Approve { plan_set: retro.plan_set(), approval: own.envelope };
        let path = format!("/v1/changes/{id}/approvals");
        let told = answer(&world.good("POST", &path, &own).await);
        assert_eq!(told.state, "review");
        assert!(told.lines.iter().any(|line| line.contains("is the author")), "{:?}", told.lines);
        hear(&world).await;
        assert_eq!(standing(&world).await, vec![waits("review"); 2]);
        let told = answer(&world.approve(&retro, "peer").await);
        assert_eq!(told.state, "closed");
        assert!(told.lines.contains(&"accepted by peer".to_owned()), "{:?}", told.lines);
        assert_eq!(outcome(&world, &retro.id).await, "successful");
        hear(&world).await;
        assert_eq!(standing(&world).await, vec![("accepted".to_owned(), None); 2]);
        let file = world.good("GET", "/v1/findings/1", ()).await;
        assert_eq!(
            file["history"],
            json!([{ "at": world.now(), "by_person": "lead", "disposition": "accepted", "change": id,
                "reason": "Hotfix of last night (approved by lead, peer)" }])
        );
        let ci = world.good("GET", "/v1/cis/web2", ()).await;
        assert_eq!(
            (&ci["history"][0]["kind"], &ci["history"][0]["change_id"]),
            (&json!("accepted"), &json!(id))
        );
        assert!(world.listed().await.iter().all(|name| !name.starts_with(&id)), "hosts never get it");
        assert!(world.read(changes::wishes).await.is_empty(), "no host is asked for a plan");
        assert!(world.read(crate::ledger::check).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_open_findings_of_that_very_host_as_they_look_now_are_accepted_and_once() {
    for (mut world, of) in each().await {
        let (first, other) = (world.find(0, &of, |_| {}).await, world.find(1, &of, |_| {}).await);
        let id = world.number().await;
        let write = |found: &[(usize, Digest)], bend: &dyn Fn(&mut Change)| {
            let mut body = world.accepted(&id, 1, found);
            bend(&mut body);
            world.sign(body)
        };
        let nothing: &dyn Fn(&mut Change) = &|_| {};
        let unknown = Digest::of(b"never said");
        let before = world.checkpoint().await;
        for (what, change, code) in [
            ("nobody said it", write(&[(0, unknown)], nothing), "finding.not_recorded"),
            ("no finding at all", write(&[(0, of.change.digest)], nothing), "finding.not_recorded"),
            ("of another host", write(&[(0, other)], nothing), "finding.other_host"),
            ("none", write(&[], nothing), "change.refused"),
            (
                "with something to run",
                write(&[(0, first)], &|c| c.manifests = of.change.body.manifests.clone()),
                "change.refused",
            ),
            ("another key", write(&[(0, first)], &|c| c.targets[0].key = unknown), "change.bad_targets"),
            (
                "not signed by its author",
                Statement::sign(write(&[(0, first)], nothing).body, &key(2)),
                "change.refused",
            ),
        ] {
            assert_eq!(
                world.code("PUT", &door(&change), &change.envelope).await,
                code,
                "{}: {what}",
                world.engine
            );
        }
        let good = write(&[(0, first)], nothing);
        let wrong = format!("/v1/changes/{id}/revisions/1");
        assert_eq!(world.code("PUT", &wrong, &good.envelope).await, "change.retroactive");
        let normal = world.sign(world.change(&id, 1, &of.change.body.manifests[0]));
        assert_eq!(world.code("PUT", &door(&normal), &normal.envelope).await, "change.retroactive");
        assert_eq!(world.checkpoint().await, before, "refusals leave nothing behind");
        // Somebody was faster: ignored, and open again.
        judge_as(&world, 1, json!({ "disposition": "ignored", "until": MONTH })).await.unwrap();
        assert_eq!(world.code("PUT", &door(&good), &good.envelope).await, "finding.disposed");
        judge_as(&world, 1, json!({ "disposition": "open" })).await.unwrap();
        world.good("PUT", &door(&good), &good.envelope).await;
        // Two changes do not accept the same, and one does not become the other kind.
        let second = world.number().await;
        let again = world.sign(world.accepted(&second, 1, &[(0, first), (1, other)]));
        assert_eq!(world.code("PUT", &door(&again), &again.envelope).await, "change.finding_taken");
        let turned = world.sign(world.change(&id, 2, &of.change.body.manifests[0]));
        assert_eq!(
            world.code("PUT", &format!("/v1/changes/{id}/revisions/2"), &turned.envelope).await,
            "change.refused"
        );
        // It looks otherwise by now: what was said before is not what would be accepted.
        world.find(1, &of, looks_otherwise).await;
        let moved = world.sign(world.accepted(&second, 1, &[(1, other)]));
        assert_eq!(world.code("PUT", &door(&moved), &moved.envelope).await, "finding.moved");
    }
}

/// Judges one finding as it looks now.
async fn judge_as(world: &World, id: u64, more: Value) -> Result<(), String> {
    let line = world.good("GET", &format!("/v1/findings/{id}"), ()).await["line"].clone();
    let seen = json!([{ "id": id, "fingerprint": line["fingerprint"] }]);
    let mut wish = json!({ "findings": seen, "reason": "known" });
    wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, body) = world.call("POST", "/v1/finding-dispositions", wish).await;
    if status == 204 { Ok(()) } else { Err(body["code"].as_str().unwrap().to_owned()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_not_accepted_leaves_its_findings_open() {
    for (mut world, of) in each().await {
        let found = [(0, world.find(0, &of, |_| {}).await)];
        let post = |id: &ChangeId, what: &str| format!("/v1/changes/{id}/{what}");
        // While somebody reviews it, nobody judges it beside that.
        let rejected = world.accepting(&found).await;
        let other = json!({ "disposition": "confirmed" });
        assert_eq!(judge(&world, other).await, Err("finding.in_review".to_owned()));
        let no = world.approving(&rejected, "peer", Decision::Reject);
        let told = answer(&world.good("POST", &post(&rejected.id, "approvals"), &no).await);
        assert_eq!((told.state.as_str(), outcome(&world, &rejected.id).await), ("closed", json!("rejected")));
        assert_eq!(standing(&world).await, [open()]);
        // It is over: nobody can accept it any more.
        let late = world.approving(&rejected, "cora", Decision::Approve);
        assert_eq!(world.code("POST", &post(&rejected.id, "approvals"), &late).await, "change.state");
        let withdrawn = world.accepting(&found).await;
        world.good("POST", &post(&withdrawn.id, "withdraw"), json!({})).await;
        assert_eq!(standing(&world).await, [open()]);
        let failed = world.accepting(&found).await;
        for outcome in ["successful", "successful_with_issues", "rolled_back"] {
            let close = json!({ "outcome": outcome });
            assert_eq!(world.code("POST", &post(&failed.id, "close"), close).await, "change.state");
        }
        for action in ["halt", "resume"] {
            assert_eq!(world.code("POST", &post(&failed.id, action), json!({})).await, "change.state");
        }
        world
            .good(
                "POST",
                &post(&failed.id, "close"),
                json!({ "outcome": "failed", "note": "not what it seemed" }),
            )
            .await;
        assert_eq!(standing(&world).await, [open()]);
        let forgotten = world.accepting(&found).await;
        world.clock.set(world.now().plus(WEEK));
        let late = world.approving(&forgotten, "peer", Decision::Approve);
        assert_eq!(world.code("POST", &post(&forgotten.id, "approvals"), &late).await, "change.over");
        changes::tend(&world.node.db, world.now()).await.unwrap();
        assert_eq!(outcome(&world, &forgotten.id).await, "expired");
        hear(&world).await;
        assert_eq!(standing(&world).await, [open()]);
        judge(&world, json!({ "disposition": "confirmed" })).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_looks_otherwise_when_it_is_accepted_stays_open_and_what_was_put_back_stays_so() {
    for mut world in World::each(1, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |change| change.correct_until = Some(MONTH)).await;
        let second = |finding: &mut Finding| {
            finding.number = 2;
            finding.differences[0].resource = "file:/etc/issue".parse().unwrap();
        };
        let found = [
            (0, world.find(0, &of, |_| {}).await),
            (0, world.find(0, &of, second).await),
            (1, world.find(1, &of, |_| {}).await),
        ];
        let retro = world.accepting(&found).await;
        world.find(0, &of, looks_otherwise).await;
        assert_eq!(standing(&world).await[2], open(), "that is not what the change accepts");
        world.correct(1, &of, HostOutcome::Applied, 1).await;
        world.approve(&retro, "peer").await;
        hear(&world).await;
        let all: Vec<String> = standing(&world).await.into_iter().map(|(word, _)| word).collect();
        assert_eq!(all, ["reverted", "accepted", "open"], "{}", world.engine);
        // The news is handed over again, as after a crash between two writes.
        let key = retro.id.to_string();
        world.write(move |tx| store::accepted(tx, &key, NOW)).await.unwrap();
        let file = world.good("GET", "/v1/findings/2", ()).await;
        assert_eq!(file["history"].as_array().unwrap().len(), 1);
        // What looks otherwise may be accepted by another change; what was accepted may not.
        let newest = lines(&world, "").await.remove(2)["statement"].as_str().unwrap().parse().unwrap();
        world.accepting(&[(0, newest)]).await;
        let id = world.number().await;
        judge_as(&world, 2, json!({ "disposition": "open" })).await.unwrap();
        let again = world.sign(world.accepted(&id, 1, &found[1..2]));
        assert_eq!(world.code("PUT", &door(&again), &again.envelope).await, "change.finding_taken");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_anything_again_changes_nothing_and_a_new_revision_begins_anew() {
    for (mut world, of) in each().await {
        let found = [(0, world.find(0, &of, |_| {}).await), (1, world.find(1, &of, |_| {}).await)];
        let retro = world.accepting(&found).await;
        let size = world.checkpoint().await.size;
        world.good("PUT", &door(&retro.change), &retro.change.envelope).await;
        world.good("POST", &format!("/v1/changes/{}/submit", retro.id), json!({})).await;
        assert_eq!(world.checkpoint().await.size, size, "{}", world.engine);
        // The next revision leaves one finding out, which is free then, and has no approvals.
        let mut next = world.accepted(&retro.id, 2, &found[..1]);
        next.supersedes = Some(retro.change.digest);
        let next = world.sign(next);
        world.good("PUT", &door(&next), &next.envelope).await;
        let id = Some((retro.id.to_string(), "draft".to_owned()));
        assert_eq!(standing(&world).await, [open(), ("open".into(), id)]);
        let stale = world.approving(&retro, "peer", Decision::Approve);
        let path = format!("/v1/changes/{}/approvals", retro.id);
        assert_eq!(world.code("POST", &path, &stale).await, "approval.other_revision");
        world.good("POST", &format!("/v1/changes/{}/submit", retro.id), json!({})).await;
        let next = Reviewed { id: retro.id.clone(), change: next, plans: BTreeMap::new() };
        let sent = world.approving(&next, "peer", Decision::Approve);
        let told = world.good("POST", &path, &sent).await;
        let size = world.checkpoint().await.size;
        assert_eq!(world.good("POST", &path, &sent).await, told);
        assert_eq!(world.checkpoint().await.size, size, "{}", world.engine);
        hear(&world).await;
        assert_eq!(standing(&world).await, [open(), ("accepted".into(), None)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_that_accept_the_same_finding_at_once_one_does() {
    for (mut world, of) in each().await {
        let found = [(0, world.find(0, &of, |_| {}).await)];
        let second = world.second_node().await;
        let mut drafts = Vec::new();
        for _ in 0..4 {
            let id = world.number().await;
            drafts.push(world.sign(world.accepted(&id, 1, &found)));
        }
        let calls = drafts.iter().enumerate().map(|(n, change)| {
            let node: &Node = if n % 2 == 0 { &world.node } else { &second };
            let (world, path, body) = (&world, door(change), change.to_bytes());
            async move { world.call_on(node, ("PUT", &path), TOKEN, body).await.0 }
        });
        let mut statuses: Vec<u16> = futures_util::future::join_all(calls).await;
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409, 409, 409], "{}", world.engine);
    }
}
