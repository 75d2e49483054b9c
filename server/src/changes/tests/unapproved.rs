//! Runs that hosts report and nothing approved covers: recorded all the same, and an alarm that people see.

use super::world::{NOW, World};
use shared::digest::Digest;
use shared::receipt::HostOutcome;

async fn alarms(world: &World) -> Vec<String> {
    let all = world.read(crate::receipts::list_alarms).await;
    all.into_iter().map(|alarm| format!("{}: {}", alarm.kind, alarm.detail)).collect()
}

#[actix_web::test]
async fn a_run_that_nothing_approved_covers_is_an_alarm() {
    for mut world in World::each(1, 3).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |change| change.targets.truncate(2)).await;
        world.approve(&of, "peer").await;
        world.clock.set(NOW.plus(3_700));
        world.report(0, &of, HostOutcome::Applied).await;
        assert_eq!(alarms(&world).await, [""; 0], "{}: as approved", world.engine);
        for (host, why) in
            [(2, "does not name this host"), (1, "another plan than the one"), (1, "nobody approved")]
        {
            let before = alarms(&world).await.len();
            let receipt = world
                .report_bent(host, &of, HostOutcome::Applied, |told| match why {
                    "another plan than the one" => told.plan = Digest::of(b"other"),
                    "nobody approved" => told.plan_set = Digest::of(b"other"),
                    _ => {}
                })
                .await;
            let all = alarms(&world).await;
            assert_eq!(all.len(), before + 1, "{}: {why}: {all:?}", world.engine);
            assert!(all[0].starts_with("unapproved_run: ") && all[0].contains(why), "{all:?}");
            let stored = world.read(move |tx| Ok(crate::ledger::find_statement(tx, &receipt)?)).await;
            assert!(stored.is_some(), "it is never dropped");
        }
    }
}
