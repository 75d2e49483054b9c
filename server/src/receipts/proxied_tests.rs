//! Hosts whose TLS ends in a proxy, asked as the proxy would: plain HTTP, and a header that the host has signed.

use super::tls_tests::{ADMIN, as_person, served};
use crate::fleet;
use crate::testfleet::{Host, NOW, Served, World, ask};
use shared::keys::SigningKey;
use shared::request::{HEADER, Request};
use shared::time::Timestamp;
use shared::wire::{Join, Joined, Record, Renew, Work};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const WORK: (&str, &str) = ("GET", "/agent/v1/work");
const STATEMENTS: (&str, &str) = ("POST", "/agent/v1/statements");

/// Head and body of the answer to one request on a connection of its own.
fn send(to: SocketAddr, (method, path): (&str, &str), headers: &[String], body: &str) -> (String, String) {
    let mut tcp = TcpStream::connect(to).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let more: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: elsewhere\r\nAccept-Language: en\r\nConnection: close\r\n{more}\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    tcp.write_all(head.as_bytes()).unwrap();
    // Whoever is refused before the body was read is let go.
    drop(tcp.write_all(body.as_bytes()));
    let mut answer = Vec::new();
    drop(tcp.read_to_end(&mut answer));
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}: {answer:?}"));
    (head.to_owned(), body.to_owned())
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

fn code_of(body: &str) -> String {
    let problem: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    problem["code"].as_str().unwrap_or_default().to_owned()
}

fn header(value: &str) -> String {
    format!("{HEADER}: {value}")
}

/// A host that has joined through the proxy.
async fn joined(world: &World, served: &Served) -> Host {
    let (mut host, token) = (Host::new(1), world.node.invite("lab").await);
    let join: Join = host.join(&token);
    let body = serde_json::to_string(&join).unwrap();
    let (head, body) = send(served.proxied, ("POST", "/v1/join"), &[], &body);
    assert_eq!(status(&head), 200, "{body}");
    let joined: Joined = serde_json::from_str(&body).unwrap();
    assert_eq!(joined.agent_address, "localhost:1", "where the proxy is");
    host.joined();
    host
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_lives_behind_a_proxy_by_its_own_signature_and_is_shut_out_at_once() {
    for (world, served) in served().await {
        let mut host = joined(&world, &served).await;
        let receipt = host.receipt(|_| {});
        let asked = |what: (&str, &str), body: &str| {
            send(served.proxied, what, &[header(&host.request(what, body.as_bytes(), |_| {}))], body)
        };
        let (head, work) = asked(WORK, "");
        let work: Work = serde_json::from_str(&work).unwrap();
        assert_eq!((status(&head), work.next_seq), (200, 2), "{}", world.engine);
        assert!(head.to_ascii_lowercase().contains("cache-control: no-store"), "{head}");
        let renewal = serde_json::to_string(&Renew { envelope: host.renewal(NOW) }).unwrap();
        assert_eq!(status(&send(served.proxied, ("POST", "/v1/renew"), &[], &renewal).0), 200);

        let record = Record { statement: receipt, summary: None, log_size: Some(1) };
        let record = serde_json::to_string(&record).unwrap();
        let proof = header(&host.request(STATEMENTS, record.as_bytes(), |_| {}));
        let (head, body) = send(served.proxied, STATEMENTS, std::slice::from_ref(&proof), &record);
        assert_eq!(status(&head), 200, "{body}");
        let (head, body) = send(served.proxied, STATEMENTS, &[proof], &record);
        assert_eq!((status(&head), code_of(&body).as_str()), (409, "request.replayed"));

        let mut people = world.connect(served.people, None);
        assert_eq!(
            ask(&mut people, ("POST", "/v1/hosts/host1/disable"), &as_person(ADMIN), r#"{"reason": "test"}"#)
                .0,
            204
        );
        for what in [WORK, STATEMENTS, ("PUT", "/agent/v1/facts"), ("GET", "/agent/v1/tuf/root.json")] {
            assert_eq!(code_of(&asked(what, "").1), "agent.not_enabled", "{what:?}");
        }
        assert_eq!(
            ask(&mut people, ("POST", "/v1/hosts/host1/enable"), &as_person(ADMIN), r#"{"reason": "test"}"#)
                .0,
            204
        );
        assert_eq!(status(&asked(WORK, "").0), 200);
        drop(people);
        tokio::task::block_in_place(|| drop(served));
        world.check().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_or_relay_alters_swaps_or_sends_again_is_refused_with_its_reason() {
    for (world, served) in served().await {
        let host = joined(&world, &served).await;
        let to = served.proxied;
        let record = serde_json::to_string(&Record {
            statement: Host::new(1).refusal(|_| {}),
            summary: None,
            log_size: None,
        })
        .unwrap();
        let other = SigningKey::from_seed(&[9; 32]);
        let good = |what: (&str, &str), body: &str| header(&host.request(what, body.as_bytes(), |_| {}));
        type Edit = fn(&mut Request);
        let edited = |edit: Edit| header(&host.request(WORK, b"", edit));
        let stranger = {
            let body = host.request_of(WORK, b"");
            let key = other.public();
            header(&Request { key, agent_id: key.agent_id(), ..body }.sign(&other))
        };
        // What is bent, method and path, headers, body, and the code that answers.
        type Bent<'a> = (&'a str, (&'a str, &'a str), Vec<String>, &'a str, &'a str);
        let cases: Vec<Bent<'_>> = vec![
            ("no header", WORK, vec![], "", "request.unsigned"),
            ("two headers", WORK, vec![good(WORK, ""), good(WORK, "")], "", "request.unsigned"),
            ("no envelope", WORK, vec![header("e30=")], "", "request.forged"),
            (
                "another path",
                ("GET", "/agent/v1/tuf/timestamp.json"),
                vec![good(WORK, "")],
                "",
                "request.other",
            ),
            ("a query", ("GET", "/agent/v1/work?x=1"), vec![good(WORK, "")], "", "request.other"),
            ("another method", ("POST", "/agent/v1/work"), vec![good(WORK, "")], "", "request.other"),
            ("a body", WORK, vec![good(WORK, "")], "{}", "request.other"),
            ("another body", STATEMENTS, vec![good(STATEMENTS, "{}")], &record, "request.other"),
            ("no body", STATEMENTS, vec![good(STATEMENTS, &record)], "", "request.other"),
            (
                "another server",
                WORK,
                vec![edited(|r| r.audience = "localhost:2".into())],
                "",
                "request.other",
            ),
            (
                "another site",
                WORK,
                vec![edited(|r| r.site = "ffffffffffffffff".parse().unwrap())],
                "",
                "request.forged",
            ),
            ("a long life", WORK, vec![edited(|r| r.expires = NOW.plus(61))], "", "request.forged"),
            ("early", WORK, vec![edited(|r| at(r, NOW.plus(301)))], "", "request.clock"),
            ("late", WORK, vec![edited(|r| at(r, NOW.plus(-360)))], "", "request.clock"),
            ("a stranger", WORK, vec![stranger], "", "agent.not_enabled"),
            ("a route of people", ("GET", "/v1/hosts"), vec![], "", "request.unsigned"),
            (
                "a route of people, signed",
                ("GET", "/v1/hosts"),
                vec![good(("GET", "/v1/hosts"), "")],
                "",
                "request.not_found",
            ),
            ("a join token", ("POST", "/v1/join-tokens"), vec![], "{}", "request.unsigned"),
        ];
        for (what, route, headers, body, code) in cases {
            let (head, answer) = send(to, route, &headers, body);
            assert_eq!(code_of(&answer), code, "{what}: {head} {answer}");
        }
        // The edges of what is in time, and one address in other letters.
        for edit in [
            (|r| at(r, NOW.plus(300))) as Edit,
            |r| at(r, NOW.plus(-359)),
            |r| r.audience = "LOCALHOST:1".into(),
        ] {
            assert_eq!(status(&send(to, WORK, &[edited(edit)], "").0), 200);
        }
        let mut people = world.connect(served.people, None);
        assert_eq!(
            ask(&mut people, WORK, &format!("{}\r\n", good(WORK, "")), "").0,
            404,
            "not on the people's port"
        );
        tokio::task::block_in_place(|| drop(served));
        world.check().await;
    }
}

fn at(request: &mut Request, from: Timestamp) {
    (request.issued_at, request.expires) = (from, from.plus(60));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_counts_once_whatever_node_it_reaches_until_nobody_accepts_it_any_more() {
    for world in World::each().await {
        let (host, second) = (Host::new(1), world.second_node().await);
        let request = host.request_of(WORK, b"");
        assert!(world.node.uses(&request).await.unwrap(), "{}", world.engine);
        assert!(!world.node.uses(&request).await.unwrap() && !second.uses(&request).await.unwrap());
        let kept = "SELECT count(*) AS n FROM request_used";
        fleet::purge(&world.node.db, request.over().plus(-1)).await.unwrap();
        assert_eq!(world.count(kept).await, 1, "somebody could still send it");
        fleet::purge(&world.node.db, request.over()).await.unwrap();
        assert_eq!(world.count(kept).await, 0);
    }
}
