//! Joining a site: no trust on first use, one token for one host (research/trust.md §7, 48–50).

use shared::digest::Digest;
use shared::keys::SigningKey;
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::wire::Record;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use tests::http::{Client, Message};
use tests::programs::own;
use tests::world::{CLOCK, NewChange};
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

fn secret_of(order: &[String]) -> String {
    let at = order.iter().position(|word| word == "--token-file").unwrap();
    std::fs::read_to_string(&order[at + 1]).unwrap().trim().to_owned()
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
        // Nothing that opens a door is in the log.
        let secrets = [world.token(), other.clone(), secret_of(&fresh), secret_of(&late)];
        let reply = world.people().send(Message::request("GET", "/v1/hosts", b"").with("authorization", &format!("Bearer {other}")));
        assert_eq!((reply.status(), reply.json()["code"].as_str()), (401, Some("person.unknown")));
        let log = world.nodes[0].log();
        assert!(!log.is_empty() && secrets.iter().all(|secret| !log.contains(secret)), "{log}");
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
        assert_eq!(world.assent(&["ci", "disable", "a1", "--reason", "test"]).ok().out, "a1: disabled\n");
        assert!(world.assent(&["ci", "list"]).ok().out.contains("disabled"));
        let reply = host.send(Message::request("GET", "/agent/v1/work", b""));
        assert_eq!((reply.status(), reply.json()["code"].as_str()), (403, Some("agent.not_enabled")));
        let said = world.tick("a1");
        assert!(!said.err.contains("panicked"), "{said}");
        world.assent(&["ci", "enable", "a1", "--reason", "test"]).ok();
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
        assert!(world.api("POST", &format!("/v1/hosts/{ci}/disable"), b"{\"reason\":\"test\"}").status() < 300);
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
        let (old, ask) = (world.as_host("a1"), || Message::request("GET", "/agent/v1/work", b""));
        assert_eq!(old.send(ask()).status(), 200);
        // Agent certificates live 90 days; the server's own still holds.
        world.shift_clock(120 * 86_400);
        assert!(old.try_send(ask()).is_err(), "who has only the old one is not heard");
        world.tick("a1");
        let said = world.tick("a1").ok();
        assert_ne!(std::fs::read(&file).unwrap(), before, "{said}");
        let line = world.get("/v1/hosts").json()[0].clone();
        let seen = line["last_seen"].as_str().unwrap().parse::<Timestamp>().unwrap();
        assert!(world.now().since(seen) < 300, "it is let in with the new one: {line}");
        assert!(old.try_send(ask()).is_err(), "the old one stays out");
        assert_eq!(world.as_host("a1").send(ask()).status(), 200);
    }
}

on_both! {
    /// 50: whoever holds the key of the authority can be taken for any host, read what it reads, and say nothing for it
    fn a_minted_certificate_of_a_host_says_nothing_for_it(world) {
        world.join("a1", "production");
        world.join("a2", "production");
        world.publish("base", "1.0.0", "resources:\n  - file: {path: /etc/motd, content: x}\n").ok();
        let new = NewChange { manifests: &["base@1.0.0"], targets: &["a1"], ..NewChange::default() };
        let id = world.request_and_approve(&new);
        let true_receipt = world.tick_until_receipt("a1", &id);
        world.settle_spool("a1");
        let before = world.hosts["a2"].statements().receipts.len();
        let named = |uri: &str| {
            let mut params = rcgen::CertificateParams::default();
            params.subject_alt_names = vec![rcgen::SanType::URI(uri.try_into().unwrap())];
            params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
            params
        };
        let site = &world.hosts["a2"].site;
        let as_a2 = format!("urn:assent:{site}:{}", world.hosts["a2"].agent());
        let stranger = SigningKey::from_seed(&[66; 32]);
        let door = std::net::SocketAddr::from(([127, 0, 0, 1], world.nodes[0].agents));
        let client = |name: &str, params| {
            let (certificate, key) = world.mint(name, params);
            Client::new(door, &world.site().join("ca.crt"), Some((&certificate, &key)))
        };
        let posing = client("posing", named(&as_a2));
        assert_eq!(posing.send(Message::request("GET", "/agent/v1/work", b"")).status(), 200, "it is read along");
        let mut of_a2 = true_receipt.body.clone();
        of_a2.header.agent_id = world.hosts["a2"].agent();
        of_a2.header.seq = 2;
        let mut with_its_key = of_a2.clone();
        with_its_key.header.key = world.hosts["a2"].key().public();
        let mut own = of_a2.clone();
        (own.header.key, own.header.agent_id) = (stranger.public(), stranger.public().agent_id());
        for (what, statement) in [
            ("a receipt in its name, by another key", Statement::sign(with_its_key, &stranger).envelope),
            ("the same with that key in it", Statement::sign(of_a2, &stranger).envelope),
            ("a receipt of a host that nobody knows", Statement::sign(own, &stranger).envelope),
            ("the receipt of another host", true_receipt.envelope.clone()),
        ] {
            let record = serde_json::to_vec(&Record { statement, summary: None, log_size: None }).unwrap();
            let reply = posing.send(Message::request("POST", "/agent/v1/statements", &record));
            assert!((400..500).contains(&reply.status()), "{what}: {} {}", reply.status(), reply.text());
        }
        let alarms = world.assent(&["site", "alarms"]).ok().out;
        assert!(alarms.contains("forged") && alarms.contains("a2"), "{alarms}");
        for (what, uri) in [
            ("a host that nobody knows", format!("urn:assent:{site}:{}", stranger.public().agent_id())),
            ("another site", as_a2.replace(site.as_str(), "00112233aabbccdd")),
            ("no host at all", "urn:example:1".to_owned()),
        ] {
            let reply = client("other", named(&uri)).try_send(Message::request("GET", "/agent/v1/work", b""));
            assert!(reply.is_err() || reply.is_ok_and(|reply| reply.status() == 403), "{what}");
        }
        // A certificate of another authority with the same words does not even get through the handshake.
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let own = named(&as_a2).self_signed(&key).unwrap();
        let files = (world.file("own.crt", &own.pem()), world.file("own.key", &key.serialize_pem()));
        let client = Client::new(door, &world.site().join("ca.crt"), Some((&files.0, &files.1)));
        assert!(client.try_send(Message::request("GET", "/agent/v1/work", b"")).is_err());
        world.check();
        assert_eq!((world.change_file(&id).receipts.len(), world.hosts["a2"].statements().receipts.len()), (1, before));
        // The true host is as it was, and heard.
        world.tick("a2");
        assert_eq!(world.hosts["a2"].spooled(), 0);
    }
}
