//! Hosts that leave for good, and machines that go on under their entries with another key.

use std::io::Write as _;
use tests::World;
use tests::http::Message;
use tests::world::NewChange;

const BASE: &str = "resources:\n  - file: {path: /etc/motd, content: \"Welcome\\n\"}\n";

/// What the entry with this name or number says.
fn entry(world: &World, name: &str) -> serde_json::Value {
    world.get(&format!("/v1/cis/{name}")).json()
}

on_both! {
    /// Reinstalled machines stay what they were to people, and what had the old key is out before anybody looks
    fn a_reinstalled_machine_goes_on_under_its_entry_and_its_old_key_is_out_at_once(world) {
        world.join("a1", "production");
        world.publish("base", "1.0.0", BASE).ok();
        let first = world.request_and_approve(&NewChange { manifests: &["base@1.0.0"], ..NewChange::default() });
        let receipt = world.tick_until_receipt("a1", &first).digest.to_string();
        world.assent(&["ci", "label", "a1", "role=web", "--reason", "test"]).ok();
        let (old, ci) = (world.hosts["a1"].agent(), entry(world, "a1")["line"]["ci"].as_str().unwrap().to_owned());
        let second = world.add_second_person();

        // Installed anew: it has another key and an entry of its own.
        world.join("b1", "production");
        world.tick("b1");
        let new = world.hosts["b1"].agent();
        let said = world.assent(&["ci", "succeed", "a1", "b1", "--reason", "its disk had failed", "--json"]).ok();
        let told: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        let line = &told["written"][0]["now"];
        let id = line["change_id"].as_str().unwrap().to_owned();
        world.submit(&id);
        // Whoever wants it is not enough, and no host is asked about it.
        world.approve(&id).ok();
        assert_eq!(world.state(&id), ("review".into(), None));
        world.tick_all();

        let work = Message::request("GET", "/agent/v1/work", b"").to_bytes();
        let mut open = world.as_host("a1").connect().unwrap();
        let mut ask = || {
            open.write_all(&work).unwrap();
            Message::read(&mut open, false).unwrap().unwrap().status()
        };
        assert_eq!(ask(), 200);
        let bundle = world.bundle(&id);
        let yes = world.sign_approval(&bundle.change, &bundle.plan_set, "second", &second.key, |_| {});
        assert_eq!(world.send_approval(&id, &bundle.plan_set, &yes).status(), 200);
        assert_eq!(world.state(&id), ("closed".into(), Some("successful".into())));
        assert_eq!(ask(), 403, "on the connection that was open");
        assert_eq!(world.as_host("a1").send(Message::request("GET", "/agent/v1/work", b"")).status(), 403);
        for command in [["ci", "enable"], ["ci", "disable"]] {
            let said = world.assent(&[command.as_slice(), &[old.to_string().as_str(), "--reason", "test"]].concat());
            assert!(said.code == 1 && said.all().contains(&id), "{said}");
        }

        let file = entry(world, &ci);
        assert_eq!(file["line"]["agent"], new.to_string());
        let history = file["history"].to_string();
        assert!(history.contains(&receipt) && history.contains("succeeded"), "{history}");
        let hosts = world.assent(&["ci", "list", "--label", "role=web"]).ok();
        assert!(hosts.out.contains(&new.to_string()) && hosts.out.contains(&format!("left with {id}")), "{hosts}");
        let found = world.assent(&["ci", "mismatch", "list"]).ok();
        assert!(!found.out.contains("same_"), "{found}");
        // It is run on like any other host.
        let change = NewChange { manifests: &["base@1.0.0"], targets: &["b1"], ..NewChange::default() };
        let next = world.draft(&change);
        world.submit(&next);
        world.tick("b1");
        let bundle = world.bundle(&next);
        let yes = world.sign_approval(&bundle.change, &bundle.plan_set, "second", &second.key, |_| {});
        assert_eq!(world.send_approval(&next, &bundle.plan_set, &yes).status(), 200);
        let receipt = world.tick_until_receipt("b1", &next).digest.to_string();
        assert_eq!(entry(world, &ci)["states"][0]["receipt"], receipt);
        // Who was who can be proved.
        let out = world.path("left.tar").display().to_string();
        world.assent(&["export", "--change", &id, "--out", &out]).ok();
        let said = world.assent(&["verify", &out]).ok();
        assert!(said.out.contains("changes that retire hosts"), "{said}");

        // The machine itself goes: refused where it cannot be meant, else a draft that says who leaves.
        let said = world.assent(&["ci", "retire", &old.to_string(), "--reason", "again"]);
        assert!(said.code == 1 && said.all().contains(&format!("has left already, with {id}")), "{said}");
        let said = world.assent(&["ci", "succeed", "b1", "b1", "--reason", "mistaken"]);
        assert!(said.code == 2 && said.all().contains("are the same host"), "{said}");
        let said = world.assent(&["ci", "retire", "b1", "--reason", "sold"]).ok();
        assert!(said.out.contains("is draft: Retire b1\n  leaves    b1 ("), "{said}");
    }
}
