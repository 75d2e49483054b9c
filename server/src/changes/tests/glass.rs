//! Somebody breaks the glass: it starts at once, an alarm says so, and nothing but a review by somebody else closes it.

use super::DAY;
use super::world::{NOW, Reviewed, World, answer, approver, key};
use crate::changes::approve::Sent;
use crate::changes::carried;
use serde_json::json;
use shared::approval::{Approval, BreakGlass, Decision};
use shared::policy::REVIEW_SECS;
use shared::receipt::HostOutcome;
use shared::statement::Statement;
use shared::wire::{Approve, ChangeLine};

fn broken(world: &World, of: &Reviewed, name: &str, bend: impl FnOnce(&mut Approval)) -> Approve {
    let mut word = Approval {
        expires: world.now().plus(3_600),
        breakglass: Some(BreakGlass { reason: "the shop is down".into(), by_hand: false }),
        ..world.approval(of, name, Decision::Approve)
    };
    bend(&mut word);
    // The administrator of the tests is the author of every change.
    let number = if name == "lead" { 1 } else { approver(name) };
    let approval = Statement::sign(word, &key(number));
    Approve { plan_set: of.plan_set(), approval: approval.envelope }
}

async fn line(world: &World, of: &Reviewed) -> ChangeLine {
    let file = world.good("GET", &format!("/v1/changes/{}", of.id), ()).await;
    serde_json::from_value(file["line"].clone()).unwrap()
}

#[actix_web::test]
async fn one_person_starts_it_and_somebody_else_reviews_it() {
    for mut world in World::each(2, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| ()).await;
        let path = format!("/v1/changes/{}/approvals", of.id);
        for (name, long) in [("peer", 3_600), ("cora", 4 * 3_600 + 1)] {
            let bad = broken(&world, &of, name, |a| a.expires = a.at.plus(long));
            let (_, told) = world.call("POST", &path, bad).await;
            assert!(told.to_string().contains("approval.breakglass"), "{}: {told}", world.engine);
        }
        assert!(world.listed().await.is_empty());
        let sent = broken(&world, &of, "cora", |_| ());
        let told = answer(&world.good("POST", &path, &sent).await);
        assert_eq!(told.state, "approved", "{}: {:?}", world.engine, told.lines);
        assert!(
            told.lines.iter().any(|line| line.contains("break-glass: person cora alone")),
            "{:?}",
            told.lines
        );
        assert_eq!(world.listed().await, [format!("{}.1", of.id)]);
        // Long before its window.
        world.report(0, &of, HostOutcome::Applied).await;
        assert_eq!(world.state(&of.id).await, "running");
        let due = NOW.plus(REVIEW_SECS);
        assert_eq!(line(&world, &of).await.review_due, Some(due), "{}", world.engine);
        let alarms = world.read(crate::receipts::list_alarms).await;
        let alarm = &alarms[0];
        assert_eq!(alarm.kind, "broken_glass", "{alarms:?}");
        assert_eq!(alarm.detail, format!("{} ran because cora broke the glass; review it by {due}", of.id));
        // Neither halting and withdrawing nor time leads past the review.
        world.good("POST", &format!("/v1/changes/{}/halt", of.id), json!({})).await;
        let withdraw = format!("/v1/changes/{}/withdraw", of.id);
        assert_eq!(world.code("POST", &withdraw, json!({})).await, "change.state");
        let no = world.approving(&of, "cora", Decision::Withdraw);
        world.good("POST", &path, no).await;
        assert_eq!(world.state(&of.id).await, "halted", "{}", world.engine);
        world.clock.set(NOW.plus(2 * DAY));
        crate::changes::tend(&world.node.db, world.now()).await.unwrap();
        assert_eq!(world.state(&of.id).await, "review");
        let close = format!("/v1/changes/{}/close", of.id);
        let silent = json!({"outcome": "successful", "note": " "});
        assert_eq!(world.code("POST", &close, silent).await, "change.review_note");
        let good = json!({"outcome": "successful_with_issues", "note": "it was the database"});
        world.good("POST", &close, good).await;
        let closed = line(&world, &of).await;
        assert_eq!((closed.state.as_str(), closed.review_due), ("closed", None));
        // What another host did by it comes before people again.
        world.report(1, &of, HostOutcome::Failed).await;
        let again = line(&world, &of).await;
        assert_eq!(again.state, "review", "{}", world.engine);
        assert!(again.review_due.is_some());
        assert!(world.read(crate::ledger::check).await.is_empty());
    }
}

#[actix_web::test]
async fn whoever_broke_the_glass_does_not_review_it() {
    for mut world in World::each(2, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| ()).await;
        let sent = broken(&world, &of, "lead", |_| ());
        world.good("POST", &format!("/v1/changes/{}/approvals", of.id), sent).await;
        world.report(0, &of, HostOutcome::Applied).await;
        assert_eq!(world.state(&of.id).await, "review");
        let close = format!("/v1/changes/{}/close", of.id);
        let own = json!({"outcome": "successful", "note": "all is well"});
        assert_eq!(world.code("POST", &close, own).await, "change.review_own", "{}", world.engine);
        assert_eq!(world.state(&of.id).await, "review");
        // The review waits for those who may approve, not for its author, who broke it.
        assert_eq!(world.good("GET", "/v1/inbox", ()).await, json!([]), "{}", world.engine);
        let peer = world.token("peer", "member").await;
        let (_, inbox) = world.call_on(&world.node, ("GET", "/v1/inbox"), &peer, vec![]).await;
        let inbox: serde_json::Value = serde_json::from_slice(&inbox).unwrap();
        assert_eq!(inbox[0]["kind"], "review", "{}: {inbox}", world.engine);
    }
}

#[actix_web::test]
async fn a_word_that_was_carried_by_hand_is_taken_in_afterwards_and_moves_nothing_by_itself() {
    for mut world in World::each(2, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| ()).await;
        let host = world.hosts[0].agent();
        let by_hand = |world: &World, name: &str, bend: &dyn Fn(&mut Approval)| {
            let Approve { approval, plan_set } = broken(world, &of, name, |word| {
                word.agents = Some(vec![host]);
                word.breakglass.as_mut().unwrap().by_hand = true;
                bend(word);
            });
            Sent { plan_set, approval: Statement::open(approval).unwrap() }
        };
        let word = by_hand(&world, "cora", &|_| ());
        let digest = word.approval.digest;
        let bent = [
            (
                "approval.breakglass",
                by_hand(&world, "cora", &|w| w.breakglass.as_mut().unwrap().by_hand = false),
            ),
            ("approval.breakglass", by_hand(&world, "cora", &|w| w.agents = None)),
            ("approval.breakglass", by_hand(&world, "peer", &|_| ())),
            ("approval.unknown_key", by_hand(&world, "cora", &|w| w.person = "peer".parse().unwrap())),
            (
                "approval.invalid",
                by_hand(&world, "cora", &|w| (w.at, w.expires) = (w.at.plus(DAY), w.expires.plus(DAY))),
            ),
            ("approval.plan_set", by_hand(&world, "cora", &|w| w.saw.plan_set = w.change)),
            ("other_revision", by_hand(&world, "cora", &|w| w.change = w.saw.plan_set)),
            ("change.unknown", by_hand(&world, "cora", &|w| w.change_id = "C-99".parse().unwrap())),
        ];
        // Its hours are long over when it comes here.
        world.clock.set(NOW.plus(DAY / 2));
        let now = world.now();
        for (code, sent) in bent {
            let sent = std::sync::Arc::new(sent);
            let refused = world.write(move |tx| carried::take_in(tx, &sent, now)).await.unwrap_err();
            assert!(format!("{refused:?}").contains(code), "{} {code}: {refused:?}", world.engine);
        }
        let word = std::sync::Arc::new(word);
        for _ in 0..2 {
            let word = word.clone();
            world.write(move |tx| carried::take_in(tx, &word, now)).await.unwrap();
            assert_eq!((world.state(&of.id).await.as_str(), world.listed().await.len()), ("in_review", 0));
        }
        let dossier = of.id.clone();
        let dossier = world.read(move |tx| crate::changes::dossier(tx, &dossier)).await;
        assert_eq!(dossier.approvals, [digest], "{}", world.engine);
        world.report(0, &of, HostOutcome::Applied).await;
        assert_eq!(world.state(&of.id).await, "review", "{}", world.engine);
        let alarms = world.read(crate::receipts::list_alarms).await;
        assert!(alarms[0].detail.contains("ran because cora broke the glass"), "{alarms:?}");
        assert!(world.read(crate::ledger::check).await.is_empty());
    }
}
