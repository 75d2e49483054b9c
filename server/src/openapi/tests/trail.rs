//! Every writing route leaves a trace that the server cannot take back: a record of the audit trail, or a document of its own.

use super::routes::{Listener, Port, listener, on, send};
use crate::changes::tests::world::{TOKEN, World};
use crate::kernel::http::person::Access;
use crate::ledger;
use crate::openapi::route::{Route, Who};
use serde_json::{Value, json};
use shared::digest::Digest;
use shared::wire::{AuditPage, Because, PutLabels};
use shared::{limits, strict};
use std::collections::BTreeMap;

/// Route, and the action that it records or the reason why it records none.
const TRAIL: &[(&str, Result<&str, &str>)] = &[
    ("joinHost", Err("the enrolment that the host signed is in the ledger")),
    ("renewHost", Err("a certificate for the same key, by the host's own signature; no person acts")),
    ("inviteHost", Ok("fleet.invite")),
    ("labelHost", Ok("fleet.labels")),
    ("disableHost", Ok("fleet.disable")),
    ("enableHost", Ok("fleet.enable")),
    ("grantAccess", Ok("people.grant")),
    ("endAccess", Ok("people.disable")),
    ("newToken", Ok("people.new_token")),
    ("endToken", Ok("people.end_token")),
    ("publishManifest", Err("the signed publication, or the metadata, is in the ledger")),
    ("publishPolicy", Err("the policy edition is in the ledger")),
    ("beginUpload", Ok("upload.begin")),
    ("continueUpload", Err("bytes of an upload that was recorded when it began, bound to its digest")),
    ("declare", Ok("cmdb.declare")),
    ("declareItem", Ok("cmdb.declare")),
    ("saveSearch", Ok("cmdb.save_search")),
    ("forgetSearch", Ok("cmdb.forget_search")),
    ("openFeed", Ok("schedule.open_feed")),
    ("endFeeds", Ok("schedule.end_feeds")),
    ("storeCalendar", Ok("calendars.store")),
    ("subscribeCalendar", Ok("calendars.subscribe")),
    ("unsubscribeCalendar", Ok("calendars.unsubscribe")),
    ("acceptCalendar", Ok("calendars.accept")),
    ("storeBudget", Ok("budgets.store")),
    ("openBudgetAddress", Ok("budgets.open_address")),
    ("endBudgetAddresses", Ok("budgets.end_addresses")),
    ("lockFleet", Err("a machine acts by itself, and its slot ends by itself: no person acts")),
    ("unlockFleet", Err("a machine acts by itself: no person acts")),
    ("askForSlots", Err("hosts act by themselves, and a slot ends by itself: no person acts")),
    ("createChange", Ok("change.create")),
    ("putRevision", Err("the signed revision is in the ledger")),
    ("submitLater", Ok("change.submit_later")),
    ("keepDraft", Ok("change.keep_draft")),
    ("submitChange", Err("the step of the change is in the ledger")),
    ("approveChange", Err("the signed approval is in the ledger")),
    ("haltChange", Err("the step of the change is in the ledger")),
    ("resumeChange", Err("the step of the change is in the ledger")),
    ("withdrawChange", Err("the step of the change is in the ledger")),
    ("stopCorrecting", Err("the step of the change is in the ledger")),
    ("closeChange", Err("the step of the change is in the ledger")),
    ("comment", Err("the note is in the ledger")),
    ("addNote", Err("the note is in the ledger")),
    ("disposeFindings", Ok("findings.dispose")),
    ("disposeMismatches", Ok("mismatches.dispose")),
    ("makeIgnoreRule", Ok("findings.make_rule")),
    ("withdrawIgnoreRule", Ok("findings.withdraw_rule")),
    ("putRetroactiveRevision", Err("the signed revision is in the ledger")),
    ("export", Ok("export")),
    ("setMailAddress", Ok("people.mail")),
    ("addWebhook", Ok("webhooks.add")),
    ("endWebhook", Ok("webhooks.end")),
    ("testWebhook", Ok("webhooks.test")),
    ("redeliver", Ok("webhooks.redeliver")),
    (
        "takeCosignature",
        Err("the witness signed it, whoever brings it; it is a sight of the ledger and changes nothing"),
    ),
    ("bringWord", Err("the signed approval is in the ledger, whoever carried it")),
    ("reportHealth", Err("hosts act by themselves, by what they sign: no person acts")),
    ("reportFacts", Err("what a host says of itself, in the history of its CMDB entry")),
    ("changeFacts", Err("what a host says of itself, in the history of its CMDB entry")),
    ("sendPlan", Err("the host signed it, and the plan set in the ledger names it")),
    ("tellProgress", Err("signed by the host, and forgotten after the run: the receipt counts")),
    ("recordStatement", Err("the statement that the host signed is in the ledger")),
    ("proveStatements", Err("a question; it changes nothing")),
];

/// All routes of both ports that are no mere reading.
fn writing() -> Vec<&'static str> {
    let all = [Port::People, Port::Agents].into_iter().flat_map(on);
    all.filter(|route| !matches!(route.method, "GET" | "HEAD")).map(|route| route.id).collect()
}

#[test]
fn every_writing_route_has_a_record_or_a_reason() {
    let mut told: Vec<&str> = TRAIL.iter().map(|(id, _)| *id).collect();
    let mut writing = writing();
    told.sort_unstable();
    writing.sort_unstable();
    assert_eq!(told, writing, "told here, described as routes");
    let managed = |route: &&Route| {
        route.method != "GET" && matches!(route.who, Who::Person { needs: Access::Admin, .. })
    };
    let managed = [Port::People, Port::Agents].into_iter().flat_map(on).filter(managed).map(|route| route.id);
    for id in managed {
        assert!(TRAIL.iter().any(|(told, by)| *told == id && by.is_ok()), "{id} is for administrators");
    }
}

async fn call(app: &Listener, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { vec![] } else { body.to_string().into_bytes() };
    let reply = send(app, (method, path), Some(TOKEN), body).await;
    assert!(reply.status < 300, "{method} {path}: {} {}", reply.status, reply.json());
    reply.json()
}

async fn trail(app: &Listener, query: &str) -> AuditPage {
    let page = call(app, "GET", &format!("/v1/audit{query}"), &Value::Null).await;
    serde_json::from_value(page).unwrap()
}

#[actix_web::test]
async fn what_is_done_is_recorded_and_what_is_refused_is_not() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let app = listener(&world, Port::People).await;
        let before = trail(&app, "").await.records.len();
        let host = call(&app, "GET", "/v1/hosts", &Value::Null).await[0]["ci"].as_str().unwrap().to_owned();
        let host = format!("/v1/hosts/{host}");
        let until = world.now().plus(86_400);
        let rule = json!({"resource": "file:/x", "reason": "x", "until": until});
        call(&app, "POST", "/v1/people/peer/tokens", &json!({"access": "reader", "days": 1})).await;
        call(&app, "DELETE", "/v1/people/peer", &Value::Null).await;
        let secret = Digest::of(b"program");
        let token = json!({"name": "x", "scopes": ["read"], "days": 1, "token_sha256": secret});
        call(&app, "POST", "/v1/tokens", &token).await;
        call(&app, "DELETE", &format!("/v1/tokens/{secret}"), &Value::Null).await;
        call(&app, "POST", "/v1/join-tokens", &json!({"host_class": "lab", "minutes": 1})).await;
        call(&app, "PUT", &format!("{host}/labels"), &json!({"reason": "a", "labels": {"role": "web"}}))
            .await;
        call(&app, "POST", &format!("{host}/disable"), &json!({"reason": "a"})).await;
        call(&app, "POST", &format!("{host}/enable"), &json!({"reason": "a"})).await;
        call(&app, "POST", "/v1/uploads", &json!({"sha256": Digest::of(b"x"), "length": 1})).await;
        let made = call(&app, "POST", "/v1/changes", &json!({})).await;
        let id = serde_json::from_value(made["change_id"].clone()).unwrap();
        let draft = serde_json::to_value(world.sign(world.change(&id, 1, &base)).envelope).unwrap();
        call(&app, "PUT", &format!("/v1/changes/{id}/revisions/1"), &draft).await;
        for _ in 0..2 {
            let later = json!({ "at": world.now().plus(60) });
            call(&app, "POST", &format!("/v1/changes/{id}/submit-later"), &later).await;
        }
        call(&app, "DELETE", &format!("/v1/changes/{id}/submit-later"), &Value::Null).await;
        let times = json!([{"from": world.now(), "until": until}]);
        let calendar = json!({"title": "x", "mode": "hard", "holds": ["normal"], "times": times});
        let put = json!({"after": 0, "reason": "x", "calendar": calendar});
        call(&app, "PUT", "/v1/calendars/year-end", &put).await;
        let scope = json!({"title": "x", "mode": "hard", "holds": ["normal"]});
        let subscription = json!({
            "url": "https://a.example/x.ics", "every_s": 3600, "zone": "UTC", "reason": "x", "calendar": scope,
        });
        call(&app, "PUT", "/v1/calendars/office/subscription", &subscription).await;
        call(&app, "DELETE", "/v1/calendars/office/subscription", &Value::Null).await;
        let budget = json!({"title": "x", "slots": 1, "lease_s": 300});
        call(&app, "PUT", "/v1/budgets/db", &json!({"after": 0, "reason": "x", "budget": budget})).await;
        let addresses = "/v1/budgets/db/addresses";
        call(&app, "POST", addresses, &json!({"sha256": Digest::of(b"secret")})).await;
        call(&app, "DELETE", addresses, &Value::Null).await;
        let items = json!([{"item": "service:shop", "declared": {"owner": "shop"}}]);
        call(&app, "POST", "/v1/declarations", &json!({"reason": "x", "items": items})).await;
        call(&app, "POST", "/v1/feeds", &json!({"sha256": Digest::of(b"secret")})).await;
        call(&app, "DELETE", "/v1/feeds", &Value::Null).await;
        let search = json!({"query": "os:debian"});
        for _ in 0..2 {
            // The second time it changes nothing.
            call(&app, "PUT", "/v1/searches/debian", &search).await;
        }
        call(&app, "DELETE", "/v1/searches/debian", &Value::Null).await;
        // What changes nothing is no action.
        call(&app, "POST", "/v1/declarations", &json!({"reason": "x", "items": items})).await;
        call(
            &app,
            "POST",
            "/v1/declarations",
            &json!({"reason": "x", "dry_run": true, "items": [{"item": "service:mail"}]}),
        )
        .await;
        let made = call(&app, "POST", "/v1/finding-rules", &rule).await;
        call(&app, "DELETE", &format!("/v1/finding-rules/{}", made["id"]), &Value::Null).await;
        let period = json!({"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"});
        let exported =
            send(&app, ("POST", "/v1/exports"), Some(TOKEN), period.to_string().into_bytes()).await;
        assert_eq!(exported.status, 200);
        let mail = json!({"address": "lead@example.org", "language": "en"});
        call(&app, "PUT", "/v1/people/lead/mail", &mail).await;
        let webhook = json!({"name": "chat", "url": "https://chat.example/x"});
        call(&app, "POST", "/v1/webhooks", &webhook).await;
        call(&app, "POST", "/v1/webhooks/chat/test", &Value::Null).await;
        let sent = call(&app, "GET", "/v1/webhooks/chat/deliveries", &Value::Null).await;
        let number = &sent["deliveries"][0]["number"];
        call(&app, "POST", &format!("/v1/webhooks/chat/deliveries/{number}/again"), &Value::Null).await;
        call(&app, "DELETE", "/v1/webhooks/chat", &Value::Null).await;
        // Nothing was done, so nothing is recorded.
        for (method, path) in [("POST", "/v1/hosts/nobody/disable"), ("DELETE", "/v1/people/nobody")] {
            let why = json!({"reason": "a"}).to_string().into_bytes();
            assert_eq!(send(&app, (method, path), Some(TOKEN), why).await.status, 404);
        }

        let page = trail(&app, "").await;
        let done = page.records.len() - before;
        let mut counts = BTreeMap::new();
        for record in page.records.iter().take(done) {
            *counts.entry(record.action.as_str()).or_insert(0) += 1;
            assert_eq!(record.person.as_ref().map(ToString::to_string).as_deref(), Some("lead"));
        }
        let mut expected: BTreeMap<&str, i32> =
            TRAIL.iter().filter_map(|(_, told)| Some((told.ok()?, 1))).collect();
        // What has to be there first comes from outside: the slices' own tests look.
        expected.remove("calendars.accept");
        expected.remove("findings.dispose");
        expected.remove("mismatches.dispose");
        assert_eq!(counts, expected, "{}", world.engine);
        let numbers: Vec<u64> = page.records.iter().rev().map(|record| record.number).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "without gaps");
        for record in &page.records {
            let proof = format!("/v1/log/proof?digest={}", record.digest());
            let leaf = call(&app, "GET", &proof, &Value::Null).await["inclusion"]["leaf"].to_string();
            // Who took a bundle has a leaf of its own kind.
            let kind = if record.action == "export" { "export" } else { "audit" };
            assert!(leaf.contains(&format!("\\\"t\\\":\\\"{kind}\\\"")), "{}: {leaf}", record.action);
        }
        let some = trail(&app, "?action=people.grant&person=lead").await.records;
        assert_eq!(some.len(), 1);
        let older = trail(&app, &format!("?before={}", some[0].number)).await.records;
        assert!(older.iter().all(|record| record.number < some[0].number));
    }
}

/// The history of the host has the reason; the trail has the digest of the request with it.
#[actix_web::test]
async fn a_host_is_changed_by_hand_for_a_reason_only() {
    for world in World::each(1, 1).await {
        let app = listener(&world, Port::People).await;
        let ci = call(&app, "GET", "/v1/hosts", &Value::Null).await[0]["ci"].as_str().unwrap().to_owned();
        for (method, route, event) in
            [("PUT", "labels", "labelled"), ("POST", "disable", "disabled"), ("POST", "enable", "enabled")]
        {
            let path = format!("/v1/hosts/{ci}/{route}");
            let before = trail(&app, "").await.records.len();
            let body = |reason: &str| match route {
                "labels" => json!({ "reason": reason, "labels": { "role": "web" } }),
                _ => json!({ "reason": reason }),
            };
            for reason in [" ".to_owned(), "x".repeat(limits::TEXT_BYTES + 1)] {
                let sent = body(&reason).to_string().into_bytes();
                let reply = send(&app, (method, &path), Some(TOKEN), sent).await;
                assert_eq!((reply.status, &reply.json()["code"]), (422, &json!("host.bad_reason")), "{path}");
            }
            assert_eq!(send(&app, (method, &path), Some(TOKEN), b"{}".to_vec()).await.status, 400, "{path}");
            assert_eq!(trail(&app, "").await.records.len(), before, "{}", world.engine);

            let why = format!("because of {route}");
            call(&app, method, &path, &body(&why)).await;
            let file = call(&app, "GET", &format!("/v1/cis/{ci}"), &Value::Null).await;
            let newest = &file["history"][0];
            assert_eq!(newest["kind"], event, "{newest}");
            assert!(newest["summary"].as_str().unwrap().starts_with(&why), "{newest}");
            let record = trail(&app, "").await.records[0].clone();
            let asked = match route {
                "labels" => strict::to_json(&PutLabels {
                    reason: why,
                    labels: [("role".to_owned(), "web".to_owned())].into_iter().collect(),
                }),
                _ => strict::to_json(&Because { reason: why }),
            };
            assert_eq!(record.request, Digest::of(&asked), "{path}");
        }
    }
}

/// Action and record are one transaction: what cannot be recorded is not done, also not half.
#[actix_web::test]
async fn what_cannot_be_recorded_is_not_done() {
    for world in World::each(1, 1).await {
        let app = listener(&world, Port::People).await;
        let (block, free) = match world.engine {
            "sqlite" => (
                "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END",
                "DROP TRIGGER full",
            ),
            _ => (
                "ALTER TABLE audit ADD CONSTRAINT full_ CHECK (number < 0) NOT VALID",
                "ALTER TABLE audit DROP CONSTRAINT full_",
            ),
        };
        let state = async || {
            let listed = call(&app, "GET", "/v1/hosts", &Value::Null).await[0].clone();
            let people = call(&app, "GET", "/v1/people", &Value::Null).await;
            let changes = call(&app, "GET", "/v1/changes", &Value::Null).await;
            let head = world.read(ledger::head).await.size;
            (listed["enabled"].clone(), listed["labels"].clone(), people, changes, head)
        };
        let host = call(&app, "GET", "/v1/hosts", &Value::Null).await[0]["ci"].as_str().unwrap().to_owned();
        let disable = format!("/v1/hosts/{host}/disable");
        let before = state().await;
        world.sql(block).await;
        for (method, path, body) in [
            ("POST", disable.as_str(), json!({"reason": "a"})),
            ("PUT", &format!("/v1/hosts/{host}/labels"), json!({"reason": "a", "labels": {"role": "web"}})),
            ("POST", "/v1/people/peer/tokens", json!({"access": "admin", "days": 1})),
            ("POST", "/v1/changes", json!({})),
            ("POST", "/v1/exports", json!({"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"})),
        ] {
            let reply = send(&app, (method, path), Some(TOKEN), body.to_string().into_bytes()).await;
            assert_eq!(reply.status, 500, "{} {method} {path}: {}", world.engine, reply.json());
            assert_ne!(reply.media, "application/x-tar");
        }
        assert_eq!(state().await, before, "{}", world.engine);
        world.sql(free).await;
        call(&app, "POST", &disable, &json!({"reason": "a"})).await;
        assert_eq!(state().await.4, before.4 + 1);
    }
}

/// A record that was edited is not shown as if nothing had happened.
#[actix_web::test]
async fn an_edited_record_is_noticed() {
    for world in World::each(1, 1).await {
        let app = listener(&world, Port::People).await;
        call(&app, "POST", "/v1/people/peer/tokens", &json!({"access": "admin", "days": 1})).await;
        for edit in [
            "UPDATE audit SET person = 'peer' WHERE number = 2",
            "UPDATE audit SET object = 'person somebody' WHERE number = 2",
            "UPDATE audit SET at = at + 1 WHERE number = 2",
            "UPDATE audit SET action = 'people.list' WHERE number = 2",
        ] {
            world.sql("CREATE TABLE kept AS SELECT * FROM audit").await;
            world.sql(edit).await;
            let reply = send(&app, ("GET", "/v1/audit"), Some(TOKEN), vec![]).await;
            assert_eq!((reply.status, &reply.json()["code"]), (500, &json!("server.fault")), "{edit}");
            world.sql("DELETE FROM audit").await;
            world.sql("INSERT INTO audit SELECT * FROM kept").await;
            world.sql("DROP TABLE kept").await;
        }
        assert!(!trail(&app, "").await.records.is_empty());
    }
}
