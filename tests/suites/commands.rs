//! What persons do on the command line beside the one path: trying manifests on a host, reading alarms, answering
//! at a terminal, going on after an interruption; and each command that other suites do not need, once.

use shared::conflict::{ConflictKind, ConflictRules};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use tests::http::Message;
use tests::proxy::Proxy;
use tests::world::NewChange;
use tests::{Said, World, terminal};

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
    /// Where the policy lets nobody approve it, a person is told before anything is signed.
    fn nothing_is_signed_for_a_change_that_another_one_keeps_back(world) {
        world.join("a1", "production");
        world.join("a2", "production");
        let mut policy = world.policy();
        policy.version += 1;
        policy.conflicts = Some(ConflictRules { block: [ConflictKind::SameHosts].into(), except: [].into() });
        world.publish_policy(&policy);
        world.publish("motd", "1.0.0", "resources:\n- file: { path: /etc/motd, content: \"hello\\n\" }\n").ok();
        let new = NewChange { manifests: &["motd@1.0.0"], window: "now+1h..+2h", ..NewChange::default() };
        let first = world.request_and_approve(&NewChange { targets: &["a1"], ..new.clone() });
        let second = world.request(&new);
        let told = world.assent(&["change", "show", &second]).ok();
        assert!(told.out.contains("the policy lets nobody approve the change while that stands"), "{told}");
        let said = world.approve(&second).refused(&format!("the policy lets nobody approve {second} now"));
        assert!(said.all().contains(&format!("same_hosts: {first}")) && said.all().contains("--skip"), "{said}");
        assert!(world.change_file(&second).approvals.is_empty(), "nothing was signed");
        world.assent(&["approve", &second, "--yes", "--skip", "a1", "--comment", "has its own change"]).ok();
        assert_eq!(world.change_file(&second).approvals.len(), 1);
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
            let mut german = std::process::Command::new(tests::programs::own("assent"));
            german.arg("--site").arg(world.site()).args(["--lang", "de"]).args(args);
            let said = tests::Said::of(&mut german).ok();
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

on_both! {
    /// More changes than a page of the server has: the oldest is found, and none is left out.
    fn the_oldest_of_many_changes_is_listed_and_waited_for(world) {
        let made: Vec<String> = (0..203)
            .map(|_| world.api("POST", "/v1/changes", b"{}").json()["change_id"].as_str().unwrap().to_owned())
            .collect();
        let listed = |args: &[&str]| -> Vec<String> {
            let said = world.assent(&[&["change", "list", "--json"], args].concat()).ok();
            let lines: Vec<shared::wire::ChangeLine> = serde_json::from_str(&said.out).unwrap();
            lines.into_iter().map(|line| line.change_id.to_string()).collect()
        };
        let newest: Vec<String> = made.iter().rev().cloned().collect();
        assert_eq!(listed(&[]), newest);
        assert_eq!(listed(&["--limit", "201"]), newest[..201]);
        assert_eq!(listed(&["--limit", "2", "--before", &made[2]]), newest[201..]);
        let wait = ["change", "wait", &made[0], "--for", "plans", "--timeout", "1s"];
        world.assent(&wait).refused(&format!("{} has no revision yet", made[0]));
        world.assent(&["change", "wait", "C-9999", "--timeout", "1s"]).refused("C-9999");
    }
}

const BASE: &str = "resources:\n  - file: {path: /etc/motd, content: \"Welcome\\n\"}\n";

on_both! {
    /// Nothing is signed before the change's own number was typed by somebody who can see the page.
    fn approving_asks_a_person_for_the_number_of_the_change(world) {
        world.join("a1", "production");
        world.publish("base", "1.0.0", BASE).ok();
        let id = world.request(&NewChange { manifests: &["base@1.0.0"], ..NewChange::default() });
        let unsigned = |world: &World, said: &Said| {
            let file = world.change_file(&id);
            assert_eq!((file.approvals.len(), file.line.state.as_str()), (0, "in_review"), "{said}");
        };
        let said = world.assent(&["approve", &id]).refused("there is no terminal");
        unsigned(world, &said);
        let ask = |world: &World, answers: &[&str]| {
            terminal::converse(&mut world.command(&world.site(), &["approve", &id]), "approve: ", answers)
        };
        for wrong in ["yes", "", "C-999", &id.to_lowercase()] {
            let said = ask(world, &[wrong]).refused(&format!("{id} was not typed"));
            assert!(said.out.contains("/etc/motd"), "the page comes before the question: {said}");
            unsigned(world, &said);
        }
        let said = ask(world, &[]);
        // What a closed terminal gives is the system's choice: an end of input, or an error.
        assert!([1, 3].contains(&said.code), "whoever goes away has not agreed: {said}");
        unsigned(world, &said);
        ask(world, &[&id]).ok();
        let file = world.change_file(&id);
        assert_eq!((file.approvals.len(), file.line.state.as_str()), (1, "approved"));
    }
}

/// The person's directory for a server that is reached through this door.
fn site_behind(world: &World, door: &Proxy) -> PathBuf {
    let site = world.path("behind");
    Said::of(std::process::Command::new("cp").arg("-a").arg(world.site()).arg(&site)).ok();
    let profile = std::fs::read_to_string(site.join("cli.toml")).unwrap();
    let people = format!("127.0.0.1:{}", world.nodes[0].people);
    assert!(profile.contains(&people), "{profile}");
    std::fs::write(site.join("cli.toml"), profile.replace(&people, &door.address.to_string())).unwrap();
    site
}

/// 2 MiB that are different for each seed, and no repetition of a piece.
fn large(seed: u64) -> Vec<u8> {
    let words = (0..(2u64 << 20) / 8).map(|n| (n ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17));
    words.flat_map(u64::to_le_bytes).collect()
}

on_both! {
    fn an_upload_goes_on_where_it_was_interrupted(world) {
        let door = Proxy::start(TcpListener::bind("127.0.0.1:0").unwrap(), &world.site().join("ca.crt"));
        door.set_backends(&[SocketAddr::from(([127, 0, 0, 1], world.nodes[0].people))]);
        let site = site_behind(world, &door);
        for (seed, for_good) in [(1, true), (2, false)] {
            let bytes = large(seed);
            let (file, length) = (world.path(&format!("large-{seed}")), bytes.len() as u64);
            std::fs::write(&file, &bytes).unwrap();
            let sha256 = shared::digest::Digest::of(&bytes);
            let put = || world.assent_at(&site, &["artifact", "put", file.to_str().unwrap()]);
            let before = door.carried();
            door.cut_after(1_300_000, for_good);
            let mut said = put();
            if for_good {
                assert_eq!(said.code, 3, "{said}");
                let body = serde_json::json!({ "sha256": sha256, "length": length }).to_string();
                let begun = world.api("POST", "/v1/uploads", body.as_bytes()).json();
                let offset = begun["offset"].as_u64().unwrap();
                assert!(offset > 0 && offset < length, "{begun}");
                door.through();
                let again = door.carried();
                said = put();
                let sent = door.carried() - again;
                assert!(sent < length - offset + (100 << 10), "{sent} bytes after {offset} of {length}: {said}");
            } else {
                // One broken connection is no reason to bother a person; the whole is not sent again.
                let sent = door.carried() - before;
                assert!(sent < length + (700 << 10), "{sent} of {length}: {said}");
            }
            let said = said.ok();
            assert!(said.out.contains(&format!("sha256: \"{sha256}\", length: {length}")), "{said}");
            assert!(world.get(&format!("/v1/artifacts/{sha256}")).body == bytes, "other bytes arrived");
        }
    }
}

on_both! {
    fn every_command_does_what_its_help_says(world) {
        for host in ["a1", "a2"] {
            world.join(host, "production");
        }
        let assent = |world: &World, args: &[&str]| world.assent(args).ok().out;
        let has = |text: String, wanted: &[&str]| {
            let missing: Vec<_> = wanted.iter().filter(|wanted| !text.contains(**wanted)).collect();
            assert!(missing.is_empty(), "{missing:?} is not in {text}");
        };
        manifests(world);
        has(assent(world, &["manifest", "list"]), &["base", "1.1.0", "1.0.0"]);
        has(assent(world, &["key", "show"]), &["lead", "approver", "publisher", "governance"]);
        let site = world.hosts["a1"].site.to_string();
        has(assent(world, &["site", "show"]), &[&site, "EXPIRES", "timestamp", "root"]);
        has(assent(world, &["log", "verify"]), &["seen here for the first time"]);

        assent(world, &["ci", "label", "a1", "role=web", "stage=test", "--reason", "test"]);
        has(assent(world, &["ci", "label", "a1", "stage=", "--reason", "test"]), &["role=web"]);
        let listed = assent(world, &["ci", "list", "--label", "role=web"]);
        assert!(listed.contains("name=a1") && !listed.contains("name=a2") && !listed.contains("stage"), "{listed}");
        has(assent(world, &["ci", "list"]), &["a1", "a2", "production"]);

        // Targets by their label alone.
        let more = &["--label", "role=web"];
        let new = NewChange { manifests: &["base@1.1.0"], more, ..NewChange::default() };
        let id = world.draft(&new);
        world.submit(&id);
        world.tick_all();
        let line = world.change_file(&id).line;
        assert_eq!((line.targets, line.plans), (1, 1));
        has(assent(world, &["change", "list", "--state", "in_review"]), &[&id]);
        world.approve(&id).ok();
        world.tick_until_receipt("a1", &id);
        world.tick_all();
        assert!(!world.hosts["a2"].path("/etc/motd").exists());

        let grown = assent(world, &["log", "verify"]);
        has(grown, &["it has only grown since"]);
        let day = |plus: i64| world.now().plus(plus * 86_400).to_string()[..10].to_owned();
        let (period, out) = (format!("{}..{}", day(-1), day(1)), world.path("period.tar"));
        let out = out.to_str().unwrap();
        assent(world, &["export", "--period", &period, "--out", out]);
        has(assent(world, &["verify", out]), &["receipts signed by their hosts"]);
    }
}

/// Signed here and published from the file; once more; with other contents; an older version.
fn manifests(world: &World) {
    let yaml = |version: &str, body: &str| {
        let text = format!("manifest: base\nversion: \"{version}\"\ntitle: base\n{body}");
        world.file(&format!("base-{version}.yaml"), &text).to_str().unwrap().to_owned()
    };
    let new = yaml("1.1.0", BASE);
    world.assent(&["sign", &new]).ok();
    let signed = world.path("base-1.1.0.manifest.json");
    let signed = signed.to_str().unwrap();
    assert!(world.assent(&["publish", signed]).ok().out.contains("base@1.1.0"));
    let targets = |world: &World| world.current_snapshot().version;
    let version = targets(world);
    let again = world.assent(&["publish", signed]).ok();
    assert!(again.out.contains("already"), "{again}");
    assert_eq!(targets(world), version, "nothing new was published");
    world.assent(&["publish", &yaml("1.1.0", &BASE.replace("Welcome", "Other"))]).refused("other contents");
    let old = yaml("1.0.0", BASE);
    world.assent(&["publish", &old]).refused("older");
    world.assent(&["publish", &old, "--older"]).ok();
}
