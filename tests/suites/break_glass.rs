//! Breaking the glass as persons do it: by the command line, on real hosts, up to the review and the evidence.

use std::process::Command;
use tests::world::NewChange;
use tests::{Said, World};

const BODY: &str = "resources:\n  - file: {path: /etc/motd, content: \"Welcome\\n\"}\n";
/// Nobody could start it before tomorrow, and the policy asks for two persons.
const TOMORROW: NewChange<'static> =
    NewChange { manifests: &["base@1.0.0"], targets: &[], window: "now+24h..+2h", more: &[] };

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
        world.let_lead_break_the_glass();
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

/// What lies on the shelf, made while the server was there.
fn prepared(world: &World, id: &str) -> String {
    let file = world.path(&format!("{id}.prepared")).display().to_string();
    let said = world.assent(&["glass", "prepare", id, "--out", &file]).ok();
    assert!(said.out.contains(&format!("{id} revision 1 for 2 hosts")), "{said}");
    file
}

fn by_hand(world: &World, host: &str, file: &str) -> Said {
    let mut agent = Command::new(tests::programs::own("assent-agent"));
    agent.args(["glass", file, "--root"]).arg(&world.hosts[host].root);
    agent.env(tests::world::CLOCK, world.offset.to_string());
    Said::of(&mut agent)
}

on_both! {
    fn a_word_is_carried_to_a_host_while_the_server_is_down_and_comes_back_with_the_receipt(world) {
        world.join("a1", "production");
        world.join("a2", "production");
        world.publish("base", "1.0.0", BODY).ok();
        world.let_lead_break_the_glass();
        let id = world.request(&NewChange { window: "now+60d..+2h", ..TOMORROW });
        world.tick_all();
        let shelf = prepared(world, &id);
        world.stop_server();
        // The server's own keys vouch for a day and a week: that is long over.
        world.offset += 12 * 86_400;
        let glass = world.path("carried.glass").display().to_string();
        let carry = |hosts: &[&str], more: &[&str]| {
            let words = ["glass", "break", &shelf, "--yes", "--reason", "shop and server are down", "--out", &glass];
            world.assent(&[&words[..], hosts, more].concat())
        };
        for (host, more, why) in
            [("nobody", &[][..], "has no plan in this change"), ("a1", &["--expires", "5h"], "at most 4 hours")]
        {
            let said = carry(&["--host", host], more);
            assert!(said.code == 2 && said.err.contains(why), "{said}");
        }
        let said = carry(&["--host", "a1"], &[]).ok();
        assert!(said.out.contains("break-glass: person lead alone"), "{said}");
        assert!(said.out.contains("assent-agent glass carried.glass"), "{said}");
        let no = by_hand(world, "a2", &glass).refused("approval.quorum");
        assert_eq!(no.all().matches("approval.quorum").count(), 1, "said once: {no}");
        assert_eq!(world.hosts["a2"].read("etc/motd"), None);
        let whole = std::fs::read_to_string(&glass).unwrap();
        let (before, word) = whole.split_once("\"approvals\":[").unwrap();
        let (payload, sig) = word.split_once("\"sig\":\"").unwrap();
        let first = if sig.starts_with('A') { "B" } else { "A" };
        let edited = format!("{before}\"approvals\":[{payload}\"sig\":\"{first}{}", &sig[1..]);
        let edited = world.file("edited.glass", &edited).display().to_string();
        by_hand(world, "a1", &edited).refused("approval.unknown_key");
        assert_eq!(world.hosts["a1"].read("etc/motd"), None);
        let said = by_hand(world, "a1", &glass).ok();
        assert!(said.out.contains("ended: applied"), "{said}");
        assert_eq!(world.hosts["a1"].read("etc/motd").as_deref(), Some("Welcome\n"));
        by_hand(world, "a1", &glass).refused("change.replay");
        world.offset += 5 * 3_600;
        by_hand(world, "a2", &glass).refused("approval");
        // Back again: nothing of it was known there.
        world.start_server();
        assert_eq!(world.state(&id).0, "in_review");
        world.tick_all();
        world.tick_all();
        assert_eq!(world.state(&id).0, "review");
        let alarms = world.assent(&["site", "alarms"]).ok();
        assert!(alarms.out.contains("ran because lead broke the glass"), "{alarms}");
        let close = ["change", "close", &id, "--outcome", "successful", "--note", "all is well"];
        world.assent(&close).refused("somebody else");
        let (verified, approvals) = proven(world, &id, "approvals");
        let remark = "the glass was broken (lead: shop and server are down), carried to the host by hand; not reviewed yet";
        assert!(verified.out.contains(remark), "{verified}");
        assert!(approvals.contains("\"breakglass_by_hand\":\"true\""), "{approvals}");
        let (_, applications) = proven(world, &id, "applications");
        assert!(applications.contains("\"breakglass\":\"true\""), "{applications}");
        let receipt = world.hosts["a1"].receipt(&id).unwrap();
        assert!(receipt.body.breakglass && receipt.body.outcome.is_success(), "{:?}", receipt.body);
        assert!(world.hosts["a2"].refusal_codes(&id).iter().any(|code| code == "approval.quorum"));
        assert_eq!(world.hosts["a2"].read("etc/motd"), None);
        world.check();
    }
}
