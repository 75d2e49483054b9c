//! Bad input at every door: requests, files, settings. Everything is refused with a reason, nothing is stored,
//! nobody falls over.

use serde_json::{Value, json};
use shared::wire::Problem;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use tests::http::{Client, Message};
use tests::world::NewChange;
use tests::{Said, World};

const TABLES: [&str; 18] = [
    "statement",
    "ledger_leaf",
    "person",
    "person_token",
    "ci",
    "join_token",
    "host",
    "host_chain",
    "manifest",
    "policy_edition",
    "upload",
    "change",
    "change_revision",
    "change_plan",
    "change_plan_set",
    "change_approval",
    "site_target",
    "ci_state",
];

fn counts(world: &World) -> Vec<String> {
    TABLES
        .iter()
        .map(|table| format!("{table}: {}", world.sql(&format!("SELECT count(*) FROM {table}")).trim()))
        .collect()
}

/// Bodies that no endpoint accepts.
fn bad_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let envelope = r#"{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"keyid":"","sig":"AA=="}]}"#;
    vec![
        ("nothing", Vec::new()),
        ("no JSON", b"hello".to_vec()),
        ("truncated", br#"{"payloadType": "appl"#.to_vec()),
        ("not UTF-8", b"{\"a\": \"\xff\xfe\"}".to_vec()),
        ("a list", b"[]".to_vec()),
        ("a number", b"1e400".to_vec()),
        ("null", b"null".to_vec()),
        ("an unknown key", br#"{"nobody_knows_this": 1}"#.to_vec()),
        ("a key twice", br#"{"statement": 1, "statement": 1, "token": 1, "token": 1}"#.to_vec()),
        ("deep", [b"[".repeat(200_000), b"]".repeat(200_000)].concat()),
        ("deep objects", b"{\"a\":".repeat(100_000)),
        ("an empty envelope", envelope.as_bytes().to_vec()),
        ("an empty envelope in a record", format!(r#"{{"statement":{envelope}}}"#).into_bytes()),
        ("too large", vec![b' '; 6 << 20]),
    ]
}

/// Endpoints that take a body; `{c}` is a change, `{h}` a host's CI.
const PEOPLE_BODIES: [(&str, &str); 14] = [
    ("POST", "/v1/join"),
    ("POST", "/v1/renew"),
    ("POST", "/v1/tuf/publish"),
    ("POST", "/v1/tuf/policy"),
    ("POST", "/v1/uploads"),
    ("POST", "/v1/join-tokens"),
    ("PUT", "/v1/hosts/{h}/labels"),
    ("PUT", "/v1/changes/{c}/revisions/2"),
    ("POST", "/v1/changes/{c}/close"),
    ("POST", "/v1/changes/{c}/approvals"),
    ("POST", "/v1/exports"),
    ("POST", "/v1/people/stranger/tokens"),
    ("PATCH", "/v1/uploads/none?offset=0"),
    ("PUT", "/v1/changes/C-9999/revisions/1"),
];
const AGENT_BODIES: [(&str, &str); 6] = [
    ("POST", "/agent/v1/plans"),
    ("POST", "/agent/v1/words"),
    ("POST", "/agent/v1/proofs"),
    ("POST", "/agent/v1/statements"),
    ("PUT", "/agent/v1/facts"),
    ("PATCH", "/agent/v1/facts"),
];

const PEOPLE_PATHS: [&str; 26] = [
    "/v1/tuf/nothing.json",
    "/v1/tuf/..%2f..%2fetc%2fpasswd",
    "/v1/tuf/1.root.json%00",
    "/v1/artifacts/xyz",
    "/v1/artifacts/0000000000000000000000000000000000000000000000000000000000000000",
    "/v1/hosts?label=nokey",
    "/v1/hosts?unknown=1",
    "/v1/hosts/999999999999999999999/enrolment",
    "/v1/hosts/-1/enrolment",
    "/v1/cis/nobody",
    "/v1/cis/%ff",
    "/v1/changes/C-0",
    "/v1/changes/C-999999999999",
    "/v1/changes/..%2f",
    "/v1/changes?state=nonsense",
    "/v1/why/nobody/C-1",
    "/v1/why/a1/C-77",
    "/v1/statements/zz",
    "/v1/statements/0000000000000000000000000000000000000000000000000000000000000000",
    "/v1/log/proof",
    "/v1/log/proof?digest=zz",
    "/v1/log/tile/9/000",
    "/v1/log/tile/0/x999/999",
    "/v1/nothing",
    "/",
    "/v1/uploads/none",
];
const AGENT_PATHS: [&str; 8] = [
    "/agent/v1/tuf/nothing",
    "/agent/v1/tuf/..%2f..%2fkeys%2fonline.key",
    "/agent/v1/plans/zz",
    "/agent/v1/plans/0000000000000000000000000000000000000000000000000000000000000000",
    "/agent/v1/artifacts/..%2f..%2fkeys",
    "/agent/v1/artifacts/0000000000000000000000000000000000000000000000000000000000000000",
    "/agent/v1/nothing",
    "/v1/hosts",
];

struct Doors {
    people: Client,
    agents: Client,
    token: String,
}

impl Doors {
    /// The code of the answer; empty when it is no refusal.
    fn code(&self, request: Message) -> String {
        let agent = request.path().starts_with("/agent/");
        let door = if agent { &self.agents } else { &self.people };
        let reply = door.send(request.with("authorization", &format!("Bearer {}", self.token)));
        let problem = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }

    /// # Panics
    /// The answer is no refusal, or a refusal without its reason.
    fn refuses(&self, what: &str, request: Message) {
        let agent = request.path().starts_with("/agent/") || what.starts_with("agent");
        let door = if agent { &self.agents } else { &self.people };
        let request =
            if agent { request } else { request.with("authorization", &format!("Bearer {}", self.token)) };
        let start = request.start.clone();
        let reply = door.try_send(request).unwrap_or_else(|e| panic!("{what} at {start}: {e}"));
        assert!(
            (400..500).contains(&reply.status()),
            "{what} at {start}: {} {}",
            reply.status(),
            reply.text()
        );
        let problem: Result<Problem, _> = serde_json::from_slice(&reply.body);
        let problem = problem
            .unwrap_or_else(|e| panic!("{what} at {start}: {e}: {} {:?}", reply.status(), reply.text()));
        assert_eq!(reply.header("content-type"), Some(Problem::MEDIA), "{what} at {start}");
        assert_eq!(problem.status, reply.status(), "{what} at {start}: {problem:?}");
        assert_eq!(problem.kind, format!("urn:assent:problem:{}", problem.code), "{what} at {start}");
        let said = [&problem.title, &problem.detail, &problem.why, &problem.remedy];
        assert!(said.iter().all(|text| !text.is_empty()), "{what} at {start}: {problem:?}");
    }
}

on_both! {
    fn every_bad_request_is_refused_with_a_reason_and_leaves_nothing_behind(world) {
        world.join("a1", "production");
        world.publish("base", "1.0.0", "resources:\n  - file: {path: /etc/motd, content: x}\n").ok();
        let id = world.request(&NewChange { manifests: &["base@1.0.0"], ..NewChange::default() });
        let ci = world.get("/v1/hosts").json()[0]["ci"].as_str().unwrap().to_owned();
        let doors = Doors { people: world.people(), agents: world.as_host("a1"), token: world.token() };
        let before = counts(world);
        for (method, path) in PEOPLE_BODIES.iter().chain(&AGENT_BODIES) {
            let path = path.replace("{c}", &id).replace("{h}", &ci);
            for (what, body) in bad_bodies() {
                doors.refuses(what, Message::request(method, &path, &body));
            }
            let mut lying = Message::request(method, &path, b"{}");
            lying = lying.with("content-encoding", "gzip");
            doors.refuses("not gzip", lying);
            doors.refuses("no JSON type", Message::request(method, &path, b"{").with("content-type", "text/html"));
            doors.refuses("wrong method", Message::request("DELETE", &path, b""));
        }
        for path in PEOPLE_PATHS {
            doors.refuses("bad path", Message::request("GET", path, b""));
        }
        for path in AGENT_PATHS {
            doors.refuses("agent path", Message::request("GET", path, b""));
        }
        assert_eq!(counts(world), before);
        without_credentials(world, &id);
        not_even_http(world);
        assert_eq!(counts(world), before);
        assert!(world.nodes[0].is_alive());
        assert!(!world.nodes[0].log().contains("panicked"));
        world.tick("a1").ok();
    }
}

/// A body that its door reads, for every door that takes JSON: each flaw below is the only one in it.
fn readable_bodies(world: &World, id: &str, ci: &str) -> Vec<(&'static str, String, Value)> {
    let file: Value = world.get(&format!("/v1/changes/{id}")).json();
    let (change, plan) = (&file["change"], &file["plans"][0]);
    let plans = tests::forge::plan_set(&world.change_file(id));
    let (stranger, read) = (shared::keys::SigningKey::from_seed(&[66; 32]), world.change_file(id).change);
    let read = shared::statement::Statement::open(read).unwrap();
    let approval = world.sign_approval(&read, &plans, "mallory", &stranger, |_| {}).envelope;
    let facts: Value = world.get("/v1/cis/a1").json()["facts"].clone();
    let digest = shared::digest::Digest::of(b"x");
    let (revision, hosts) = (format!("/v1/changes/{id}/revisions/2"), format!("/v1/hosts/{ci}"));
    let (approvals, close) = (format!("/v1/changes/{id}/approvals"), format!("/v1/changes/{id}/close"));
    let post = |path: &str, body: Value| ("POST", path.to_owned(), body);
    vec![
        post("/v1/join", json!({"enrolment": plan, "token": "x"})),
        post("/v1/renew", json!({"envelope": plan})),
        post("/v1/tuf/publish", json!({"team": "main", "content": "{}", "target": change})),
        post("/v1/tuf/policy", json!({"targets": "{}", "policy": "{}"})),
        post("/v1/uploads", json!({"sha256": digest, "length": 1_u64 << 50})),
        post("/v1/join-tokens", json!({"host_class": "production", "labels": {}, "minutes": 0})),
        ("PUT", format!("{hosts}/labels"), json!({"reason": "test", "labels": {"Not a key": "x"}})),
        ("PUT", revision, change.clone()),
        post(&close, json!({"outcome": "successful", "note": ""})),
        post(&approvals, json!({"plan_set": plans, "approval": approval})),
        post("/v1/exports", json!({"change_id": "C-9999"})),
        post("/v1/people/mallory/tokens", json!({"access": "nothing", "days": 1})),
        post("/agent/v1/plans", plan.clone()),
        post("/agent/v1/statements", json!({"statement": change, "log_size": 1})),
        ("PUT", "/agent/v1/facts".into(), json!({"at": world.now(), "facts": facts})),
        (
            "PATCH",
            "/agent/v1/facts".into(),
            json!({"at": world.now(), "delta": {"base": digest, "result": digest}}),
        ),
    ]
}

on_both! {
    /// Without the flaw the same body gets further, so it is the flaw that was refused.
    fn a_key_twice_and_a_wrong_type_are_refused_at_every_door(world) {
        world.join("a1", "production");
        world.publish("base", "1.0.0", "resources:\n  - file: {path: /etc/motd, content: x}\n").ok();
        let id = world.request(&NewChange { manifests: &["base@1.0.0"], ..NewChange::default() });
        let ci = world.get("/v1/hosts").json()[0]["ci"].as_str().unwrap().to_owned();
        let doors = Doors { people: world.people(), agents: world.as_host("a1"), token: world.token() };
        let bodies = readable_bodies(world, &id, &ci);
        let before = counts(world);
        for (method, path, good) in bodies {
            let code = |body: &[u8]| doors.code(Message::request(method, &path, body));
            let (key, value) = good.as_object().unwrap().iter().next().unwrap();
            let twice = good.to_string().replacen('{', &format!("{{{}:{value},", json!(key)), 1);
            let mut wrong = good.clone();
            wrong[key] = json!(true);
            for (what, bad) in [("twice", twice), ("wrong type", wrong.to_string())] {
                assert_eq!(code(bad.as_bytes()), "request.bad_json", "{what}: {key} at {path}");
            }
            assert_ne!(code(good.to_string().as_bytes()), "request.bad_json", "{path}: {good}");
        }
        assert_eq!(counts(world), before);
    }
}

/// Everything but joining, renewing and the health page needs a person.
fn without_credentials(world: &World, id: &str) {
    let people = world.people();
    let paths = ["/v1/site", "/v1/hosts", "/v1/changes", "/v1/log/checkpoint", "/v1/cis/a1", "/v1/people"];
    let more = [format!("/v1/changes/{id}"), format!("/v1/why/a1/{id}")];
    for path in paths.iter().copied().chain(more.iter().map(String::as_str)) {
        for credentials in
            [None, Some("Bearer x"), Some("Basic YTpi"), Some("Bearer "), Some("Bearer \u{e4}\u{e4}")]
        {
            let mut request = Message::request("GET", path, b"");
            if let Some(credentials) = credentials {
                request = request.with("authorization", credentials);
            }
            let reply = people.send(request);
            assert!([400, 401, 403].contains(&reply.status()), "{path} {credentials:?}: {}", reply.status());
        }
    }
    let agents = std::net::SocketAddr::from(([127, 0, 0, 1], world.nodes[0].agents));
    let stranger = Client::new(agents, &world.site().join("ca.crt"), None);
    let answer = stranger.try_send(Message::request("GET", "/agent/v1/work", b""));
    assert!(answer.is_err() || answer.is_ok_and(|reply| reply.status() == 401));
}

fn not_even_http(world: &World) {
    for port in [world.nodes[0].people, world.nodes[0].agents] {
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\xff\xff", b"\0\0\0\0", &[0xff; 4096]] {
            let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
            tcp.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
            tcp.write_all(bytes).unwrap();
            tcp.shutdown(std::net::Shutdown::Write).unwrap();
            // Whatever comes back, if anything, is the server's choice; that it lives on is asserted later.
            drop(tcp.read(&mut [0; 64]));
        }
    }
    let people = world.people();
    for bytes in [
        b"NONSENSE\r\n\r\n".to_vec(),
        b"GET /v1/site HTTP/9.9\r\n\r\n".to_vec(),
        b"POST /v1/join HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n".to_vec(),
        b"POST /v1/join HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
            .to_vec(),
        [b"GET /v1/site HTTP/1.1\r\nx: ".to_vec(), vec![b'a'; 1 << 20], b"\r\n\r\n".to_vec()].concat(),
    ] {
        if let Ok(reply) = people.raw(&bytes) {
            assert!((400..500).contains(&reply.status()), "{}", reply.start);
        }
    }
}

on_both! {
    fn the_command_line_says_what_is_wrong_with_a_file(world) {
        let garbage: [(&str, &[u8]); 8] = [
            ("empty", b""),
            ("binary", b"\x00\x01\x02\xff"),
            ("not UTF-8", b"manifest: \xff\n"),
            ("not a manifest", b"hello: world\n"),
            ("deep", &[b'['; 100_000]),
            ("a tar", &[0; 10_240]),
            ("json", br#"{"payloadType":"x"}"#),
            ("huge", &[b'#'; 3 << 20]),
        ];
        for (what, bytes) in garbage {
            let file = world.path("garbage");
            std::fs::write(&file, bytes).unwrap();
            let file = file.to_str().unwrap();
            for args in [
                &["lint", file][..], &["sign", file], &["publish", file], &["verify", file], &["key", "restore", "--from", file, "--out", "k.pem"],
            ] {
                refuses(&world.assent(args), &format!("{what} to {args:?}"));
            }
        }
        for args in [
            &["lint", "no-such-file"][..], &["verify", "/"], &["approve", "C-1"], &["change", "show", "C-77"], &["change", "submit", "x"],
            &["ci", "show", "nobody"], &["why", "nobody", "C-1"], &["export", "--change", "C-77", "--out", "x.tar"],
            &["change", "new", "--manifest", "none@9.9.9", "--all", "--window", "now..+1h"], &["frobnicate"],
        ] {
            refuses(&world.assent(args), &format!("{args:?}"));
        }
    }
}

fn refuses(said: &Said, what: &str) {
    assert!([1, 2, 3].contains(&said.code) && said.code != 0, "{what}: {said}");
    assert!(!said.err.contains("panicked"), "{what}: {said}");
    assert!(
        said.all().to_lowercase().contains("error") || said.all().contains("line"),
        "{what}: no reason: {said}"
    );
}

/// Both programs read their settings before they look for a server or a database: one world is enough.
#[test]
fn settings_that_are_wrong_are_named_with_their_file() {
    let Some(mut world) = World::new(module_path!(), tests::Database::Sqlite) else { return };
    world.join("a1", "production");
    let file = world.hosts["a1"].path("/etc/assent/agent.toml");
    for (text, word) in [
        ("poll_secs = 0\n", "poll_secs"),
        ("poll_secs = \"often\"\n", "poll_secs"),
        ("unknown_setting = 1\n", "unknown_setting"),
        ("= = =\n", "agent.toml"),
        ("\u{0}", "agent.toml"),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = world.tick_unchecked("a1");
        assert!(
            said.code != 0 && said.all().contains(word) && !said.err.contains("panicked"),
            "{text:?}: {said}"
        );
    }
    std::fs::remove_file(&file).unwrap();
    world.tick("a1").ok();
    let good = std::fs::read_to_string(&world.nodes[0].config).unwrap();
    for (text, word) in [
        (good.replace("site_id", "sight_id"), "sight_id"),
        (good.replace("[people]\nlisten = \"127", "[people]\nlisten = \"x"), "people.listen"),
        (String::new(), "site_id"),
        ("\u{1}".into(), "server.toml"),
    ] {
        let file = world.file("server.toml", &text);
        let mut server = std::process::Command::new(tests::programs::own("assent-server"));
        let said = Said::of(server.args(["run", "--config"]).arg(file));
        assert!(said.code == 2 && said.all().contains(word), "{said}");
    }
}
