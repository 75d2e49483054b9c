//! Both listeners with real TLS on real sockets.

use crate::app::{self, Kernel, Running, Slices, Through};
use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::{Connect, Db};
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::agent::{Agent, AgentGate};
use crate::kernel::http::proxied::OnceGate;
use actix_web::web::{self, Bytes, Json, ServiceConfig};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use shared::time::Timestamp;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const SITE: &str = "0011223344556677";
const ENABLED: &str = "000102030405060708090a0b0c0d0e0f";
const BLOCKED: &str = "ff0102030405060708090a0b0c0d0e0f";
/// 2030-01-01; certificates of these tests are valid from 1975 to 2040.
const NOW: Timestamp = Timestamp(1_893_456_000);

struct Authority(Issuer<'static, KeyPair>);

/// Certificate (PEM and DER) and key (PEM and DER).
struct Issued {
    pem: String,
    der: CertificateDer<'static>,
    key: KeyPair,
}

impl Authority {
    fn new() -> (Self, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        (Self(Issuer::new(params, key)), pem)
    }

    fn issue(&self, san: SanType) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![san];
        params.not_after = rcgen::date_time_ymd(2040, 1, 1);
        let cert = params.signed_by(&key, &self.0).unwrap();
        Issued { pem: cert.pem(), der: cert.der().clone(), key }
    }

    fn agent(&self, site: &str, agent: &str) -> Issued {
        self.issue(SanType::URI(format!("urn:assent:{site}:{agent}").try_into().unwrap()))
    }
}

fn write_secret(path: &Path, text: &str) {
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Doubling {
    n: u32,
}

async fn double(body: Json<Doubling>) -> Result<Json<u32>, Error> {
    let too_big = || Refusal::conflict("request.rejected").with("status", "test");
    Ok(Json(body.n.checked_mul(2).ok_or_else(too_big)?))
}

async fn broken() -> Result<&'static str, Error> {
    Err(Error::fault("opening the vault", std::io::Error::other("secret-detail")))
}

async fn who(agent: Agent) -> String {
    agent.0.agent_id.to_string()
}

fn people(config: &mut ServiceConfig) {
    config.route("/double", web::post().to(double)).route("/broken", web::get().to(broken));
    // Whether the connection can be ended from beside it (`outgoing.rs`).
    config.route(
        "/line",
        web::get().to(|req: actix_web::HttpRequest| async move {
            req.conn_data::<super::outgoing::Line>().is_some().to_string()
        }),
    );
    config.route("/swallow", web::post().to(|body: Bytes| async move { body.len().to_string() }));
}

fn agents(config: &mut ServiceConfig) {
    config.route("/who", web::get().to(who));
}

/// A running server on free ports, in a thread with its own actix runtime.
struct Site {
    ca: Authority,
    ca_pem: String,
    clock: Clock,
    people: SocketAddr,
    agents: SocketAddr,
    _dir: TempDir,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Site {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (ca, ca_pem) = Authority::new();
        let tls = dir.path().join("tls");
        fs::create_dir(&tls).unwrap();
        fs::write(tls.join("ca.crt"), &ca_pem).unwrap();
        for name in ["people", "agents"] {
            let cert = ca.issue(SanType::DnsName("localhost".try_into().unwrap()));
            fs::write(tls.join(format!("{name}.crt")), &cert.pem).unwrap();
            write_secret(&tls.join(format!("{name}.key")), &cert.key.serialize_pem());
        }
        let text = format!(
            "site_id = \"{SITE}\"\ndata_dir = \"{}\"\n[people]\nlisten = \"127.0.0.1:0\"\nurl = \"https://localhost\"\n\
             [agents]\nlisten = \"127.0.0.1:0\"\nurl = \"https://localhost\"\n[limits]\nbody_kib = 16\nconnections = 10\n",
            dir.path().display()
        );
        let config = Config::parse("test.toml", &text, None).unwrap();
        Db::connect(&config.database_url, Connect { create: true }).unwrap();
        let clock = Clock::fixed(NOW);
        let kernel = Kernel::open(config, clock.clone()).unwrap();
        let (started, addresses) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let gate = AgentGate::new(|who| who.agent_id.to_string() == ENABLED);
                let (people, agents) = (Arc::new(people), Arc::new(agents));
                let through =
                    Through { strangers: Arc::new(|_| {}), once: OnceGate::new(async |_| Ok(true)) };
                let slices = Slices { people, agents, through, jobs: Vec::new(), gate };
                let running: Running = app::start(&kernel, slices).unwrap();
                started.send((running.people, running.agents)).unwrap();
                stopped.await.unwrap();
                running.stop().await;
            });
        });
        let (people, agents) = addresses.recv().unwrap();
        Self { ca, ca_pem, clock, people, agents, _dir: dir, stop: Some(stop), thread: Some(thread) }
    }

    fn client(
        &self,
        identity: Option<&Issued>,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        let ca =
            <CertificateDer as rustls::pki_types::pem::PemObject>::from_pem_slice(self.ca_pem.as_bytes());
        roots.add(ca.unwrap()).unwrap();
        let builder = rustls::ClientConfig::builder_with_provider(super::tls::provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        match identity {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                let key = PrivateKeyDer::try_from(issued.key.serialize_der()).unwrap();
                builder.with_client_auth_cert(vec![issued.der.clone()], key).unwrap()
            }
        }
    }

    fn connect(&self, to: SocketAddr, identity: Option<&Issued>) -> Connection {
        Connection::new(to, self.client(identity, &rustls::version::TLS13))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let (Some(stop), Some(thread)) = (self.stop.take(), self.thread.take()) {
            stop.send(()).unwrap();
            thread.join().unwrap();
        }
    }
}

/// One kept-alive connection to a server whose certificate is for `localhost`.
pub(crate) struct Connection(rustls::StreamOwned<rustls::ClientConnection, TcpStream>);

impl Connection {
    pub(crate) fn new(to: SocketAddr, config: rustls::ClientConfig) -> Self {
        Self::over(TcpStream::connect(to).unwrap(), config)
    }

    pub(crate) fn over(tcp: TcpStream, config: rustls::ClientConfig) -> Self {
        tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        Self(rustls::StreamOwned::new(tls, tcp))
    }

    /// Status line, headers and body of one request on this connection.
    pub(crate) fn send(&mut self, request: &str) -> std::io::Result<String> {
        self.0.write_all(request.as_bytes())?;
        let mut response = Vec::new();
        loop {
            let mut piece = [0; 4096];
            let read = self.0.read(&mut piece)?;
            response.extend_from_slice(&piece[..read]);
            let text = String::from_utf8_lossy(&response).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                if read == 0 {
                    return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, text));
                }
                continue;
            };
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let bodyless = ["HTTP/1.1 204", "HTTP/1.1 304"].iter().any(|start| head.starts_with(start));
            if read == 0 || bodyless || length.is_some_and(|length: usize| body.len() >= length) {
                return Ok(text);
            }
        }
    }

    fn get(&mut self, path: &str, headers: &str) -> std::io::Result<String> {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"))
    }

    fn post(&mut self, path: &str, body: &str) -> String {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept-Language: en\r\nContent-Length: {length}\r\n\r\n"
        );
        self.send(&(head + body)).unwrap()
    }
}

fn json(response: &str) -> serde_json::Value {
    serde_json::from_str(response.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn people_get_answers_refusals_and_faults_in_their_language() {
    let site = Site::start();
    let mut people = site.connect(site.people, None);
    let health = people.get("/healthz", "").unwrap();
    assert!(health.starts_with("HTTP/1.1 200 OK") && health.ends_with("ok\n"), "{health}");
    for header in [
        "x-content-type-options: nosniff",
        "content-security-policy: default-src 'self'",
        "x-frame-options: DENY",
        "strict-transport-security: max-age=31536000",
        "cache-control: no-store",
        "x-request-id: ",
    ] {
        assert!(health.contains(header), "{header} in {health}");
    }
    assert!(people.post("/double", "{\"n\":21}").ends_with("\r\n\r\n42"));

    let missing = people.get("/nothing", "").unwrap();
    assert!(missing.starts_with("HTTP/1.1 404"), "{missing}");
    assert_eq!(json(&missing)["detail"], "Unter dieser Adresse gibt es nichts.");
    let missing = people.get("/nothing", "Accept-Language: en\r\n").unwrap();
    assert_eq!(json(&missing)["why"], "No page and no interface of this server has the path /nothing.");
    for part in ["content-type: application/problem+json\r\n", "content-language: en\r\n"] {
        assert!(missing.contains(part), "{missing}");
    }
    let problem = json(&missing);
    let said = ["type", "title", "status", "detail"].map(|key| problem[key].to_string());
    let nothing = "\"There is nothing at this address.\"";
    assert_eq!(said, ["\"urn:assent:problem:request.not_found\"", nothing, "404", nothing]);

    let unknown = json(&people.post("/double", "{\"n\":1,\"m\":2}"));
    assert_eq!(unknown["code"], "request.bad_json");
    assert!(unknown["why"].as_str().unwrap().contains("unknown field `m`"), "{unknown}");
    let refused = people.post("/double", "{\"n\":4294967295}");
    assert!(refused.starts_with("HTTP/1.1 409") && json(&refused)["code"] == "request.rejected", "{refused}");

    let fault = people.get("/broken", "").unwrap();
    assert!(fault.starts_with("HTTP/1.1 500") && !fault.contains("secret-detail"), "{fault}");
    let problem: shared::wire::Problem = serde_json::from_value(json(&fault)).unwrap();
    let reference = problem.reference();
    assert!(fault.contains(&format!("x-request-id: {reference}")), "{fault}");
}

#[test]
fn a_body_above_the_limit_is_refused() {
    let site = Site::start();
    for path in ["/double", "/swallow"] {
        let fits = site.connect(site.people, None).post(path, &format!("{:16384}", "{\"n\":1}"));
        assert!(fits.starts_with("HTTP/1.1 200"), "{path} {fits}");
        let large = site.connect(site.people, None).post(path, &format!("{:16385}", "{\"n\":1}"));
        assert!(large.starts_with("HTTP/1.1 413"), "{path} {large}");
    }
}

/// The head of a request whose body has more bytes than will ever come.
fn promise(path: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n"
    )
}

#[test]
fn a_request_that_never_ends_or_breaks_off_is_the_clients_own() {
    let site = Site::start();
    let connect = || site.connect(site.people, None);
    // Both wait for ten seconds, side by side.
    let (mut slow, mut silent) = (connect(), connect());
    silent.0.write_all(b"GET /healthz HTTP/1.1\r\nHost: loc").unwrap();
    silent.0.flush().unwrap();
    let began = std::time::Instant::now();
    let late = slow.send(&(promise("/swallow") + "{")).unwrap();
    assert!(late.starts_with("HTTP/1.1 408"), "{late}");
    assert_eq!(json(&late)["code"], "request.too_slow");
    assert!((9..15).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let dropped = silent.send("");
    assert!(dropped.as_ref().map_or(true, |answer| answer.starts_with("HTTP/1.1 408")), "{dropped:?}");

    for path in ["/swallow", "/double"] {
        let mut torn = connect();
        torn.0.write_all((promise(path) + "{").as_bytes()).unwrap();
        torn.0.conn.send_close_notify();
        torn.0.flush().unwrap();
        match torn.send("") {
            Ok(answer) => {
                assert!(answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
                assert_eq!(json(&answer)["code"], "request.broken_off", "{path}");
            }
            // Nobody is left to be told.
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{path}: {error}"),
        }
    }
    assert!(connect().get("/healthz", "").unwrap().starts_with("HTTP/1.1 200"));
}

#[test]
fn one_address_has_half_of_the_connections() {
    let site = Site::start();
    let health = |connection: &mut Connection| connection.get("/healthz", "");
    let mut all: Vec<_> = (0..5).map(|_| site.connect(site.people, None)).collect();
    for connection in &mut all {
        assert!(health(connection).unwrap().starts_with("HTTP/1.1 200"));
    }
    assert!(health(&mut site.connect(site.people, None)).is_err(), "one too many");
    assert!(all[1].get("/line", "").unwrap().ends_with("true"), "each of them can be ended");
    let issued = site.ca.agent(SITE, ENABLED);
    let mut agent = site.connect(site.agents, Some(&issued));
    assert!(agent.get("/who", "").unwrap().starts_with("HTTP/1.1 200"), "another listener");
    assert!(health(&mut all[0]).is_ok());
    all.pop();
    // The server hears of it a moment later.
    let again = (0..50).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        health(&mut site.connect(site.people, None)).is_ok()
    });
    assert!(again, "whoever leaves makes room");
}

/// Before TLS: whoever connects and is silent, or never ends its first message, uses up the own half and nobody else's.
#[test]
fn an_address_that_connects_and_says_nothing_gets_its_half_and_others_get_in() {
    let site = Site::start();
    let issued = site.ca.agent(SITE, ENABLED);
    for listener in [site.people, site.agents] {
        let say = |bytes: &[u8]| {
            let mut tcp = TcpStream::connect(listener).unwrap();
            tcp.write_all(bytes).unwrap();
            tcp
        };
        // Nothing at all, and the beginning of a first message.
        let mut silent: Vec<_> =
            [&b""[..], b"", b"", b"\x16\x03\x01\x02\x00", b"\x16"].into_iter().map(say).collect();
        for tcp in &mut silent {
            tcp.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            let waits = tcp.read(&mut [0]).unwrap_err().kind();
            assert_eq!(waits, std::io::ErrorKind::WouldBlock, "has a seat and waits");
        }
        for _ in 0..20 {
            let mut more = TcpStream::connect(listener).unwrap();
            more.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let end = more.read(&mut [0]);
            let closed = matches!(&end, Ok(0))
                || end.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset);
            assert!(closed, "one too many: {end:?}");
        }
        let other = |path: &str| {
            let config = site.client(Some(&issued), &rustls::version::TLS13);
            Connection::over(from([127, 0, 0, 2], listener), config).get(path, "").unwrap()
        };
        let path = if listener == site.people { "/healthz" } else { "/who" };
        for _ in 0..3 {
            assert!(other(path).starts_with("HTTP/1.1 200"), "another address gets in");
        }
        drop(silent.pop());
        let again = (0..50).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            let config = site.client(Some(&issued), &rustls::version::TLS13);
            Connection::new(listener, config).get(path, "").is_ok()
        });
        assert!(again, "whoever leaves makes room");
    }
}

/// A connection from one of this machine's own addresses.
fn from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let own = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&own, &SocketAddr::from((source, 0))).unwrap();
    connect(&own, &to).unwrap();
    own.into()
}

#[test]
fn an_agent_is_asked_for_again_with_every_request() {
    let site = Site::start();
    let issued = site.ca.agent(SITE, ENABLED);
    let mut agent = site.connect(site.agents, Some(&issued));
    let answer = agent.get("/who", "").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(ENABLED), "{answer}");
    site.clock.set(Timestamp(2_208_988_800));
    let expired = agent.get("/who", "").unwrap();
    assert_eq!(json(&expired)["code"], "agent.certificate_expired", "on the open connection");
    site.clock.set(NOW);
    assert!(agent.get("/who", "").unwrap().starts_with("HTTP/1.1 200"));

    for (issued, code) in [
        (site.ca.agent(SITE, BLOCKED), "agent.not_enabled"),
        (site.ca.agent("ffffffffffffffff", ENABLED), "agent.no_identity"),
        (site.ca.issue(SanType::DnsName("localhost".try_into().unwrap())), "agent.no_identity"),
    ] {
        let refused = site.connect(site.agents, Some(&issued)).get("/who", "").unwrap();
        assert!(refused.starts_with("HTTP/1.1 403") && json(&refused)["code"] == code, "{refused}");
    }
}

#[test]
fn strangers_and_old_protocols_do_not_get_in() {
    let site = Site::start();
    let (other, _) = Authority::new();
    let stranger = other.agent(SITE, ENABLED);
    let reject = site.connect(site.agents, Some(&stranger)).get("/who", "");
    let alert = reject.unwrap_err().to_string();
    assert!(alert.contains("fatal alert: DecryptError"), "another CA of the same name: {alert}");
    let reject = site.connect(site.agents, None).get("/who", "");
    assert!(reject.unwrap_err().to_string().contains("CertificateRequired"));
    let old = site.client(None, &rustls::version::TLS12);
    let reject = Connection::new(site.people, old).get("/healthz", "");
    assert!(reject.unwrap_err().to_string().contains("ProtocolVersion"));
}

#[test]
fn a_new_certificate_is_used_by_the_next_connection() {
    let tls = tempfile::tempdir().unwrap();
    let (ca, _) = Authority::new();
    let (cert, key) = (tls.path().join("c.pem"), tls.path().join("k.pem"));
    let write = |issued: &Issued| {
        fs::write(&cert, &issued.pem).unwrap();
        write_secret(&key, &issued.key.serialize_pem());
    };
    write(&ca.issue(SanType::DnsName("localhost".try_into().unwrap())));
    let hot = super::tls::HotCert::load(&cert, &key).unwrap();
    let second = ca.issue(SanType::DnsName("localhost".try_into().unwrap()));
    write(&second);
    hot.reload().unwrap();
    assert_eq!(hot.leaf(), second.der);
    fs::write(&cert, "no certificate").unwrap();
    assert!(hot.reload().is_err());
    assert_eq!(hot.leaf(), second.der, "the old one stays in use");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let error = super::tls::HotCert::load(&cert, &key).unwrap_err();
    assert!(error.chain().contains("chmod"), "{}", error.chain());
}
