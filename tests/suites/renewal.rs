//! The site ends if nobody renews it; one command renews it, and paper replaces a lost governance key.

use tests::World;
use tests::world::NewChange;

const DAY: i64 = 86_400;
const MOTD: &str = "resources:\n- file: { path: /etc/motd, content: \"one\\n\" }\n";
const AGAIN: &str = "resources:\n- file: { path: /etc/motd, content: \"two\\n\" }\n";

/// A change from its request to the receipt of the one host.
fn brings(world: &mut World, manifest: &str, text: &str) {
    let id = world.request_and_approve(&NewChange { manifests: &[manifest], ..NewChange::default() });
    world.tick_until_receipt("a1", &id);
    assert_eq!(world.hosts["a1"].read("etc/motd").as_deref(), Some(text));
}

on_both! {
    fn after_400_days_nothing_new_starts_until_the_site_is_renewed(world) {
        world.join("a1", "production");
        world.publish("motd", "1.0.0", MOTD).ok();
        brings(world, "motd@1.0.0", "one\n");
        world.shift_clock(401 * DAY);
        world.publish("motd", "1.1.0", AGAIN).refused("assent renew");
        let shown = world.assent(&["renew", "--dry-run"]).ok();
        for what in ["root", "targets", "content.main", "site authority", "people certificate", "expired"] {
            assert!(shown.out.contains(what), "{what}: {shown}");
        }
        world.publish("motd", "1.1.0", AGAIN).refused("assent renew");
        let renewed = world.assent(&["renew"]).ok();
        assert!(renewed.out.contains("renewed: root, targets"), "{renewed}");
        world.publish("motd", "1.1.0", AGAIN).ok();
        // The host's certificate ended too; it renews it with its own key.
        world.tick("a1");
        brings(world, "motd@1.1.0", "two\n");
        world.assent(&["renew"]).ok();
        world.check();
    }
}

on_both! {
    /// 53: five years without anybody. Everything is over but the authority, and machines have been started anew
    fn after_five_years_hosts_still_report_and_go_on_when_somebody_renews_the_site(world) {
        world.join("a1", "production");
        world.publish("motd", "1.0.0", MOTD).ok();
        brings(world, "motd@1.0.0", "one\n");
        world.publish("motd", "1.1.0", AGAIN).ok();
        let new = NewChange { manifests: &["motd@1.1.0"], window: "now+1h..+30d", ..NewChange::default() };
        let waiting = world.request_and_approve(&new);
        world.shift_clock(5 * 365 * DAY);
        for _ in 0..2 {
            // Each tick is a new process, as after a start of the machine.
            let said = world.tick("a1");
            assert!(!said.all().contains("panicked"), "{said}");
        }
        let host = &world.hosts["a1"];
        let codes: Vec<String> =
            host.statements().refusals.values().map(|refusal| refusal.body.reason.code.to_string()).collect();
        assert!(codes.contains(&"tuf.expired".to_owned()), "{codes:?}");
        assert_eq!((host.spooled(), host.read("etc/motd").as_deref()), (0, Some("one\n")));
        assert!(host.receipt(&waiting).is_none());
        let line = world.get("/v1/hosts").json()[0].clone();
        let seen = line["last_seen"].as_str().unwrap().parse::<shared::time::Timestamp>().unwrap();
        assert!(world.now().since(seen) < 300, "it is heard: {line}");
        world.publish("motd", "1.2.0", MOTD).refused("assent renew");
        world.assent(&["renew"]).ok();
        world.tick("a1");
        assert!(world.hosts["a1"].receipt(&waiting).is_none(), "what was approved five years ago is over");
        world.publish("motd", "1.2.0", &AGAIN.replace("two", "three")).ok();
        brings(world, "motd@1.2.0", "three\n");
        world.check();
    }
}

on_both! {
    fn the_recovery_key_on_paper_replaces_a_lost_governance_key(world) {
        world.join("a1", "production");
        world.publish("motd", "1.0.0", MOTD).ok();
        std::fs::remove_file(world.site().join("keys/governance.pem")).unwrap();
        assert_ne!(world.assent(&["renew"]).code, 0, "the governance key is gone");
        let [paper, recovered, new] = ["recovery.txt", "recovered.pem", "new.pem"].map(|name| world.path(name));
        let [paper, recovered, new] = [&paper, &recovered, &new].map(|path| path.to_str().unwrap());
        world.assent(&["key", "restore", "--from", paper, "--out", recovered]).ok();
        let said = world.assent(&["renew", "--key", recovered, "--replace-lost", new]).ok();
        assert!(said.out.contains("holds a new governance key"), "{said}");
        world.assent(&["renew", "--key", new]).ok();
        brings(world, "motd@1.0.0", "one\n");
        // What is dropped signs nothing any more.
        let publisher = world.site().join("keys/publisher.pem");
        world.assent(&["renew", "--key", publisher.to_str().unwrap()]).refused("is not a governance key");
        world.check();
    }
}

on_both! {
    fn a_person_and_a_rule_come_by_an_edition_of_the_policy(world) {
        world.join("a1", "production");
        let key = world.path("peer.pem");
        let said = world.assent(&["key", "new", "--out", key.to_str().unwrap()]).ok();
        let public = said.out.lines().find_map(|line| line.split_once("public key")).unwrap().1.trim().to_owned();
        let shown = world.assent(&["policy", "show"]).ok();
        let mut policy: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
        let file = world.file("policy.json", &policy.to_string());
        let file = file.to_str().unwrap();
        let same = world.assent(&["policy", "publish", file, "--yes"]).ok();
        assert!(same.out.contains("nothing differs"), "{same}");
        policy["one_person"] = false.into();
        policy["persons"].as_array_mut().unwrap().push(serde_json::json!({
            "id": "peer", "name": "Second approver",
            "keys": [{ "public": public, "roles": ["approver"], "assurance": "independent" }],
        }));
        policy["rules"][0]["require"]["approvals"] = 2.into();
        world.file("policy.json", &policy.to_string());
        world.assent(&["policy", "publish", file]).refused("asks a person");
        let said = world.assent(&["policy", "publish", file, "--yes"]).ok();
        assert!(said.out.contains("+") && said.out.contains("Second approver"), "{said}");
        assert_eq!((world.policy().version, world.policy().persons.len()), (2, 2));
        // One of two is not enough any more.
        world.publish("motd", "1.0.0", MOTD).ok();
        let id = world.request(&NewChange { manifests: &["motd@1.0.0"], ..NewChange::default() });
        let said = world.approve(&id);
        assert!(said.all().contains("does not suffice"), "{said}");
        world.tick("a1");
        assert_eq!(world.hosts["a1"].read("etc/motd"), None);
        policy["rules"][0]["require"]["approvals"] = 0.into();
        world.file("policy.json", &policy.to_string());
        world.assent(&["policy", "publish", file, "--yes"]).refused("breaks its own rules");
        world.file("policy.json", "{}");
        assert_eq!(world.assent(&["policy", "publish", file, "--yes"]).code, 2);
        world.check();
    }
}
