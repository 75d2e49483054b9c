//! The audit trail as persons use it: what administrators did is listed, proven, taken away, and cannot be taken back.

use std::process::Command;
use tests::world::Database;
use tests::{Said, World};

/// Action and object of what `assent audit list` shows, newest first.
fn listed(world: &World, more: &[&str]) -> Vec<(String, String)> {
    let said = world.assent(&[&["audit", "list", "--json"], more].concat()).ok();
    let records: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let text = |record: &serde_json::Value, name: &str| record[name].as_str().unwrap().to_owned();
    records.as_array().unwrap().iter().map(|r| (text(r, "action"), text(r, "object"))).collect()
}

fn actions(world: &World) -> Vec<String> {
    listed(world, &[]).into_iter().map(|(action, _)| action).collect()
}

/// Some of what administrators do.
fn administer(world: &mut World) {
    world.join("a1", "production");
    let ci = world.get("/v1/hosts").json()[0]["ci"].as_str().unwrap().to_owned();
    for (method, path, body) in [
        ("POST", "/v1/people/peer/tokens".to_owned(), r#"{"access":"member","days":1}"#),
        ("DELETE", "/v1/people/peer".to_owned(), ""),
        ("PUT", format!("/v1/hosts/{ci}/labels"), r#"{"reason":"test","labels":{"role":"web"}}"#),
        ("POST", format!("/v1/hosts/{ci}/disable"), r#"{"reason":"test"}"#),
        ("POST", format!("/v1/hosts/{ci}/enable"), r#"{"reason":"test"}"#),
    ] {
        let reply = world.api(method, &path, body.as_bytes());
        assert!(reply.status() < 300, "{method} {path}: {}", reply.text());
    }
}

/// SQL for the digest of a document.
fn digest(world: &World, hex: &str) -> String {
    match world.database {
        Database::Sqlite => format!("x'{hex}'"),
        Database::Postgresql => format!("'\\x{hex}'::bytea"),
    }
}

on_both! {
    fn what_administrators_do_is_listed_proven_and_taken_away(world) {
        administer(world);
        let wanted = ["fleet.enable", "fleet.disable", "fleet.labels", "people.disable", "people.grant", "fleet.invite"];
        assert_eq!(actions(world)[..wanted.len()], wanted);
        assert_eq!(actions(world).last().unwrap(), "people.bootstrap");
        assert_eq!(
            listed(world, &["--action", "people.grant", "--person", "lead"]),
            [("people.grant".to_owned(), "person peer".to_owned())]
        );
        let said = world.assent(&["audit", "list", "--verify"]).ok();
        assert!(said.out.contains(&format!("{} records are proven", wanted.len() + 1)), "{said}");
        assert!(said.out.contains("people.disable") && said.out.contains("person peer"), "{said}");
        // Many records come in pages; a limit and a number to begin at cut them.
        let labels = format!("/v1/hosts/{}/labels", world.get("/v1/hosts").json()[0]["ci"].as_str().unwrap());
        for n in 0..230 {
            let role = format!("{{\"reason\":\"test\",\"labels\":{{\"role\":\"r{n}\"}}}}");
            assert_eq!(world.api("PUT", &labels, role.as_bytes()).status(), 204);
        }
        let said = world.assent(&["audit", "list", "--verify", "--json", "--limit", "1000"]).ok();
        let all: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(all.as_array().unwrap().len(), 230 + wanted.len() + 1);
        assert_eq!(listed(world, &["--limit", "3", "--before", "8"])[0].0, "fleet.enable");

        // A bundle of the period has them, and proves them without the server.
        let tar = world.path("period.tar");
        let day = |more: i64| world.now().plus(more * 86_400).to_string();
        let period = format!("{}..{}", day(-1), day(1));
        world.assent(&["export", "--period", &period, "--out", tar.to_str().unwrap()]).ok();
        assert_eq!(actions(world)[0], "export");
        // Taking it is on record, and does not change what the same question gets.
        let again = world.path("again.tar");
        world.assent(&["export", "--period", &period, "--out", again.to_str().unwrap()]).ok();
        assert_eq!(std::fs::read(&tar).unwrap(), std::fs::read(&again).unwrap());
        assert_eq!(actions(world)[..2], ["export", "export"]);
        world.assent(&["audit", "list", "--verify"]).ok();
        world.stop_server();
        let verified = world.assent(&["verify", tar.to_str().unwrap()]).ok();
        let count = (230 + wanted.len() + 1).to_string();
        let line = verified.out.lines().find(|line| line.contains("administrative actions")).unwrap();
        assert!(line.contains(&count), "{verified}");
        // One record taken out of the bundle, as somebody with the files alone would: it is named.
        let dir = world.path("period");
        std::fs::create_dir_all(&dir).unwrap();
        Said::of(Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(&dir)).ok();
        let found = Said::of(Command::new("grep").args(["-rl", "people.disable", "--include=*.json"]).arg(&dir)).ok();
        let record = found.out.lines().find(|path| path.contains("/audit/")).unwrap().to_owned();
        std::fs::remove_file(&record).unwrap();
        let top = std::path::Path::new(&record).ancestors().nth(2).unwrap();
        let said = world.assent(&["verify", top.to_str().unwrap()]);
        assert!(said.code == 1 && said.all().contains(record.rsplit('/').next().unwrap()), "{said}");
    }
}

on_both! {
    fn a_hand_in_the_audit_trail_is_noticed(world) {
        administer(world);
        world.assent(&["audit", "list", "--verify"]).ok();
        let keep = ["CREATE TABLE kept AS SELECT * FROM audit", "CREATE TABLE kept_statement AS SELECT * FROM statement"];
        let restore = ["DELETE FROM audit", "INSERT INTO audit SELECT * FROM kept", "DROP TABLE kept",
            "DELETE FROM statement WHERE kind = 'audit' AND NOT EXISTS (SELECT 1 FROM kept_statement k WHERE k.digest = statement.digest)",
            "DROP TABLE kept_statement"];
        let record = world.sql("SELECT number FROM audit WHERE action = 'people.grant'").trim().to_owned();
        let listed: serde_json::Value =
            serde_json::from_str(&world.assent(&["audit", "list", "--json"]).ok().out).unwrap();
        let granted = listed.as_array().unwrap().iter().find(|r| r["action"] == "people.grant").unwrap();

        // Somebody else is named, and nothing more.
        keep.iter().for_each(|sql| drop(world.sql(sql)));
        world.sql(&format!("UPDATE audit SET person = 'peer' WHERE number = {record}"));
        let said = world.assent(&["audit", "list"]);
        assert!(said.code == 3, "{said}");
        restore.iter().for_each(|sql| drop(world.sql(sql)));

        // The same with care: the document is replaced too, so that the server's own tables fit together.
        keep.iter().for_each(|sql| drop(world.sql(sql)));
        let mut forged: shared::audit::AuditRecord = serde_json::from_value(granted.clone()).unwrap();
        forged.person = Some("peer".parse().unwrap());
        let (new, bytes) = (digest(world, &forged.digest().hex()), digest(world, &shared::digest::hex(&forged.to_bytes())));
        world.sql(&format!("INSERT INTO statement (digest, kind, body, received) VALUES ({new}, 'audit', {bytes}, 0)"));
        world.sql(&format!("UPDATE audit SET person = 'peer', statement = {new} WHERE number = {record}"));
        world.assent(&["audit", "list"]).ok();
        world.assent(&["audit", "list", "--verify"]).refused(&format!("record {record} is not proven"));
        restore.iter().for_each(|sql| drop(world.sql(sql)));

        // It is left out.
        keep.iter().for_each(|sql| drop(world.sql(sql)));
        world.sql(&format!("DELETE FROM audit WHERE number = {record}"));
        world.assent(&["audit", "list", "--verify"]).refused("is not whole");
        restore.iter().for_each(|sql| drop(world.sql(sql)));
        world.assent(&["audit", "list", "--verify"]).ok();
    }
}
