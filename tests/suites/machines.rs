//! Whole machines: real systemd, the agent as its unit, services that come, go and break, reboots and power cuts.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise, with its place")]

#[path = "bad_days.rs"]
mod bad_days;
#[path = "emulated.rs"]
mod emulated;
#[path = "glass.rs"]
mod glass;
#[path = "inventory.rs"]
mod inventory;
#[path = "library.rs"]
mod library;
#[path = "power.rs"]
mod power;
#[path = "selfupdate.rs"]
mod selfupdate;
#[path = "system.rs"]
mod system;
#[path = "upkeep.rs"]
mod upkeep;

use shared::facts::Service;
use shared::receipt::{Receipt, StepStatus};
use shared::statement::Statement;
use shared::wire::CiFile;
use std::time::{Duration, Instant};
use tests::machine::{Disk, Ground, Lab, Machine, Starts, on_own_ground};
use tests::world::NewChange;
use tests::{Database, World};

/// Installing all packages of the library takes the longest.
const PATIENCE_SECS: u64 = 120;

/// A site with one machine that runs the agent and uses the lab's packages.
struct Site {
    machine: Machine,
    lab: Lab,
    world: World,
}

impl Site {
    fn new(ground: &Ground, disk: Disk, packages: &[(&str, &str, Starts)]) -> Self {
        Self::with(ground, disk, Lab::new(packages))
    }

    fn with(ground: &Ground, disk: Disk, lab: Lab) -> Self {
        let mut world = World::new("machines", Database::Sqlite).unwrap();
        let mut machine = Machine::boot(ground, "m1", disk);
        lab.serve(&machine);
        machine.join(&mut world);
        Self { machine, lab, world }
    }

    /// Published, requested, planned by the machine; gives the change's id.
    fn request(&self, manifest: &str, body: &str) -> String {
        let (name, version) = manifest.split_once('@').unwrap();
        self.world.publish(name, version, body).ok();
        self.request_again(manifest)
    }

    fn request_again(&self, manifest: &str) -> String {
        // What failed and was undone comes back only when a person asks for it; several tests do.
        let more = &["--lift-quarantine"];
        let id = self.world.draft(&NewChange { manifests: &[manifest], more, ..NewChange::default() });
        self.world.submit(&id);
        self.machine.nudge();
        self.until("a plan", || self.world.change_file(&id).plans.len() == 1);
        id
    }

    fn approve(&self, id: &str) {
        self.world.approve(id).ok();
        self.world.settle();
        self.machine.nudge();
    }

    /// From request to receipt.
    fn change(&mut self, manifest: &str, body: &str) -> Statement<Receipt> {
        let id = self.request(manifest, body);
        self.approve(&id);
        self.receipt(&id)
    }

    /// Waits until the server has the machine's receipt, and checks what always holds.
    fn receipt(&mut self, id: &str) -> Statement<Receipt> {
        self.until("a receipt", || self.world.change_file(id).receipts.len() == 1);
        self.machine.look();
        self.world.check();
        self.own_receipt(id).unwrap()
    }

    /// The receipt as the machine holds it, whether or not it was sent.
    fn own_receipt(&self, id: &str) -> Option<Statement<Receipt>> {
        self.world.hosts["m1"].receipt(id)
    }

    /// What a person sees of the planned actions.
    fn shown(&self, id: &str) -> String {
        self.world.assent(&["change", "show", id]).ok().out
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(PATIENCE_SECS) * self.machine.slowness();
        while !holds() {
            assert!(Instant::now() < deadline, "waited for {what} in vain");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until a step of the run has left its mark.
    fn until_there(&self, path: &str) {
        self.until(path, || self.has(path));
    }

    fn lines(&self, path: &str) -> usize {
        self.world.hosts["m1"].lines(path)
    }

    fn has(&self, path: &str) -> bool {
        self.world.hosts["m1"].path(path).symlink_metadata().is_ok()
    }

    /// `ok installed` with its version; empty when dpkg does not know the package at all.
    fn package(&self, name: &str) -> String {
        self.machine.exec(&["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", name]).out
    }

    /// What the web service answers.
    fn answer(&self) -> String {
        let get = "exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET / HTTP/1.1\\r\\n\\r\\n' >&3; tail -n1 <&3";
        self.machine.exec(&["bash", "-c", get]).out
    }

    /// No unit failed and none is in between: what a monitoring system looks at.
    fn is_sound(&self) {
        let failed = self.machine.ask(&["systemctl", "--failed", "--plain", "--no-legend"]);
        let state = self.machine.exec(&["systemctl", "is-system-running"]).out;
        assert_eq!((state.trim(), failed.as_str()), ("running", ""));
    }
}

fn outcome(receipt: &Statement<Receipt>) -> &str {
    receipt.body.outcome.as_str()
}

fn status(receipt: &Statement<Receipt>, resource: &str, verb: &str) -> Option<StepStatus> {
    let same = |r: &&shared::receipt::StepResult| r.resource.as_str() == resource && r.verb.as_str() == verb;
    receipt.body.results.iter().find(same).map(|r| r.status)
}

/// A package with a service, its settings from a template, and checks that it does its work.
fn web(settings: &str) -> String {
    format!(
        "resources:
  - package: {{name: web, version: \"1.0\"}}
  - directory: {{path: /etc/lab, requires: [\"package:web\"]}}
  - file: {{path: /etc/lab/web.conf, template: \"port=8080\\n{settings}\\n\", requires: [\"package:web\"], on_change: [\"service:web\"]}}
  - service: {{name: web, state: running, enabled: true, requires: [\"file:/etc/lab/web.conf\"]}}
health:
  - {{name: runs, service: {{name: web}}}}
  - {{name: answers, http: {{url: \"http://127.0.0.1:8080/\", contains: from m1}}, retries: 5}}
  - {{name: listens, tcp: {{host: 127.0.0.1, port: 8080}}, retries: 5}}
"
    )
}

#[test]
fn a_service_comes_with_its_package_and_is_restarted_once_for_new_settings() {
    on_own_ground(|ground| {
        let mut site = Site::new(ground, Disk::Volatile, &[("web", "1.0", Starts::Never)]);
        let id = site.request("web@1.0.0", &web("text=first from {{facts.hostname}}"));
        let shown = site.shown(&id);
        for line in ["install web 1.0", "create /etc/lab/web.conf", "enable web", "start web"] {
            assert!(shown.contains(line), "{line}: {shown}");
        }
        assert!(!site.has("/etc/lab"), "planning changes nothing");
        site.approve(&id);
        let receipt = site.receipt(&id);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert_eq!(site.machine.unit("web"), "active running enabled");
        assert_eq!((site.answer().as_str(), site.lines("/var/lib/lab/web.starts")), ("first from m1", 1));

        let id = site.request("web@1.1.0", &web("text=second from {{facts.hostname}}"));
        let shown = site.shown(&id);
        assert!(shown.contains("restart web if it runs"), "{shown}");
        assert!(!shown.contains("start web (is"), "{shown}");
        site.approve(&id);
        let receipt = site.receipt(&id);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert_eq!(status(&receipt, "service:web", "restart"), Some(StepStatus::Done));
        assert_eq!((site.answer().as_str(), site.lines("/var/lib/lab/web.starts")), ("second from m1", 2));

        let id = site.request_again("web@1.1.0");
        site.approve(&id);
        let receipt = site.receipt(&id);
        assert_eq!((outcome(&receipt), receipt.body.results.len()), ("unchanged", 0), "{:#?}", receipt.body);
        assert_eq!(site.lines("/var/lib/lab/web.starts"), 2);
        let ci = site.world.assent(&["ci", "show", "m1"]).ok().out;
        for resource in ["service:web", "package:web", "file:/etc/lab/web.conf"] {
            assert!(ci.contains(resource), "{resource}: {ci}");
        }
        reported(&site);
        site.is_sound();
    });
}

/// System, services and addresses of the machine are in its CI as the machine itself has them.
fn reported(site: &Site) {
    let facts = || {
        let file: CiFile = serde_json::from_slice(&site.world.get("/v1/cis/m1").body).unwrap();
        file.facts.unwrap()
    };
    site.machine.nudge();
    let runs = |name: &str| {
        let service = Service { name: name.into(), active: "active".into(), enabled: "enabled".into() };
        facts().services.contains(&service)
    };
    // What the agent says of itself while it is restarted is true as well, and not what is waited for.
    site.until("the services in the facts", || runs("web") && runs("assent-agent"));
    let facts = facts();
    assert_eq!((facts.hostname.as_str(), facts.addresses), ("m1", vec!["10.77.0.2".to_owned()]));
    assert_eq!(facts.kernel.release, site.machine.ask(&["uname", "-r"]));
    let codename = site.machine.ask(&["sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME"]);
    assert_eq!((facts.os.id.as_str(), facts.os.codename), ("debian", codename));
    let names = |name: &str| facts.packages.iter().any(|p| p.name == name && !p.source_version.is_empty());
    assert!(names("web") && names("systemd") && names("libsystemd0"), "{:?}", facts.packages);
    let library = facts.packages.iter().find(|package| package.name == "libsystemd0").unwrap();
    assert_eq!(library.source, "systemd");
}

/// Debian's packages start their service before anyone can give it settings.
#[test]
fn a_service_that_its_package_has_started_runs_with_the_approved_settings() {
    on_own_ground(|ground| {
        let mut site = Site::new(ground, Disk::Volatile, &[("web", "1.0", Starts::AtOnce)]);
        let receipt = site.change("web@1.0.0", &web("text=from {{facts.hostname}}"));
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert_eq!(site.answer(), "from m1");
        assert_eq!(site.lines("/var/lib/lab/web.starts"), 2, "once by the package, once for the settings");
        assert_eq!(site.machine.unit("web"), "active running enabled");
        site.is_sound();
    });
}

#[test]
fn a_service_that_does_not_stay_up_is_taken_back_with_everything_it_came_with() {
    on_own_ground(|ground| {
        let mut site = Site::new(ground, Disk::Volatile, &[("web", "1.0", Starts::AtOnce)]);
        let nothing_is_left = |site: &Site, what: &str, receipt: &Statement<Receipt>| {
            assert_eq!(outcome(receipt), "rolled_back", "{what}: {:#?}", receipt.body);
            assert_eq!(site.package("web"), "", "{what}");
            assert!(!site.has("/etc/lab"), "{what}");
            assert_eq!(site.machine.unit("web"), "inactive dead", "{what}");
            let wants = "/etc/systemd/system/multi-user.target.wants";
            assert!(!site.has(&format!("{wants}/web.service")), "{what}");
            site.is_sound();
        };
        let web = |settings: &str| web(settings).replace("retries: 5", "retries: 1");
        let receipt = site.change("web@1.0.0", &web("dies_after=0.3"));
        nothing_is_left(&site, "it dies after 0.3 s", &receipt);
        // Nobody says what state the service should be in: only its restart is planned.
        let quiet = web("dies_after=0").replace("state: running, ", "");
        let receipt = site.change("web@1.0.1", &quiet);
        nothing_is_left(&site, "only restarted", &receipt);

        // It is up at the moment in which it is started.
        let unit = "resources:
  - file: {path: /etc/systemd/system/bad.service, content: \"[Service]\\nExecStart=/bin/sh -c 'sleep 0.4; exit 1'\\n[Install]\\nWantedBy=multi-user.target\\n\"}
  - service: {name: bad, state: running, enabled: true, requires: [\"file:/etc/systemd/system/bad.service\"]}
health:
  - {name: runs, service: {name: bad}}
";
        let receipt = site.change("bad@1.0.0", unit);
        assert_eq!(outcome(&receipt), "rolled_back", "{:#?}", receipt.body);
        assert_eq!(site.machine.unit("bad"), "inactive dead");
        assert!(!site.has("/etc/systemd/system/multi-user.target.wants/bad.service"));
        site.is_sound();
    });
}

#[test]
fn a_stopped_service_stays_stopped_and_an_undone_stop_runs_again() {
    on_own_ground(|ground| {
        let mut site = Site::new(ground, Disk::Volatile, &[("web", "1.0", Starts::AtOnce)]);
        site.machine.exec(&["apt-get", "-qq", "update"]).ok();
        site.machine.exec(&["apt-get", "-qq", "-y", "install", "web"]).ok();
        assert_eq!(site.machine.unit("web"), "active running enabled");
        let stop = "resources:\n  - service: {name: web, state: stopped, enabled: false}\n";
        let fails = format!(
            "{stop}health:\n  - {{name: never, command: {{run: [/bin/sh, -c, \"exit 2\"]}}, retries: 0}}\n"
        );
        let receipt = site.change("stop@0.9.0", &fails);
        assert_eq!(outcome(&receipt), "rolled_back", "{:#?}", receipt.body);
        assert_eq!(site.machine.unit("web"), "active running enabled");
        assert_eq!(site.lines("/var/lib/lab/web.starts"), 2, "stopped and started again");

        let receipt = site.change("stop@1.0.0", stop);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert_eq!(site.machine.unit("web"), "inactive dead disabled");
        let start = stop.replace("stopped", "running").replace("false", "true");
        let fails =
            format!("{start}health:\n  - {{name: never, tcp: {{host: 127.0.0.1, port: 9}}, retries: 0}}\n");
        let receipt = site.change("start@1.0.0", &fails);
        assert_eq!(outcome(&receipt), "rolled_back", "{:#?}", receipt.body);
        assert_eq!(site.machine.unit("web"), "inactive dead disabled");
        site.machine.reboot();
        assert_eq!(site.machine.unit("web"), "inactive dead disabled");
        site.is_sound();
    });
}

/// A command that leaves a line when it begins, durably, and takes a while.
fn slow(seconds: u32) -> String {
    format!(
        "resources:
  - file: {{path: /etc/first, content: \"first\\n\"}}
  - command: {{name: slow, run: [/bin/sh, -c, \"echo run >>/var/tmp/runs; sync /var/tmp/runs; sleep {seconds}\"], needed: always, requires: [\"file:/etc/first\"]}}
  - file: {{path: /etc/last, content: \"last\\n\", requires: [\"command:slow\"]}}
"
    )
}

#[test]
fn an_agent_that_is_stopped_or_rebooted_finishes_the_change_first() {
    on_own_ground(|ground| {
        let mut site = Site::new(ground, Disk::Volatile, &[]);
        let id = site.request("slow@1.0.0", &slow(3));
        site.approve(&id);
        site.until_there("/var/tmp/runs");
        site.machine.exec(&["systemctl", "stop", "assent-agent"]).ok();
        assert_eq!(site.machine.unit("assent-agent"), "inactive dead enabled");
        let receipt = site.own_receipt(&id).expect("the run ended before the agent did");
        assert_eq!((outcome(&receipt), site.has("/etc/last")), ("applied", true), "{:#?}", receipt.body);
        site.machine.nudge();
        site.receipt(&id);
        assert_eq!(site.lines("/var/tmp/runs"), 1);

        let before = site.own_receipt(&id).unwrap();
        let id = site.request("slow@1.1.0", &slow(4));
        site.approve(&id);
        site.until("the second run", || site.lines("/var/tmp/runs") == 2);
        site.machine.reboot();
        let receipt = site.receipt(&id);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert_eq!(site.machine.unit("assent-agent"), "active running enabled");
        assert_eq!(site.lines("/var/tmp/runs"), 2, "nothing is repeated after a reboot");
        assert!(receipt.body.header.seq > before.body.header.seq);

        let receipt = site.change("after@1.0.0", "resources:\n  - file: {path: /etc/after, content: x}\n");
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert_ne!(
            receipt.body.header.boot_id, before.body.header.boot_id,
            "the machine was booted in between"
        );
        assert_eq!(site.lines("/var/tmp/runs"), 2);
        site.is_sound();
    });
}

#[test]
fn after_a_power_cut_the_agent_ends_the_change_by_itself_and_tells_the_truth() {
    on_own_ground(|ground| {
        let mut site = Site::new(ground, Disk::Own, &[]);
        let id = site.request("slow@1.0.0", &slow(60));
        site.machine.exec(&["sync"]).ok();
        site.approve(&id);
        site.until_there("/var/tmp/runs");
        site.machine.cut_power();
        site.machine.power_on();
        let receipt = site.receipt(&id);
        assert_eq!(outcome(&receipt), "failed", "{:#?}", receipt.body);
        assert_eq!(status(&receipt, "command:slow", "run"), Some(StepStatus::Unknown));
        assert_eq!(status(&receipt, "file:/etc/first", "create"), Some(StepStatus::Undone));
        assert!(receipt.body.note.contains("command:slow"), "{}", receipt.body.note);
        assert!(!site.has("/etc/first") && !site.has("/etc/last"));
        site.machine.nudge();
        assert_eq!(site.lines("/var/tmp/runs"), 1, "it is not run again");

        // In the middle of a package's script.
        site.lab.add_script("deep", "1.0", "echo run >>/var/tmp/deep; sync /var/tmp/deep; sleep 3");
        let body = "resources:
  - package: {name: deep, version: \"1.0\"}
  - file: {path: /etc/deep, content: \"x\\n\", requires: [\"package:deep\"]}
";
        let id = site.request("deep@1.0.0", body);
        site.machine.exec(&["sync"]).ok();
        site.approve(&id);
        site.until_there("/var/tmp/deep");
        site.machine.cut_power();
        site.machine.power_on();
        let receipt = site.receipt(&id);
        let installed = site.package("deep");
        assert_eq!(outcome(&receipt), "rolled_back", "{:#?}", receipt.body);
        assert_eq!((installed.as_str(), site.has("/etc/deep")), ("", false), "{:#?}", receipt.body);
        let receipt = site.change("deep@1.0.1", body);
        assert_eq!(outcome(&receipt), "applied", "the next change finds sound packages: {:#?}", receipt.body);
        assert_eq!(site.package("deep"), "installed 1.0");
        site.is_sound();
    });
}

/// The unit comes with a package, and packages restart what they bring.
#[test]
fn neither_a_package_that_restarts_the_agent_nor_a_kill_tears_a_transaction() {
    on_own_ground(|ground| {
        let mut site = Site::new(ground, Disk::Volatile, &[]);
        let restart =
            "systemctl daemon-reload; systemctl --no-block try-restart assent-agent.service; sleep 1";
        site.lab.add_script("assent-agent", "2.0", restart);
        let body = "resources:
  - package: {name: assent-agent, version: \"2.0\"}
  - command: {name: later, run: [/bin/sh, -c, \"echo run >>/var/tmp/runs; sleep 1\"], needed: always, requires: [\"package:assent-agent\"]}
  - file: {path: /etc/last, content: \"last\\n\", requires: [\"command:later\"]}
";
        let id = site.request("self@1.0.0", body);
        site.approve(&id);
        let before = site.machine.ask(&["systemctl", "show", "-P", "MainPID", "assent-agent"]);
        let receipt = site.receipt(&id);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert!(receipt.body.results.iter().all(|r| r.status == StepStatus::Done), "{:#?}", receipt.body);
        let now = || site.machine.ask(&["systemctl", "show", "-P", "MainPID", "assent-agent"]);
        site.until("the new process", || now() != before && now() != "0");
        assert_eq!(site.lines("/var/tmp/runs"), 1);

        // The package manager outlives the agent, whose successor waits for it and finds the step done.
        site.lab.add_script("deep", "1.0", "echo run >>/var/tmp/deep; sleep 4; echo end >>/var/tmp/deep");
        let id = site.request("deep@1.0.0", "resources:\n  - package: {name: deep, version: \"1.0\"}\n");
        site.approve(&id);
        site.until_there("/var/tmp/deep");
        let kill = ["systemctl", "kill", "--kill-who=main", "--signal=KILL", "assent-agent"];
        site.machine.exec(&kill).ok();
        site.machine.nudge();
        let receipt = site.receipt(&id);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert_eq!(status(&receipt, "package:deep", "install"), Some(StepStatus::Done));
        assert!(receipt.body.results[0].note.contains("stopped right after"), "{:#?}", receipt.body);
        assert_eq!((site.package("deep").as_str(), site.lines("/var/tmp/deep")), ("installed 1.0", 2));
        site.is_sound();
    });
}

/// Everything that a newcomer types. Given are only the answers at the keyboard (passphrase, recovery key, yes), the
/// name of the machine, a build that is there already, and less patience.
#[test]
fn the_first_change_of_the_readme_works_as_it_is_written() {
    on_own_ground(|ground| {
        let machine = Machine::boot(ground, "m1", Disk::Volatile);
        for (profile, name) in [("release", "assent"), ("release", "assent-server"), ("dist", "assent-agent")]
        {
            machine.copy(&tests::programs::own(name), &format!("/root/src/target/{profile}/{name}"));
        }
        let project = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for unit in [
            "assent-server.service",
            "assent-server-backup.service",
            "assent-server-backup.timer",
            "assent-agent.service",
        ] {
            let path = format!("packaging/systemd/{unit}");
            machine.copy(&project.join(&path), &format!("/root/src/{path}"));
        }
        let given = "set -euo pipefail; cd /root/src; cargo() { :; }
            echo '127.0.0.1 assent.example.org' >>/etc/hosts
            (umask 077; echo 'a passphrase of the test' >/root/passphrase); export ASSENT_PASSPHRASE_FILE=/root/passphrase
            mkdir -p /etc/assent; echo 'poll_secs = 2' >/etc/assent/agent.toml\n";
        let mut typed = first_change();
        for (as_written, answered) in [
            ("assent init ~/assent ", "assent init ~/assent --recovery-out /root/recovery "),
            ("assent approve C-1\n", "assent approve C-1 --yes\n"),
            ("now+5m..", "now+15s.."),
        ] {
            assert_eq!(typed.matches(as_written).count(), 1, "{as_written}");
            typed = typed.replace(as_written, answered);
        }
        let said = machine.exec(&["bash", "-c", &format!("{given}{typed}")]).ok();
        assert!(said.out.contains("m1 is managed.\n"), "{said}");
        assert!(said.out.contains("everything in this bundle holds"), "{said}");
        assert_eq!(machine.ask(&["stat", "-c", "%U", "/var/lib/assent-server/assent.sqlite"]), "assent");
        backups_come_by_themselves_and_a_failed_one_is_loud(&machine);
        assert_eq!(machine.ask(&["systemctl", "is-system-running"]), "running");
    });
}

/// The timer's unit, with the settings that the site began with.
fn backups_come_by_themselves_and_a_failed_one_is_loud(machine: &Machine) {
    const UNIT: &str = "assent-server-backup";
    let shell = |line: &str| machine.exec(&["bash", "-c", line]);
    let kept = || machine.ask(&["sh", "-c", "ls /var/lib/assent-backups | wc -l"]);
    let shown =
        "ASSENT_SITE=~/assent ASSENT_PASSPHRASE_FILE=/root/passphrase assent site show | grep 'last backup'";
    assert!(shell(shown).ok().out.contains("NONE"), "before the first one");
    assert_eq!(machine.unit(&format!("{UNIT}.timer")), "active waiting enabled");
    machine.exec(&["systemctl", "start", UNIT]).ok();
    assert_eq!(kept(), "1");
    assert_eq!(machine.ask(&["sh", "-c", "stat -c '%U %a' /var/lib/assent-backups/*"]), "assent 600");
    assert!(shell(shown).ok().out.contains("MiB)"), "its age is there");
    // Nobody could read it any more: it fails, says why, and the old one stays.
    let config = "/var/lib/assent-server/server.toml";
    shell(&format!("cp {config} /root/kept.toml; sed -i '/^recipient/d' {config}")).ok();
    assert_ne!(machine.exec(&["systemctl", "start", UNIT]).code, 0);
    assert!(machine.ask(&["systemctl", "--failed", "--plain", "--no-legend"]).contains(UNIT));
    let log = machine.ask(&["journalctl", "-q", "-o", "cat", "-u", UNIT]);
    assert!(log.contains("nobody is named who could read it"), "{log}");
    assert_eq!(kept(), "1");
    shell(&format!("cat /root/kept.toml >{config}")).ok();
    machine.exec(&["systemctl", "start", UNIT]).ok();
    assert_eq!(kept(), "2");
}

/// The shell lines of the README's first change, one after the other.
fn first_change() -> String {
    let text = include_str!("../../README.md");
    let section = text.split("\n## ").find(|s| s.starts_with("Your first change on a real host")).unwrap();
    let blocks = section.split("   ```sh\n").skip(1).map(|rest| rest.split("   ```\n").next().unwrap());
    let lines = blocks.flat_map(str::lines).map(|line| line.strip_prefix("   ").unwrap_or(line));
    lines.map(|line| format!("{line}\n")).collect()
}
