//! A real nginx ends TLS before the server: hosts get through it by their own signature, and nobody else does.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use shared::digest::Digest;
use shared::keys::SigningKey;
use shared::request::{HEADER, Request};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::World;
use tests::http::{self, Client, Message};
use tests::programs;
use tests::world::{Database, NewChange};

const WORK: &str = "/agent/v1/work";

/// nginx as `packaging/nginx-proxy.conf` sets it up, with a log of what hosts have signed; it ends with this value.
struct Nginx {
    address: SocketAddr,
    /// Authorities that its certificate is of, and those of somebody else.
    ca: PathBuf,
    other: PathBuf,
    log: PathBuf,
    process: Child,
}

impl Nginx {
    fn start(dir: &Path, behind: u16) -> Self {
        std::fs::create_dir(dir).unwrap();
        let (ca, other) = (dir.join("ca.pem"), dir.join("other.pem"));
        certify(dir, &other);
        certify(dir, &ca);
        let (port, log) = (http::free_port(), dir.join("requests.log"));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let recipe = std::fs::read_to_string("../packaging/nginx-proxy.conf").unwrap();
        let server: String =
            recipe.lines().filter(|line| !line.starts_with('#')).map(|line| line.to_owned() + "\n").collect();
        let at = |name: &str| dir.join(name).display().to_string();
        let server = server
            .replace("listen 443", &format!("listen {address}"))
            .replace("/etc/ssl/assent.example.org.pem", &at("proxy.pem"))
            .replace("/etc/ssl/assent.example.org.key", &at("proxy.key"))
            .replace("127.0.0.1:8445", &format!("127.0.0.1:{behind}"));
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {};\n", at(kind)))
            .concat();
        let whole = format!(
            "user root; daemon off; pid {pid}; error_log stderr error; events {{ worker_connections 64; }}\n\
             http {{\n{temporary}log_format signed escape=none '$request_method $request_uri $status $http_assent_request';\n\
             access_log {log} signed;\n{server}}}\n",
            pid = at("pid"),
            log = log.display(),
        );
        let file = dir.join("nginx.conf");
        std::fs::write(&file, whole).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(dir).arg("-c").arg(&file).args(["-e", "stderr"]).stdout(Stdio::null());
        let mut process = command.spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            let alive = process.try_wait().unwrap().is_none();
            assert!(alive && Instant::now() < deadline, "nginx does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { address, ca, other, log, process }
    }

    fn client(&self) -> Client {
        Client::new(self.address, &self.ca, None)
    }

    /// The words of each request so far: method, path, status, header.
    fn seen(&self) -> Vec<Vec<String>> {
        let log = std::fs::read_to_string(&self.log).unwrap();
        log.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()));
        self.process.wait().unwrap();
    }
}

/// A new authority in `ca`, and the proxy's certificate with its key by it.
fn certify(dir: &Path, ca: &Path) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(ca, params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
    std::fs::write(dir.join("proxy.pem"), params.signed_by(&own, &issuer).unwrap().pem()).unwrap();
    std::fs::write(dir.join("proxy.key"), own.serialize_pem()).unwrap();
}

/// The header of a request that the host signs now, after somebody has had a hand in it.
fn signed(
    world: &World,
    nginx: &Nginx,
    key: &SigningKey,
    path: &str,
    edit: impl FnOnce(&mut Request),
) -> String {
    let public = key.public();
    let mut request = Request {
        site: world.hosts["a1"].site.clone(),
        agent_id: public.agent_id(),
        key: public,
        audience: nginx.address.to_string(),
        method: "GET".into(),
        path: path.into(),
        body_sha256: Digest::of(b""),
        issued_at: world.now(),
        expires: world.now().plus(60),
        nonce: Digest::of(format!("{:?}", Instant::now()).as_bytes()).hex()[..32].to_owned(),
    };
    edit(&mut request);
    request.sign(key)
}

/// 48: without any client certificate, what counts is asked at every request
#[test]
fn hosts_live_behind_a_proxy_that_ends_tls_and_nobody_else_gets_through_it() {
    let name = "behind_proxy::hosts_live_behind_a_proxy_that_ends_tls_and_nobody_else_gets_through_it";
    if !programs::has_tool(name, "nginx") {
        return;
    }
    let mut world = World::new(name, Database::Sqlite).unwrap();
    let behind = http::free_port();
    let nginx = Nginx::start(&world.path("nginx"), behind);
    world.stop_server();
    let config = world.nodes[0].config.clone();
    let text = std::fs::read_to_string(&config).unwrap();
    let url = format!("https://{}", nginx.address);
    let section = format!(
        "\n[proxy]\nlisten = \"127.0.0.1:{behind}\"\nurl = \"{url}\"\naddress_header = \"X-Real-IP\"\n"
    );
    std::fs::write(&config, text + &section).unwrap();
    world.start_server();

    let (ca, other) = (nginx.ca.display().to_string(), nginx.other.display().to_string());
    let refused = world.try_enrol("b1", "production", &["--proxy", "--proxy-ca", &other]);
    assert!(refused.code == 3 && refused.err.contains("did not prove"), "{refused}");
    world.join_with("a1", "production", &["--proxy", "--proxy-ca", &ca]);
    world.tick("a1");
    world.publish("motd", "1.0.0", "resources:\n  - file: {path: /etc/motd, content: \"behind\\n\"}\n").ok();
    let change = world.draft(&NewChange { manifests: &["motd"], targets: &["a1"], ..NewChange::default() });
    world.submit(&change);
    world.tick("a1");
    world.approve(&change).ok();
    world.tick_until_receipt("a1", &change);
    world.settle_spool("a1");
    assert_eq!(world.hosts["a1"].read("/etc/motd").as_deref(), Some("behind\n"));
    assert_eq!(world.hosts["a1"].spooled(), 0, "the receipt is proven");
    let all = nginx.seen();
    let has = |method: &str, path: &str| {
        all.iter().any(|words| words[0] == method && words[1].starts_with(path) && words[2] == "200")
    };
    assert!(
        has("POST", "/v1/join") && has("POST", "/agent/v1/statements") && has("GET", "/agent/v1/tuf/"),
        "{all:?}"
    );
    let unsigned: Vec<_> = all.iter().filter(|words| words[1] != "/v1/join" && words[3].is_empty()).collect();
    assert!(unsigned.is_empty(), "{unsigned:?}");

    let client = nginx.client();
    let ask = |path: &str, header: Option<&str>| {
        let request = Message::request("GET", path, b"");
        let reply = client.send(header.map_or(request.clone(), |value| request.with(HEADER, value)));
        (reply.status(), reply.json()["code"].as_str().unwrap_or_default().to_owned())
    };
    let refusal = |status: u16, code: &str| (status, code.to_owned());
    let replayed = all.iter().rfind(|words| words[1] == WORK).unwrap()[3].clone();
    assert_eq!(ask(WORK, Some(&replayed)), refusal(409, "request.replayed"));
    assert_eq!(ask(WORK, None), refusal(403, "request.unsigned"));
    let key = world.hosts["a1"].key();
    let own = |path: &str, edit: fn(&mut Request)| signed(&world, &nginx, &key, path, edit);
    assert_eq!(ask(WORK, Some(&own(WORK, |_| {}))).0, 200);
    assert_eq!(ask(WORK, Some(&own("/agent/v1/tuf/root.json", |_| {}))), refusal(403, "request.other"));
    let elsewhere = own(WORK, |request| request.audience = "assent.example.org:443".into());
    assert_eq!(ask(WORK, Some(&elsewhere)), refusal(403, "request.other"));
    let stranger = SigningKey::from_seed(&[9; 32]);
    let foreign = signed(&world, &nginx, &stranger, WORK, |_| {});
    assert_eq!(ask(WORK, Some(&foreign)), refusal(403, "agent.not_enabled"));

    world.assent(&["ci", "disable", "a1", "--reason", "test"]).ok();
    assert_eq!(ask(WORK, Some(&own(WORK, |_| {}))), refusal(403, "agent.not_enabled"));
    let said = world.tick("a1");
    assert!(said.all().contains("agent.not_enabled"), "{said}");
    world.assent(&["ci", "enable", "a1", "--reason", "test"]).ok();
    let said = world.tick("a1");
    assert!(!said.all().contains("agent.not_enabled"), "{said}");
}
