//! Joining a site: no trust on first use, one token for one host (research/trust.md §7, 48–50).

use shared::digest::Digest;
use shared::time::Timestamp;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use tests::http::Message;
use tests::programs::own;
use tests::world::CLOCK;
use tests::{Said, World, root};

type Stream = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

/// The words of a fresh join command, as `--option value` pairs.
fn order(world: &World) -> Vec<String> {
    let said = world.assent(&["agent", "token", "--host-class", "production"]).ok();
    assert!(said.out.starts_with("printf %s ") && said.out.contains(" | assent-agent join "), "{said}");
    // A file of its own for each order: they are compared and used again.
    let secret = said.out.split_whitespace().nth(2).unwrap();
    let file = world.path(&format!("token-{secret}"));
    tests::world::join_order(&said, &file).split_off(1)
}

fn with(order: &[String], option: &str, value: &str) -> Vec<String> {
    let mut order = order.to_vec();
    let at = order.iter().position(|w| w == option).unwrap();
    order[at + 1] = value.to_owned();
    order
}

fn join(world: &World, name: &str, order: &[String]) -> Said {
    let dir = world.path(&format!("hosts/{name}"));
    if !dir.exists() {
        root::prepare(&dir, name);
    }
    let mut join = Command::new(own("assent-agent"));
    join.env(CLOCK, world.offset.to_string()).arg("join").args(order);
    Said::of(join.args(["--hostname", name, "--root"]).arg(dir))
}

fn has_joined(world: &World, name: &str) -> bool {
    world.path(&format!("hosts/{name}/var/lib/assent/site.json")).exists()
}

on_both! {
    fn a_join_command_works_once_and_only_for_the_server_and_site_that_it_pins(world) {
        let other = Digest::of(b"other").hex();
        let wrong = world.file("wrong-token", &other).display().to_string();
        for (option, value, code, reason) in [
            ("--root-sha256", other.as_str(), 1, format!("the join command says {other}")),
            ("--pin", &other, 3, "did not prove to be this site's server".into()),
            ("--token-file", &wrong, 1, "status 403: join.token_unknown".into()),
            ("--site", "00112233aabbccdd", 1, "status 422: join.bad_enrolment".into()),
        ] {
            // A secret of its own for each: none is refused because the one before used it up.
            let (name, good) = (option.trim_matches('-'), order(world));
            let said = join(world, name, &with(&good, option, value));
            assert!(said.code == code && said.err.contains(&reason), "{option}, expected {reason:?}: {said}");
            assert!(!has_joined(world, name), "{option}");
        }
        let fresh = order(world);
        join(world, "first", &fresh).ok();
        let said = join(world, "second", &fresh).refused("join.token_used");
        assert!(!has_joined(world, "second"), "{said}");
        // The same host may ask again: its statement is the same.
        let again = join(world, "first", &fresh);
        assert!(again.all().contains("already"), "{again}");
        let late = order(world);
        world.shift_clock(3_700);
        let said = join(world, "late", &late).refused("join.token_expired");
        assert!(!has_joined(world, "late"), "{said}");
        world.check();
    }
}

on_both! {
    /// 48: what counts is asked at every request, not only when a connection begins
    fn a_disabled_host_is_out_at_once_and_back_when_it_is_enabled(world) {
        world.join("a1", "production");
        world.tick("a1");
        let host = world.as_host("a1");
        assert_eq!(host.send(Message::request("GET", "/agent/v1/work", b"")).status(), 200);
        assert_eq!(world.assent(&["ci", "disable", "a1"]).ok().out, "a1: disabled\n");
        assert!(world.assent(&["ci", "list"]).ok().out.contains("disabled"));
        let reply = host.send(Message::request("GET", "/agent/v1/work", b""));
        assert_eq!((reply.status(), reply.json()["code"].as_str()), (403, Some("agent.not_enabled")));
        let said = world.tick("a1");
        assert!(!said.err.contains("panicked"), "{said}");
        world.assent(&["ci", "enable", "a1"]).ok();
        assert_eq!(host.send(Message::request("GET", "/agent/v1/work", b"")).status(), 200);
    }
}

on_both! {
    /// 48: the client keeps what it would need to resume a session, and uses it when it is let
    fn no_tls_session_is_resumed_and_a_disabled_host_is_out_on_each(world) {
        world.join("a1", "production");
        let host = world.as_host("a1");
        let ask = |stream: &mut Stream| {
            stream.write_all(&Message::request("GET", "/agent/v1/work", b"").to_bytes()).unwrap();
            let reply = Message::read(stream, false).unwrap().unwrap();
            // What the server hands out for resumption comes at the latest with its first answer.
            assert_eq!(stream.conn.handshake_kind(), Some(rustls::HandshakeKind::Full));
            assert_eq!(stream.conn.tls13_tickets_received(), 0);
            (reply.status(), reply.json()["code"].as_str().map(str::to_owned))
        };
        let mut first = host.connect().unwrap();
        assert_eq!(ask(&mut first).0, 200);
        let mut second = host.connect().unwrap();
        assert_eq!(ask(&mut second).0, 200);
        let ci = world.get("/v1/hosts").json()[0]["ci"].as_str().unwrap().to_owned();
        assert!(world.api("POST", &format!("/v1/hosts/{ci}/disable"), b"").status() < 300);
        let out = (403, Some("agent.not_enabled".to_owned()));
        for stream in [&mut first, &mut second, &mut host.connect().unwrap()] {
            assert_eq!(ask(stream), out);
        }
    }
}

on_both! {
    fn a_certificate_that_ran_out_is_renewed_with_the_hosts_own_key(world) {
        world.join("a1", "production");
        let file = world.hosts["a1"].state().join("tls.crt");
        let before = std::fs::read(&file).unwrap();
        world.tick("a1");
        assert_eq!(std::fs::read(&file).unwrap(), before, "a fresh one is left alone");
        // Agent certificates live 90 days; the server's own still holds.
        world.shift_clock(120 * 86_400);
        world.tick("a1");
        let said = world.tick("a1").ok();
        assert_ne!(std::fs::read(&file).unwrap(), before, "{said}");
        let line = world.get("/v1/hosts").json()[0].clone();
        let seen = line["last_seen"].as_str().unwrap().parse::<Timestamp>().unwrap();
        assert!(world.now().since(seen) < 300, "it is let in with the new one: {line}");
    }
}
