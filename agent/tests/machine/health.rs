//! Health checks against real sockets and programs.

use super::files::Bench;
use super::support::site::NOW;
use agent::courier::Prober;
use agent::health;
use agent::host::Machine;
use agent::journal::Start;
use agent::resource::programs::{self, Coming};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use shared::digest::Digest;
use shared::health::{HealthResult, HealthState};
use shared::manifest::{HealthCheck, Manifest, Probe};
use shared::time::Interval;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A bench whose machine looks through the real network process.
fn bench() -> Bench {
    let mut bench = Bench::new();
    let (root, state) = (bench.path(""), bench.path("var/lib/assent"));
    let prober = Prober::with(&[env!("CARGO_BIN_EXE_assent-agent"), "courier"]);
    bench.machine = Machine::open(&root, &state).unwrap().looking_through(prober);
    bench
}

fn check(bench: &mut Bench, check: Value) -> HealthResult {
    let text = json!({ "manifest": "m", "version": "1.0.0",
        "resources": [{ "directory": { "path": "/srv" } }], "health": [check] });
    let manifest = Manifest::from_json(text.to_string().as_bytes());
    let manifest = manifest.unwrap_or_else(|e| panic!("{e:?}"));
    let facts = super::support::site::facts();
    let params = Default::default();
    let rendered: HealthCheck = health::render(&manifest.health[0], &params, &facts).unwrap();
    let health_programs = match &rendered.probe {
        Probe::Command(probe) => {
            let bound = programs::of_health(&rendered.name, &probe.run, Coming::done(&[]), &bench.machine);
            vec![bound.unwrap()]
        }
        _ => Vec::new(),
    };
    let start = Start {
        change: Digest::of(b"change"),
        correction: None,
        plan: Digest::of(b"plan"),
        actions: Vec::new(),
        interval: Interval { from: NOW, until: NOW },
        automatic_undo: true,
        health: vec![rendered],
        health_programs,
        started: NOW,
        reboot_reasons: vec![],
    };
    health::run(&start, &mut bench.machine).remove(0)
}

/// Answers each connection with what `answer` writes; the port.
fn server(answer: impl Fn(&mut TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(&mut stream.unwrap());
        }
    });
    port
}

fn drain(stream: &mut impl Read) {
    let mut seen = Vec::new();
    let mut byte = [0; 1];
    while !seen.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        seen.push(byte[0]);
    }
}

#[test]
fn http_is_judged_by_status_body_and_time() {
    let port = server(|stream| {
        drain(stream);
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nall is well").ok();
    });
    let slow = server(|stream| {
        // One byte at a time never ends a request that has a limit as a whole.
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(100));
            if stream.write_all(b"H").is_err() {
                return;
            }
        }
    });
    let mut bench = bench();
    let url = format!("http://127.0.0.1:{port}/{{{{facts.hostname}}}}");
    for (probe, ok, output) in [
        (json!({ "url": url }), true, "status 200"),
        (json!({ "url": url, "contains": "is well" }), true, "status 200"),
        (json!({ "url": url, "contains": "is ill" }), false, "lacks \"is ill\""),
        (json!({ "url": url, "status": 204 }), false, "status 200, expected 204"),
    ] {
        let result = check(&mut bench, json!({ "name": "app", "http": probe, "retries": 0 }));
        assert!(result.ok == ok && result.output.contains(output), "{result:?}");
    }
    let started = Instant::now();
    let probe = json!({ "url": format!("http://127.0.0.1:{slow}/") });
    let result = check(&mut bench, json!({ "name": "slow", "http": probe, "retries": 0, "timeout_s": 1 }));
    assert!(!result.ok && started.elapsed() < Duration::from_secs(3), "{result:?} {:?}", started.elapsed());
}

#[test]
fn https_is_checked_against_the_authorities_of_the_host() {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], der)
        .unwrap();
    let config = Arc::new(config);
    let port = server(move |stream| {
        let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
        let mut tls = rustls::Stream::new(&mut connection, stream);
        drain(&mut tls);
        tls.write_all(b"HTTP/1.1 200 OK\r\n\r\nsecure").ok();
    });
    let mut bench = bench();
    let probe = json!({ "name": "tls", "retries": 0,
        "http": { "url": format!("https://127.0.0.1:{port}/"), "contains": "secure" } });
    let stranger = check(&mut bench, probe.clone());
    assert!(!stranger.ok && stranger.output.contains("certificate"), "{stranger:?}");
    fs::create_dir_all(bench.path("etc/ssl/certs")).unwrap();
    fs::write(bench.path("etc/ssl/certs/ca-certificates.crt"), ca.pem()).unwrap();
    let known = check(&mut bench, probe);
    assert!(known.ok, "{known:?}");
}

#[test]
fn programs_are_judged_by_the_exit_codes_of_nagios() {
    let mut bench = Bench::new();
    let script = "#!/bin/sh\necho \"LINE $1 | perf=1\"\nexit $1\n";
    fs::write(bench.path("srv/check"), script).unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(bench.path("srv/check"), fs::Permissions::from_mode(0o755)).unwrap();
    for (code, strict, ok, word) in [
        (0, false, true, "ok"),
        (1, false, true, "warning"),
        (1, true, false, "warning"),
        (2, false, false, "critical"),
        (3, false, false, "unknown"),
        (77, false, false, "unknown"),
    ] {
        let probe = json!({ "run": ["/srv/check", code.to_string()], "warning_is_ok": !strict });
        let result = check(&mut bench, json!({ "name": "check", "command": probe, "retries": 0 }));
        let expected = format!("{word} (ended with exit code {code}): LINE {code}");
        assert_eq!((result.ok, result.state().as_str(), result.output), (ok, word, expected));
        assert_eq!(result.metrics.iter().map(ToString::to_string).collect::<Vec<_>>(), ["perf=1"]);
    }
}

/// Plugins of Debian's monitoring-plugins-basic as they are.
#[test]
fn plugins_run_unchanged_and_their_numbers_are_read() {
    let plugins = std::path::Path::new("/usr/lib/nagios/plugins");
    if !plugins.join("check_disk").exists() {
        assert!(!std::env::var("CI").is_ok_and(|v| v == "true"), "monitoring-plugins-basic is not installed");
        return;
    }
    let mut bench = bench();
    fs::create_dir_all(bench.path("usr/lib/nagios/plugins")).unwrap();
    for name in ["check_disk", "check_load", "check_procs", "check_users", "check_dummy"] {
        let plugin = format!("usr/lib/nagios/plugins/{name}");
        fs::copy(plugins.join(name), bench.path(&plugin)).unwrap();
    }
    for (run, state, label) in [
        (vec!["check_disk", "-w", "0", "-c", "0", "-p", "/"], HealthState::Ok, Some("/")),
        (vec!["check_disk", "-w", "100%", "-c", "0", "-p", "/"], HealthState::Warning, Some("/")),
        (vec!["check_disk", "-w", "100%", "-c", "100%", "-p", "/"], HealthState::Critical, Some("/")),
        (vec!["check_load", "-w", "1000,1000,1000", "-c", "1000,1000,1000"], HealthState::Ok, Some("load15")),
        (vec!["check_procs", "-c", "1:"], HealthState::Ok, Some("procs")),
        (vec!["check_dummy", "3", "nobody knows"], HealthState::Unknown, None),
        (vec!["check_load", "--no-such-option"], HealthState::Unknown, None),
    ] {
        let program = format!("/usr/lib/nagios/plugins/{}", run[0]);
        let run = [program.as_str()].into_iter().chain(run[1..].iter().copied()).collect::<Vec<_>>();
        let result = check(&mut bench, json!({ "name": "x", "command": { "run": run }, "retries": 0 }));
        let labels: Vec<&str> = result.metrics.iter().map(|metric| metric.label.as_str()).collect();
        assert!(result.state() == state && result.unread.is_empty(), "{result:?}");
        assert!(label.is_none_or(|label| labels.contains(&label)), "{labels:?} {result:?}");
        assert!(!result.output.contains('|'), "{result:?}");
    }
}

#[test]
fn a_check_is_repeated_until_it_passes() {
    let mut bench = bench();
    let flag = bench.path("srv/flag");
    let text = "[ -e \"$ASSENT_ROOT/srv/flag\" ] && exit 0; touch \"$ASSENT_ROOT/srv/flag\"; exit 2";
    let probe = json!({ "run": ["/bin/sh", "-c", text] });
    assert!(!check(&mut bench, json!({ "name": "once", "command": probe, "retries": 0 })).ok);
    fs::remove_file(&flag).unwrap();
    let result = check(&mut bench, json!({ "name": "twice", "command": probe, "retries": 1 }));
    assert!(result.ok && result.ms >= 1_000, "{result:?}");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tcp = json!({ "host": "127.0.0.1", "port": closed });
    assert!(!check(&mut bench, json!({ "name": "tcp", "tcp": tcp, "retries": 0 })).ok);
    let open = server(|_| {});
    let tcp = json!({ "host": "localhost", "port": open });
    assert!(check(&mut bench, json!({ "name": "tcp", "tcp": tcp, "retries": 0 })).ok);
}
