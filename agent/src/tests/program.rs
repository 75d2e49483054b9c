//! Another program in the agent's place: released, tried, taken or given up; one true receipt and one program that does
//! the work, whatever write the power goes at.

use super::site::{NOW, key};
use super::{Bench, dir};
use crate::disk::Disk;
use crate::host::fake::{Cut, Node};
use crate::host::{Attrs, Entry, Host};
use crate::launch;
use crate::run::Report;
use crate::slots::{self, Own, Place, Slots, TRIES};
use semver::Version;
use shared::change::Change;
use shared::digest::Digest;
use shared::manifest::Manifest;
use shared::receipt::HostOutcome;
use shared::refusal::Code;
use shared::release::{PRODUCT, Release, SignedRelease, Vendor};
use shared::risk::ActionClass;
use shared::statement::Statement;
use std::cell::Cell;
use std::io::ErrorKind;

const VENDOR: [u8; 3] = [101, 102, 103];
const BYTES: &[u8] = b"the program 0.2.0";

fn vendor() -> Vendor {
    Vendor { threshold: 2, keys: VENDOR.iter().map(|n| key(*n).public()).collect() }
}

fn release() -> Release {
    Release {
        product: PRODUCT.into(),
        version: Version::new(0, 2, 0),
        target: crate::program::target(),
        min_from: Version::new(0, 1, 0),
        sha256: Digest::of(BYTES),
        length: BYTES.len() as u64,
    }
}

fn signed(release: Release, keys: &[u8]) -> SignedRelease {
    let mut statement = Statement::sign(release, &key(keys[0]));
    keys[1..].iter().for_each(|n| statement.envelope.add_signature(&key(*n)));
    SignedRelease::new(statement).unwrap()
}

fn manifest(version: &str, release: &SignedRelease) -> Manifest {
    let text = serde_json::json!({
        "manifest": "agent-program", "version": version,
        "resources": [{ "agent": { "release": release.as_str() } }],
        "health": [{ "name": "works", "command": { "run": ["/bin/works"] }, "retries": 0 }]
    });
    Manifest::from_json(text.to_string().as_bytes()).unwrap()
}

fn trust(change: &mut Change) {
    change.action_classes.extend([ActionClass::Trust, ActionClass::Command]);
}

/// A host of a site with a vendor, and the program in the repository.
fn bench() -> Bench {
    let mut bench = Bench::new();
    for dir in ["/var", "/var/lib", "/var/lib/assent"] {
        let attrs = Attrs { uid: 0, gid: 0, mode: 0o755 };
        bench.machine.world.borrow_mut().nodes.insert(dir.into(), Node::Dir(attrs));
    }
    bench.work = bench.root.path().join("state");
    let artifacts = bench.work.join("artifacts");
    std::fs::create_dir_all(&artifacts).unwrap();
    std::fs::write(artifacts.join(Digest::of(BYTES).hex()), BYTES).unwrap();
    {
        let mut held = bench.site.0.borrow_mut();
        held.policy.vendor = Some(vendor());
        held.artifacts.insert(Digest::of(BYTES), BYTES.to_vec());
    }
    bench.site.publish();
    bench
}

/// The change is approved, and the next start runs it.
fn ready() -> Bench {
    let mut bench = bench();
    let refused = bench.listed(1, manifest("1.0.0", &signed(release(), &VENDOR[..2])), trust);
    assert!(refused.is_none(), "{:?}", refused.map(|report| report.lines));
    bench.agent = None;
    bench.machine.power.restore();
    bench
}

impl Bench {
    fn becomes(&self, place: Place, slots: &Slots) {
        let version = match slots.program(place) {
            Some(program) => program.version.clone(),
            None => Version::new(0, 1, 0),
        };
        let target = crate::program::target();
        *self.machine.own.borrow_mut() = Own { place, version, target, packaged: Version::new(0, 1, 0) };
    }

    /// As the program does it: the packaged one is started, gives way, and tries what is on trial. Answers why that
    /// cannot go on.
    fn begin(&mut self, try_out: &dyn Fn(Place) -> Result<(), String>) -> Result<Option<String>, String> {
        self.agent = None;
        let mut machine = self.machine.clone();
        let mut slots = slots::read(&machine).map_err(|fault| fault.text())?;
        let all = slots.before_packaged(&Version::new(0, 1, 0));
        let sound = |place: &Place| slots::check(&slots, *place, &machine).is_ok();
        let first = all.into_iter().find(sound).unwrap_or_default();
        slots::count_start(&mut slots, first, &mut machine);
        self.becomes(first, &slots);
        match launch::settle(&mut machine, self.clock.now(), &mut |_, place| try_out(place)) {
            Ok(None) => Ok(None),
            Ok(Some(place)) => {
                self.becomes(place, &slots::read(&machine).map_err(|fault| fault.text())?);
                Ok(None)
            }
            Err(fault) => Ok(Some(fault.text())),
        }
    }

    /// The same, works, and is followed.
    fn start(&mut self, try_out: &dyn Fn(Place) -> Result<(), String>) -> Result<Report, String> {
        for _ in 0..10 {
            let stuck = self.begin(try_out)?;
            self.boot()?;
            self.agent = self.agent.take().map(|agent| agent.stuck(stuck));
            let report = self.tick();
            if !report.leaving {
                return Ok(report);
            }
        }
        panic!("the programs hand the work to each other for ever");
    }

    /// Power is back; the host starts again each minute.
    fn goes_on(&mut self, try_out: &dyn Fn(Place) -> Result<(), String>, what: &str) {
        self.disk.restart();
        self.machine.power.restore();
        for minute in 1..4 {
            self.at(NOW.plus(minute * 60));
            let report = self.start(try_out).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(report.faults, Vec::<String>::new(), "{what}: {:?}", report.lines);
        }
    }

    fn own(&self) -> (Place, String) {
        let own = self.machine.own.borrow();
        (own.place, own.version.to_string())
    }

    /// One receipt, and the program that runs is the one that it tells of.
    fn told_truly(&mut self, what: &str) -> HostOutcome {
        let receipts = self.site.receipts();
        assert_eq!(receipts.len(), 1, "{what}: exactly one receipt: {receipts:#?}");
        let outcome = receipts[0].outcome;
        let slots = slots::read(&self.machine).unwrap();
        assert_eq!(slots.trial, None, "{what}");
        let (place, version) = self.own();
        assert_eq!(slots.current, place, "{what}");
        let expected = match outcome {
            HostOutcome::Applied => (Place::A, "0.2.0"),
            HostOutcome::RolledBack => (Place::Packaged, "0.1.0"),
            other => panic!("{what}: {other:?} {:#?}", receipts[0]),
        };
        assert_eq!((place, version.as_str()), expected, "{what}: {:#?}", receipts[0]);
        self.site.check_chain();
        let state = self.agent.as_ref().unwrap().state();
        assert_eq!((state.spooled().unwrap().len(), state.running()), (0, None), "{what}");
        outcome
    }
}

fn healthy(_: Place) -> Result<(), String> {
    Ok(())
}

/// The new program, not the one from before.
fn crashes(place: Place) -> Result<(), String> {
    match place {
        Place::Packaged => Ok(()),
        _ => Err("0.2.0 was ended by signal 6 without having reported healthy".into()),
    }
}

/// What any program says while its server is away.
fn reaches_nobody(place: Place) -> Result<(), String> {
    Err(format!("{} was ended after 300 s: the server was not reached", place.as_str()))
}

#[test]
fn a_program_that_reports_healthy_takes_the_place_of_the_one_before() {
    let mut bench = ready();
    let plans = bench.site.0.borrow().plans.values().next().unwrap().clone();
    let plan = shared::plan::open_plan(&plans.to_bytes()).unwrap().body;
    let [action] = plan.actions.as_slice() else { panic!("{plan:#?}") };
    assert_eq!((action.resource.as_str(), action.class), ("agent:assent-agent", ActionClass::Trust));
    assert!(action.summary.contains("0.1.0 -> 0.2.0"), "{}", action.summary);
    let shown = action.diff.as_deref().unwrap();
    for part in [&Digest::of(BYTES).hex(), "2 of 3 vendor keys (2 needed)", "may follow 0.1.0 or newer"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    bench.start(&healthy).unwrap();
    assert_eq!(bench.told_truly("calm"), HostOutcome::Applied);
    let receipt = &bench.site.receipts()[0];
    assert_eq!(receipt.results[0].note, "it reported healthy and does the work");
    assert!(bench.status().contains("(slot a)"), "{}", bench.status());
    let slot = bench.machine.world.borrow().nodes[&Place::A.path().unwrap()].clone();
    assert!(matches!(slot, Node::File(attrs, bytes) if bytes == BYTES && attrs.mode == 0o700));
    // Nothing is left to do, and the place is taken also after a boot.
    bench.at(NOW.plus(600));
    bench.start(&crashes).unwrap();
    bench.told_truly("later");
}

#[test]
fn a_program_that_crashes_leaves_the_one_before_and_is_quarantined() {
    let mut bench = ready();
    bench.start(&crashes).unwrap();
    assert_eq!(bench.told_truly("crash"), HostOutcome::RolledBack);
    let receipt = bench.site.receipts()[0].clone();
    assert!(receipt.note.contains("was ended by signal 6"), "{}", receipt.note);
    assert!(bench.status().contains("quarantine    agent:assent-agent of C-1"), "{}", bench.status());
    assert_eq!(bench.machine.look(&Place::A.path().unwrap()).unwrap(), Entry::Absent);

    // It is the program that counts, not the manifest; and a person may lift it.
    let again = manifest("1.0.1", &signed(release(), &VENDOR[1..]));
    let report = bench.listed(2, again.clone(), trust).expect("it is refused");
    assert_eq!(report.codes(), [Code::PlanQuarantined], "{:?}", report.lines);
    let lifted = manifest("1.0.2", &signed(release(), &VENDOR[1..]));
    let refused = bench.listed(3, lifted, |change| {
        trust(change);
        change.lift_quarantine = true;
    });
    assert!(refused.is_none());
    bench.start(&healthy).unwrap();
    assert_eq!(bench.own(), (Place::A, "0.2.0".into()));
}

/// A server that is away for the whole trial says nothing about the program: the run ends, and a later change may bring it.
#[test]
fn a_trial_that_the_program_from_before_would_fail_as_well_proves_nothing() {
    let mut bench = ready();
    bench.start(&reaches_nobody).unwrap();
    assert_eq!(bench.told_truly("away"), HostOutcome::RolledBack);
    let note = bench.site.receipts()[0].note.clone();
    let both = ["slot a was ended after 300 s", "0.1.0, which does the work now, cannot either: packaged"];
    assert!(both.iter().all(|part| note.contains(part)), "{note}");
    assert_eq!(bench.state().quarantine().len(), 0);

    let again = manifest("1.0.1", &signed(release(), &VENDOR[1..]));
    assert!(bench.listed(2, again, trust).is_none());
    bench.start(&healthy).unwrap();
    assert_eq!(bench.own(), (Place::A, "0.2.0".into()));
}

#[test]
fn a_power_cut_at_any_write_leaves_one_true_receipt_and_one_program() {
    for (what, try_out, wanted) in [
        ("healthy", healthy as fn(Place) -> Result<(), String>, [true, true]),
        ("crashing", crashes, [false, true]),
        ("alone", reaches_nobody, [false, true]),
    ] {
        let mut calm = ready();
        calm.start(&try_out).unwrap();
        let writes = calm.machine.power.writes();
        assert!(writes > 20, "{writes}");
        let mut seen = [false, false];
        for at in 0..writes {
            for cut in [Cut::Lost, Cut::Kept, Cut::Torn] {
                let what = format!("{what}, write {at} {cut:?}");
                let mut bench = ready();
                bench.machine.power.cut(at, cut);
                // It may end with any error; what counts is what comes after.
                drop(bench.start(&try_out));
                assert!(bench.machine.power.is_off(), "{what}");
                bench.goes_on(&try_out, &what);
                seen[usize::from(bench.told_truly(&what) == HostOutcome::RolledBack)] = true;
            }
        }
        assert_eq!(seen, wanted, "{what}");
    }
}

/// A program that takes the machine down is tried so often, and not for ever.
#[test]
fn a_trial_that_ends_with_the_power_each_time_is_given_up_and_the_version_quarantined() {
    let mut bench = ready();
    let starts = Cell::new(0);
    let power = bench.machine.power.clone();
    let dies = |_| {
        starts.set(starts.get() + 1);
        power.cut(power.writes(), Cut::Lost);
        Ok(())
    };
    for _ in 0..6 {
        drop(bench.start(&dies));
        bench.agent = None;
        bench.disk.restart();
        bench.machine.power.restore();
    }
    assert_eq!(starts.get(), TRIES);
    bench.start(&dies).unwrap();
    assert_eq!(bench.told_truly("dies"), HostOutcome::RolledBack);
    let note = bench.site.receipts()[0].note.clone();
    assert!(note.contains("0.2.0 was started 3 times"), "{note}");
    assert_eq!(bench.state().quarantine().len(), 1);
}

/// A program that passes its trial and then ends within its first tick, at any write and each time: the one from before
/// does the work again, and people are told.
#[test]
fn a_program_that_took_the_place_and_ends_no_tick_is_left_and_told() {
    let (mut taken_back, mut found, mut kept) = (0, 0, 0);
    for writes in 0..80 {
        let what = format!("{writes} writes");
        let mut bench = ready();
        for _ in 0..12 {
            bench.begin(&healthy).unwrap_or_else(|e| panic!("{what}: {e}"));
            let power = bench.machine.power.clone();
            if bench.own().0 == Place::A {
                power.cut(power.writes() + writes, Cut::Lost);
            }
            let ended = bench.boot().is_ok() && !bench.tick().leaving && !power.is_off();
            bench.agent = None;
            bench.disk.restart();
            power.restore();
            if ended {
                break;
            }
        }
        bench.goes_on(&healthy, &what);
        let receipts = bench.site.receipts();
        let [receipt] = receipts.as_slice() else { panic!("{what}: {receipts:#?}") };
        match (bench.own().0, receipt.outcome) {
            (Place::A, HostOutcome::Applied) => kept += 1,
            (Place::Packaged, HostOutcome::RolledBack) => {
                assert_eq!(bench.state().quarantine().len(), 1, "{what}");
                taken_back += 1;
            }
            (Place::Packaged, HostOutcome::Applied) => {
                let findings = bench.site.findings();
                let named = findings.iter().flat_map(|finding| &finding.differences).next();
                let named = named.unwrap_or_else(|| panic!("{what}: nobody is told"));
                assert!(
                    named.summary.contains("0.1.0 runs (packaged); approved: 0.2.0"),
                    "{}",
                    named.summary
                );
                found += 1;
            }
            other => panic!("{what}: {other:?} {receipt:#?}"),
        }
        bench.site.check_chain();
    }
    assert!(taken_back > 3 && found > 0 && kept > 3, "{taken_back} {found} {kept}");
}

/// A disk that takes a write no more says nothing about the program, and the host goes on being heard.
#[test]
fn a_full_disk_at_any_write_leaves_one_true_receipt_and_quarantines_nothing() {
    let mut calm = ready();
    calm.start(&healthy).unwrap();
    let mut seen = [false, false];
    for at in 0..calm.machine.power.writes() {
        for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
            let what = format!("write {at}: {kind}");
            let mut bench = ready();
            bench.machine.power.fail(at, kind);
            bench.start(&healthy).unwrap_or_else(|e| panic!("{what}: {e}"));
            bench.goes_on(&healthy, &what);
            seen[usize::from(bench.told_truly(&what) == HostOutcome::RolledBack)] = true;
            // The write may have been the start of the health check, which then speaks against the program.
            let healthy = bench.site.receipts()[0].health.iter().all(|check| check.ok);
            assert!(
                !healthy || bench.state().quarantine().is_empty(),
                "{what}: {:#?}",
                bench.site.receipts()
            );
        }
    }
    assert_eq!(seen, [true, true]);
}

/// What was broken off proves nothing about the program when the window is over.
#[test]
fn a_trial_that_was_broken_off_does_not_begin_again_after_the_window() {
    let mut bench = ready();
    let power = bench.machine.power.clone();
    let dies = |_| {
        power.cut(power.writes(), Cut::Lost);
        Ok(())
    };
    drop(bench.start(&dies));
    bench.disk.restart();
    bench.machine.power.restore();
    bench.at(NOW.plus(4_000));
    bench.start(&healthy).unwrap();
    assert_eq!(bench.told_truly("late"), HostOutcome::RolledBack);
    let note = bench.site.receipts()[0].note.clone();
    assert!(note.contains("the window ended before the next one"), "{note}");
    assert_eq!(bench.state().quarantine().len(), 0);
}

#[test]
fn a_failed_health_check_brings_the_program_from_before_back() {
    let mut bench = ready();
    bench.machine.exits.borrow_mut().insert("/bin/works".into(), 2);
    bench.start(&healthy).unwrap();
    assert_eq!(bench.told_truly("health"), HostOutcome::RolledBack);
    assert!(bench.site.receipts()[0].note.starts_with("health check works failed"));
    assert_eq!(bench.state().quarantine().len(), 1);
}

#[test]
fn only_a_release_of_the_policy_s_vendor_that_fits_the_host_is_planned() {
    let with = |change: &dyn Fn(&mut Release), keys: &[u8]| {
        let mut body = release();
        change(&mut body);
        signed(body, keys)
    };
    let both = &VENDOR[..2];
    for (what, release, code) in [
        ("one signature", with(&|_| {}, &VENDOR[..1]), Code::ReleaseUnsigned),
        ("one key twice", with(&|_| {}, &[VENDOR[0], VENDOR[0]]), Code::ReleaseUnsigned),
        ("a stranger's key", with(&|_| {}, &[VENDOR[0], 7]), Code::ReleaseUnsigned),
        (
            "another machine",
            with(&|r| r.target = "sparc-linux-gnu".parse().unwrap(), both),
            Code::ReleaseUnfit,
        ),
        ("too far a step", with(&|r| r.min_from = Version::new(0, 1, 9), both), Code::ReleaseUnfit),
        (
            "older",
            with(
                &|r| {
                    r.version = Version::new(0, 0, 9);
                    r.min_from = Version::new(0, 0, 1);
                },
                both,
            ),
            Code::ReleaseUnfit,
        ),
    ] {
        let mut bench = bench();
        let report = bench.listed(1, manifest("1.0.0", &release), trust).expect(what);
        assert_eq!(report.codes(), [code], "{what}: {:?}", report.lines);
        assert!(
            bench.site.refusals().iter().any(|said| said.reason.code == code),
            "{what}: signed and on record"
        );
        assert_eq!(slots::read(&bench.machine).unwrap(), Slots::default(), "{what}");
    }
    let mut bench = bench();
    bench.site.0.borrow_mut().policy.vendor = None;
    bench.site.publish();
    let report = bench.listed(1, manifest("1.0.0", &signed(release(), both)), trust).unwrap();
    assert_eq!(report.codes(), [Code::ReleaseUnsigned], "{:?}", report.lines);
    assert!(
        report.lines.iter().any(|line| line.contains("the policy names no vendor keys")),
        "{:?}",
        report.lines
    );
}

/// A vendor key that is found to be stolen between approval and window counts no more.
#[test]
fn the_release_is_judged_again_by_the_policy_of_the_moment() {
    let mut bench = ready();
    {
        let mut held = bench.site.0.borrow_mut();
        held.policy.version += 1;
        held.policy.vendor = Some(Vendor { threshold: 1, keys: vec![key(VENDOR[2]).public()] });
    }
    bench.site.publish();
    let report = bench.start(&healthy).unwrap();
    assert_eq!(report.codes(), [Code::ReleaseUnsigned], "{:?}", report.lines);
    assert_eq!((bench.site.receipts().len(), bench.own().0), (0, Place::Packaged));
}

#[test]
fn a_damaged_slot_is_not_run_and_told_as_a_finding() {
    let mut bench = ready();
    bench.start(&healthy).unwrap();
    bench.machine.file(&Place::A.path().unwrap(), "the program 0.2.x");
    bench.at(NOW.plus(1_200));
    bench.start(&healthy).unwrap();
    assert_eq!(bench.own(), (Place::Packaged, "0.1.0".into()));
    let findings = bench.site.findings();
    let named = findings.iter().flat_map(|finding| &finding.differences).next().expect("a finding");
    assert_eq!(named.resource.as_str(), "agent:assent-agent");
    assert!(named.summary.contains("0.1.0 runs (packaged); approved: 0.2.0"), "{}", named.summary);
}

#[test]
fn a_program_on_trial_says_and_keeps_nothing() {
    use crate::config::{Config, Paths};
    use crate::disk::Overlay;
    use crate::engine::Engine;
    use crate::run::Agent;
    use crate::state::State;
    use crate::vault::Vault;

    let bench = ready();
    let before = (bench.machine.power.writes(), bench.site.0.borrow().statements.len());
    let disk = Overlay::new(bench.disk.clone());
    let trial = |bench: &Bench| {
        let state = State::open(&dir(), Box::new(disk.clone())).unwrap();
        let vault = Vault::without_key(super::host_id());
        let engine = Engine::open(bench.machine.clone(), disk.clone(), &bench.work, vault, super::class());
        let paths = Paths::new(bench.root.path());
        let (clock, site) = (bench.clock.clone(), bench.site.clone());
        Agent::with(&paths, Config::default(), clock, state, site, engine.unwrap()).unwrap().trial()
    };
    assert_eq!(trial(&bench), Ok(()));
    bench.site.0.borrow_mut().online = false;
    assert!(trial(&bench).unwrap_err().contains("failed"), "without the server nothing is proved");
    bench.site.0.borrow_mut().online = true;
    // What only a lie of the server could be is a refusal elsewhere; here it is only no report.
    bench.at(NOW.plus(500 * 86_400));
    let why = trial(&bench).unwrap_err();
    assert!(why.contains("tuf.expired"), "{why}");
    assert_eq!((bench.machine.power.writes(), bench.site.0.borrow().statements.len()), before);
    assert_eq!(bench.disk.list(&dir().join("spool")).unwrap(), Vec::<String>::new());
}
