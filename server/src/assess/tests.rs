//! What is known of a change, on both databases, from real records.

use crate::changes::tests::world::{NOW, World};
use serde_json::json;
use shared::change::Reboot;
use shared::ids::ChangeId;
use shared::plan::{Reversibility, UndoContract};
use shared::receipt::HostOutcome;
use shared::risk::Risk;
use shared::statement::Statement;
use shared::wire::Assessment;

async fn assessment(world: &World, id: &ChangeId) -> Assessment {
    let answer = world.good("GET", &format!("/v1/changes/{id}/assessment"), ()).await;
    serde_json::from_value(answer).unwrap()
}

#[actix_web::test]
async fn what_depends_on_the_hosts_and_who_answers_for_it_is_told() {
    for mut world in World::each(1, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |change| change.targets.truncate(1)).await;
        let told = assessment(&world, &of.id).await;
        assert_eq!((told.told.risk, told.told.rule.as_deref()), (Risk::Low, None), "{}", world.engine);
        assert!(told.affects.is_empty() && told.owners.is_empty());
        let items = json!([
            { "item": "service:shop", "declared": { "owner": "shop", "criticality": "critical" },
              "relations": [{ "kind": "depends_on", "to": "software:database" }] },
            { "item": "software:database", "declared": { "owner": "dba" },
              "relations": [{ "kind": "runs_on", "to": "host:web1" }] },
            { "item": "service:other", "relations": [{ "kind": "runs_on", "to": "host:web2" }] },
            { "item": "host:web1", "declared": { "owner": "platform" } },
        ]);
        world.good("POST", "/v1/declarations", json!({ "reason": "x", "items": items })).await;
        let told = assessment(&world, &of.id).await;
        let affects: Vec<_> =
            told.affects.iter().map(|line| (line.item.to_string(), line.distance)).collect();
        assert_eq!(
            affects,
            [("software:database".into(), 1), ("service:shop".into(), 2)],
            "{}",
            world.engine
        );
        assert_eq!(told.owners, ["dba", "platform", "shop"]);
        assert_eq!((told.told.risk, told.told.rule.as_deref()), (Risk::High, Some("critical")));
        assert_eq!(told.told.reasons, ["criticality: critical"]);
        assert_eq!(world.code("GET", "/v1/changes/C-99/assessment", ()).await, "change.unknown");
    }
}

#[actix_web::test]
async fn effects_come_from_plans_and_failures_of_the_same_manifest_are_remembered() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let other = world.publish("other", "1.0.0").await;
        let failed = world.in_review(&base, |_| ()).await;
        world.approve(&failed, "peer").await;
        world.clock.set(NOW.plus(3_700));
        world.report(0, &failed, HostOutcome::Failed).await;
        let close = json!({ "outcome": "failed", "note": "disk" });
        world.good("POST", &format!("/v1/changes/{}/close", failed.id), close).await;
        let own = assessment(&world, &failed.id).await;
        assert_eq!(own.facts.past_failures, 0, "a change is not its own past");
        world.clock.set(NOW);
        let again = world.in_review(&base, |change| change.reboot = Reboot::Always).await;
        let told = assessment(&world, &again.id).await;
        assert_eq!((told.facts.past_failures, told.facts.reboot, told.facts.targets), (1, true, 1));
        assert_eq!(told.told.rule.as_deref(), Some("failed before"), "{}", world.engine);
        // Plans say what is done, whatever the author allows beyond that.
        let wide = |change: &mut shared::change::Change| {
            change.action_classes.insert(shared::risk::ActionClass::Command);
        };
        let elsewhere = world.in_review(&other, wide).await;
        let told = assessment(&world, &elsewhere.id).await;
        assert_eq!(told.facts.classes, [shared::risk::ActionClass::File].into());
        assert_eq!((told.facts.past_failures, told.told.risk), (0, Risk::Low), "{}", world.engine);
        // The author hopes that it is undone; a host says of one step that it is not.
        assert!(told.facts.undone_by_itself);
        let mut plan = world.plan(&world.hosts[0], &elsewhere.change, "for good").body;
        plan.actions[0].undo = Reversibility { undo: UndoContract::No, why: "what ran has ended".into() };
        let plan = Statement::sign(plan, &world.hosts[0].key);
        world.send_plan(&world.hosts[0], &plan).await.unwrap();
        let told = assessment(&world, &elsewhere.id).await;
        assert_eq!((told.facts.undone_by_itself, told.told.risk), (false, Risk::Medium), "{}", world.engine);
        let half_a_year = 184 * 86_400;
        world.clock.set(NOW.plus(half_a_year));
        assert_eq!(assessment(&world, &again.id).await.facts.past_failures, 0);
    }
}
