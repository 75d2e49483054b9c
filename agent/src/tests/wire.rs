//! The connection against a real TLS server: trust, caps, deadlines, reuse, resumed downloads, joining.

use super::site::{TestSite, key, site_id};
use crate::clock::Clock;
use crate::config::Paths;
use crate::disk::{Disk, RealDisk};
use crate::enrol::{self, EnrolError, Order, Way};
use crate::net::{self, Address, Call, Carrier as _, Limits, Link, NetError};
use crate::pull;
use crate::server::{Remote, Server as _};
use crate::state::{Founding, Site, State, found};
use crate::tls::Trust;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair, SanType,
};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use shared::digest::Digest;
use shared::ids::AgentId;
use shared::keys::SigningKey;
use shared::manifest::Artifact;
use shared::receipt::{Enrolment, Renewal, open_chained};
use shared::statement::Statement;
use shared::strict;
use shared::time::Timestamp;
use shared::wire::{Join, Joined, Recorded};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Certifies servers and hosts.
pub(super) struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::from_ca_cert_pem(&pem, key).unwrap(), pem }
    }

    /// A server certificate for `name` with its key, PEM.
    fn server(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2200, 1, 1);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    pub(super) fn client(&self, csr: &str, name: &str) -> String {
        let request = CertificateSigningRequestParams::from_pem(csr).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::URI(name.try_into().unwrap())];
        params.signed_by(&request.public_key, &self.issuer).unwrap().pem()
    }
}

pub(super) struct Asked {
    pub line: String,
    head: String,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|l| l.to_lowercase().starts_with(name).then(|| l[name.len() + 1..].trim()))
    }
}

pub(super) type Handler = dyn Fn(&Asked, &mut dyn Write) -> std::io::Result<()> + Send + Sync;

/// A server on a free port; ends with the process. Counts its connections.
pub(super) struct Served {
    pub port: u16,
    /// Whose certificate it shows, PEM.
    pub authority: String,
    spki: Digest,
    connections: Arc<AtomicUsize>,
}

pub(super) fn serve(authority: &Authority, handler: Box<Handler>) -> Served {
    let (pem, key) = authority.server("127.0.0.1");
    let spki = crate::tls::CertificateInfo::read(pem.as_bytes()).unwrap().spki;
    let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let (count, handler): (_, Arc<Handler>) = (connections.clone(), handler.into());
    std::thread::spawn(move || {
        for tcp in listener.incoming().map_while(Result::ok) {
            count.fetch_add(1, Ordering::SeqCst);
            let (config, handler) = (config.clone(), handler.clone());
            // A broken connection is part of these tests.
            std::thread::spawn(move || drop(talk(tcp, config, &*handler)));
        }
    });
    Served { port, authority: authority.pem.clone(), spki, connections }
}

fn talk(tcp: TcpStream, config: Arc<ServerConfig>, handler: &Handler) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut tls = StreamOwned::new(connection, tcp);
    loop {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            tls.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let line = head.lines().next().unwrap_or_default().to_owned();
        let mut asked = Asked { line, head, body: vec![] };
        let length = asked.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
        asked.body = vec![0; length];
        tls.read_exact(&mut asked.body)?;
        handler(&asked, &mut tls)?;
        tls.flush()?;
    }
}

pub(super) fn answer(out: &mut dyn Write, status: &str, body: &[u8]) -> std::io::Result<()> {
    write!(out, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len())?;
    out.write_all(body)
}

pub(super) fn limits() -> Limits {
    Limits { connect: Duration::from_secs(5), request: Duration::from_secs(2), min_rate: 1_024 }
}

fn link(served: &Served, trust: &Trust) -> Link {
    let address: Address = format!("127.0.0.1:{}", served.port).parse().unwrap();
    Link::new(address, trust, &Clock::from_env().unwrap(), limits()).unwrap()
}

#[test]
fn only_the_pinned_key_is_the_server() {
    let served = serve(&Authority::new(), Box::new(|_, out| answer(out, "200 OK", b"hello")));
    let call = Call::get("/healthz", 100);
    assert_eq!(link(&served, &Trust::Pinned(served.spki)).call(&call).unwrap().body, b"hello");
    let other = link(&served, &Trust::Pinned(Digest::of(b"another"))).call(&call).unwrap_err();
    assert!(matches!(&other, NetError::Tls { why, .. } if why.contains("the join command pins")), "{other}");
}

#[test]
fn a_certificate_of_another_authority_is_not_the_server() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let client = crate::tls::new_key_request().unwrap();
    let trust = |authority: &Authority| Trust::Site {
        ca: authority.pem.clone().into_bytes(),
        certificate: ours.client(&client.csr, "urn:assent:x:y").into_bytes(),
        key: client.key.as_bytes().to_vec(),
    };
    let served = serve(&ours, Box::new(|_, out| answer(out, "200 OK", b"")));
    assert!(link(&served, &trust(&ours)).call(&Call::get("/", 0)).is_ok());
    assert!(matches!(link(&served, &trust(&theirs)).call(&Call::get("/", 0)), Err(NetError::Tls { .. })));
}

/// Dates alone never cut a host off: it reports, also when certificates or its own clock are years off.
#[test]
fn a_server_whose_certificate_has_expired_is_still_the_server_and_a_foreign_one_is_not() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let client = crate::tls::new_key_request().unwrap();
    let certificate = ours.client(&client.csr, "urn:assent:x:y").into_bytes();
    let served = serve(&ours, Box::new(|_, out| answer(out, "200 OK", b"")));
    for far in [Timestamp(100_000), Timestamp(100_000_000_000)] {
        for (authority, reached) in [(&ours, true), (&theirs, false)] {
            let (ca, key) = (authority.pem.clone().into_bytes(), client.key.as_bytes().to_vec());
            let trust = Trust::Site { ca, certificate: certificate.clone(), key };
            for (host, named) in [("127.0.0.1", true), ("localhost", false)] {
                let address: Address = format!("{host}:{}", served.port).parse().unwrap();
                let mut link = Link::new(address, &trust, &Clock::fixed(far), limits()).unwrap();
                assert_eq!(link.call(&Call::get("/", 0)).is_ok(), reached && named, "{far} {host}");
            }
        }
    }
}

#[test]
fn the_connection_is_kept_and_made_anew_when_the_server_closed_it() {
    let handler = |asked: &Asked, out: &mut dyn Write| {
        answer(out, "200 OK", b"")?;
        // The connection ends after this answer, without a word about it.
        if asked.line.contains("/close") { Err(std::io::Error::other("closed")) } else { Ok(()) }
    };
    let served = serve(&Authority::new(), Box::new(handler));
    let mut link = link(&served, &Trust::Pinned(served.spki));
    for (path, connections) in [("/a", 1), ("/b", 1), ("/close", 1), ("/c", 2), ("/d", 2)] {
        assert_eq!(link.call(&Call::get(path, 0)).unwrap().status.as_u16(), 200, "{path}");
        assert_eq!(served.connections.load(Ordering::SeqCst), connections, "{path}");
    }
}

#[test]
fn endless_and_slow_answers_end_at_the_cap_and_the_deadline() {
    const PACKED: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xec\xc1\x01\r\0\0\0\xc2\xa0\xf7O";
    let handler = |asked: &Asked, out: &mut dyn Write| match asked.line.split(' ').nth(1) {
        Some("/announced") => answer(out, "200 OK", &[b'x'; 5_000]),
        Some("/endless") => {
            write!(out, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            loop {
                write!(out, "400\r\n{}\r\n", "x".repeat(0x400))?;
            }
        }
        // The first bytes of what would be 4 GiB of zeros.
        Some("/packed") => {
            write!(
                out,
                "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
                PACKED.len()
            )?;
            out.write_all(PACKED)
        }
        Some("/slow") => {
            write!(out, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")?;
            loop {
                out.write_all(b"x")?;
                out.flush()?;
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        _ => {
            std::thread::sleep(Duration::from_secs(30));
            Ok(())
        }
    };
    let served = serve(&Authority::new(), Box::new(handler));
    let mut link = link(&served, &Trust::Pinned(served.spki));
    let packed = link.call(&Call::get("/packed", 1_000)).unwrap();
    assert_eq!(packed.body, PACKED, "nothing is unpacked, whatever an answer says of itself");
    let mut fails = |path: &str| link.call(&Call::get(path, 1_000)).unwrap_err();
    assert!(matches!(fails("/announced"), NetError::TooLarge { limit: 1_000, .. }));
    assert!(matches!(fails("/endless"), NetError::TooLarge { limit: 1_000, .. }));
    for path in ["/slow", "/silent"] {
        let started = Instant::now();
        let failed = fails(path);
        assert!(matches!(failed, NetError::Deadline { secs: 2, .. }), "{failed}");
        assert!(started.elapsed() < Duration::from_secs(4), "{path}");
    }
}

/// 7: bytes that come one by one, wherever in an answer, hold a host no longer than its deadline, and the next question
/// is asked on a connection of its own.
#[test]
fn whatever_comes_drop_by_drop_ends_at_the_deadline_and_the_next_answer_counts() {
    let drip = |out: &mut dyn Write, bytes: &[u8]| -> std::io::Result<()> {
        for byte in bytes {
            out.write_all(&[*byte])?;
            out.flush()?;
            std::thread::sleep(Duration::from_millis(150));
        }
        Ok(())
    };
    let endless = std::iter::repeat_n(b'a', 1_000).collect::<Vec<_>>();
    let handler = move |asked: &Asked, out: &mut dyn Write| match asked.line.split(' ').nth(1) {
        Some("/status") => drip(out, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nserver: somebody\r\n\r\n"),
        Some("/header") => {
            out.write_all(b"HTTP/1.1 200 OK\r\nx-name: ")?;
            drip(out, &endless)
        }
        Some("/body") => {
            out.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")?;
            drip(out, &endless)
        }
        Some("/chunks") => {
            out.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            drip(out, &b"1\r\na\r\n".repeat(100))
        }
        Some("/patience") => drip(out, &b"HTTP/1.1 102 Processing\r\n\r\n".repeat(30)),
        _ => answer(out, "200 OK", b"whole"),
    };
    let served = serve(&Authority::new(), Box::new(handler));
    let mut link = link(&served, &Trust::Pinned(served.spki));
    for path in ["/status", "/header", "/body", "/chunks", "/patience"] {
        let started = Instant::now();
        let failed = link.call(&Call::get(path, 10_000)).unwrap_err();
        assert!(matches!(failed, NetError::Deadline { secs: 2, .. }), "{path}: {failed}");
        assert!(started.elapsed() < Duration::from_secs(4), "{path}");
        assert_eq!(link.call(&Call::get("/", 100)).unwrap().body, b"whole", "after {path}");
    }
    assert_eq!(served.connections.load(Ordering::SeqCst), 6, "each of them cost its connection");
}

/// 7: the other address of a server is asked when the first one gives no answer, and nothing is believed there that would not
/// have been believed here.
#[test]
fn another_address_of_the_server_answers_where_the_first_one_does_not() {
    let authority = Authority::new();
    let good = |body: &'static [u8]| serve(&authority, Box::new(move |_, out| answer(out, "200 OK", body)));
    let silent: fn(&Asked, &mut dyn Write) -> std::io::Result<()> = |_, _| {
        std::thread::sleep(Duration::from_secs(30));
        Ok(())
    };
    let dripping: fn(&Asked, &mut dyn Write) -> std::io::Result<()> = |_, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")?;
        loop {
            out.write_all(b"x")?;
            out.flush()?;
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    let nobody = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let bad = |port: u16| -> Address { format!("127.0.0.1:{port}").parse().unwrap() };
    let stranger = Authority::new();
    for (what, port) in [
        ("silent", serve(&authority, Box::new(silent)).port),
        ("dripping", serve(&authority, Box::new(dripping)).port),
        ("nobody there", nobody()),
        ("somebody else", serve(&stranger, Box::new(|_, out| answer(out, "200 OK", b"mine"))).port),
    ] {
        let (root, served) = (tempfile::tempdir().unwrap(), good(b"whole"));
        let state = joined_state(root.path(), &served, &authority);
        let clock = Clock::from_env().unwrap();
        let ask = |server: &mut Remote| server.repository_file("timestamp.json", 100);
        // Second in the list it is never needed.
        let mut server = Remote::new(&state, &clock, limits(), &[bad(port)], net::open).unwrap();
        assert_eq!(ask(&mut server).unwrap().unwrap(), b"whole", "{what}");
        assert_eq!(server.in_use(), Some(state.site().agent_address.clone()), "{what}");
        // First in the list it costs its time limit once.
        let own = Site { agent_address: bad(port).to_string(), ..state.site().clone() };
        drop(state);
        std::fs::write(root.path().join("site.json"), strict::to_json(&own)).unwrap();
        let state = State::open(root.path(), Box::new(RealDisk)).unwrap();
        let other = [bad(served.port)];
        let mut server = Remote::new(&state, &clock, limits(), &other, net::open).unwrap();
        let started = Instant::now();
        for _ in 0..3 {
            assert_eq!(ask(&mut server).unwrap().unwrap(), b"whole", "{what}");
        }
        assert!(started.elapsed() < Duration::from_secs(4), "{what}");
        assert_eq!(server.in_use(), Some(other[0].to_string()), "{what}");
        // Alone it is a failure, as ever.
        let mut alone = Remote::new(&state, &clock, limits(), &[], net::open).unwrap();
        assert!(ask(&mut alone).is_err() && alone.in_use().is_none(), "{what}");
    }
}

/// An answer that nobody can use, or a repository that was refused, is no reason to ask there again; and a certificate is
/// renewed where somebody answers.
#[test]
fn a_node_that_answers_nonsense_is_left_and_a_certificate_is_renewed_at_the_next_one() {
    let authority = Authority::new();
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = |asked: &Arc<std::sync::Mutex<Vec<String>>>| std::mem::take(&mut *asked.lock().unwrap());
    let nonsense = |name: &'static str| {
        let asked = asked.clone();
        let handler = move |request: &Asked, out: &mut dyn Write| {
            asked.lock().unwrap().push(format!("{name} {}", request.line));
            answer(out, "200 OK", b"<html>")
        };
        serve(&authority, Box::new(handler))
    };
    let (first, second, root) = (nonsense("first"), nonsense("second"), tempfile::tempdir().unwrap());
    let state = joined_state(root.path(), &first, &authority);
    let clock = Clock::from_env().unwrap();
    let address = |host: &str, port: u16| -> Address { format!("{host}:{port}").parse().unwrap() };
    let (one, two) = (address("127.0.0.1", first.port), address("127.0.0.1", second.port));
    let mut server = Remote::new(&state, &clock, limits(), std::slice::from_ref(&two), net::open).unwrap();
    server.look_elsewhere();
    assert_eq!(server.in_use(), Some(two.to_string()));
    for (next, name) in [(&one, "second"), (&two, "first")] {
        assert!(matches!(server.check_in(None, false), Err(NetError::Protocol { .. })));
        assert_eq!(server.in_use(), Some(next.to_string()));
        let lines = heard(&asked);
        assert!(lines.len() == 1 && lines[0].starts_with(name), "{lines:?}");
    }
    // Nobody listens at the address that the host joined by.
    let gone = address("127.0.0.3", first.port).to_string();
    let own = Site { agent_address: gone.clone(), server: gone, ..state.site().clone() };
    drop(state);
    std::fs::write(root.path().join("site.json"), strict::to_json(&own)).unwrap();
    let state = State::open(root.path(), Box::new(RealDisk)).unwrap();
    let mut server = Remote::new(&state, &clock, limits(), &[one], net::open).unwrap();
    let renewal = Renewal {
        site: site_id(),
        agent_id: own.agent,
        key: key(super::site::HOST).public(),
        at: super::site::NOW,
        csr: String::new(),
    };
    let renewal = Statement::sign(renewal, &key(super::site::HOST)).envelope;
    assert!(matches!(server.renew(&renewal), Err(NetError::Protocol { .. })));
    let lines = heard(&asked);
    assert!(lines.len() == 1 && lines[0].starts_with("first POST /v1/renew"), "{lines:?}");
}

/// A state directory of a joined host whose server is `served`.
pub(super) fn joined_state(dir: &std::path::Path, served: &Served, authority: &Authority) -> State {
    let client = crate::tls::new_key_request().unwrap();
    let host = key(super::site::HOST);
    let site = Site {
        site: site_id(),
        agent: host.public().agent_id(),
        hostname: "web1".into(),
        root_sha256: Digest::of(b"root"),
        pin: Some(served.spki),
        proxy: None,
        server: format!("127.0.0.1:{}", served.port),
        agent_address: format!("127.0.0.1:{}", served.port),
    };
    let certificate = authority.client(&client.csr, "urn:assent:x:y");
    RealDisk.write(&dir.join("identity.pem"), host.to_pem().unwrap().as_bytes()).unwrap();
    RealDisk.write(&dir.join("tls.key"), client.key.as_bytes()).unwrap();
    let founding = Founding {
        site: &site,
        root: &TestSite::new().root(),
        ca: authority.pem.as_bytes(),
        certificate: certificate.as_bytes(),
        enrolment: Digest::of(b"enrolment"),
        proof: None,
        now: super::site::NOW,
    };
    found(dir, &mut RealDisk, &founding).unwrap();
    State::open(dir, Box::new(RealDisk)).unwrap()
}

/// Serves `body` as an artifact; the first answer breaks off in the middle.
fn artifact_server(authority: &Authority, body: Vec<u8>, ranges: bool) -> (Served, Arc<AtomicUsize>) {
    let asked_times = Arc::new(AtomicUsize::new(0));
    let times = asked_times.clone();
    let handler = move |asked: &Asked, out: &mut dyn Write| {
        let from: usize = asked
            .header("range")
            .filter(|_| ranges)
            .and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
            .unwrap_or(0);
        let total = body.len();
        let part = &body[from..];
        if from > 0 {
            write!(
                out,
                "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {from}-{}/{total}\r\n",
                total - 1
            )?;
        } else {
            write!(out, "HTTP/1.1 200 OK\r\n")?;
        }
        write!(out, "content-length: {}\r\n\r\n", part.len())?;
        if times.fetch_add(1, Ordering::SeqCst) == 0 {
            out.write_all(&part[..part.len() / 2])?;
            out.flush()?;
            return Err(std::io::Error::other("the line broke"));
        }
        out.write_all(part)
    };
    (serve(authority, Box::new(handler)), asked_times)
}

#[test]
fn a_broken_download_goes_on_where_it_ended_and_what_is_kept_is_the_artifact() {
    let body: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let wanted = Artifact { sha256: Digest::of(&body), length: body.len() as u64 };
    for ranges in [true, false] {
        let (root, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let (served, times) = artifact_server(&authority, body.clone(), ranges);
        let mut state = joined_state(root.path(), &served, &authority);
        let mut server = Remote::new(&state, &Clock::from_env().unwrap(), limits(), &[], net::open).unwrap();
        assert!(pull::artifact(&mut state, &mut server, wanted).is_err());
        let part = root.path().join(format!("artifacts/{}.part", wanted.sha256));
        let kept = std::fs::metadata(&part).unwrap().len();
        assert!(kept > 0 && kept < wanted.length, "{kept}");
        let path = pull::artifact(&mut state, &mut server, wanted).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), body);
        assert!(!part.exists());
        pull::artifact(&mut state, &mut server, wanted).unwrap();
        assert_eq!(times.load(Ordering::SeqCst), 2, "what is there is not fetched again");
    }
}

#[test]
fn another_artifact_than_the_named_one_is_refused_and_removed() {
    let (root, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let served = serve(&authority, Box::new(|_, out| answer(out, "200 OK", b"evil")));
    let mut state = joined_state(root.path(), &served, &authority);
    let mut server = Remote::new(&state, &Clock::from_env().unwrap(), limits(), &[], net::open).unwrap();
    let wanted = Artifact { sha256: Digest::of(b"good"), length: 4 };
    let refused = pull::artifact(&mut state, &mut server, wanted).unwrap_err();
    assert!(refused.to_string().starts_with("artifact.digest"), "{refused}");
    assert_eq!(RealDisk.list(&root.path().join("artifacts")).unwrap(), Vec::<String>::new());
}

#[test]
fn a_damaged_certificate_or_key_is_named_with_what_to_do() {
    let (root, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let served = serve(&authority, Box::new(|_, out| answer(out, "200 OK", b"")));
    let state = joined_state(root.path(), &served, &authority);
    for name in ["ca.crt", "tls.crt", "tls.key"] {
        let path = root.path().join(name);
        let good = std::fs::read(&path).unwrap();
        for bad in [&b""[..], b"x", &good[..good.len() / 2]] {
            std::fs::write(&path, bad).unwrap();
            let said = Remote::new(&state, &Clock::from_env().unwrap(), limits(), &[], net::open)
                .err()
                .unwrap()
                .to_string();
            let named = format!("{} cannot be used", path.display());
            assert!(said.contains(&named) && said.contains("restore it from a backup"), "{said}");
        }
        std::fs::write(&path, good).unwrap();
    }
    Remote::new(&state, &Clock::from_env().unwrap(), limits(), &[], net::open).unwrap();
}

/// A server that lets hosts join; `bend` spoils its answer.
pub(super) fn join_server(authority: Authority, bend: fn(&mut Joined)) -> Served {
    let pem = authority.pem.clone();
    let own = Authority { pem: pem.clone(), issuer: authority.issuer };
    let certifier = std::sync::Mutex::new(own);
    let root = String::from_utf8(TestSite::new().root()).unwrap();
    let front = Authority::new();
    let handler = move |asked: &Asked, out: &mut dyn Write| {
        let join: Join = strict::from_json("join", &asked.body, 1 << 20).unwrap();
        let enrolment = open_chained::<Enrolment>(&join.enrolment.to_bytes(), &site_id()).unwrap();
        let agent: AgentId = enrolment.body.header.agent_id;
        let certifier = certifier.lock().unwrap();
        let site = super::site::TestSite::new();
        let recorded: Recorded = site.record_enrolment(&enrolment);
        let mut joined = Joined {
            site: site_id(),
            agent,
            certificate: certifier.client(&enrolment.body.csr, &format!("urn:assent:{}:{agent}", site_id())),
            ca: pem.clone(),
            agent_address: "127.0.0.1:9".into(),
            root: root.clone(),
            recorded: Some(recorded),
        };
        bend(&mut joined);
        answer(out, "200 OK", &strict::to_json(&joined))
    };
    serve(&front, Box::new(handler))
}

pub(super) fn order(served: &Served) -> Order {
    Order {
        site: site_id(),
        root_sha256: Digest::of(&TestSite::new().root()),
        server: format!("https://127.0.0.1:{}", served.port).parse().unwrap(),
        way: Way::Server(served.spki),
        token: "one-time".into(),
        host_class: Some("production".parse().unwrap()),
        hostname: "web1".into(),
        boot_id: "boot".into(),
    }
}

#[test]
fn a_host_joins_once_and_keeps_its_keys() {
    let root = tempfile::tempdir().unwrap();
    let paths = Paths::new(root.path());
    let served = join_server(Authority::new(), |_| {});
    let clock = Clock::from_env().unwrap();
    let join = |order: &Order| enrol::join(&paths, &mut RealDisk, order, &clock, (limits(), net::open));
    let site = join(&order(&served)).unwrap();
    let state = State::open(&paths.state(), Box::new(RealDisk)).unwrap();
    assert_eq!((state.chain().seq, state.site()), (1, &site));
    assert_eq!(std::fs::read_to_string(paths.host_class_file()).unwrap(), "production\n");
    let pem = std::fs::read_to_string(paths.state().join("identity.pem")).unwrap();
    assert_eq!(SigningKey::from_pem(&pem, None).unwrap().public().agent_id(), site.agent);
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(paths.state().join("identity.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(matches!(join(&order(&served)), Err(EnrolError::AlreadyJoined { .. })));
}

#[test]
fn an_answer_that_is_not_what_the_join_command_pins_is_refused() {
    type Bend = fn(&mut Joined);
    let cases: [(Bend, &str); 6] = [
        (|j| j.root = j.root.replace("\"version\":1", "\"version\":2"), "the join command says"),
        (|j| j.site = "ffffffffffffffff".parse().unwrap(), "the join command says"),
        (|j| j.agent = AgentId::of_key(&[1; 32]), "this host is"),
        (|j| j.certificate = super::certificate(), "another key"),
        (|j| j.agent_address = "nowhere".into(), "not an address"),
        (|j| j.recorded = None, "no proof"),
    ];
    for (bend, why) in cases {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(root.path());
        let served = join_server(Authority::new(), bend);
        let clock = Clock::from_env().unwrap();
        let refused =
            enrol::join(&paths, &mut RealDisk, &order(&served), &clock, (limits(), net::open)).unwrap_err();
        assert!(refused.to_string().contains(why), "{why}: {refused}");
        assert!(State::open(&paths.state(), Box::new(RealDisk)).is_err(), "{why}: nothing is joined");
    }
}

#[test]
fn a_lost_answer_makes_the_host_send_the_same_enrolment_again() {
    let root = tempfile::tempdir().unwrap();
    let paths = Paths::new(root.path());
    let clock = Clock::from_env().unwrap();
    let broken = serve(&Authority::new(), Box::new(|_, out| answer(out, "503 Busy", b"")));
    assert!(enrol::join(&paths, &mut RealDisk, &order(&broken), &clock, (limits(), net::open)).is_err());
    let first = std::fs::read(paths.state().join("spool/1.json")).unwrap();
    let served = join_server(Authority::new(), |_| {});
    enrol::join(&paths, &mut RealDisk, &order(&served), &clock, (limits(), net::open)).unwrap();
    assert_eq!(std::fs::read(paths.state().join("spool/1.json")).unwrap(), first);
}
