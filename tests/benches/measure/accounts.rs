//! Packages and users on this machine, below a layer that takes what is changed: what programs want of them, and what
//! that costs.

use crate::overlay::Overlay;
use crate::rivals::Rival;
use crate::usage;
use crate::{Figures, made, middle, middle_of, of_rival, tick};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use tests::apt::{Package, Repository};
use tests::{Database, Said, World, check, programs};

const PACKAGES: usize = 100;
const USERS: usize = 20;
/// What somebody takes away: a package and a user.
const GONE: [&str; 2] = ["bench000", "user00"];

fn packages() -> Vec<String> {
    (0..PACKAGES).map(|number| format!("bench{number:03}")).collect()
}

fn users() -> Vec<String> {
    (0..USERS).map(|number| format!("user{number:02}")).collect()
}

fn repository() -> Repository {
    let names = packages();
    let package = |name| Package { suite: "stable", name, version: "1.0", postinst: "" };
    Repository::new(&names.iter().map(|name| package(name)).collect::<Vec<_>>())
}

/// What the agent is to bring about.
fn resources() -> serde_json::Value {
    let packages =
        packages().into_iter().map(|name| json!({ "package": { "name": name, "version": "1.0" } }));
    let users = users()
        .into_iter()
        .map(|name| json!({ "user": { "home": format!("/home/{name}"), "name": name, "shell": "/bin/sh" } }));
    packages.chain(users).collect()
}

/// Starts [`compare`] in a mount namespace of its own.
pub fn apart() {
    let unshare = ["--mount", "--propagation", "private"];
    let mut own = Command::new("unshare");
    let status =
        own.args(unshare).arg(std::env::current_exe().unwrap()).arg("accounts-apart").status().unwrap();
    assert!(status.success(), "{status}");
}

/// Prints what each program costs.
pub fn compare() {
    let dir = tempfile::Builder::new().prefix("assent-bench-").tempdir().unwrap();
    let repository = repository();
    let whole = whole(&repository);
    let machine = Overlay::new(dir.path());
    machine.use_only(&repository);
    let mut all = Vec::new();
    for rival in Rival::ALL {
        if rival.version().is_some() {
            all.push(measure(rival, &machine));
        }
    }
    if all.is_empty() {
        repair_by_hand(&machine);
    }
    all.splice(0..0, [whole, look(&machine)]);
    let least = machine.inside(&[
        "sh",
        "-c",
        "dpkg-query -W >/dev/null && cat /etc/passwd /etc/group /etc/shadow >/dev/null",
    ]);
    let least = middle_of(5, || usage::run(&least).0);
    let what = format!("{PACKAGES} packages and {USERS} users");
    all.iter().for_each(|one| one.print(&what, "dpkg-query", least, all[1].noop));
}

fn is_right(machine: &Overlay) -> bool {
    let [packages, users] = [packages(), users()].map(|names| names.join(" "));
    let line = format!(
        "dpkg-query -W -f '${{db:Status-Abbrev}}\\n' {packages} | grep -c '^ii '; for u in {users}; do id $u; done | wc -l"
    );
    machine.sh(&line).split_whitespace().eq([PACKAGES.to_string(), USERS.to_string()])
}

fn repair_by_hand(machine: &Overlay) {
    machine.sh(&format!("DEBIAN_FRONTEND=noninteractive apt-get -qq -y install {}", packages().join(" ")));
    for user in users() {
        machine.sh(&format!("id {user} >/dev/null 2>&1 || useradd -s /bin/sh {user}"));
    }
}

fn take_away(machine: &Overlay) {
    machine.sh(&format!("dpkg --purge {} >/dev/null; userdel {}", GONE[0], GONE[1]));
}

/// What it costs the agent to see how the machine is: it brings nothing back.
fn look(machine: &Overlay) -> Figures {
    std::fs::copy(programs::own("assent-agent"), machine.path("/bench/assent-agent")).unwrap();
    machine.write("/etc/assent/host-class", "production\n");
    let manifest = json!({ "manifest": "bench", "version": "1.0.0", "resources": resources() });
    machine.write("/bench/manifest.json", &manifest.to_string());
    let plan = machine.inside(&["/bench/assent-agent", "plan", "/bench/manifest.json"]);
    let found = |right: bool| {
        let (cost, said) = usage::run(&plan);
        assert_eq!(said.contains(": 0 actions"), right, "{said}");
        cost
    };
    let noop = middle_of(5, || found(true));
    take_away(machine);
    let drift = middle_of(5, || found(false));
    Figures { name: "assent-agent, only looking", make: None, noop, drift }
}

fn measure(rival: Rival, machine: &Overlay) -> Figures {
    let command = rival.prepare_accounts(machine, &packages(), &users());
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    machine.sh(&format!("dpkg --purge {} >/dev/null 2>&1 || true", packages().join(" ")));
    machine.sh(&format!("for u in {}; do userdel $u 2>/dev/null || true; done", users().join(" ")));
    of_rival(rival, &machine.inside(&command), || is_right(machine), |_| take_away(machine))
}

/// Approved changes that bring all of them to a root of its own, and what somebody took away there.
fn whole(repository: &Repository) -> Figures {
    let mut world = World::new("bench agent_rivals", Database::Sqlite).unwrap();
    world.join_with_packages("a1", repository, &[]);
    let body = format!("resources: {}\n", resources());
    world.publish("accounts", "1.0.0", &body).ok();
    let make = made(&mut world, "a1", "accounts@1.0.0", &[]);
    let root = world.hosts["a1"].root.clone();
    let users = root.join("etc/passwd");
    let is_there = |root: &Path| root.join(format!("var/lib/dpkg/info/{}.list", GONE[0])).exists();
    assert!(is_there(&root));
    let noop = middle_of(5, || tick(&world, "a1").0);
    let drift = (1..=3).map(|round| {
        let mut dpkg = Command::new("dpkg");
        let own = ["--force-not-root", "--force-script-chrootless", "--purge", GONE[0]];
        Said::of(dpkg.arg(format!("--root={}", root.display())).args(own)).ok();
        let text = std::fs::read_to_string(&users).unwrap();
        let left: Vec<&str> = text.lines().filter(|line| !line.starts_with(GONE[1])).collect();
        std::fs::write(&users, left.join("\n") + "\n").unwrap();
        check::accept(&mut world, "a1");
        // It is found and told before anything is asked for.
        tick(&world, "a1");
        let version = format!("1.0.{round}");
        world.publish("accounts", &version, &body).ok();
        let cost = made(&mut world, "a1", &format!("accounts@{version}"), &[]);
        let passwd = std::fs::read_to_string(&users).unwrap();
        assert!(is_there(&root) && passwd.contains(GONE[1]), "the change did not bring them back");
        cost
    });
    let drift = middle(drift.collect());
    Figures { name: "assent-agent, whole tick of a change", make: Some(make), noop, drift }
}
