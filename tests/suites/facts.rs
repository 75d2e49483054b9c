//! What a real agent finds on its host is what the CMDB says about it.

use shared::facts::{Facts, Kernel, Os, Package as Found, PackageStatus};
use shared::wire::CiFile;
use std::process::Command;
use tests::apt::{Package, Repository};
use tests::world::NewChange;
use tests::{Said, World};

const ALPHA: Package<'_> = Package { suite: "stable", name: "alpha", version: "1.0+b1", postinst: "" };

fn facts(world: &World) -> Facts {
    let file: CiFile = serde_json::from_slice(&world.get("/v1/cis/a1").body).unwrap();
    let facts = file.facts.expect("the host has reported");
    let line = file.line;
    let summary = [line.os, line.os_version, line.kernel, line.arch].map(Option::unwrap);
    assert_eq!(
        summary,
        [&facts.os.id, &facts.os.version, &facts.kernel.release, &facts.arch].map(Clone::clone)
    );
    assert_eq!(line.facts, Some(shared::digest::Digest::of(&facts.to_json())));
    facts
}

fn asked(program: &str, args: &[&str]) -> String {
    Said::of(Command::new(program).args(args)).ok().out.trim().to_owned()
}

/// Addresses as the kernel lists them, without loopback and link-local ones.
fn addresses() -> Vec<String> {
    let said = asked("ip", &["-o", "addr", "show", "scope", "global"]);
    let words = said.lines().filter_map(|line| line.split_whitespace().nth(3)?.split('/').next());
    let mut all: Vec<String> = words.map(str::to_owned).collect();
    all.sort();
    all.dedup();
    all
}

on_both! {
    fn system_packages_and_addresses_reach_the_ci_and_follow_what_changes(world) {
        let repository = Repository::new(&[]);
        repository.add_with(&ALPHA, "Source: lab-suite (1.0)\n");
        repository.sign();
        world.join_with_packages("a1", &repository, &["alpha"]);
        world.tick("a1");
        let alpha = Found {
            name: "alpha".into(),
            version: "1.0+b1".into(),
            arch: "all".into(),
            source: "lab-suite".into(),
            source_version: "1.0".into(),
            vendor: None,
            status: PackageStatus::Installed,
            origin: Some("Lab:stable".into()),
        };
        let os = Os { id: "debian".into(), version: "12".into(), codename: "lab".into(), name: "Lab Linux 1".into() };
        let expected = Facts {
            hostname: "a1".into(),
            fqdn: "a1".into(),
            os,
            kernel: Kernel { release: asked("uname", &["-r"]) },
            arch: asked("dpkg", &["--print-architecture"]),
            packages: vec![alpha.clone()],
            // A private root has no systemd; services of a real machine are asserted in machines.rs.
            services: vec![],
            addresses: addresses(),
            agent_version: env!("CARGO_PKG_VERSION").parse().unwrap(),
            host_class: "production".parse().unwrap(),
        };
        assert_eq!(facts(world), expected);

        repository.add_with(&Package { version: "2.0", ..ALPHA }, "Source: lab-suite (1:2.0)\n");
        repository.sign();
        world.publish("tools", "1.0.0", "resources:\n  - package: {name: alpha, version: \"2.0\", hold: true}\n").ok();
        let id = world.request_and_approve(&NewChange { manifests: &["tools@1.0.0"], ..NewChange::default() });
        world.tick_until_receipt("a1", &id);
        world.tick("a1");
        let alpha = Found {
            version: "2.0".into(),
            source_version: "1:2.0".into(),
            status: PackageStatus::Held,
            ..alpha
        };
        assert_eq!(facts(world), Facts { packages: vec![alpha], ..expected });
    }
}
