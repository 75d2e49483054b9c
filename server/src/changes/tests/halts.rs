//! What stops a change without a person, and hosts that persons stop waiting for.

use super::world::{NOW, World, approver, key};
use serde_json::{Value, json};
use shared::approval::Decision;
use shared::receipt::HostOutcome;
use shared::statement::Statement;
use shared::wire::Approve;

async fn last_step(world: &World, id: &shared::ids::ChangeId) -> Value {
    let course = world.good("GET", &format!("/v1/changes/{id}/course"), ()).await;
    course.as_array().unwrap().last().unwrap().clone()
}

#[actix_web::test]
async fn too_many_failures_halt_a_change_and_whoever_resumes_it_begins_the_count_anew() {
    for mut world in World::each(1, 6).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |change| change.halt_above = Some(1)).await;
        world.approve(&of, "peer").await;
        world.clock.set(NOW.plus(3_700));
        world.report(0, &of, HostOutcome::Failed).await;
        assert_eq!(world.state(&of.id).await, "running", "{}: one may fail", world.engine);
        world.report(1, &of, HostOutcome::RolledBack).await;
        assert_eq!(world.state(&of.id).await, "halted", "{}", world.engine);
        let step = last_step(&world, &of.id).await;
        assert_eq!((step["event"].as_str(), step["person"].as_str()), (Some("halt"), None));
        assert_eq!(step["note"], "2 hosts have failed; the change halts by itself above 1");
        // It says so in the ledger too, and hosts hear of it with the next control file.
        world.publish_waiting().await;
        let control = world.file(&"control.json".parse().unwrap()).await.unwrap();
        assert_eq!(shared::bundle::Control::parse(&control).unwrap().halted, std::slice::from_ref(&of.id));
        let resume = format!("/v1/changes/{}/resume", of.id);
        world.good("POST", &resume, json!({ "note": "two old disks" })).await;
        world.report(2, &of, HostOutcome::Failed).await;
        assert_eq!(world.state(&of.id).await, "running", "{}: one more may fail", world.engine);
        world.report(3, &of, HostOutcome::Failed).await;
        assert_eq!(world.state(&of.id).await, "halted", "{}", world.engine);
        let step = last_step(&world, &of.id).await;
        assert_eq!(
            step["note"],
            "2 hosts have failed since it was resumed, 4 in all; the change halts by itself above 1"
        );
        // A receipt that comes while it is halted moves nothing.
        world.report(4, &of, HostOutcome::Failed).await;
        assert_eq!(world.state(&of.id).await, "halted");
        world.report(5, &of, HostOutcome::Applied).await;
        assert_eq!(world.state(&of.id).await, "review", "{}: all have reported", world.engine);
    }
    for mut world in World::each(1, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| {}).await;
        world.approve(&of, "peer").await;
        world.clock.set(NOW.plus(3_700));
        world.report(0, &of, HostOutcome::Failed).await;
        assert_eq!(world.state(&of.id).await, "running", "{}: nobody asked for it", world.engine);
    }
}

#[actix_web::test]
async fn a_change_is_done_without_hosts_that_everybody_left_out() {
    for mut world in World::each(2, 3).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| {}).await;
        world.approve(&of, "peer").await;
        world.approve(&of, "cora").await;
        world.clock.set(NOW.plus(3_700));
        world.report(0, &of, HostOutcome::Applied).await;
        world.report(1, &of, HostOutcome::Applied).await;
        assert_eq!(world.state(&of.id).await, "running", "{}", world.engine);
        let others = [world.hosts[0].agent(), world.hosts[1].agent()];
        let path = format!("/v1/changes/{}/approvals", of.id);
        for (who, state) in [("peer", "running"), ("cora", "review")] {
            let mut word = world.approval(&of, who, Decision::Approve);
            word.agents = Some(others.to_vec());
            let word = Statement::sign(word, &key(approver(who)));
            let sent = Approve { plan_set: of.plan_set(), approval: word.envelope };
            world.good("POST", &path, &sent).await;
            assert_eq!(world.state(&of.id).await, state, "{}: {who}", world.engine);
            world.good("POST", &path, &sent).await;
        }
        // What a host did that was left out is a fact all the same.
        world.report(2, &of, HostOutcome::Failed).await;
        assert_eq!(world.state(&of.id).await, "review");
    }
}
