//! What persons do on the command line beside the one path: trying manifests on a host, reading alarms.

use tests::http::Message;
use tests::world::NewChange;

const MOTD: &str = "manifest: motd\nversion: \"1.0.0\"\ntitle: motd\nresources:\n- file: { path: /etc/motd, content: \"hello\\n\" }\n";

on_both! {
    fn a_manifest_is_tried_on_a_host_before_anybody_publishes_it(world) {
        world.join("a1", "production");
        let yaml = world.file("motd.yaml", MOTD);
        let [compiled, signed] = ["motd.json", "motd.manifest.json"].map(|name| world.path(name));
        let [yaml, compiled, signed] = [&yaml, &compiled, &signed].map(|path| path.to_str().unwrap());
        world.assent(&["lint", yaml, "--out", compiled]).ok();
        world.assent(&["sign", yaml, "--out", signed]).ok();
        let plan = |file: &str| tests::Said::of(&mut world.agent(&world.hosts["a1"], &["plan", file]));
        for file in [compiled, signed] {
            let said = plan(file).ok();
            assert!(said.out.contains("/etc/motd") && said.out.contains("nothing was changed"), "{said}");
        }
        assert_eq!(world.hosts["a1"].read("etc/motd"), None);
        plan(yaml).refused("assent lint FILE.yaml --out FILE.json");
    }
}

on_both! {
    fn a_statement_of_another_host_is_an_alarm_that_persons_can_read(world) {
        world.join("a1", "production");
        world.join("a2", "production");
        world.tick_all();
        assert_eq!(world.assent(&["site", "alarms"]).ok().out, "no alarms\n");
        let hosts = world.get("/v1/hosts").json();
        let other = hosts.as_array().unwrap().iter().find(|host| host["hostname"] == "a2").unwrap();
        let enrolment = world.get(&format!("/v1/hosts/{}/enrolment", other["ci"].as_str().unwrap())).json();
        let body = serde_json::json!({ "statement": enrolment, "log_size": 0 }).to_string();
        let reply = world.as_host("a1").send(Message::request("POST", "/agent/v1/statements", body.as_bytes()));
        assert!(reply.status() >= 400, "{}", reply.text());
        let said = world.assent(&["site", "alarms"]).ok();
        assert!(said.out.contains("forged") && said.out.contains("a1") && said.out.contains("look who"), "{said}");
        for (args, word) in [
            (["site", "alarms"], "klären, wer diese Maschine kontrolliert"),
            (["site", "show"], "Standort"),
            (["ci", "list"], "ZULETZT GESEHEN"),
            (["change", "list"], "NÄCHSTES FENSTER"),
        ] {
            let said = world.assent(&[["--lang", "de"], args].concat()).ok();
            assert!(said.out.contains(word), "{word}: {said}");
        }
        let json: serde_json::Value =
            serde_json::from_str(&world.assent(&["site", "alarms", "--json"]).ok().out).unwrap();
        assert_eq!(json[0]["kind"], "forged");
    }
}

on_both! {
    /// The plan shows 16 KiB of a difference; what is below that is approved with open eyes or not at all.
    fn contents_that_a_plan_cuts_are_shown_whole_before_they_are_approved(world) {
        world.join("a1", "production");
        let long: String = (0..4_000).map(|n| format!("      line {n}\n")).collect();
        let motd = format!(
            "resources:\n  - file:\n      path: /etc/motd\n      template: |\n{}        last of {{{{facts.hostname}}}}\n",
            long.replace("      line", "        line")
        );
        world.publish("base", "1.0.0", &motd).ok();
        let id = world.request(&NewChange { manifests: &["base@1.0.0"], ..NewChange::default() });
        let file = world.path("whole.txt");
        let place = file.to_str().unwrap().to_owned();
        let said = world.assent(&["approve", &id, "--yes", "--expires", "24h", "--diff-to", &place]).ok();
        assert!(said.out.contains("is cut here") && said.err.contains(&place), "{said}");
        let whole = std::fs::read_to_string(&file).unwrap();
        assert!(whole.contains("| line 3999\n") && whole.contains("| last of a1\n"), "{whole}");

        // Of a file of which the manifest has a part only the host knows the whole.
        let edits = format!(
            "resources:\n  - block:\n      path: /etc/table\n      name: one\n      create: true\n      content: |\n{}",
            long.replace("      line", "        line")
        );
        world.publish("edits", "1.0.0", &edits).ok();
        let id = world.request(&NewChange { manifests: &["edits@1.0.0"], ..NewChange::default() });
        world.assent(&["approve", &id, "--yes"]).refused("--accept-unseen");
        let said = world.assent(&["approve", &id, "--yes", "--accept-unseen"]).ok();
        assert!(said.err.contains("nobody was shown") && said.err.contains("/etc/table"), "{said}");
    }
}
