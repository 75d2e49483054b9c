//! The whole agent against a site in memory, with a machine and a disk that lose power on demand.
//!
//! Everything is really signed and really verified; bent is only what a test names.

mod admission;
mod authority;
mod carried;
mod clock;
mod copies;
mod correct;
mod crash;
mod drift;
mod glass;
mod lasting;
mod ledger;
mod program;
mod proxied;
mod reset;
mod site;
mod slots;
mod wire;
mod working;

use crate::clock::Clock;
use crate::config::{Config, Paths};
use crate::disk::Disk;
use crate::engine::Engine;
use crate::host::fake::{Cut, Fake, FakeDisk, Node};
use crate::run::{Agent, Report};
use crate::state::{Founding, Site, State, found};
use crate::vault::Vault;
use shared::bundle::Bundle;
use shared::change::Change;
use shared::digest::Digest;
use shared::ids::HostClass;
use shared::receipt::{Enrolment, Header};
use shared::refusal::Code;
use shared::statement::Statement;
use shared::strict;
use shared::time::Timestamp;
use site::{AUTHOR, FIRST, HOST, NOW, SECOND, TestSite, approve, host_id, key, manifest, site_id};
use std::path::{Path, PathBuf};

type TestAgent = Agent<Engine<Fake, FakeDisk>, TestSite>;

/// A joined host and its site.
struct Bench {
    root: tempfile::TempDir,
    site: TestSite,
    machine: Fake,
    disk: FakeDisk,
    clock: Clock,
    /// Where the half that changes the machine has its journal and finds artifacts.
    work: PathBuf,
    agent: Option<TestAgent>,
}

fn dir() -> PathBuf {
    PathBuf::from("/state")
}

fn class() -> HostClass {
    "production".parse().unwrap()
}

/// A certificate that is good for two thousand years, so that no test renews it by accident.
fn certificate() -> String {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(4000, 1, 1);
    params.self_signed(&pair).unwrap().pem()
}

fn enrolment() -> Statement<Enrolment> {
    let header = Header {
        site: site_id(),
        agent_id: host_id(),
        key: key(HOST).public(),
        host_class: class(),
        seq: 1,
        prev: None,
        at: NOW,
        boot_id: "boot".into(),
        agent_version: semver::Version::new(0, 1, 0),
        log_seen: None,
    };
    let body = Enrolment {
        header,
        hostname: "web1".into(),
        token: Digest::of(b"token"),
        csr: String::new(),
        recipient: None,
        came_from: None,
    };
    Statement::sign(body, &key(HOST))
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc/assent")).unwrap();
        std::fs::write(root.path().join("etc/assent/host-class"), "production\n").unwrap();
        let machine = Fake::default();
        let mut disk = FakeDisk::new(machine.power.clone());
        let site = TestSite::new();
        let enrolment = enrolment();
        disk.write(&dir().join("identity.pem"), key(HOST).to_pem().unwrap().as_bytes()).unwrap();
        disk.write(&dir().join("spool/1.json"), &enrolment.to_bytes()).unwrap();
        let root_bytes = site.root();
        let certificate = certificate();
        let founding = Founding {
            site: &Site {
                site: site_id(),
                agent: host_id(),
                hostname: "web1".into(),
                root_sha256: Digest::of(&root_bytes),
                pin: Some(Digest::of(b"server")),
                proxy: None,
                server: "127.0.0.1:1".into(),
                agent_address: "127.0.0.1:2".into(),
            },
            root: &root_bytes,
            ca: certificate.as_bytes(),
            certificate: certificate.as_bytes(),
            enrolment: enrolment.digest,
            proof: Some(strict::to_json(&site.record_enrolment(&enrolment))),
            now: NOW,
        };
        found(&dir(), &mut disk, &founding).unwrap();
        let clock = Clock::fixed(NOW);
        machine.power.restore();
        Self { root, site, machine, disk, clock, work: dir(), agent: None }
    }

    /// Starts the agent, as after a boot.
    fn boot(&mut self) -> Result<(), String> {
        self.agent = None;
        let state = State::open(&dir(), Box::new(self.disk.clone())).map_err(|e| e.to_string())?;
        let machine = self.machine.clone();
        let engine =
            Engine::open(machine, self.disk.clone(), &self.work, Vault::without_key(host_id()), class());
        let engine = engine.map_err(|e| e.to_string())?;
        let paths = Paths::new(self.root.path());
        let (clock, site) = (self.clock.clone(), self.site.clone());
        let agent = Agent::with(&paths, Config::default(), clock, state, site, engine);
        self.agent = Some(agent.map_err(|e| e.to_string())?);
        Ok(())
    }

    fn tick(&mut self) -> Report {
        if self.agent.is_none() {
            self.boot().unwrap();
        }
        self.agent.as_mut().unwrap().once()
    }

    fn at(&self, now: Timestamp) {
        self.clock.set(now);
        self.site.0.borrow_mut().now = now;
    }

    fn motd(&self) -> Option<String> {
        match self.machine.world.borrow().nodes.get("/etc/motd") {
            Some(Node::File(_, bytes)) => Some(String::from_utf8(bytes.clone()).unwrap()),
            _ => None,
        }
    }

    /// A change of `/etc/motd`, bent by `bend`, signed by the author and planned by the host.
    fn planned(&mut self, number: u32, bend: impl FnOnce(&mut Change)) -> Statement<Change> {
        let named = self.site.add_manifest(manifest("1.2.0", "hello"));
        self.site.publish();
        let mut change = self.site.change(number, named);
        bend(&mut change);
        let change = Statement::sign(change, &key(AUTHOR));
        self.site.wish(&change);
        let report = self.tick();
        assert_eq!(report.faults, Vec::<String>::new());
        change
    }

    /// The bundle of [`Bench::planned`] with two good approvals.
    fn approved(&mut self, number: u32, bend: impl FnOnce(&mut Change)) -> Bundle {
        let change = self.planned(number, bend);
        let mut bundle = self.site.bundle(&change);
        assert!(bundle.plan_set.plans.contains_key(&host_id()), "the host sent no plan");
        approve(&mut bundle, &[("first", FIRST), ("second", SECOND)], NOW);
        bundle
    }

    /// Lists the bundle and ticks: refused with `code`, signed and recorded, and nothing changed.
    fn refuses(&mut self, bundle: &Bundle, code: Code) {
        let before = self.machine.world.borrow().clone();
        self.site.list(bundle);
        let report = self.tick();
        assert_eq!(report.codes(), [code], "{:?}", report.lines);
        assert_eq!(report.ran, []);
        assert_eq!(*self.machine.world.borrow(), before, "a refused change must change nothing");
        let told: Vec<_> = self.site.refusals().iter().map(|r| r.reason.code).collect();
        assert!(told.contains(&code), "the refusal is signed and recorded: {told:?}");
        assert!(!self.disk.list(Path::new("/state/journal")).unwrap().contains(&"run".to_owned()));
        self.site.check_chain();
    }

    /// Somebody has changed a managed file; writes are counted from here.
    fn touched(self) -> Self {
        self.machine.file("/etc/motd", "somebody\n");
        self.at(NOW.plus(60));
        self.machine.power.restore();
        self
    }

    /// The power goes at a write of the next tick, and comes back.
    fn cut_power(&mut self, (at, cut): (u64, Cut), what: &str) {
        self.machine.power.cut(at, cut);
        self.tick();
        self.disk.restart();
        self.machine.power.restore();
        self.boot().unwrap_or_else(|e| panic!("{what}: {e}"));
    }
}
