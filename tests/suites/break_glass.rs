//! Breaking the glass as persons do it: by the command line, on real hosts, up to the review and the evidence.

use std::process::Command;
use tests::world::NewChange;
use tests::{Said, World};

const BODY: &str = "resources:\n  - file: {path: /etc/motd, content: \"Welcome\\n\"}\n";
/// Nobody could start it before tomorrow, and the policy asks for two persons.
const TOMORROW: NewChange<'static> =
    NewChange { manifests: &["base@1.0.0"], targets: &[], window: "now+24h..+2h", more: &[] };

/// The first person may break the glass; changes need two persons.
fn with_glass(world: &World) {
    world.add_second_person();
    let mut policy = world.policy();
    policy.version += 1;
    for rule in &mut policy.rules {
        rule.require.approvals = 2;
    }
    for key in policy.persons.iter_mut().filter(|p| p.id.as_str() == "lead").flat_map(|p| &mut p.keys) {
        key.roles.insert(shared::policy::Role::BreakGlass);
    }
    world.publish_policy(&policy);
}

/// The rows of a table of the change's evidence, which is verified without the server.
fn proven(world: &World, id: &str, table: &str) -> (Said, String) {
    let tar = world.path(&format!("{id}-{table}.tar"));
    world.assent(&["export", "--change", id, "--out", tar.to_str().unwrap()]).ok();
    let verified = world.assent(&["verify", tar.to_str().unwrap()]).ok();
    let name = format!("*data/{table}.json");
    (verified, Said::of(Command::new("tar").arg("-xOf").arg(&tar).args(["--wildcards", &name])).ok().out)
}

on_both! {
    fn one_person_breaks_the_glass_and_everybody_sees_it_until_it_is_reviewed(world) {
        world.join("a1", "production");
        world.publish("base", "1.0.0", BODY).ok();
        let glass = |id: &str, more: &[&str]| {
            let words = ["approve", id, "--yes", "--break-glass", "--reason", "the shop is down"];
            world.assent(&[&words, more].concat())
        };
        glass("C-1", &[]).refused("may not break the glass");
        with_glass(world);
        let id = world.request(&TOMORROW);
        let silent = world.assent(&["approve", &id, "--yes", "--break-glass"]);
        assert!(silent.code == 2 && silent.err.contains("--reason"), "{silent}");
        let glass = |more: &[&str]| {
            let words = ["approve", &id, "--yes", "--break-glass", "--reason", "the shop is down"];
            world.assent(&[&words, more].concat())
        };
        let long = glass(&["--expires", "5h"]);
        assert!(long.code == 2 && long.err.contains("at most 4 hours"), "{long}");
        let said = glass(&[]).ok();
        assert!(said.out.contains("break-glass: person lead alone"), "{said}");
        world.settle();
        let receipt = world.tick_until_receipt("a1", &id);
        assert!(receipt.body.breakglass, "{:?}", receipt.body);
        assert_eq!(world.hosts["a1"].read("etc/motd").as_deref(), Some("Welcome\n"));
        world.tick_all();
        let listed = world.assent(&["change", "list"]).ok();
        assert!(listed.out.contains("review due"), "{listed}");
        let alarms = world.assent(&["site", "alarms"]).ok();
        assert!(alarms.out.contains("ran because lead broke the glass"), "{alarms}");
        world.shift_clock(4 * 86_400);
        let late = world.assent(&["change", "list"]).ok();
        assert!(late.out.contains("REVIEW OVERDUE"), "{late}");
        let close = ["change", "close", &id, "--outcome", "successful"];
        world.assent(&close).refused("without a review");
        // The only administrator broke the glass, so the other person has to say how it went.
        world.assent(&[&close[..], &["--note", "all is well"]].concat()).refused("somebody else");
        assert_eq!(world.state(&id).0, "review");
        let (verified, changes) = proven(world, &id, "changes");
        assert!(verified.out.contains("the glass was broken (lead: the shop is down); not reviewed yet"), "{verified}");
        assert!(changes.contains("\"breakglass\":\"true\""), "{changes}");
        let (_, applications) = proven(world, &id, "applications");
        assert!(applications.contains("\"breakglass\":\"true\"") && applications.contains("\"in_window\":\"false\""));
        let (_, approvals) = proven(world, &id, "approvals");
        assert!(approvals.contains("\"breakglass_reason\":\"the shop is down\""), "{approvals}");
    }
}
