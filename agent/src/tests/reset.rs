//! A host whose site is lost changes to a new one, whatever write the power goes at; in the middle of something it stays.

use super::site::{HOST, NOW, TestSite, host_id, key, site_id};
use super::wire::Authority;
use super::{Bench, class, enrolment};
use crate::clock::Clock;
use crate::config::Paths;
use crate::disk::Disk;
use crate::enrol::{Order, Way};
use crate::host::fake::{Cut, Fake, FakeDisk};
use crate::net::{Address, Call, Carrier, Download, Limits, NetError, Reply, Sink};
use crate::receipt::Voice;
use crate::reset::{self, FORMER, Moved, ResetError};
use crate::state::{Founding, Site, State, found};
use crate::tls::Trust;
use hyper::StatusCode;
use shared::digest::Digest;
use shared::former::Former;
use shared::ids::SiteId;
use shared::receipt::{Enrolment, open_chained};
use shared::reset::TrustReset;
use shared::statement::Statement;
use shared::strict;
use shared::wire::{Join, Joined};
use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

thread_local! {
    /// Enrolments that the new site's server has seen; each is accepted.
    static JOINED: RefCell<Vec<Statement<Enrolment>>> = const { RefCell::new(Vec::new()) };
}

/// The new site's server.
struct NewSite;

impl Carrier for NewSite {
    fn begin_anew(&mut self, _: Limits) {}

    fn call(&mut self, call: &Call<'_>) -> Result<Reply, NetError> {
        let join: Join = strict::from_json("join", call.body.as_ref().unwrap(), 1 << 20).unwrap();
        let enrolment = open_chained::<Enrolment>(&join.enrolment.to_bytes(), &site_id()).unwrap();
        let (authority, site, agent) = (Authority::new(), TestSite::new(), enrolment.body.header.agent_id);
        let joined = Joined {
            site: site_id(),
            agent,
            certificate: authority.client(&enrolment.body.csr, &format!("urn:assent:{}:{agent}", site_id())),
            ca: authority.pem.clone(),
            agent_address: "127.0.0.1:9".into(),
            root: String::from_utf8(site.root()).unwrap(),
            recorded: Some(site.record_enrolment(&enrolment)),
        };
        JOINED.with_borrow_mut(|all| all.push(enrolment));
        let body = strict::to_json(&joined);
        Ok(Reply { status: StatusCode::OK, etag: None, retry_after_secs: None, body })
    }

    fn download(&mut self, _: &Download<'_>, _: &mut dyn Sink) -> Result<Option<()>, NetError> {
        Ok(None)
    }
}

fn open(_: Address, _: &Trust, _: &Clock, _: Limits) -> Result<Box<dyn Carrier>, NetError> {
    Ok(Box::new(NewSite))
}

fn old_site() -> SiteId {
    "99112233aabbccdd".parse().unwrap()
}

/// A host of the old site, with a receipt that was never delivered.
struct Host {
    _root: tempfile::TempDir,
    paths: Paths,
    machine: Fake,
    disk: FakeDisk,
}

impl Host {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc/assent")).unwrap();
        std::fs::write(root.path().join("etc/assent/host-class"), "production\n").unwrap();
        let (paths, machine) = (Paths::new(root.path()), Fake::default());
        let mut disk = FakeDisk::new(machine.power.clone());
        let (dir, first) = (paths.state(), enrolment());
        for (name, bytes) in [
            ("identity.pem", key(HOST).to_pem().unwrap().as_bytes().to_vec()),
            ("spool/1.json", first.to_bytes()),
            ("lock", vec![]),
            ("slots/slots.json", b"{}".to_vec()),
        ] {
            disk.write(&dir.join(name), &bytes).unwrap();
        }
        let founding = Founding {
            site: &Site {
                site: old_site(),
                agent: host_id(),
                hostname: "web1".into(),
                root_sha256: Digest::of(b"old root"),
                pin: Some(Digest::of(b"server")),
                proxy: None,
                server: "127.0.0.1:1".into(),
                agent_address: "127.0.0.1:2".into(),
            },
            root: b"old root",
            ca: b"old authority",
            certificate: b"old certificate",
            enrolment: first.digest,
            proof: None,
            now: NOW,
        };
        found(&dir, &mut disk, &founding).unwrap();
        machine.power.restore();
        JOINED.with_borrow_mut(Vec::clear);
        Self { _root: root, paths, machine, disk }
    }

    fn dir(&self) -> PathBuf {
        self.paths.state()
    }

    fn change(&mut self, token: &str) -> Result<Moved, ResetError> {
        let order = Order {
            site: site_id(),
            root_sha256: Digest::of(&TestSite::new().root()),
            server: "https://127.0.0.1:1".parse().unwrap(),
            way: Way::Server(Digest::of(b"new server")),
            token: token.into(),
            host_class: Some(class()),
            hostname: "web1".into(),
            boot_id: "boot".into(),
        };
        let voice = Voice {
            host_class: class(),
            boot_id: "boot".into(),
            agent_version: semver::Version::new(0, 1, 0),
        };
        let second = Duration::from_secs(1);
        let limits = Limits { connect: second, request: second, min_rate: 1 };
        let clock = Clock::fixed(NOW.plus(60));
        reset::change(&self.paths, &mut self.disk, &order, &voice, &clock, (limits, open))
    }

    /// What a start does, then the state that it finds.
    fn started(&mut self) -> State {
        reset::finish(&self.dir(), &mut self.disk).unwrap();
        let mut state = State::open(&self.dir(), Box::new(self.disk.clone())).unwrap();
        state.take_over().unwrap();
        state
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.disk.read(&self.dir().join(name), 1 << 20).unwrap()
    }

    /// The host is whole at the new site, and everything of the old one is kept.
    fn has_moved(&mut self, what: &str) {
        let state = self.started();
        assert_eq!((&state.site().site, state.site().agent), (&site_id(), host_id()), "{what}");
        assert_eq!(state.site().root_sha256, Digest::of(&TestSite::new().root()), "{what}");
        assert_eq!((state.chain().seq, state.key().public()), (1, key(HOST).public()), "{what}");
        assert_eq!(state.tuf().root, TestSite::new().root(), "{what}");
        assert!(self.read("lock").is_some() && self.read("slots/slots.json").is_some(), "{what}");
        assert!(!reset::is_unfinished(&self.dir(), &self.disk).unwrap(), "{what}");

        let former = self.disk.list(&self.dir().join(FORMER)).unwrap();
        assert_eq!(former, [format!("{}-{}", &NOW.plus(60).to_string()[..10], old_site())], "{what}");
        let kept = |name: &str| self.read(&format!("{FORMER}/{}/{name}", former[0]));
        for name in
            ["site.json", "identity.pem", "ca.crt", "tls.crt", "chain.json", "seen.json", "tuf/root.json"]
        {
            assert!(kept(name).is_some(), "{what}: {name}");
        }
        let spool = self.disk.list(&self.dir().join(format!("{FORMER}/{}/spool", former[0]))).unwrap();
        assert_eq!(kept("spool/1.json"), Some(enrolment().to_bytes()), "{what}");
        let last = kept(&format!("spool/{}", spool.last().unwrap())).unwrap();
        let last = open_chained::<TrustReset>(&last, &old_site()).unwrap();
        assert_eq!(last.body.root, Digest::of(b"old root"), "{what}");
        assert_eq!(
            (&last.body.new_site, last.body.new_root),
            (&site_id(), state.site().root_sha256),
            "{what}"
        );

        let now = open_chained::<Enrolment>(&self.read("spool/1.json").unwrap(), &site_id()).unwrap();
        let from = now.body.came_from.as_ref().unwrap();
        let named = kept(&format!("spool/{}.json", from.seq)).unwrap();
        let named = open_chained::<TrustReset>(&named, &old_site()).unwrap();
        assert_eq!(
            (from.statement, &from.site, from.root),
            (named.digest, &old_site(), last.body.root),
            "{what}"
        );
        JOINED.with_borrow(|all| assert!(all.iter().all(|seen| seen.digest == now.digest), "{what}"));
    }
}

#[test]
fn a_host_takes_its_key_along_and_keeps_what_was() {
    let mut host = Host::new();
    let moved = host.change("one-time").unwrap();
    assert_eq!((moved.site.site, moved.former), (site_id(), format!("2027-01-15-{}", old_site())));
    host.has_moved("at once");
    assert!(matches!(host.change("one-time"), Err(ResetError::SameRoot(_))), "it is there already");
}

#[test]
fn whatever_write_the_power_goes_at_the_host_belongs_to_one_of_both_sites() {
    let mut host = Host::new();
    host.change("one-time").unwrap();
    let writes = host.machine.power.writes();
    assert!(writes > 30, "{writes}");
    for at in 0..writes {
        for cut in [Cut::Lost, Cut::Kept, Cut::Torn] {
            let what = format!("write {at} {cut:?}");
            let mut host = Host::new();
            host.machine.power.cut(at, cut);
            let broken = host.change("one-time");
            assert!(broken.is_err() && host.machine.power.is_off(), "{what}");
            host.disk.restart();
            host.machine.power.restore();
            let state = host.started();
            if state.site().site == old_site() {
                assert_eq!(
                    (state.site().root_sha256, state.key().public()),
                    (Digest::of(b"old root"), key(HOST).public())
                );
                assert_eq!(state.tuf().root, b"old root", "{what}");
                drop(state);
                host.change("one-time").unwrap();
            }
            host.has_moved(&what);
        }
    }
}

#[test]
fn another_command_begins_anew_with_a_word_of_its_own() {
    let mut host = Host::new();
    // Everything is ready but the mark.
    let writes = {
        let mut counted = Host::new();
        counted.change("first").unwrap();
        counted.machine.power.writes()
    };
    let marked = (0..writes).find(|at| {
        host = Host::new();
        host.machine.power.cut(*at, Cut::Lost);
        host.change("first").unwrap_err();
        host.machine.power.restore();
        host.read("next/site.json").is_some()
    });
    assert!(marked.is_some() && host.read("next.json").is_none());
    JOINED.with_borrow_mut(Vec::clear);
    host.change("second").unwrap();
    host.has_moved("with another token");
    let now = open_chained::<Enrolment>(&host.read("spool/1.json").unwrap(), &site_id()).unwrap();
    assert_eq!((now.body.token, now.body.came_from.unwrap().seq), (Digest::of(b"second"), 3));
}

#[test]
fn in_the_middle_of_something_a_host_stays() {
    let other = Digest::of(b"other root");
    let mut host = Host::new();
    let mut state = host.started();
    reset::check(&state, &other).unwrap();
    assert!(matches!(reset::check(&state, &Digest::of(b"old root")), Err(ResetError::SameRoot(_))));
    state.put("carried/x.json", b"{}").unwrap();
    let waits = reset::check(&state, &other).unwrap_err().to_string();
    assert!(waits.contains("carried/x.json was brought by hand"), "{waits}");

    let interrupted = (0..40).find_map(|at| {
        let mut bench = Bench::new();
        bench.machine.file("/etc/motd", "before");
        let bundle = bench.approved(1, |_| {});
        bench.site.list(&bundle);
        bench.machine.power.restore();
        bench.machine.power.cut(at, Cut::Kept);
        bench.tick();
        bench.machine.power.restore();
        bench.disk.restart();
        let state = State::open(&super::dir(), Box::new(bench.disk.clone())).unwrap();
        state.running().is_some().then(|| reset::check(&state, &other).unwrap_err().to_string())
    });
    let why = interrupted.unwrap();
    assert!(why.contains("C-1 revision 1 runs, or was interrupted"), "{why}");
}

/// What was never delivered is handed in at the old server later, by the same proofs as ever, or given to whoever asks.
#[test]
fn what_a_site_never_got_is_exported_as_it_was_kept() {
    let mut host = Host::new();
    assert_eq!(crate::left::list(&host.dir(), &host.disk).unwrap(), []);
    let moved = host.change("first").unwrap();
    let left = crate::left::list(&host.dir(), &host.disk).unwrap();
    let [left] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!((left.name.as_str(), &left.site), (moved.former.as_str(), &old_site()));
    assert!(left.undelivered > 0);
    for name in ["", "..", "../..", "nothing"] {
        assert!(crate::left::open(&host.dir(), &host.disk, name).unwrap().is_none(), "{name}");
    }
    let state = crate::left::open(&host.dir(), &host.disk, &left.name).unwrap().unwrap();
    let former = crate::left::export(&state).unwrap();
    assert_eq!(
        (&former.site, former.agent, former.undelivered.len()),
        (&old_site(), host_id(), left.undelivered)
    );
    assert_eq!(Former::parse(&former.to_bytes()).unwrap(), former);
}
