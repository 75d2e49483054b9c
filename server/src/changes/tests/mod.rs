//! Changes from draft to end on both databases, with documents signed as people and hosts sign them.

mod at_once;
mod conflicts;
mod glass;
mod halts;
mod invariants;
mod models;
mod retired;
mod series;
mod twice;
mod unapproved;
pub(crate) mod world;

use crate::kernel::error::Error;
use crate::kernel::jobs;
use serde_json::json;
use shared::approval::Decision;
use shared::change::{Change, Gate};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::receipt::HostOutcome;
use shared::refusal::Code;
use shared::risk::ActionClass;
use shared::statement::Statement;
use shared::summary::Summary;
use shared::wire::{ChangeFile, ChangeLine};
use world::{NOW, World, answer, approver, in_waves, key};

const DAY: i64 = 86_400;

fn plain(_: &mut Change) {}

#[actix_web::test]
async fn a_change_goes_its_whole_way() {
    for mut world in World::each(1, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, plain).await;
        assert!(world.listed().await.is_empty(), "{}", world.engine);
        let told = answer(&world.approve(&of, "peer").await);
        assert_eq!(told.state, "approved");
        assert!(told.lines.contains(&"2 hosts: approved by peer".to_owned()), "{:?}", told.lines);
        assert_eq!(world.listed().await, [format!("{}.1", of.id)]);
        let bundle = world.bundle(&format!("change.{}.1.json", of.id)).await;
        assert_eq!(
            (bundle.change.digest, bundle.plan_set.digest()),
            (of.change.digest, of.plan_set().digest())
        );
        world.clock.set(NOW.plus(3_700));
        world.report(0, &of, HostOutcome::Applied).await;
        assert_eq!(world.state(&of.id).await, "running");
        world.report(1, &of, HostOutcome::Applied).await;
        assert_eq!(world.state(&of.id).await, "review");
        world.publish_waiting().await;
        assert!(world.listed().await.is_empty(), "nothing active, nothing listed");
        let close = json!({"outcome": "successful", "note": "as planned"});
        let line: ChangeLine =
            serde_json::from_value(world.good("POST", &format!("/v1/changes/{}/close", of.id), &close).await)
                .unwrap();
        assert_eq!((line.state.as_str(), line.outcome.as_deref()), ("closed", Some("successful")));
        assert_eq!((line.targets, line.plans, line.reported), (2, 2, 2));
        let file: ChangeFile =
            serde_json::from_value(world.good("GET", &format!("/v1/changes/{}", of.id), ()).await).unwrap();
        assert_eq!((file.plans.len(), file.approvals.len(), file.receipts.len()), (2, 1, 2));
        let course = world.good("GET", &format!("/v1/changes/{}/course", of.id), ()).await;
        let events: Vec<_> =
            course.as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap()).collect();
        assert_eq!(events, ["revise", "submit", "the quorum", "a receipt", "finish", "close"]);
        assert!(world.read(crate::ledger::check).await.is_empty());
    }
}

#[actix_web::test]
async fn sending_anything_again_changes_nothing() {
    for mut world in World::each(2, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, plain).await;
        let sent = world.approving(&of, "peer", Decision::Approve);
        let path = format!("/v1/changes/{}/approvals", of.id);
        let first = world.good("POST", &path, &sent).await;
        assert_eq!(answer(&first).state, "in_review", "one of two");
        let size = world.checkpoint().await.size;
        assert_eq!(world.good("POST", &path, &sent).await, first, "{}", world.engine);
        let plan = &of.plans[&world.hosts[0].agent()];
        world.send_plan(&world.hosts[0], plan).await.unwrap();
        let revision = format!("/v1/changes/{}/revisions/1", of.id);
        world.good("PUT", &revision, &of.change.envelope).await;
        world.good("POST", &format!("/v1/changes/{}/submit", of.id), json!({})).await;
        assert_eq!(world.checkpoint().await.size, size, "no replay adds a leaf");
        assert_eq!(answer(&world.approve(&of, "cora").await).state, "approved");
        world.good("POST", &path, &sent).await;
        assert_eq!(world.listed().await.len(), 1);
    }
}

#[actix_web::test]
async fn a_revision_that_breaks_a_rule_is_refused() {
    for mut world in World::each(1, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, plain).await;
        let bend = |change: &dyn Fn(&mut Change)| {
            let mut body = world.change(&of.id, 2, &base);
            change(&mut body);
            world.sign(body)
        };
        let mut unknown = base.clone();
        unknown.sha256 = shared::digest::Digest::of(b"never published");
        let stranger = key(77).public();
        let target = shared::change::Target { agent: stranger.agent_id(), key: stranger.digest() };
        let forged = Statement::sign(world.change(&of.id, 2, &base), &key(approver("peer")));
        let cases: Vec<(&str, Statement<Change>, &str)> = vec![
            ("another number", bend(&|c| c.revision = 3), "change.refused"),
            ("another change", bend(&|c| c.change_id = "C-99".parse().unwrap()), "change.refused"),
            ("another site", bend(&|c| c.site = "ffffffffffffffff".parse().unwrap()), "change.refused"),
            ("no undo plan", bend(&|c| c.undo.text = " ".into()), "change.refused"),
            ("not the author's key", forged, "change.refused"),
            ("another person's name", bend(&|c| c.author = "peer".parse().unwrap()), "change.other_author"),
            (
                "already over",
                bend(&|c| {
                    (c.not_after, c.intervals) =
                        (NOW, vec![shared::time::Interval { from: NOW.plus(-9), until: NOW }])
                }),
                "change.over",
            ),
            ("created in the future", bend(&|c| c.created = NOW.plus(DAY)), "change.refused"),
            (
                "an unpublished manifest",
                bend(&|c| c.manifests = vec![unknown.clone()]),
                "change.manifest_unknown",
            ),
            (
                "another version than published",
                bend(&|c| c.manifests[0].version = semver::Version::new(1, 0, 1)),
                "change.refused",
            ),
            ("an unknown host", bend(&|c| c.targets = vec![target]), "change.bad_targets"),
            ("another key of a host", bend(&|c| c.targets[0].key = target.key), "change.bad_targets"),
            ("supersedes something else", bend(&|c| c.supersedes = Some(target.key)), "change.refused"),
        ];
        let before = world.checkpoint().await;
        let path = format!("/v1/changes/{}/revisions/2", of.id);
        for (what, change, code) in cases {
            assert_eq!(world.code("PUT", &path, &change.envelope).await, code, "{}: {what}", world.engine);
        }
        let first = format!("/v1/changes/{}/revisions/1", of.id);
        let other = world.sign(Change { title: "Other".into(), ..of.change.body.clone() });
        assert_eq!(world.code("PUT", &first, &other.envelope).await, "change.revision_taken");
        let third = world.sign(world.change(&of.id, 3, &base));
        let path3 = format!("/v1/changes/{}/revisions/3", of.id);
        assert_eq!(world.code("PUT", &path3, &third.envelope).await, "change.not_next");
        assert_eq!(world.code("PUT", &path, json!({"payload": 1})).await, "request.bad_json");
        assert_eq!(world.checkpoint().await, before, "refusals leave nothing behind");
        let ci = world.good("GET", "/v1/hosts", ()).await[0]["ci"].as_str().unwrap().to_owned();
        world.good("POST", &format!("/v1/hosts/{ci}/disable"), json!({ "reason": "test" })).await;
        assert_eq!(world.code("PUT", &path, &bend(&plain).envelope).await, "change.bad_targets");
    }
}

#[actix_web::test]
async fn a_new_revision_voids_everything_said_about_the_old_one() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, plain).await;
        world.approve(&of, "peer").await;
        assert_eq!(world.listed().await.len(), 1);
        let second =
            world.sign(Change { supersedes: Some(of.change.digest), ..world.change(&of.id, 2, &base) });
        let line = world.good("PUT", &format!("/v1/changes/{}/revisions/2", of.id), &second.envelope).await;
        assert_eq!((line["state"].as_str(), line["plans"].as_u64()), (Some("draft"), Some(0)));
        assert!(world.listed().await.is_empty(), "{}", world.engine);
        let old = world.approving(&of, "cora", Decision::Approve);
        let path = format!("/v1/changes/{}/approvals", of.id);
        assert_eq!(world.code("POST", &path, old).await, "approval.other_revision");
        let late = world.plan(&world.hosts[0], &of.change, "other");
        assert_eq!(refusal(world.send_plan(&world.hosts[0], &late).await), "plan.not_wanted");
    }
}

fn refusal(result: Result<(), Error>) -> &'static str {
    result.unwrap_err().as_refusal().code
}

#[actix_web::test]
async fn only_the_hosts_own_plan_for_the_wished_revision_is_taken() {
    for mut world in World::each(2, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let wishes = async |world: &World| world.read(super::wishes).await.len();
        let mut of = world.in_review(&base, plain).await;
        assert_eq!(wishes(&world).await, 0, "{}: both have planned", world.engine);
        let (first, second) = (&world.hosts[0], &world.hosts[1]);
        let plan = world.plan(first, &of.change, "newer");
        let mut unknown = of.change.clone();
        unknown.digest = shared::digest::Digest::of(b"unknown");
        let mut misnamed = of.change.clone();
        misnamed.body.revision = 7;
        assert_eq!(refusal(world.send_plan(second, &plan).await), "plan.other_agent");
        assert_eq!(
            refusal(world.send_plan(first, &world.plan(first, &unknown, "x")).await),
            "plan.unknown_change"
        );
        assert_eq!(
            refusal(world.send_plan(first, &world.plan(first, &misnamed, "x")).await),
            "plan.other_change"
        );
        let stranger = world::Host::stranger(90);
        assert_eq!(
            refusal(world.send_plan(&stranger, &world.plan(&stranger, &of.change, "x")).await),
            "plan.no_target"
        );
        // Before any approval a newer plan replaces the older one; approving the older one then fails.
        world.send_plan(first, &plan).await.unwrap();
        let path = format!("/v1/changes/{}/approvals", of.id);
        let stale = world.approving(&of, "peer", Decision::Approve);
        assert_eq!(world.code("POST", &path, stale).await, "approval.stale_plans");
        of.plans.insert(first.agent(), plan);
        assert_eq!(answer(&world.approve(&of, "peer").await).state, "in_review");
        let later = world.plan(first, &of.change, "after the approval");
        assert_eq!(refusal(world.send_plan(first, &later).await), "plan.not_wanted");
        // Nobody stands behind the plans any more: planning is free again.
        world.clock.set(NOW.plus(1));
        let withdrawn = world.approving(&of, "peer", Decision::Withdraw);
        world.good("POST", &path, withdrawn).await;
        world.send_plan(first, &later).await.unwrap();
    }
}

#[actix_web::test]
async fn an_approval_that_hosts_would_not_accept_is_refused() {
    for mut world in World::each(2, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, plain).await;
        let path = format!("/v1/changes/{}/approvals", of.id);
        let sign = |bend: &dyn Fn(&mut shared::approval::Approval), number: u8| {
            let mut body = world.approval(&of, "peer", Decision::Approve);
            bend(&mut body);
            shared::wire::Approve {
                plan_set: of.plan_set(),
                approval: Statement::sign(body, &key(number)).envelope,
            }
        };
        let peer = approver("peer");
        let mut smaller = of.plan_set();
        smaller.plans.remove(&world.hosts[0].agent());
        let mut empty = of.plan_set();
        empty.plans.clear();
        let mut invented = of.plan_set();
        invented.plans.insert(world.hosts[0].agent(), shared::digest::Digest::of(b"no plan"));
        let with = |set: &shared::plan::PlanSet| {
            let mut sent = sign(&|a| a.saw.plan_set = set.digest(), peer);
            sent.plan_set = set.clone();
            sent
        };
        let mut other_set = sign(&|_| {}, peer);
        other_set.plan_set = smaller.clone();
        for (what, sent, code) in [
            ("a key of somebody else", sign(&|_| {}, approver("cora")), "approval.refused"),
            ("the author's key", sign(&|_| {}, 1), "approval.refused"),
            ("expired", sign(&|a| a.expires = NOW, peer), "approval.refused"),
            ("signed in the future", sign(&|a| a.at = NOW.plus(DAY), peer), "approval.refused"),
            (
                "another site",
                sign(&|a| a.site = "ffffffffffffffff".parse().unwrap(), peer),
                "approval.refused",
            ),
            ("another change", sign(&|a| a.change_id = "C-9".parse().unwrap(), peer), "approval.refused"),
            (
                "another revision",
                sign(&|a| a.change = shared::digest::Digest::of(b"x"), peer),
                "approval.other_revision",
            ),
            ("another plan set than signed", other_set, "approval.refused"),
            ("an empty plan set", with(&empty), "approval.refused"),
            ("an invented plan", with(&invented), "approval.stale_plans"),
        ] {
            assert_eq!(world.code("POST", &path, sent).await, code, "{}: {what}", world.engine);
        }
        // The first approval proposes the plan set; only one that holds it and more takes its place.
        world.good("POST", &path, with(&smaller)).await;
        let full = world.approving(&of, "cora", Decision::Approve);
        world.good("POST", &path, &full).await;
        assert_eq!(world.state(&of.id).await, "in_review", "approvals of fewer hosts do not count for more");
        let again = sign(&|a| (a.saw.plan_set, a.at) = (smaller.digest(), NOW.plus(1)), peer);
        let again = shared::wire::Approve { plan_set: smaller.clone(), ..again };
        world.clock.set(NOW.plus(1));
        assert_eq!(world.code("POST", &path, again).await, "approval.other_plan_set");
        // Without anybody behind the larger set the smaller one stands again.
        let mut withdraw = world.approving(&of, "cora", Decision::Withdraw);
        withdraw.plan_set = of.plan_set();
        world.good("POST", &path, withdraw).await;
        let planned = world.good("GET", &format!("/v1/changes/{}", of.id), ()).await;
        assert_eq!(planned["plan_set"]["plans"].as_object().unwrap().len(), 1);
        world.clock.set(NOW.plus(2));
        world.good("POST", &path, world.approving(&of, "cora", Decision::Approve)).await;
        world.good("POST", &path, world.approving(&of, "peer", Decision::Approve)).await;
        assert_eq!(world.state(&of.id).await, "approved");
    }
}

#[actix_web::test]
async fn the_author_does_not_count_and_one_person_counts_once() {
    for mut world in World::each(2, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, plain).await;
        let path = format!("/v1/changes/{}/approvals", of.id);
        let own = Statement::sign(world.approval(&of, "lead", Decision::Approve), &key(1)).envelope;
        let told =
            world.good("POST", &path, shared::wire::Approve { plan_set: of.plan_set(), approval: own }).await;
        assert!(
            answer(&told).lines.iter().any(|line| line.contains("person lead not counted, is the author")),
            "{told}"
        );
        world.approve(&of, "peer").await;
        world.clock.set(NOW.plus(5));
        assert_eq!(answer(&world.approve(&of, "peer").await).state, "in_review", "{}", world.engine);
        assert_eq!(answer(&world.approve(&of, "cora").await).state, "approved");
    }
}

#[actix_web::test]
async fn a_rejection_and_a_withdrawal_end_a_change() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        for (decision, outcome) in [(Decision::Reject, "rejected"), (Decision::Withdraw, "withdrawn")] {
            let of = world.in_review(&base, plain).await;
            world.approve(&of, "peer").await;
            world.clock.set(world.now().plus(1));
            let path = format!("/v1/changes/{}/approvals", of.id);
            world.good("POST", &path, world.approving(&of, "peer", decision)).await;
            let line = world.good("GET", &format!("/v1/changes/{}", of.id), ()).await["line"].clone();
            assert_eq!((line["state"].as_str(), line["outcome"].as_str()), (Some("closed"), Some(outcome)));
            assert!(world.listed().await.is_empty(), "{} {outcome}", world.engine);
            assert_eq!(
                world.code("POST", &path, world.approving(&of, "cora", Decision::Approve)).await,
                "change.state"
            );
        }
    }
}

/// A change whose approval stands for nine days, done and closed; it is listed all the same.
async fn standing(world: &mut World) -> world::Reviewed {
    let base = world.publish("base", "1.0.0").await;
    let of = world.in_review(&base, |change| change.correct_until = Some(NOW.plus(9 * DAY))).await;
    world.approve(&of, "peer").await;
    world.clock.set(NOW.plus(3_700));
    world.report(0, &of, HostOutcome::Applied).await;
    world.publish_waiting().await;
    assert_eq!((world.state(&of.id).await.as_str(), world.listed().await.len()), ("review", 1));
    let close = json!({ "outcome": "successful" });
    world.good("POST", &format!("/v1/changes/{}/close", of.id), close).await;
    assert_eq!(world.listed().await.len(), 1, "{}", world.engine);
    of
}

#[actix_web::test]
async fn what_an_approval_stands_for_is_listed_until_somebody_or_the_time_ends_it() {
    for mut world in World::each(1, 1).await {
        let of = standing(&mut world).await;
        // What hosts put back moves nothing.
        world.find(0, &of, |_| {}).await;
        world.correct(0, &of, HostOutcome::Applied, 1).await;
        let file: ChangeFile =
            serde_json::from_value(world.good("GET", &format!("/v1/changes/{}", of.id), ()).await).unwrap();
        assert_eq!((file.line.state.as_str(), file.receipts.len()), ("closed", 1));
        // An operator's word.
        let path = format!("/v1/changes/{}/stop-correcting", of.id);
        world.good("POST", &path, json!({ "note": "enough" })).await;
        world.good("POST", &path, json!({})).await;
        assert!(world.listed().await.is_empty(), "{}", world.engine);
        let course = world.good("GET", &format!("/v1/changes/{}/course", of.id), ()).await;
        let last = course.as_array().unwrap().last().unwrap().clone();
        assert_eq!(
            (last["event"].as_str(), last["note"].as_str()),
            (Some("stop_correcting"), Some("enough"))
        );
    }
    for mut world in World::each(1, 1).await {
        // A person takes the word back.
        let of = standing(&mut world).await;
        let path = format!("/v1/changes/{}/approvals", of.id);
        let again = world.approving(&of, "cora", Decision::Approve);
        assert_eq!(world.code("POST", &path, again).await, "change.state");
        world.clock.set(world.now().plus(1));
        world.good("POST", &path, world.approving(&of, "peer", Decision::Withdraw)).await;
        assert!(world.listed().await.is_empty(), "{}", world.engine);
    }
    for mut world in World::each(1, 1).await {
        // The time is over.
        standing(&mut world).await;
        world.clock.set(NOW.plus(9 * DAY));
        crate::changes::tend(&world.node.db, world.now()).await.unwrap();
        world.publish_waiting().await;
        assert!(world.listed().await.is_empty(), "{}", world.engine);
    }
}

#[actix_web::test]
async fn while_hosts_run_a_rejection_takes_the_bundle_away() {
    for mut world in World::each(1, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, plain).await;
        world.approve(&of, "peer").await;
        world.clock.set(NOW.plus(3_700));
        world.report(0, &of, HostOutcome::Failed).await;
        let path = format!("/v1/changes/{}/approvals", of.id);
        world.good("POST", &path, world.approving(&of, "cora", Decision::Reject)).await;
        assert_eq!(world.state(&of.id).await, "running", "an operator decides, {}", world.engine);
        assert!(world.listed().await.is_empty());
        world.clock.set(NOW.plus(3_800));
        world.good("POST", &path, world.approving(&of, "cora", Decision::Approve)).await;
        assert_eq!(world.listed().await.len(), 1, "its person may change the mind");
    }
}

#[actix_web::test]
async fn halting_stops_and_resuming_goes_on() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, plain).await;
        let act = |action: &str| format!("/v1/changes/{}/{action}", of.id);
        assert_eq!(world.code("POST", &act("halt"), json!({})).await, "change.state");
        world.approve(&of, "peer").await;
        let halted = async |world: &World| {
            let now = world.now();
            let name = "control.json".parse().unwrap();
            let trusted = world.read(move |tx| crate::manifests::tests::as_client(tx, now)).await;
            let file = *trusted.find(&name).unwrap().unwrap();
            let (bytes, _) = world
                .node
                .repository
                .files
                .get(&world.node.db, &name.served_as(&file))
                .await
                .unwrap()
                .unwrap();
            shared::bundle::Control::parse(&bytes).unwrap().halted
        };
        for (action, state, expected) in [
            ("halt", "halted", vec![of.id.clone()]),
            ("halt", "halted", vec![of.id.clone()]),
            ("resume", "running", vec![]),
        ] {
            assert_eq!(world.good("POST", &act(action), json!({})).await["state"], state);
            assert_eq!(halted(&world).await, expected, "{}", world.engine);
            assert_eq!(world.listed().await.len(), 1);
        }
        world.good("POST", &act("halt"), json!({})).await;
        for outcome in ["rejected", "withdrawn", "expired"] {
            assert_eq!(
                world.code("POST", &act("close"), json!({"outcome": outcome})).await,
                "change.not_a_judgement"
            );
        }
        world.good("POST", &act("close"), json!({"outcome": "failed", "note": "stopped"})).await;
        assert!(halted(&world).await.is_empty() && world.listed().await.is_empty());
    }
}

/// Whose receipts these are summaries of, and whether they tell of a success.
fn told(ends: &[Envelope]) -> Vec<(Digest, bool)> {
    let read = |end: &Envelope| Statement::<Summary>::open(end.clone()).unwrap().body;
    ends.iter().map(read).map(|end| (end.receipt, end.outcome.is_success())).collect()
}

#[actix_web::test]
async fn the_next_wave_gets_the_receipts_of_the_one_before() {
    for mut world in World::each(1, 3).await {
        let base = world.publish("base", "1.0.0").await;
        let waves = |change: &mut Change| {
            in_waves(change);
            change.waves[2].gate = Some(Gate { min_success: 2, max_fail: 0, soak_s: 60 });
        };
        let of = world.in_review(&base, waves).await;
        world.approve(&of, "peer").await;
        let name = format!("change.{}.1.json", of.id);
        assert!(world.gate(&of.id, 1).await.is_none());
        let listed = world.bundle(&name).await;
        world.clock.set(NOW.plus(3_700));
        let receipt = world.report(0, &of, HostOutcome::Applied).await;
        world.publish_waiting().await;
        let bundle = world.bundle(&name).await;
        assert_eq!(bundle, listed, "what all hosts of the change read stays as it is");
        let ends = world.gate(&of.id, 1).await.unwrap();
        assert_eq!(told(&ends), [(receipt, true)]);
        assert!(world.gate(&of.id, 2).await.is_none(), "not decided yet");
        let second = world.hosts[1].agent();
        let (control, reach) = Default::default();
        let turn = |at| shared::admit::open_gate(&bundle.change, &control, &ends, &reach, second, at);
        assert_eq!(
            turn(NOW.plus(3_710)).unwrap_err().code,
            Code::WaveGate,
            "{}: still watched",
            world.engine
        );
        assert_eq!(turn(NOW.plus(3_800)).unwrap().wave(), 1);
        world.publish_waiting().await;
        assert_eq!(world.gate(&of.id, 1).await.unwrap(), ends);
        world.clock.set(NOW.plus(3_800));
        world.report(1, &of, HostOutcome::Failed).await;
        world.publish_waiting().await;
        assert_eq!(
            world.gate(&of.id, 1).await.unwrap(),
            ends,
            "{}: nothing new for the second one",
            world.engine
        );
        let all = world.gate(&of.id, 2).await.unwrap();
        assert_eq!(all.len(), 2, "{}: the last wave hears of both", world.engine);
        assert_eq!((told(&all)[0].1, told(&all)[1]), (false, (receipt, true)), "failures come first");
        // Nothing of it stays when the change is over.
        world.good("POST", &format!("/v1/changes/{}/halt", of.id), json!({})).await;
        world
            .good("POST", &format!("/v1/changes/{}/close", of.id), json!({"outcome": "failed", "note": "no"}))
            .await;
        assert!(world.gate(&of.id, 1).await.is_none() && world.gate(&of.id, 2).await.is_none());
    }
}

#[actix_web::test]
async fn the_clock_ends_what_people_forgot() {
    for mut world in World::each(1, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let reviewed = world.in_review(&base, plain).await;
        let approved = world.in_review(&base, plain).await;
        world.approve(&approved, "peer").await;
        let running = world.in_review(&base, plain).await;
        world.approve(&running, "peer").await;
        world.clock.set(NOW.plus(3_700));
        world.report(0, &running, HostOutcome::Applied).await;
        super::tend(&world.node.db, NOW.plus(2 * DAY - 1)).await.unwrap();
        assert_eq!(world.state(&approved.id).await, "approved", "{}", world.engine);
        world.clock.set(NOW.plus(2 * DAY));
        super::tend(&world.node.db, world.now()).await.unwrap();
        for (of, state) in [(&reviewed, "closed"), (&approved, "closed"), (&running, "review")] {
            assert_eq!(world.state(&of.id).await, state, "{}", world.engine);
        }
        let node = &world.node;
        node.repository.prepare(&node.db, &world.config, world.now()).await.unwrap();
        world.publish_waiting().await;
        assert!(world.listed().await.is_empty());
        let line = world.good("GET", &format!("/v1/changes/{}", approved.id), ()).await["line"].clone();
        assert_eq!(line["outcome"], "expired");
        super::tend(&world.node.db, world.now()).await.unwrap();
        assert_eq!(
            super::jobs(&node.db, &node.repository).len(),
            4,
            "all are scheduled: {}",
            jobs::Job::lease_name("changes.tend")
        );
    }
}

/// Whoever writes the database directly gets a label on a page and nothing on a machine.
#[actix_web::test]
async fn a_state_written_into_the_database_lists_nothing() {
    for mut world in World::each(2, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, plain).await;
        world.sql("UPDATE change SET state = 'approved', unpublished = TRUE").await;
        world.refresh_all().await.unwrap();
        assert!(world.listed().await.is_empty(), "{}: nobody approved", world.engine);
        world.sql("UPDATE change SET state = 'in_review'").await;
        world.approve(&of, "peer").await;
        world.sql("UPDATE change SET state = 'approved', unpublished = TRUE").await;
        world.refresh_all().await.unwrap();
        assert!(world.listed().await.is_empty(), "{}: one of two", world.engine);
        // The recorded plan says less than the signed one: the signed one is what counts.
        world.sql("UPDATE change_approval SET person = 'cora', decision = 'approve'").await;
        world.sql("UPDATE change SET unpublished = TRUE").await;
        world.refresh_all().await.unwrap();
        assert!(world.listed().await.is_empty(), "{}: a column is no signature", world.engine);
    }
}

#[actix_web::test]
async fn a_plan_with_more_than_the_author_allowed_is_never_carried() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |change| change.action_classes = [ActionClass::Package].into()).await;
        let told = answer(&world.approve(&of, "peer").await);
        assert_eq!(told.state, "in_review", "{}", world.engine);
        assert!(told.lines.iter().any(|line| line.contains("plan.class")), "{:?}", told.lines);
        world.sql("UPDATE change_plan SET action_classes = '[\"package\"]'").await;
        world.sql("UPDATE change SET state = 'approved', unpublished = TRUE").await;
        world.refresh_all().await.unwrap();
        assert!(world.listed().await.is_empty(), "{}: the plan itself is read again", world.engine);
    }
}

/// Two processes take approvals, plans and publications at once.
#[actix_web::test]
async fn two_nodes_approve_different_changes_at_once() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let mut reviewed = Vec::new();
        for _ in 0..6 {
            reviewed.push(world.in_review(&base, plain).await);
        }
        let second = world.second_node().await;
        let before = world.node.repository.files.timestamp_version(&world.node.db).await.unwrap();
        let calls = reviewed.iter().enumerate().map(|(n, of)| {
            let node = if n % 2 == 0 { &world.node } else { &second };
            let body = shared::strict::to_json(&world.approving(of, "peer", Decision::Approve));
            let path = format!("/v1/changes/{}/approvals", of.id);
            let world = &world;
            async move { world.call_on(node, ("POST", &path), world::TOKEN, body).await }
        });
        for (status, body) in futures_util::future::join_all(calls).await {
            assert_eq!(status, 200, "{} {}", world.engine, String::from_utf8_lossy(&body));
        }
        assert_eq!(world.listed().await.len(), 6);
        // A node never gives hosts an older timestamp than the one it tells them of, however fresh its memory is.
        second.repository.files.timestamp_version(&second.db).await.unwrap();
        world.publish("later", "1.0.0").await;
        second.board.refresh(&second.db).await.unwrap();
        let announced = second.board.timestamp_version();
        let files = &second.repository.files;
        let (bytes, _) = files.get_announced(&second.db, "timestamp.json", announced).await.unwrap().unwrap();
        let given: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert!(announced > before + 6 && given["signed"]["version"] == announced, "{announced} {given}");
        world.node.repository.files.expire();
        let after = world.node.repository.files.timestamp_version(&world.node.db).await.unwrap();
        assert_eq!(after, before + 7, "{}: each listing has its own timestamp", world.engine);
        assert!(world.read(crate::ledger::check).await.is_empty());
    }
}

#[actix_web::test]
async fn lists_are_filtered_and_unknown_things_are_told() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, plain).await;
        world.good("POST", "/v1/changes", json!({})).await;
        let list = async |query: &str| {
            let all = world.good("GET", &format!("/v1/changes{query}"), ()).await;
            all.as_array()
                .unwrap()
                .iter()
                .map(|l| l["change_id"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(list("").await, ["C-2", "C-1"], "{}", world.engine);
        assert_eq!(list("?state=in_review").await, [of.id.as_str()]);
        assert_eq!(list("?before=C-2").await, [of.id.as_str()]);
        assert_eq!(world.code("GET", "/v1/changes?state=sleeping", ()).await, "change.unknown_state");
        assert_eq!(world.code("GET", "/v1/changes/C-9", ()).await, "change.unknown");
        assert_eq!(world.code("GET", "/v1/changes/C-2", ()).await, "change.no_revision");
        assert_eq!(world.code("POST", "/v1/changes/C-2/submit", json!({})).await, "change.no_revision");
        assert_eq!(world.code("GET", "/v1/changes/X-2", ()).await, "request.bad_parameter");
        assert_eq!(world.code("POST", "/v1/changes", json!({"id": "C-7"})).await, "request.bad_json");
    }
}

#[actix_web::test]
async fn changes_are_listed_page_by_page_and_one_is_found_among_any_number() {
    for world in World::each(1, 1).await {
        let mut made = Vec::new();
        for _ in 0..5 {
            made.push(world.good("POST", "/v1/changes", json!({})).await["change_id"].clone());
        }
        made.reverse();
        let ids = async |asked: &str| -> Vec<serde_json::Value> {
            let listed = world.good("GET", &format!("/v1/changes?{asked}"), ()).await;
            listed.as_array().unwrap().iter().map(|line| line["change_id"].clone()).collect()
        };
        let named = |of: &serde_json::Value| of.as_str().unwrap().to_owned();
        assert_eq!(ids("limit=2").await, made[..2], "{}", world.engine);
        assert_eq!(ids(&format!("limit=2&before={}", named(&made[1]))).await, made[2..4]);
        assert_eq!(ids(&format!("limit=2&before={}", named(&made[3]))).await, made[4..]);
        assert_eq!(ids(&format!("id={}", named(&made[4]))).await, made[4..]);
        assert_eq!(world.code("GET", "/v1/changes?limit=0", ()).await, "ci.bad_page");
        assert_eq!(world.code("GET", "/v1/changes?limit=201", ()).await, "ci.bad_page");
        assert_eq!(world.code("GET", "/v1/changes?id=C-9999", ()).await, "change.unknown");
        assert_eq!(world.code("GET", "/v1/hosts?limit=5001", ()).await, "ci.bad_page");
        assert_eq!(world.code("GET", "/v1/hosts?after=web1", ()).await, "request.bad_parameter");
        assert_eq!(world.code("GET", "/v1/hosts?limits=1", ()).await, "request.bad_parameter");
    }
}
