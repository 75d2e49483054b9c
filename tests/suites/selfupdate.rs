//! A new agent for a fleet: eight machines in waves, on one of which the new program crashes.

use super::{Site, outcome};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tests::machine::{Disk, Ground, Machine, on_own_ground};
use tests::programs::{Said, agent_as};
use tests::world::NewChange;
use tests::{Database, World};

const MACHINES: usize = 8;
const PATIENCE_SECS: u64 = 180;

/// What other software does to every program of a host: here it ends those that run from a slot.
const BREAKS: &str = r#"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
__attribute__((constructor)) static void look(void) {
  char path[256] = {0};
  if (readlink("/proc/self/exe", path, sizeof path - 1) > 0 && strstr(path, "/assent/slots/")) abort();
}
"#;

/// A program on trial that takes its time, until somebody lets it go on.
const WAITS: &str = r#"
#include <stdio.h>
#include <string.h>
#include <unistd.h>
__attribute__((constructor)) static void look(int argc, char **argv) {
  char path[256] = {0};
  if (readlink("/proc/self/exe", path, sizeof path - 1) < 0 || !strstr(path, "/assent/slots/")) return;
  if (argc < 2 || strcmp(argv[1], "trial")) return;
  FILE *trials = fopen("/var/tmp/trials", "a");
  fputs("begun\n", trials);
  fflush(trials);
  fsync(fileno(trials));
  fclose(trials);
  while (access("/var/tmp/go", F_OK)) usleep(100000);
}
"#;

struct Fleet {
    machines: Vec<Machine>,
    world: World,
}

impl Fleet {
    fn new(ground: &Ground) -> Self {
        let mut world = World::new("selfupdate", Database::Sqlite).unwrap();
        let machines = (1..=MACHINES).map(|n| {
            let mut machine = Machine::boot(ground, &format!("m{n}"), Disk::Volatile);
            machine.join(&mut world);
            machine
        });
        let machines = machines.collect();
        Self { machines, world }
    }

    fn machine(&self, name: &str) -> &Machine {
        self.machines.iter().find(|machine| machine.name == name).unwrap()
    }

    fn nudge(&self, names: &[&str]) {
        names.iter().for_each(|name| self.machine(name).nudge());
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(PATIENCE_SECS);
        while !holds() {
            assert!(Instant::now() < deadline, "waited for {what} in vain");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Requested for these machines, planned or refused by each, and approved.
    fn approved(&self, manifest: &str, names: &[&str], more: &[&str]) -> String {
        let id = self.world.draft(&NewChange {
            manifests: &[manifest],
            targets: names,
            more,
            ..NewChange::default()
        });
        self.world.submit(&id);
        self.nudge(names);
        self.until("all plans and refusals", || {
            let file = self.world.change_file(&id);
            file.plans.len() + file.refusals.len() == names.len()
        });
        let shown = self.world.assent(&["change", "show", &id]).ok().out;
        for part in ["trust", "0.1.0 -> 0.2.0", "2 of 3 vendor keys (2 needed)"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        self.world.approve(&id).ok();
        self.world.settle();
        id
    }

    /// The outcome and the note of a machine's receipt, once the server has it.
    fn receipt(&self, id: &str, name: &str) -> (String, String) {
        let host = &self.world.hosts[name];
        self.until(&format!("the receipt of {name}"), || host.receipt(id).is_some() && host.spooled() == 0);
        let receipt = host.receipt(id).unwrap();
        (receipt.body.outcome.as_str().to_owned(), receipt.body.note)
    }

    /// Version and slot of the program that works on a machine, as its last tick says.
    fn program(&self, name: &str) -> String {
        let status = self.status(name);
        let line = status.split("version ").nth(1).and_then(|rest| rest.lines().next());
        line.and_then(|line| line.split(',').next()).unwrap_or_default().to_owned()
    }

    /// Agents that run on a machine, without their network processes.
    fn running(&self, name: &str) -> usize {
        let all = "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done";
        let said = self.machine(name).exec(&["sh", "-c", all]).out;
        said.lines().filter(|line| line.contains("assent") && line.trim_end().ends_with(" run")).count()
    }

    fn status(&self, name: &str) -> String {
        self.machine(name).exec(&["assent-agent", "status"]).out
    }
}

/// Lets every program of the machine begin with this C code.
fn preload(machine: &Machine, code: &str, dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("first.c"), code).unwrap();
    let library = dir.join("first.so");
    let mut cc = Command::new("cc");
    Said::of(cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(dir.join("first.c"))).ok();
    machine.copy(&library, "/usr/lib/first.so");
    machine.exec(&["sh", "-c", "echo /usr/lib/first.so >/etc/ld.so.preload"]).ok();
}

#[test]
fn eight_machines_take_a_new_agent_in_waves_and_the_one_on_which_it_crashes_keeps_the_old_one() {
    on_own_ground(|ground| {
        let mut fleet = Fleet::new(ground);
        let names: Vec<String> = fleet.machines.iter().map(|machine| machine.name.clone()).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let (good, bad) = (&all[..MACHINES - 1], all[MACHINES - 1]);
        let dir = fleet.world.path("programs");
        preload(fleet.machine(bad), BREAKS, &dir);
        let keys = fleet.world.add_vendor(3);
        let program = agent_as("0.2.0", &dir);
        let release = fleet.world.release(&program, &keys[..2]);
        let manifest = fleet.world.publish_program(&program, &release, |text| text);

        // It goes to the canary first, crashes there, and the gate keeps it from the others.
        let id = fleet.approved(&manifest, &all, &["--canary", bad, "--soak", "1s"]);
        fleet.nudge(&all);
        let (outcome, note) = fleet.receipt(&id, bad);
        assert_eq!(outcome, "rolled_back", "{note}");
        assert!(note.contains("agent:assent-agent") && note.contains("signal 6"), "{note}");
        fleet.nudge(good);
        for name in &all {
            fleet.until("the old program", || fleet.program(name) == "0.1.0");
            assert_eq!(fleet.world.hosts[*name].receipt(&id).is_some(), *name == bad, "{name}");
        }
        let status = fleet.status(bad);
        assert!(status.contains("quarantine    agent:assent-agent of"), "{status}");
        assert_eq!(fleet.world.why(good[0], &id).1, "wave.gate");

        // The others take it, two of them first; where it failed it is not even planned again.
        let id = fleet.approved(&manifest, &all, &["--canary", "m1", "--canary", "m2", "--soak", "1s"]);
        let refused: Vec<_> = fleet.world.hosts[bad].refusal_codes(&id);
        assert_eq!(refused, ["plan.quarantined"]);
        fleet.nudge(&good[..2]);
        for name in &good[..2] {
            assert_eq!(fleet.receipt(&id, name).0, "applied", "{name}");
        }
        std::thread::sleep(Duration::from_secs(2));
        fleet.nudge(&good[2..]);
        for name in good {
            let (outcome, note) = fleet.receipt(&id, name);
            assert_eq!(outcome, "applied", "{name}: {note}");
            fleet.until("the new program", || fleet.program(name) == "0.2.0 (slot a)");
            assert_eq!(fleet.running(name), 1, "the one that tried it is gone: {name}");
            let unit = fleet.machine(name).unit("assent-agent");
            assert_eq!(unit, "active running enabled", "{name}");
        }
        assert_eq!(fleet.program(bad), "0.1.0");
        fleet.world.check();

        // It outlives a boot, and does the next change.
        let first = fleet.machines.iter_mut().find(|machine| machine.name == "m1").unwrap();
        first.reboot();
        fleet.world.publish("after", "1.0.0", "resources:\n  - file: {path: /etc/after, content: x}\n").ok();
        let id = fleet.world.draft(&NewChange {
            manifests: &["after@1.0.0"],
            targets: &["m1", bad],
            ..NewChange::default()
        });
        fleet.world.submit(&id);
        fleet.nudge(&["m1", bad]);
        fleet.until("both plans", || fleet.world.change_file(&id).plans.len() == 2);
        fleet.world.approve(&id).ok();
        fleet.world.settle();
        fleet.nudge(&["m1", bad]);
        for (name, version) in [("m1", "0.2.0"), (bad, "0.1.0")] {
            assert_eq!(fleet.receipt(&id, name).0, "applied", "{name}");
            let receipt = fleet.world.hosts[name].receipt(&id).unwrap();
            assert_eq!(receipt.body.header.agent_version.to_string(), version, "{name}");
        }
        let shown = fleet.world.assent(&["ci", "show", "m1"]).ok().out;
        assert!(shown.contains("0.2.0 (slot a)"), "{shown}");
    });
}

#[test]
fn a_kill_and_a_power_cut_in_the_trial_leave_the_old_agent_which_begins_it_again() {
    on_own_ground(|ground| {
        let mut site = Site::new(ground, Disk::Own, &[]);
        let dir = site.world.path("programs");
        preload(&site.machine, WAITS, &dir);
        let keys = site.world.add_vendor(3);
        let program = agent_as("0.2.0", &dir);
        let release = site.world.release(&program, &keys[1..]);
        let manifest = site.world.publish_program(&program, &release, |text| text);
        let id = site.request_again(&manifest);
        site.approve(&id);
        let tried = |site: &Site| site.lines("/var/tmp/trials");
        site.until("the trial", || tried(&site) == 1);
        // The new one does not outlive the one that tries it.
        site.machine.exec(&["systemctl", "kill", "--kill-who=main", "--signal=KILL", "assent-agent"]).ok();
        site.machine.nudge();
        site.until("the second trial", || tried(&site) == 2);
        let both = "ls -l /proc/[0-9]*/exe 2>/dev/null | grep -c /assent/slots/";
        assert_eq!(site.machine.ask(&["sh", "-c", both]), "1", "one program on trial");

        site.machine.exec(&["sync"]).ok();
        site.machine.cut_power();
        site.machine.power_on();
        site.until("the third trial", || tried(&site) == 3);
        assert!(site.own_receipt(&id).is_none());
        site.machine.exec(&["touch", "/var/tmp/go"]).ok();
        let receipt = site.receipt(&id);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert_eq!(receipt.body.header.agent_version.to_string(), "0.2.0");
        site.until("the new program", || {
            site.machine.exec(&["assent-agent", "status"]).out.contains("0.2.0 (slot a)")
        });
        site.is_sound();
    });
}
