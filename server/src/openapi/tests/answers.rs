//! Real requests and answers against the schemas of the document.

use super::routes::{Port, Reply, listener, send};
use crate::changes::tests::world::{NOW, TOKEN, World, door};
use crate::cmdb::{self, CiId, NewHealth};
use crate::openapi::document;
use crate::testfleet::{self, ask, exchange, header};
use serde_json::{Value, json};
use shared::approval::Decision;
use shared::digest::Digest;
use shared::facts::{Delta, Facts, Kernel, LocalFact, Os, Package, PackageStatus, Service};
use shared::health::HealthState;
use shared::receipt::HostOutcome;
use shared::refusal::Code;
use shared::wire::{FactsChange, FactsReport, Record, Renew};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// Compares what goes over the wire with the document, and remembers which operations answered well.
struct Judge {
    document: Value,
    answered: RefCell<BTreeSet<String>>,
}

impl Judge {
    fn new() -> Self {
        Self { document: document(), answered: RefCell::default() }
    }

    /// The operation that a path belongs to, the one with the fewest variable parts first.
    fn operation(&self, method: &str, path: &str) -> &Value {
        let path = path.split('?').next().unwrap();
        let fits = |template: &str| {
            let (template, path): (Vec<_>, Vec<_>) =
                (template.split('/').collect(), path.split('/').collect());
            let same = |(a, b): (&&str, &&str)| a.starts_with('{') || a == b;
            let open = template.last() == Some(&"{tile}") && path.len() > template.len();
            (open || template.len() == path.len()) && template.iter().zip(&path).all(same)
        };
        let paths = self.document["paths"].as_object().unwrap();
        let found = paths.iter().filter(|(template, _)| fits(template));
        let found = found.min_by_key(|(template, _)| template.matches('{').count());
        &found.unwrap_or_else(|| panic!("{path} is not described")).1[method.to_lowercase()]
    }

    fn problems(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut root = schema.clone();
        root["components"] = self.document["components"].clone();
        let validator = jsonschema::draft202012::new(&root).unwrap();
        validator.iter_errors(value).map(|error| format!("{error} at {}", error.instance_path())).collect()
    }

    fn request(&self, (method, path): (&str, &str), body: &[u8]) {
        let operation = self.operation(method, path);
        let Some(content) = operation["requestBody"]["content"].get("application/json") else { return };
        let body: Value = serde_json::from_slice(body).unwrap();
        let problems = self.problems(&content["schema"], &body);
        assert!(problems.is_empty(), "{method} {path}: {problems:?} in {body}");
    }

    fn answer(&self, (method, path): (&str, &str), status: u16, media: &str, bytes: &[u8]) {
        let operation = self.operation(method, path);
        let responses = &operation["responses"];
        let rejected = &self.document["components"]["responses"]["Rejected"];
        let response = responses.get(status.to_string()).unwrap_or(rejected);
        assert!(status >= 400 || responses.get(status.to_string()).is_some(), "{method} {path}: {status}");
        let Some(content) = response["content"].as_object() else {
            assert!(bytes.is_empty(), "{method} {path} has a body");
            self.note(operation);
            return;
        };
        let media = media.split(';').next().unwrap();
        let described = content.get(media).unwrap_or_else(|| panic!("{method} {path} answers {media:?}"));
        if let Some(schema) = described.get("schema") {
            let value: Value = serde_json::from_slice(bytes).unwrap();
            let problems = self.problems(schema, &value);
            assert!(problems.is_empty(), "{method} {path}: {problems:?} in {value}");
            if let Some(codes) = response["x-codes"].as_array() {
                assert!(codes.contains(&value["code"]), "{method} {path}: {value}");
            }
        }
        if status < 400 {
            self.note(operation);
        }
    }

    fn note(&self, operation: &Value) {
        self.answered.borrow_mut().insert(operation["operationId"].as_str().unwrap().to_owned());
    }

    fn answered(self) -> Vec<String> {
        self.answered.into_inner().into_iter().collect()
    }
}

#[test]
fn the_judge_refuses_what_is_not_described() {
    let judge = Judge::new();
    let content =
        |operation: &Value| operation["responses"]["200"]["content"]["application/json"]["schema"].clone();
    let schema = content(judge.operation("POST", "/v1/changes"));
    assert_eq!(judge.problems(&schema, &json!({ "change_id": "C-1" })), [""; 0]);
    for bad in [json!({}), json!({ "change_id": "C-0" }), json!({ "change_id": 1 }), json!([])] {
        assert!(!judge.problems(&schema, &bad).is_empty(), "{bad}");
    }
    let schema = content(judge.operation("GET", "/v1/hosts/CI-1/enrolment"));
    let envelope = json!({ "payloadType": "application/vnd.in-toto+json", "payload": "e30=", "signatures": [{ "keyid": "", "sig": "" }] });
    assert_eq!(judge.problems(&schema, &envelope), [""; 0]);
    for (key, value) in [("more", json!(1)), ("payloadType", json!("text")), ("signatures", json!([]))] {
        let mut bad = envelope.clone();
        bad[key] = value;
        assert!(!judge.problems(&schema, &bad).is_empty(), "{key}");
    }
}

/// A change's whole way, then every question that people ask.
#[actix_web::test]
async fn people_get_what_is_described() {
    let mut world = World::each(1, 2).await.remove(0);
    let base = world.publish("base", "1.0.0").await;
    let of = world.in_review(&base, |_| {}).await;
    world.approve(&of, "peer").await;
    world.clock.set(NOW.plus(3_700));
    let receipt = world.report(0, &of, HostOutcome::Applied).await;
    world.refuse(1, &of, Code::TimeWindow, Some(NOW.plus(86_400))).await;
    let found = world.find(0, &of, |_| {}).await;
    let retro = world.number().await;
    let accepting = world.sign(world.accepted(&retro, 1, &[(0, found)]));
    let draft = world.good("POST", "/v1/changes", json!({})).await["change_id"].clone();
    let disk = NewHealth {
        name: "disk".into(),
        state: HealthState::Ok,
        at: NOW,
        output: "fine".into(),
        metrics: shared::plugin::read("fine|/=1MB;2;3").metrics,
    };
    let said = move |tx: &mut _| {
        cmdb::record_health(tx, CiId(1), std::slice::from_ref(&disk), (receipt, None), None)
    };
    world.node.db.write("test.health", said).await.unwrap();

    let (app, judge) = (listener(&world, Port::People).await, Judge::new());
    let call = async |method: &str, path: &str, body: Vec<u8>| -> Reply {
        if !body.is_empty() {
            judge.request((method, path), &body);
        }
        let reply = send(&app, (method, path), Some(TOKEN), body).await;
        judge.answer((method, path), reply.status, &reply.media, &reply.bytes);
        reply
    };
    let id = &of.id;
    let draft = draft.as_str().unwrap();
    for path in [
        "/healthz",
        "/v1/openapi.json",
        "/v1/site",
        "/v1/tuf/timestamp.json",
        "/v1/hosts",
        "/v1/hosts/web1/enrolment",
        "/v1/cis",
        "/v1/cis/web1",
        "/v1/cis/web1/health/disk",
        "/v1/people",
        "/v1/changes",
        "/v1/alarms",
        "/v1/findings",
        "/v1/findings?disposition=open&current=true&host=web1&before=9",
        "/v1/findings/1",
        "/v1/finding-rules",
        "/v1/exports",
        "/v1/audit",
        "/v1/audit?person=lead&action=change.create&before=1000",
        "/v1/log/checkpoint",
        "/v1/log/witnesses",
        "/v1/log/tile/0/000.p/1",
        "/v1/changes?state=running&before=C-100",
        &format!("/v1/changes/{id}"),
        &format!("/v1/changes/{id}/course"),
        &format!("/v1/changes/{draft}/course"),
        &format!("/v1/changes/{id}/progress"),
        &format!("/v1/why/web1/{id}"),
        &format!("/v1/why/web2/{id}"),
        &format!("/v1/statements/{receipt}"),
        &format!("/v1/log/proof?digest={receipt}"),
        &format!("/v1/log/proof?digest={receipt}&since=1"),
    ] {
        let reply = call("GET", path, vec![]).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.json());
    }
    let served: Value = serde_json::from_slice(&call("GET", "/v1/openapi.json", vec![]).await.bytes).unwrap();
    assert_eq!(served, judge.document);

    let json = |value: Value| value.to_string().into_bytes();
    let blob = b"an artifact";
    let announced = json(json!({ "sha256": Digest::of(blob), "length": blob.len() }));
    let begun = call("POST", "/v1/uploads", announced).await.json();
    let append = format!("/v1/uploads/{}?offset=0", begun["id"].as_str().unwrap());
    let reply = send(&app, ("PATCH", &append), Some(TOKEN), blob.to_vec()).await;
    judge.answer(("PATCH", &append), reply.status, &reply.media, &reply.bytes);
    let artifact = format!("/v1/artifacts/{}", Digest::of(blob));
    assert_eq!(call("GET", &artifact, vec![]).await.bytes, blob);

    let (publish, _) = world.publishing(&world.publication("base", "1.1.0", "text"));
    let items = json!([
        { "item": "service:shop", "declared": { "owner": "shop", "criticality": "high", "labels": { "team": "red" } },
          "relations": [{ "kind": "depends_on", "to": "data:orders" }] },
        { "item": "data:orders", "declared": { "confidentiality": "very_high" } },
    ]);
    let items = json!({ "reason": "x", "items": items });
    let one_item = json!({ "reason": "x", "declared": { "owner": "it" }, "relations": [] });
    let window = &of.change.body.intervals[..1];
    let calendar = json!({ "title": "x", "mode": "hard", "holds": ["normal"], "times": window });
    let webhook = json!({ "name": "chat", "url": "https://chat.example/x", "kinds": ["webhook.test"] });
    let budget = json!({ "title": "x", "slots": 1, "lease_s": 600 });
    let budget = json!({ "after": 0, "reason": "x", "budget": budget });
    let calendar = json!({ "after": 0, "reason": "x", "calendar": calendar });
    let of_office = calendar.clone();
    let scope = json!({ "title": "x", "mode": "hard", "holds": ["normal"] });
    let subscription = json!({
        "url": "https://a.example/x.ics", "every_s": 3_600, "zone": "UTC", "reason": "x", "calendar": scope,
    });
    let accept = json!({ "sha256": Digest::of(b"x"), "reason": "x" });
    let again = shared::strict::to_json(&world.approving(&of, "peer", Decision::Approve));
    let revision =
        shared::strict::to_json(&world.sign(world.change(&draft.parse().unwrap(), 1, &base)).envelope);
    let secret = Digest::of(b"program");
    let token = json!({ "name": "x", "scopes": ["read"], "days": 3, "token_sha256": secret });
    let objection = json!({ "kind": "objection", "text": "not yet", "speaks_for": "host:web1" });
    let link = json!({ "kind": "link", "relation": "relates", "to": draft });
    let line = call("GET", "/v1/findings", vec![]).await.json()["findings"][0].clone();
    let until = shared::time::Timestamp(NOW.0 + 86_400 * 30);
    let judge_it = json!({
        "findings": [{ "id": line["id"], "fingerprint": line["fingerprint"] }],
        "disposition": "ignored", "reason": "known", "until": until
    });
    let rule = json!({ "resource": "file:/etc/*", "reason": "known", "until": until });
    for (method, path, body, status) in [
        ("PUT", door(&accepting), accepting.to_bytes(), 200),
        ("POST", format!("/v1/changes/{retro}/submit"), vec![], 200),
        ("GET", format!("/v1/changes/{retro}"), vec![], 200),
        ("GET", "/v1/findings".to_owned(), vec![], 200),
        ("POST", "/v1/finding-dispositions".to_owned(), json(judge_it.clone()), 409),
        ("POST", format!("/v1/changes/{retro}/withdraw"), vec![], 200),
        ("POST", "/v1/finding-dispositions".to_owned(), json(judge_it), 204),
        ("POST", "/v1/finding-rules".to_owned(), json(rule), 200),
        ("DELETE", "/v1/finding-rules/1".to_owned(), vec![], 204),
        ("GET", "/v1/findings/9".to_owned(), vec![], 404),
        ("POST", "/v1/changes".to_owned(), json(json!({})), 200),
        (
            "POST",
            "/v1/join-tokens".into(),
            json(json!({ "host_class": "lab", "labels": {"a": "b"}, "minutes": 5 })),
            200,
        ),
        (
            "PUT",
            "/v1/hosts/web2/labels".into(),
            json(json!({ "reason": "a", "labels": { "role": "web" } })),
            204,
        ),
        ("POST", "/v1/hosts/web2/disable".into(), json(json!({ "reason": "a" })), 204),
        ("POST", "/v1/hosts/web2/enable".into(), json(json!({ "reason": "a" })), 204),
        ("POST", "/v1/people/viewer/tokens".into(), json(json!({ "access": "reader", "days": 3 })), 200),
        ("DELETE", "/v1/people/viewer".into(), vec![], 204),
        ("POST", "/v1/tokens".into(), json(token), 200),
        ("DELETE", format!("/v1/tokens/{secret}"), vec![], 204),
        ("POST", "/v1/tokens".into(), json(json!({ "name": "x", "scopes": ["fly"], "days": 3 })), 422),
        ("GET", "/v1/tokens".into(), vec![], 200),
        ("DELETE", format!("/v1/tokens/{}", Digest::of(TOKEN.as_bytes())), vec![], 409),
        ("POST", "/v1/tuf/publish".into(), shared::strict::to_json(&publish), 200),
        ("PUT", format!("/v1/changes/{draft}/revisions/1"), revision, 200),
        (
            "POST",
            format!("/v1/changes/{draft}/submit-later"),
            json(json!({ "at": world.now().plus(60) })),
            200,
        ),
        ("DELETE", format!("/v1/changes/{draft}/submit-later"), vec![], 200),
        ("GET", "/v1/series".into(), vec![], 200),
        ("POST", format!("/v1/changes/{draft}/submit"), vec![], 200),
        ("POST", format!("/v1/changes/{draft}/withdraw"), vec![], 200),
        ("POST", format!("/v1/changes/{id}/approvals"), again, 200),
        ("POST", format!("/v1/changes/{id}/halt"), vec![], 200),
        ("POST", format!("/v1/changes/{id}/resume"), vec![], 200),
        ("POST", format!("/v1/changes/{id}/stop-correcting"), vec![], 200),
        ("POST", format!("/v1/changes/{id}/comments"), json(objection), 200),
        ("POST", format!("/v1/changes/{id}/notes"), json(link), 200),
        ("GET", format!("/v1/changes/{id}/notes"), vec![], 200),
        ("GET", format!("/v1/changes/{draft}/notes"), vec![], 200),
        ("GET", format!("/v1/changes/{id}/revisions/1"), vec![], 200),
        ("GET", format!("/v1/changes/{id}/revisions/9"), vec![], 404),
        ("POST", "/v1/exports".into(), json(json!({ "change_id": id })), 200),
        ("PUT", "/v1/calendars/year-end".into(), json(calendar), 200),
        ("PUT", "/v1/calendars/office/subscription".into(), json(subscription), 200),
        ("PUT", "/v1/calendars/office".into(), json(of_office), 409),
        ("POST", "/v1/calendars/office/accept".into(), json(accept), 409),
        ("GET", "/v1/calendars".into(), vec![], 200),
        ("GET", "/v1/calendars/office".into(), vec![], 200),
        ("DELETE", "/v1/calendars/office/subscription".into(), vec![], 204),
        ("DELETE", "/v1/calendars/office/subscription".into(), vec![], 404),
        ("GET", "/v1/calendars/year-end".into(), vec![], 200),
        ("PUT", "/v1/budgets/db".into(), json(budget), 200),
        ("GET", "/v1/budgets".into(), vec![], 200),
        ("GET", "/v1/budgets/db".into(), vec![], 200),
        ("GET", "/v1/budgets/odd".into(), vec![], 404),
        ("POST", "/v1/budgets/db/addresses".into(), json(json!({ "sha256": Digest::of(b"secret") })), 204),
        ("POST", "/v1/budgets/db/addresses".into(), json(json!({ "sha256": Digest::of(b"secret") })), 409),
        ("DELETE", "/v1/budgets/db/addresses".into(), vec![], 204),
        ("GET", format!("/v1/changes/{id}/conflicts"), vec![], 200),
        ("GET", format!("/v1/changes/{id}/assessment"), vec![], 200),
        ("GET", "/v1/free-times?label=role=web&until=2027-06-01T00:00:00Z".into(), vec![], 200),
        ("POST", "/v1/declarations".into(), json(items), 200),
        ("GET", "/v1/declarations".into(), vec![], 200),
        ("GET", "/v1/declarations/service:shop".into(), vec![], 200),
        ("GET", "/v1/declarations/service:none".into(), vec![], 404),
        ("PUT", "/v1/declarations/service:shop".into(), json(one_item), 200),
        ("GET", "/v1/hosts/web2/labels".into(), vec![], 200),
        ("GET", "/v1/cis/shop/impact?depth=3".into(), vec![], 200),
        ("PUT", "/v1/searches/mine".into(), json(json!({ "query": "class:service" })), 204),
        ("GET", "/v1/searches".into(), vec![], 200),
        ("GET", "/v1/searches/mine".into(), vec![], 200),
        ("GET", "/v1/mismatches?current=true".into(), vec![], 200),
        ("GET", "/v1/cis?q=saved:mine&limit=1".into(), vec![], 200),
        ("DELETE", "/v1/searches/mine".into(), vec![], 204),
        ("POST", "/v1/feeds".into(), json(json!({ "sha256": Digest::of(b"secret") })), 204),
        ("GET", "/v1/feeds/secret.ics".into(), vec![], 200),
        ("DELETE", "/v1/feeds".into(), vec![], 204),
        ("GET", "/v1/kpis?from=2026-01-01T00:00:00Z&to=2027-06-01T00:00:00Z".into(), vec![], 200),
        ("GET", "/v1/waiting".into(), vec![], 200),
        ("POST", "/v1/webhooks".into(), json(webhook), 200),
        ("GET", "/v1/inbox".into(), vec![], 200),
        (
            "PUT",
            "/v1/people/lead/mail".into(),
            json(json!({ "address": "a@example.org", "language": "de" })),
            204,
        ),
        ("PUT", "/v1/people/lead/mail".into(), json(json!({ "address": "a", "language": "de" })), 422),
        ("GET", "/v1/mail-addresses".into(), vec![], 200),
        ("GET", "/v1/webhooks".into(), vec![], 200),
        ("POST", "/v1/webhooks/chat/test".into(), vec![], 200),
        ("GET", "/v1/webhooks/chat/deliveries".into(), vec![], 200),
        ("POST", "/v1/webhooks/chat/deliveries/1/again".into(), vec![], 204),
        ("POST", "/v1/webhooks/chat/deliveries/9/again".into(), vec![], 404),
        ("DELETE", "/v1/webhooks/chat".into(), vec![], 204),
        ("DELETE", "/v1/webhooks/chat".into(), vec![], 404),
        ("GET", format!("/v1/waiting?change={id}"), vec![], 200),
        ("GET", format!("/v1/changes/{id}/waves"), vec![], 200),
        ("GET", "/v1/changes/C-999/waves".into(), vec![], 404),
        // And refusals.
        ("GET", "/v1/waiting?change=C-999".into(), vec![], 404),
        ("GET", "/v1/cis?q=odd:x".into(), vec![], 422),
        ("GET", "/v1/cis?q=saved:mine".into(), vec![], 404),
        ("GET", "/v1/kpis?from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z".into(), vec![], 400),
        ("GET", "/v1/feeds/secret.ics".into(), vec![], 404),
        ("GET", "/v1/calendars/odd".into(), vec![], 404),
        ("GET", "/v1/changes/C-999".into(), vec![], 404),
        ("GET", "/v1/changes/x".into(), vec![], 400),
        ("GET", "/v1/changes?state=odd".into(), vec![], 400),
        ("POST", format!("/v1/changes/{draft}/halt"), vec![], 409),
        ("POST", format!("/v1/changes/{id}/close"), json(json!({ "outcome": "expired" })), 422),
        ("POST", "/v1/join-tokens".into(), json(json!({ "host_class": "lab", "minutes": 61 })), 422),
        ("GET", "/v1/log/tile/9/999".into(), vec![], 404),
        ("POST", "/v1/log/cosignatures".into(), json(json!({ "checkpoint": "x" })), 422),
    ] {
        let reply = call(method, &path, body).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.json());
    }
    let head = send(&app, ("HEAD", &artifact), Some(TOKEN), vec![]).await;
    assert_eq!(head.status, 200);

    let answered = judge.answered();
    let described = super::routes::on(Port::People).map(|route| route.id);
    let open: Vec<_> = described.filter(|id| !answered.iter().any(|seen| seen == id)).collect();
    // Hosts join and renew below; the others have tests of their own in their slices.
    assert_eq!(
        open,
        [
            "joinHost",
            "renewHost",
            "publishPolicy",
            "findArtifact",
            "acceptCalendar",
            "lockFleet",
            "unlockFleet",
            "closeChange",
            "disposeMismatches",
            "takeCosignature"
        ]
    );
}

fn facts() -> Facts {
    let text = String::from;
    Facts {
        hostname: text("host1"),
        fqdn: text("host1.example"),
        os: Os {
            id: text("debian"),
            version: text("12"),
            codename: text("bookworm"),
            name: text("Debian 12"),
        },
        kernel: Kernel { release: text("6.1.0"), installed: vec![text("6.1.0")] },
        arch: text("amd64"),
        packages: vec![Package {
            name: text("openssl"),
            version: text("3.0.15-1"),
            arch: text("amd64"),
            source: text("openssl"),
            source_version: text("3.0.15-1"),
            vendor: None,
            status: PackageStatus::Held,
            origin: Some(text("Debian:stable")),
        }],
        services: vec![Service { name: text("ssh"), active: text("active"), enabled: text("enabled") }],
        addresses: vec![text("192.0.2.7")],
        virtualisation: Some(text("kvm")),
        local: vec![LocalFact { name: text("local.site.rack"), value: text("B7") }],
        ..Facts::empty(semver::Version::new(0, 1, 0), "lab".parse().unwrap())
    }
}

/// A host over real TLS: joining, renewing, checking in, facts, statements, and how it is refused.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_get_what_is_described() {
    let world = testfleet::World::each().await.remove(0);
    let (token, mut host) = (world.node.invite("lab").await, testfleet::Host::new(1));
    let served = tokio::task::block_in_place(|| world.serve());
    let judge = Judge::new();
    let call = |connection: &mut _, to: (&str, &str), body: &[u8]| {
        if !body.is_empty() {
            judge.request(to, body);
        }
        let (status, head, body) = exchange(connection, to, "", std::str::from_utf8(body).unwrap());
        judge.answer(to, status, &header(&head, "content-type"), body.as_bytes());
        let value: Value = serde_json::from_str(&body).unwrap_or_default();
        (status, header(&head, "etag"), value)
    };
    tokio::task::block_in_place(|| {
        let mut people = world.connect(served.people, None);
        let join = shared::strict::to_json(&host.join(&token));
        let (status, _, joined) = call(&mut people, ("POST", "/v1/join"), &join);
        assert_eq!(status, 200, "{joined}");
        host.joined();
        let joined = serde_json::from_value(joined).unwrap();
        let renew = shared::strict::to_json(&Renew { envelope: host.renewal(testfleet::NOW) });
        assert_eq!(call(&mut people, ("POST", "/v1/renew"), &renew).0, 200);

        let mut agent = world.connect(served.agents, Some((&host, &joined)));
        let work = ("GET", "/agent/v1/work");
        let (status, tag, _) = call(&mut agent, work, b"");
        assert_eq!(status, 200);
        let (status, ..) = ask(&mut agent, work, &format!("If-None-Match: {tag}\r\n"), "");
        assert_eq!(status, 304);
        judge.answer(work, status, "", b"");
        let report = shared::strict::to_json(&FactsReport { at: testfleet::NOW, facts: facts() });
        assert_eq!(call(&mut agent, ("PUT", "/agent/v1/facts"), &report).0, 204);
        let renamed = Facts { hostname: "host2".into(), local: vec![], ..facts() };
        let delta = Delta::between(&facts(), &renamed);
        let change = shared::strict::to_json(&FactsChange { at: testfleet::NOW, delta });
        let to = ("PATCH", "/agent/v1/facts");
        assert_eq!(call(&mut agent, to, &change).0, 204);
        let (status, _, problem) = call(&mut agent, to, &change);
        assert_eq!((status, problem["code"].as_str()), (409, Some("facts.base")));
        assert_eq!(call(&mut agent, work, b"").0, 200);

        let receipt = Record { statement: host.receipt(|_| {}), summary: None, log_size: Some(1) };
        let statements = ("POST", "/agent/v1/statements");
        let (status, _, recorded) = call(&mut agent, statements, &shared::strict::to_json(&receipt));
        assert!(status == 200 && recorded["consistency"].is_object(), "{recorded}");
        let late = Record { statement: host.sign_after(7), summary: None, log_size: None };
        let (status, _, problem) = call(&mut agent, statements, &shared::strict::to_json(&late));
        assert_eq!((status, problem["code"].as_str()), (409, Some("chain.gap")));
        drop(served);
    });
    assert_eq!(
        judge.answered(),
        ["changeFacts", "checkIn", "joinHost", "recordStatement", "renewHost", "reportFacts"]
    );
}
