//! Another TLS authority takes the place of the first one, and no host joins anew.

use shared::digest::Digest;
use std::process::Command;
use std::time::Duration;
use tests::http::{Client, Message};
use tests::programs::{Said, own};
use tests::world::{CLOCK, Database, NewChange};
use tests::{World, http};

const MOTD: &str = "resources:\n  - file: {path: /etc/motd, content: \"rotated\\n\"}\n";
/// A server looks every five seconds what the policy names.
const FOLLOWS: Duration = Duration::from_secs(8);

/// Whom a host believes by its own file, the issuer of its certificate first.
fn believed(world: &World, host: &str) -> Vec<Digest> {
    let pem = std::fs::read(world.hosts[host].state().join("ca.crt")).unwrap();
    agent::tls::authorities(&pem).unwrap().into_iter().map(|(spki, _)| spki).collect()
}

fn new_authority(world: &World) -> Said {
    let mut command = Command::new(own("assent-server"));
    command.args(["authority", "new", "--config"]).arg(&world.nodes[0].config);
    Said::of(command.env(CLOCK, world.offset.to_string())).ok()
}

/// 53: twelve years without anybody, the authority is over as well. 50: by the old one's certificates nobody gets in any more
#[test]
fn an_authority_that_is_long_over_is_replaced_and_hosts_come_along_also_one_that_was_off() {
    let name =
        "rotation::an_authority_that_is_long_over_is_replaced_and_hosts_come_along_also_one_that_was_off";
    let mut world = World::new(name, Database::Sqlite).unwrap();
    world.join("a1", "production");
    world.join("a2", "production");
    let old = believed(&world, "a1")[0];
    world.shift_clock(12 * 365 * 86_400);
    let said = world.tick("a1");
    assert!(said.all().contains("tuf.expired") && !said.all().contains("did not prove"), "{said}");
    world.assent(&["renew"]).ok();

    let digest = new_authority(&world).out.lines().next().unwrap().to_owned();
    assert_eq!(
        new_authority(&world).out.lines().next(),
        Some(digest.as_str()),
        "asked again, the same waits"
    );
    let new: Digest = digest.parse().unwrap();
    let elsewhere = Digest::of(b"elsewhere").to_string();
    world.assent(&["site", "authority", "add", &elsewhere, "--yes"]).refused("the server has no authority");
    world
        .assent(&["site", "authority", "retire", &old.to_string(), "--yes"])
        .refused("names no other authority");
    world.assent(&["site", "authority", "add", &digest, "--yes"]).ok();
    std::thread::sleep(FOLLOWS);
    for _ in 0..2 {
        world.tick("a1");
    }
    assert_eq!(believed(&world, "a1"), [new, old], "it has a certificate of the new one");
    assert!(world.assent(&["site", "show"]).ok().out.contains(&digest));

    world.assent(&["site", "authority", "retire", &old.to_string(), "--yes"]).ok();
    std::thread::sleep(FOLLOWS);
    world.assent(&["site", "show"]).ok();
    let said = world.tick("a1");
    assert!(!said.all().contains("failed"), "{said}");
    assert_eq!(believed(&world, "a1"), [new]);
    let (cert, key) = (world.hosts["a2"].state().join("tls.crt"), world.hosts["a2"].state().join("tls.key"));
    let door = std::net::SocketAddr::from(([127, 0, 0, 1], world.nodes[0].agents));
    let late = Client::new(door, &world.site().join("ca.crt"), Some((&cert, &key)));
    let answer = late.try_send(Message::request("GET", "/agent/v1/work", b""));
    assert!(answer.is_err(), "a certificate of the old authority: {answer:?}");
    let roots = http::certificates(&world.site().join("ca.crt")).len();
    assert_eq!(roots, 1, "the person's file knows the new one alone");

    // It was off all the while: its own key brings it back, and the policy that governance signed says by whom.
    assert_eq!(believed(&world, "a2"), [old]);
    let said = world.tick("a2");
    assert_eq!(believed(&world, "a2"), [new], "{said}");
    world.publish("motd", "1.0.0", MOTD).ok();
    let change = world.request_and_approve(&NewChange { manifests: &["motd@1.0.0"], ..NewChange::default() });
    for host in ["a1", "a2"] {
        world.tick_until_receipt(host, &change);
        assert_eq!(world.hosts[host].read("/etc/motd").as_deref(), Some("rotated\n"), "{host}");
    }
}
