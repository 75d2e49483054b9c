//! Hosts and people over real TLS: joining, checking in, facts, statements, being shut out.

use crate::kernel::http::tests::Connection;
use crate::testfleet::{Host, NOW, Served, World, ask, exchange, header};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::facts::{Facts, Kernel, Os};
use shared::ledger::{Checkpoint, Proven};
use shared::wire::{
    AskProofs, CiFile, FactsReport, HostLine, Invitation, Joined, Proofs, Record, Recorded, Renew, Work,
};

pub(super) const ADMIN: &str = "admin-token";
const READER: &str = "reader-token";

/// A world with two persons and one listening node.
pub(super) async fn served() -> Vec<(World, Served)> {
    let mut all = Vec::new();
    for world in World::each().await {
        for (person, access, token) in [("lead", "admin", ADMIN), ("viewer", "reader", READER)] {
            let sha256 = Digest::of(token.as_bytes()).hex();
            let sha256 =
                if world.engine == "sqlite" { format!("X'{sha256}'") } else { format!("'\\x{sha256}'") };
            world
                .sql(format!("INSERT INTO person (id, access, created) VALUES ('{person}', '{access}', 0)"))
                .await;
            world
                .sql(format!(
                    "INSERT INTO person_token (sha256, person, created) VALUES ({sha256}, '{person}', 0)"
                ))
                .await;
        }
        let served = tokio::task::block_in_place(|| world.serve());
        all.push((world, served));
    }
    all
}

pub(super) fn as_person(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn read<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Invites and joins a host over the people port.
fn join(people: &mut Connection, host: &mut Host) -> Joined {
    let invite = r#"{"host_class":"lab","labels":{"role":"web"},"minutes":10}"#;
    let (status, _, invitation) = ask(people, ("POST", "/v1/join-tokens"), &as_person(ADMIN), invite);
    assert_eq!(status, 200, "{invitation}");
    let invitation: Invitation = read(invitation);
    let join = serde_json::to_string(&host.join(&invitation.token)).unwrap();
    let (status, _, joined) = ask(people, ("POST", "/v1/join"), "", &join);
    assert_eq!(status, 200, "{joined}");
    host.joined();
    read(joined)
}

fn facts() -> Facts {
    let os = Os {
        id: "debian".into(),
        version: "12".into(),
        codename: "bookworm".into(),
        name: "Debian 12".into(),
    };
    Facts {
        hostname: "host1".into(),
        fqdn: "host1.example".into(),
        os,
        kernel: Kernel { release: "6.1.0".into(), installed: vec![] },
        arch: "amd64".into(),
        ..Facts::empty(semver::Version::new(0, 1, 0), "lab".parse().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_joins_checks_in_reports_and_is_shut_out_on_its_open_connection() {
    for (world, served) in served().await {
        tokio::task::block_in_place(|| life_of_a_host(&world, &served));
        tokio::task::block_in_place(|| drop(served));
        world.check().await;
    }
}

fn life_of_a_host(world: &World, served: &Served) {
    let (mut people, mut host) = (world.connect(served.people, None), Host::new(1));
    let joined = join(&mut people, &mut host);
    let mut agent = world.connect(served.agents, Some((&host, &joined)));

    let (status, tag, work) = ask(&mut agent, ("GET", "/agent/v1/work"), "", "");
    let work: Work = read(work);
    assert_eq!((status, work.next_seq, work.facts), (200, 2, None), "{}", world.engine);
    let known = format!("If-None-Match: {tag}\r\n");
    assert_eq!(ask(&mut agent, ("GET", "/agent/v1/work"), &known, "").0, 304);

    let report = serde_json::to_string(&FactsReport { at: NOW, facts: facts() }).unwrap();
    assert_eq!(ask(&mut agent, ("PUT", "/agent/v1/facts"), "", &report).0, 204);
    let (status, tag, work) = ask(&mut agent, ("GET", "/agent/v1/work"), &known, "");
    assert_eq!((status, read::<Work>(work).facts), (200, Some(Digest::of(&facts().to_json()))));

    let statement = host.receipt(|_| {});
    let record =
        serde_json::to_string(&Record { statement: statement.clone(), summary: None, log_size: Some(1) })
            .unwrap();
    for _ in 0..2 {
        let (status, _, recorded) = ask(&mut agent, ("POST", "/agent/v1/statements"), "", &record);
        assert_eq!(status, 200, "{recorded}");
        let Recorded { inclusion, checkpoint, consistency } = read(recorded);
        Proven::check(&inclusion, &checkpoint, &world.node.log.vkey(), &statement.digest()).unwrap();
        assert!(consistency.is_some());
    }
    proven_together(world, &mut agent, &statement);
    let known = format!("If-None-Match: {tag}\r\n");
    let (status, _, work) = ask(&mut agent, ("GET", "/agent/v1/work"), &known, "");
    assert_eq!((status, read::<Work>(work).next_seq), (200, 3));
    forged_and_early(&mut agent, &mut host);
    as_people_see_it(&mut people, &host, &statement.digest());
    // Whoever is refused before the body was read is let go, so each on a connection of its own.
    let (disable, why) = (("POST", "/v1/hosts/host1/disable"), r#"{"reason": "test"}"#);
    let grant = (("POST", "/v1/people/mallory/tokens"), r#"{"access": "reader", "days": 1}"#);
    for (to, body) in [grant, (disable, why)] {
        let mut other = world.connect(served.people, None);
        assert_eq!(ask(&mut other, to, &as_person(READER), body).0, 403, "{to:?}");
    }

    assert_eq!(ask(&mut people, disable, &as_person(ADMIN), why).0, 204);
    for (method, path) in
        [("GET", "/agent/v1/work"), ("POST", "/agent/v1/statements"), ("PUT", "/agent/v1/facts")]
    {
        let (status, _, problem) = ask(&mut agent, (method, path), "", "");
        assert_eq!((status, problem["code"].as_str()), (403, Some("agent.not_enabled")), "{method} {path}");
    }
    let renewal = serde_json::to_string(&Renew { envelope: host.renewal(NOW) }).unwrap();
    assert_eq!(ask(&mut people, ("POST", "/v1/renew"), "", &renewal).0, 403);
    assert_eq!(ask(&mut people, ("POST", "/v1/hosts/host1/enable"), &as_person(ADMIN), why).0, 204);
    assert_eq!(ask(&mut agent, ("GET", "/agent/v1/work"), "", "").0, 200, "on the same connection");
    assert_eq!(ask(&mut people, ("POST", "/v1/renew"), "", &renewal).0, 200);
}

/// Proofs of several statements under one checkpoint; what the ledger does not hold is left out.
fn proven_together(world: &World, agent: &mut Connection, recorded: &Envelope) {
    let enrolment = Digest::of(b"not recorded");
    let wanted = AskProofs { statements: vec![enrolment, recorded.digest()], log_size: Some(1) };
    let body = serde_json::to_string(&wanted).unwrap();
    let (status, _, answer) = ask(agent, ("POST", "/agent/v1/proofs"), "", &body);
    assert_eq!(status, 200, "{answer}");
    let proofs: Proofs = read(answer);
    let checkpoint = Checkpoint::open(&proofs.checkpoint, &world.node.log.vkey()).unwrap();
    let found: Vec<_> = proofs
        .inclusion
        .iter()
        .map(|proof| Proven::within(proof, &checkpoint).unwrap().leaf().sha256)
        .collect();
    assert_eq!(found, [recorded.digest()], "{}", world.engine);
    let consistency = proofs.consistency.unwrap();
    assert_eq!((consistency.old_size, consistency.new_size), (1, checkpoint.size));
    let ahead = AskProofs { statements: vec![], log_size: Some(checkpoint.size + 1) };
    let body = serde_json::to_string(&ahead).unwrap();
    let (status, _, answer) = ask(agent, ("POST", "/agent/v1/proofs"), "", &body);
    assert_eq!((status, read::<Proofs>(answer).consistency), (200, None), "nothing true could be proven");
}

/// The clock of the server judges client certificates, already in the handshake, wherever the machine's own stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_ends_by_the_clock_of_the_server() {
    for (world, served) in served().await {
        tokio::task::block_in_place(|| {
            let (mut people, mut host) = (world.connect(served.people, None), Host::new(1));
            let joined = join(&mut people, &mut host);
            let get = "GET /agent/v1/work HTTP/1.1\r\nHost: localhost\r\n\r\n";
            let mut open = world.connect(served.agents, Some((&host, &joined)));
            assert!(open.send(get).unwrap().starts_with("HTTP/1.1 200"), "{}", world.engine);
            world.clock.set(NOW.plus(91 * 86_400));
            let late = world.connect(served.agents, Some((&host, &joined))).send(get);
            assert!(late.is_err(), "no request gets through: {late:?}");
            assert!(open.send(get).unwrap().starts_with("HTTP/1.1 403"), "nor on the open connection");
            world.clock.set(NOW);
            let again = world.connect(served.agents, Some((&host, &joined))).send(get);
            assert!(again.unwrap().starts_with("HTTP/1.1 200"));
            drop(served);
        });
    }
}

fn forged_and_early(agent: &mut Connection, host: &mut Host) {
    let mut other = Host::new(2);
    other.joined();
    other.prev = Some(Digest::of(b"elsewhere"));
    let early = host.copied().sign_after(5);
    for (statement, status, code) in
        [(other.receipt(|_| {}), 403, "statement.other_host"), (early, 409, "chain.gap")]
    {
        let record = serde_json::to_string(&Record { statement, summary: None, log_size: None }).unwrap();
        let (got, _, problem) = ask(agent, ("POST", "/agent/v1/statements"), "", &record);
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{problem}");
    }
}

fn as_people_see_it(people: &mut Connection, host: &Host, receipt: &Digest) {
    let reader = as_person(READER);
    let (status, _, ci) = ask(people, ("GET", "/v1/cis/host1"), &reader, "");
    assert_eq!(status, 200, "{ci}");
    let ci: CiFile = read(ci);
    assert_eq!((ci.line.agent, ci.line.kernel.as_deref()), (Some(host.agent()), Some("6.1.0")));
    assert_eq!((ci.states[0].receipt, ci.facts), (*receipt, Some(facts())));
    for (query, found) in [("", 1), ("?label=role=web", 1), ("?label=role=web&label=site=x", 0)] {
        let (_, _, hosts) = ask(people, ("GET", &format!("/v1/hosts{query}")), &reader, "");
        let hosts: Vec<HostLine> = read(hosts);
        assert_eq!(hosts.len(), found, "{query}");
        assert!(hosts.iter().all(|line| line.last_seen == Some(NOW) && line.agent_key == host.key.public()));
    }
    assert_eq!(ask(people, ("GET", "/v1/hosts?role=web"), &reader, "").0, 400);
    let enrolment = ask(people, ("GET", "/v1/hosts/CI-1/enrolment"), &reader, "");
    assert_eq!((enrolment.0, enrolment.2["payloadType"].as_str()), (200, Some(shared::envelope::IN_TOTO)));
    let (_, _, alarms) = ask(people, ("GET", "/v1/alarms"), &reader, "");
    assert_eq!(alarms[0]["kind"], "forged", "{alarms}");
    let proof = format!("/v1/log/proof?digest={receipt}&since=1");
    assert_eq!(ask(people, ("GET", &proof), &reader, "").0, 200);
    let statement = format!("/v1/statements/{receipt}");
    let missing = format!("/v1/statements/{}", Digest::of(b"?"));
    for (path, status) in [
        (statement.as_str(), 200),
        (&missing, 404),
        ("/v1/log/checkpoint", 200),
        ("/v1/log/tile/0/000.p/3", 200),
        ("/v1/log/tile/entries/000.p/3", 200),
        ("/v1/log/tile/0/000", 404),
        ("/v1/log/tile/../x", 404),
        ("/v1/cis", 200),
        ("/v1/cis/nobody", 404),
        ("/v1/people", 200),
    ] {
        assert_eq!(ask(people, ("GET", path), &reader, "").0, status, "{path}");
        for stranger in [String::new(), as_person("guess"), "Authorization: Basic x\r\n".into()] {
            assert_eq!(ask(people, ("GET", path), &stranger, "").0, 401, "{path} {stranger}");
        }
    }
    // Whoever may look sees who has access, and gives it to nobody.
    assert_eq!(ask(people, ("DELETE", "/v1/people/lead"), &reader, "").0, 403);
}

/// The head of a request of which nothing follows.
fn promise((method, path): (&str, &str), headers: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Type: application/json\r\n\
         Content-Length: 900000\r\n\r\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_before_their_body() {
    let (world, served) = served().await.remove(0);
    tokio::task::block_in_place(|| {
        let (invite, mut host) = (("POST", "/v1/join-tokens"), Host::new(1));
        let answer =
            |headers: &str| world.connect(served.people, None).send(&promise(invite, headers)).unwrap();
        for (headers, status, shown) in [
            ("", 401, "www-authenticate: Bearer realm=\"assent\"\r\n"),
            (
                &as_person("guess"),
                401,
                "www-authenticate: Bearer realm=\"assent\", error=\"invalid_token\"\r\n",
            ),
            (&as_person(READER), 403, ""),
        ] {
            let answer = answer(headers);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(shown), "{answer}");
            assert!(answer.contains("connection: close\r\n"), "{answer}");
        }
        let mut people = world.connect(served.people, None);
        let joined = join(&mut people, &mut host);
        let disable = ("POST", "/v1/hosts/host1/disable");
        assert_eq!(ask(&mut people, disable, &as_person(ADMIN), r#"{"reason": "test"}"#).0, 204);
        let mut agent = world.connect(served.agents, Some((&host, &joined)));
        let answer = agent.send(&promise(("POST", "/agent/v1/statements"), "")).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        // Whoever joins is a stranger until its request was read, so it is short.
        let long = format!("{{\"token\": \"{}\"}}", "x".repeat(64 << 10));
        assert_eq!(ask(&mut people, ("POST", "/v1/join"), "", &long).0, 413);
        drop(served);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_wait_and_good_ones_of_the_same_address_do_not() {
    for (world, served) in served().await {
        let (first, second) = (world.node.invite("lab").await, world.node.invite("lab").await);
        tokio::task::block_in_place(|| {
            let mut people = world.connect(served.people, None);
            let mut host = Host::new(1);
            let enrol = serde_json::to_string(&host.join(&first)).unwrap();
            assert_eq!(ask(&mut people, ("POST", "/v1/join"), "", &enrol).0, 200);
            host.joined();

            let guess = serde_json::to_string(&Host::new(3).join("guess")).unwrap();
            let mut answers = (0..70).map(|_| ask(&mut people, ("POST", "/v1/join"), "", &guess).0);
            assert!(answers.by_ref().take(60).all(|status| status == 403));
            assert!(answers.all(|status| status == 429), "{}", world.engine);
            let foreign = serde_json::to_string(&Renew { envelope: Host::new(3).renewal(NOW) }).unwrap();
            let (status, head, _) = exchange(&mut people, ("POST", "/v1/renew"), "", &foreign);
            // One more try each five seconds, less what the requests took.
            assert_eq!(status, 429);
            assert!((1..=5).contains(&header(&head, "retry-after").parse::<u64>().unwrap()), "{head}");
            let renewal = serde_json::to_string(&Renew { envelope: host.renewal(NOW) }).unwrap();
            assert_eq!(ask(&mut people, ("POST", "/v1/renew"), "", &renewal).0, 200);
            let enrol = serde_json::to_string(&Host::new(2).join(&second)).unwrap();
            for _ in 0..2 {
                assert_eq!(ask(&mut people, ("POST", "/v1/join"), "", &enrol).0, 200, "also a lost answer");
            }

            let look = |people: &mut Connection, token: &str| {
                ask(people, ("GET", "/v1/hosts"), &as_person(token), "").0
            };
            assert_eq!(look(&mut people, "guess"), 401, "tokens of persons are counted apart");
            let mut answers = (0..70).map(|n| look(&mut people, &format!("guess {n}")));
            assert!(answers.by_ref().take(59).all(|status| status == 401));
            assert!(answers.all(|status| status == 429), "{}", world.engine);
            for token in [READER, ADMIN] {
                assert_eq!(look(&mut people, token), 200, "{token}");
            }
            assert_eq!(ask(&mut people, ("GET", "/healthz"), "", "").0, 200);
            drop(served);
        });
    }
}
