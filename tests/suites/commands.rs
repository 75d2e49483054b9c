//! What persons do on the command line beside the one path: trying manifests on a host, reading alarms.

use tests::http::Message;

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
        let json: serde_json::Value =
            serde_json::from_str(&world.assent(&["site", "alarms", "--json"]).ok().out).unwrap();
        assert_eq!(json[0]["kind"], "forged");
    }
}
