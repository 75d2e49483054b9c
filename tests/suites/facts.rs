//! What a real agent finds on its host is what the CMDB says about it.

use shared::facts::{
    Clock, Facts, Kernel, Os, Package as Found, PackageStatus, Password, User, known_support,
};
use shared::wire::CiFile;
use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};
use tests::apt::{Package, Repository};
use tests::http::Message;
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

/// As in the private root, which has no shadow(5).
fn user(name: &str, uid: u32, shell: &str) -> User {
    User {
        name: name.into(),
        uid,
        shell: shell.into(),
        login: !shell.ends_with("nologin"),
        password: Password::Unknown,
        password_changed: None,
        privileged: if uid == 0 { vec!["root".into()] } else { vec![] },
    }
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
            os: os.clone(),
            kernel: Kernel { release: asked("uname", &["-r"]), installed: vec![] },
            arch: asked("dpkg", &["--print-architecture"]),
            packages: vec![alpha.clone()],
            // A private root has no systemd; services of a real machine are asserted in machines.rs.
            services: vec![],
            addresses: addresses(),
            // Nothing of the running kernel and the machine: they are not the private root's.
            support: known_support(&os),
            users: vec![user("app", 1_001, "/usr/sbin/nologin"), user("root", 0, "/bin/sh")],
            clock: Some(Clock { ahead_s: Some(0), ..Clock::default() }),
            ..Facts::empty(env!("CARGO_PKG_VERSION").parse().unwrap(), "production".parse().unwrap())
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

on_both! {
    fn system_changed_facts_are_sent_alone_and_the_whole_to_a_restored_server(world) {
        world.join("a1", "production");
        let dir = world.hosts["a1"].path("/etc/assent/facts.d");
        fs::create_dir_all(&dir).unwrap();
        // So many that a change of one is shorter than the whole.
        let others: Vec<String> = (0..60).map(|n| format!("key{n} = \"some value {n}\"\n")).collect();
        fs::write(dir.join("others.toml"), others.concat()).unwrap();
        let sent = listened(world);
        let tell = |rack: &str| fs::write(dir.join("site.toml"), format!("rack = \"{rack}\"\n")).unwrap();
        let rack = |world: &World| {
            let known = facts(world).local.into_iter().find(|fact| fact.name == "local.site.rack");
            known.map(|fact| fact.value)
        };
        let took = || std::mem::take(&mut *sent.lock().unwrap());
        tell("A1");
        world.tick("a1");
        assert_eq!((took(), rack(world).as_deref()), (vec!["PUT 204".to_owned()], Some("A1")));
        world.tick("a1");
        assert_eq!(took(), [""; 0], "nothing has changed");
        tell("B7");
        world.tick("a1");
        assert_eq!((took(), rack(world).as_deref()), (vec!["PATCH 204".to_owned()], Some("B7")));

        world.stop_server();
        let saved = world.save();
        world.start_server();
        tell("C9");
        world.tick("a1");
        assert_eq!(took(), ["PATCH 204"]);
        world.stop_server();
        world.restore(&saved);
        world.start_server();
        world.tick("a1");
        assert_eq!((took(), rack(world).as_deref()), (vec!["PUT 204".to_owned()], Some("C9")));

        let file: CiFile = serde_json::from_slice(&world.get("/v1/cis/a1").body).unwrap();
        let told: Vec<&str> =
            file.history.iter().filter(|event| event.kind == "facts").map(|event| event.summary.as_str()).collect();
        assert_eq!(told, ["local facts: local.site.rack B7 → C9", "local facts: local.site.rack A1 → B7"]);
        let shown = world.assent(&["ci", "facts", "a1", "local"]).ok().out;
        assert!(shown.lines().any(|line| line.starts_with("local.site.rack") && line.ends_with("C9")), "{shown}");
        let all = world.assent(&["ci", "facts", "a1", "local", "--json"]).ok().out;
        assert_eq!(serde_json::from_str::<serde_json::Value>(&all).unwrap().as_array().unwrap().len(), 61);
    }
}

/// Method and status of each report of facts from now on.
fn listened(world: &World) -> Arc<Mutex<Vec<String>>> {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let heard = sent.clone();
    world.hook(Arc::new(move |request: Message, ask: &dyn Fn(Message) -> Message| {
        let method = (request.path() == "/agent/v1/facts").then(|| request.method().to_owned());
        let reply = ask(request);
        if let Some(method) = method {
            heard.lock().unwrap().push(format!("{method} {}", reply.status()));
        }
        Some(reply)
    }));
    sent
}
