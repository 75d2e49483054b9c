//! Behind a proxy that ends TLS: every request is signed for itself, and the proxy is judged by its certificate.

use super::site::{HOST, TestSite, key, site_id};
use super::wire::{Asked, Authority, Served, answer, join_server, joined_state, limits, order, serve};
use crate::clock::Clock;
use crate::config::Paths;
use crate::disk::{Disk as _, RealDisk};
use crate::enrol::{self, Order, Way};
use crate::net::{self, Address, Call, Carrier as _, Link, NetError, Part, Sink};
use crate::server::{CheckIn, Remote, Server as _};
use crate::state::{Proxy, Site, State};
use crate::tls::Trust;
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::request::{Arrived, HEADER, Request, open_request};
use shared::strict;
use shared::time::Timestamp;
use shared::wire::{Problem, Work};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

const NOW: Timestamp = super::site::NOW;

/// The signed request in the head of what arrived, if it counts for it.
fn opened(asked: &Asked, audience: &str) -> Result<Request, String> {
    let mut words = asked.line.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let site = site_id();
    let arrived = Arrived { site: &site, audience, method, path, now: NOW };
    let value = asked.header(&HEADER.to_lowercase()).ok_or("no header")?;
    let request = open_request(value.as_bytes(), arrived).map_err(|e| e.to_string())?;
    if request.carries(&asked.body) { Ok(request) } else { Err("another body".into()) }
}

/// A joined host whose server is behind the proxy `served`, by the authorities in a file.
fn behind(dir: &Path, served: &Served, authority: &Authority) -> State {
    let state = joined_state(dir, served, authority);
    let file = dir.join("authorities.pem");
    std::fs::write(&file, &authority.pem).unwrap();
    let site = Site { pin: None, proxy: Some(Proxy { authorities: Some(file) }), ..state.site().clone() };
    RealDisk.write(&dir.join("site.json"), &strict::to_json(&site)).unwrap();
    State::open(dir, Box::new(RealDisk)).unwrap()
}

struct Kept(Vec<u8>);

impl Sink for Kept {
    fn begin(&mut self, _part: Part) -> std::io::Result<()> {
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.extend(bytes);
        Ok(())
    }
}

fn work() -> Vec<u8> {
    strict::to_json(&Work {
        server_time: NOW,
        timestamp_version: 1,
        plan_wishes: vec![],
        next_seq: 2,
        facts: None,
        poll_s: 60,
    })
}

#[test]
fn each_request_is_signed_for_itself_and_joining_by_what_it_carries() {
    let (root, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (heard, audience) = (seen.clone(), Arc::new(Mutex::new(String::new())));
    let named = audience.clone();
    let handler = move |asked: &Asked, out: &mut dyn Write| {
        let request = opened(asked, &named.lock().unwrap());
        heard.lock().unwrap().push((asked.line.clone(), request));
        match asked.line.split(' ').nth(1).unwrap() {
            "/agent/v1/work" => answer(out, "200 OK", &work()),
            path if path.contains("artifacts") => answer(out, "200 OK", b"artifact"),
            _ => answer(out, "204 No Content", b""),
        }
    };
    let served = serve(&authority, Box::new(handler));
    *audience.lock().unwrap() = format!("127.0.0.1:{}", served.port);
    let state = behind(root.path(), &served, &authority);
    let mut server = Remote::new(&state, &Clock::fixed(NOW), limits(), &[], net::open).unwrap();
    for _ in 0..2 {
        assert!(matches!(server.check_in(None, false).unwrap(), CheckIn::News { .. }));
    }
    server.send_plan(&Envelope::sign(b"{}".to_vec(), &key(HOST))).unwrap();
    let mut sink = Kept(vec![]);
    server.artifact(&Digest::of(b"artifact"), 0, 8, &mut sink).unwrap();
    assert_eq!(sink.0, b"artifact");
    let mut line = server.second_line().unwrap();
    assert!(line.has_news().unwrap());
    let seen = seen.lock().unwrap();
    let mut nonces = Vec::new();
    for (line, request) in seen.iter() {
        let request = request.as_ref().unwrap_or_else(|why| panic!("{line}: {why}"));
        assert_eq!(request.agent_id, state.site().agent);
        nonces.push(request.nonce.clone());
    }
    nonces.sort();
    nonces.dedup();
    assert_eq!((seen.len(), nonces.len()), (5, 5), "each has a nonce of its own");
}

#[test]
fn a_request_that_a_broken_connection_has_doubled_is_signed_anew_once() {
    for (replays, good) in [(1, true), (2, false)] {
        let (root, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let heard = seen.clone();
        let handler = move |asked: &Asked, out: &mut dyn Write| {
            let mut heard = heard.lock().unwrap();
            heard.push(asked.header(&HEADER.to_lowercase()).unwrap().to_owned());
            if heard.len() <= replays {
                let sentences = ["title", "detail", "why", "what to do"].map(str::to_owned);
                let problem = Problem::new("request.replayed", 409, "1", sentences);
                return answer(out, "409 Conflict", &strict::to_json(&problem));
            }
            answer(out, "200 OK", &work())
        };
        let served = serve(&authority, Box::new(handler));
        let state = behind(root.path(), &served, &authority);
        let mut server = Remote::new(&state, &Clock::fixed(NOW), limits(), &[], net::open).unwrap();
        match server.check_in(None, false) {
            Ok(_) => assert!(good),
            Err(NetError::Refused { code, .. }) => assert!(!good && code == "request.replayed"),
            Err(other) => panic!("{other}"),
        }
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 2);
        assert_ne!(seen[0], seen[1]);
    }
}

#[test]
fn the_proxy_is_who_its_authority_its_name_and_its_dates_say() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let served = serve(&ours, Box::new(|_, out| answer(out, "200 OK", b"")));
    // Certificates of these tests hold from 2020 to 2200.
    let (in_force, long_over) = (Timestamp(1_800_000_000), Timestamp(7_500_000_000));
    for (authority, host, now, reached) in [
        (&ours, "127.0.0.1", in_force, true),
        (&theirs, "127.0.0.1", in_force, false),
        (&ours, "localhost", in_force, false),
        (&ours, "127.0.0.1", long_over, false),
    ] {
        let trust = Trust::Proxy { authorities: authority.pem.clone().into_bytes() };
        let address: Address = format!("{host}:{}", served.port).parse().unwrap();
        let mut link = Link::new(address, &trust, &Clock::fixed(now), limits()).unwrap();
        let got = link.call(&Call::get("/", 0));
        assert_eq!(got.is_ok(), reached, "{host} {now}: {got:?}");
        assert!(reached || matches!(got, Err(NetError::Tls { .. })), "{got:?}");
    }
    let none = Trust::Proxy { authorities: b"nothing".to_vec() };
    let address: Address = format!("127.0.0.1:{}", served.port).parse().unwrap();
    let refused = Link::new(address, &none, &Clock::fixed(in_force), limits()).err().unwrap().to_string();
    assert!(refused.contains("no certificate authority"), "{refused}");
}

#[test]
fn a_host_joins_through_a_proxy_and_still_believes_only_the_pinned_root() {
    let root = tempfile::tempdir().unwrap();
    let paths = Paths::new(root.path());
    let served = join_server(Authority::new(), |_| {});
    let file = root.path().join("authorities.pem");
    std::fs::write(&file, &served.authority).unwrap();
    let way = |file: &Path| Way::Proxy(Proxy { authorities: Some(file.to_owned()) });
    let clock = Clock::from_env().unwrap();
    let join = |order: &Order| enrol::join(&paths, &mut RealDisk, order, &clock, (limits(), net::open));
    let good = Order { way: way(&file), ..order(&served) };
    let other = Order { root_sha256: Digest::of(b"another site"), ..good.clone() };
    assert!(join(&other).unwrap_err().to_string().contains("the join command says"));
    let missing = Order { way: way(&root.path().join("none.pem")), ..good.clone() };
    assert!(join(&missing).unwrap_err().to_string().contains("none.pem"));
    let foreign = root.path().join("foreign.pem");
    std::fs::write(&foreign, Authority::new().pem).unwrap();
    assert!(join(&Order { way: way(&foreign), ..good.clone() }).is_err());
    assert!(State::open(&paths.state(), Box::new(RealDisk)).is_err(), "nothing is joined");
    let site = join(&good).unwrap();
    assert_eq!((site.pin, site.proxy), (None, Some(Proxy { authorities: Some(file) })));
    assert_eq!(site.root_sha256, Digest::of(&TestSite::new().root()));
}
