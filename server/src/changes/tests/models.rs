//! Standard changes of a model on both databases: they begin once planned, and not more hosts a day than the model says.

use super::world::{NOW, Reviewed, World, answer};
use serde_json::json;
use shared::approval::Decision;
use shared::change::{Change, ChangeType, ManifestUse};
use shared::receipt::HostOutcome;
use shared::statement::Statement;

/// The model of the test site allows three hosts a day.
fn standard(change: &mut Change) {
    change.change_type = ChangeType::Standard;
    change.model = Some("patches".parse().unwrap());
    change.intervals.truncate(1);
    change.not_after = change.intervals[0].until;
}

async fn refused(world: &World, manifest: &ManifestUse, bend: impl Fn(&mut Change)) -> (String, String) {
    let id = world.number().await;
    let mut change = world.change(&id, 1, manifest);
    standard(&mut change);
    bend(&mut change);
    let change = world.sign(change);
    let (_, told) = world.call("PUT", &format!("/v1/changes/{id}/revisions/1"), &change.envelope).await;
    let text = told.to_string();
    (told["code"].as_str().unwrap_or_default().to_owned(), text)
}

#[actix_web::test]
async fn a_standard_change_begins_by_itself_when_its_hosts_have_planned() {
    for mut world in World::each(2, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, standard).await;
        assert!(world.listed().await.is_empty(), "{}", world.engine);
        world.begin_standard().await;
        world.begin_standard().await;
        assert_eq!(world.state(&of.id).await, "approved", "{}", world.engine);
        world.publish_waiting().await;
        assert_eq!(world.listed().await, [format!("{}.1", of.id)]);
        let bundle = world.bundle(&format!("change.{}.1.json", of.id)).await;
        assert_eq!((bundle.approvals.len(), bundle.plan_set.digest()), (0, of.plan_set().digest()));
        let course = world.good("GET", &format!("/v1/changes/{}/course", of.id), ()).await;
        let note = course[2]["note"].as_str().unwrap();
        assert_eq!(note, "2 hosts: model patches allows it without an approval: main/base ~1.0");
        world.clock.set(NOW.plus(3_700));
        world.report(0, &of, HostOutcome::Applied).await;
        assert_eq!(world.state(&of.id).await, "running");
        assert!(world.read(crate::ledger::check).await.is_empty());
    }
}

#[actix_web::test]
async fn without_all_plans_it_waits_for_its_window_and_a_no_ends_it() {
    for mut world in World::each(2, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let id = world.number().await;
        let mut change = world.change(&id, 1, &base);
        standard(&mut change);
        let change = world.sign(change);
        world.good("PUT", &format!("/v1/changes/{id}/revisions/1"), &change.envelope).await;
        world.good("POST", &format!("/v1/changes/{id}/submit"), json!({})).await;
        let plan = world.plan(&world.hosts[0], &change, "hello");
        world.send_plan(&world.hosts[0], &plan).await.unwrap();
        world.begin_standard().await;
        assert_eq!(world.state(&id).await, "in_review", "{}: one host has not planned", world.engine);
        world.clock.set(change.body.intervals[0].from);
        world.begin_standard().await;
        assert_eq!(world.state(&id).await, "approved");
        let plans = [(world.hosts[0].agent(), plan)].into_iter().collect();
        let of = Reviewed { id: id.clone(), change, plans };
        let path = format!("/v1/changes/{id}/approvals");
        let told = world.good("POST", &path, world.approving(&of, "peer", Decision::Reject)).await;
        assert_eq!(answer(&told).state, "closed");
        world.publish_waiting().await;
        assert!(world.listed().await.is_empty());
    }
}

#[actix_web::test]
async fn what_the_model_does_not_allow_is_refused_at_once_and_a_day_has_its_number() {
    for mut world in World::each(2, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let newer = world.publish("base", "1.1.0").await;
        for (manifest, why) in [(&newer, "is not main/base ~1.0"), (&base, "more than 24 hours")] {
            let late = |change: &mut Change| {
                if why.contains("24 hours") {
                    change.not_after = change.intervals[0].from.plus(86_401);
                }
            };
            let (code, told) = refused(&world, manifest, late).await;
            assert_eq!(code, "change.refused", "{told}");
            assert!(told.contains("policy.model") && told.contains(why), "{}: {told}", world.engine);
        }
        let of = world.in_review(&base, standard).await;
        // Two in review are not known to run yet; the first that begins takes its two of three.
        let second = world.in_review(&base, standard).await;
        world.begin_standard().await;
        assert_eq!(world.state(&of.id).await, "approved");
        assert_eq!(world.state(&second.id).await, "in_review", "{}: four of three", world.engine);
        // An approval is no way past the sum.
        let path = format!("/v1/changes/{}/approvals", second.id);
        let yes = world.approving(&second, "peer", Decision::Approve);
        assert_eq!(world.code("POST", &path, yes).await, "approval.refused");
        let (_, told) = refused(&world, &base, |_| ()).await;
        assert!(
            told.contains("allows 3 hosts a day; other changes of that time have 2, this one 2"),
            "{told}"
        );
        let one = |change: &mut Change| change.targets.truncate(1);
        let third = world.in_review(&base, |change| {
            standard(change);
            one(change);
        });
        let third = third.await;
        world.begin_standard().await;
        assert_eq!(world.state(&third.id).await, "approved", "three of three");
        // The next day is another one.
        let tomorrow = world.in_review(&base, |change| {
            change.intervals.remove(0);
            change.intervals[0].from = NOW.plus(86_400 + 3_600);
            change.intervals[0].until = NOW.plus(86_400 + 7_200);
            standard(change);
        });
        let tomorrow = tomorrow.await;
        world.begin_standard().await;
        assert_eq!(world.state(&tomorrow.id).await, "approved");
        let signed = Statement::<Change>::parse(&tomorrow.change.to_bytes()).unwrap();
        assert_eq!(signed.body.model, tomorrow.change.body.model);
    }
}
