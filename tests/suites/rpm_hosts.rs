//! A host with rpm packages below a private root, with real dnf and a signed repository.

#[expect(dead_code, reason = "the agent's own tests use more of it")]
#[path = "../../agent/tests/support/aptrepo.rs"]
mod aptrepo;
#[expect(dead_code, reason = "the agent's own tests use more of it")]
#[path = "../../agent/tests/support/rpmrepo.rs"]
mod rpmrepo;
#[path = "../../agent/tests/support/tools.rs"]
mod tools;

use rpmrepo::{Family, Repo, Rpm};
use shared::finding::{About, Presence};
use std::fs;
use tests::world::NewChange;
use tests::{Database, World, check};

/// Findings of packages as the host has signed them: the end of the command, and what it did.
fn told(world: &World) -> Vec<(String, Vec<String>)> {
    let told = |finding: &shared::finding::Finding| {
        let About::Packages(transaction) = &finding.about else { return None };
        assert_eq!(finding.presence, Presence::Happened);
        let command = transaction.command.rsplit(' ').take(2).collect::<Vec<_>>().join(" ");
        Some((command, finding.differences.iter().map(|d| d.summary.clone()).collect()))
    };
    world.hosts["a1"].statements().findings.values().filter_map(|finding| told(&finding.body)).collect()
}

#[test]
fn what_others_do_on_an_rpm_host_is_told_once_and_what_was_approved_is_not() {
    let Some(mut world) = World::new(module_path!(), Database::Sqlite) else { return };
    if !Family::Dnf.is_here(module_path!()) {
        return;
    }
    let repository = Repo::new();
    for (name, version) in [("alpha", "1.0-1"), ("alpha", "1.1-1"), ("beta", "1.0-1")] {
        repository.add(&Rpm { name, version, ..Rpm::default() });
    }
    repository.publish();
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    world.join_at("a1", "production", root);
    for debian in ["var/lib/dpkg", "etc/apt"] {
        fs::remove_dir_all(root.join(debian)).unwrap();
    }
    Family::Dnf.prepare(root);
    repository.name_in(root, Family::Dnf);
    Family::Dnf.by_hand(root, &["install", "alpha-1.0-1"]);
    check::accept(&mut world, "a1");
    world.tick("a1");
    world.publish("tools", "1.0.0", "resources:\n  - package: {name: alpha, version: \"1.1-1\"}\n").ok();
    let id = world.request_and_approve(&NewChange { manifests: &["tools@1.0.0"], ..NewChange::default() });
    for _ in 0..10 {
        if world.hosts["a1"].receipt(&id).is_none() {
            world.tick_unchecked("a1").ok();
        }
    }
    assert_eq!(world.hosts["a1"].receipt(&id).unwrap().body.outcome.as_str(), "applied");
    assert_eq!(world.hosts["a1"].read("/usr/share/alpha/version"), Some("1.1-1\n".into()));
    Family::Dnf.by_hand(root, &["install", "beta-1.0-1"]);
    Family::Dnf.by_hand(root, &["remove", "beta"]);
    check::accept(&mut world, "a1");
    // Each is a start of the agent.
    for _ in 0..3 {
        world.tick("a1");
    }
    let expected =
        [("beta-1.0-1 install", "beta 1.0-1 was installed"), ("beta remove", "beta 1.0-1 was removed")];
    let expected = expected.map(|(command, what)| (command.to_owned(), vec![what.to_owned()]));
    assert_eq!(told(&world), expected);
}
