//! Packages on private roots, with the real apt and dpkg and a signed repository.

use super::support::aptrepo::{Deb, Repo, Root, serve};
use super::support::site::{Site, facts, from_json, manifest};
use super::support::tree::snapshot;
use agent::apply::Stopped;
use agent::disk::RealDisk;
use agent::drift::{ApprovedState, Book, Depth, Entry, Memory, Pace, Upheld, check};
use agent::host::{Host, Machine, PackageChange, PackageState, Terms};
use agent::journal::Journal;
use serde_json::{Value, json};
use shared::digest::Digest;
use shared::finding::{Expected, Presence};
use shared::plan::{Action, Verb};
use shared::receipt::{HostOutcome, StepStatus};
use shared::refusal::Code;
use shared::strict::Map;
use shared::time::Timestamp;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

pub struct Bench {
    pub root: Root,
    pub machine: Machine,
    journal: Journal<RealDisk>,
}

pub fn bench(repo: &Repo, base: &str) -> Bench {
    let root = repo.root(base);
    let machine = Machine::open(root.dir(), &root.state()).unwrap();
    let journal = Journal::open(RealDisk, &root.state().join("journal")).unwrap();
    Bench { root, machine, journal }
}

impl Bench {
    pub fn apply(&mut self, site: &Site) -> agent::journal::Outcome {
        let outcome = site.apply(&mut self.machine, &mut self.journal).unwrap_or_else(|e| panic!("{e}"));
        self.journal.receipt_made(Digest::of(b"r")).unwrap();
        outcome
    }

    /// `name version` of all packages, with their state when it is not installed whole.
    pub fn installed(&self) -> Vec<String> {
        let show = |p: agent::host::Installed| {
            let held = if p.held { " held" } else { "" };
            match p.state {
                PackageState::Installed => format!("{} {}{held}", p.name, p.version),
                other => format!("{} {}{held} {other:?}", p.name, p.version),
            }
        };
        self.machine.packages().unwrap().into_iter().map(show).collect()
    }
}

fn deb<'a>(name: &'a str, version: &'a str, depends: &'a str) -> Deb<'a> {
    Deb { name, version, depends, ..Deb::default() }
}

/// alpha 1.0 and 1.1 (needs libalpha), beta 1.0 and 2.0, a security update alpha 1.0+deb1.
pub fn lab() -> Repo {
    let repo = Repo::new();
    repo.add("stable", &deb("alpha", "1.0", ""))
        .add("stable", &deb("alpha", "1.1", "libalpha (>= 1)"))
        .add("stable", &deb("libalpha", "1:1.5-2", ""))
        .add("stable", &deb("beta", "1.0", ""))
        .add("stable", &deb("beta", "2.0", ""))
        .add("stable-security", &deb("alpha", "1.0+deb1", ""))
        .publish();
    repo
}

fn packages(list: &[(&str, &str)]) -> Value {
    Value::Array(list.iter().map(|(n, v)| json!({ "package": { "name": n, "version": v } })).collect())
}

pub fn site(resources: Value) -> Site {
    Site::new(vec![manifest("base", resources)])
}

fn patch(select: Value) -> Site {
    Site::new(vec![from_json(&json!({ "manifest": "patch", "version": "1.0.0", "patch": select }))])
}

fn summaries(plan: &[Action]) -> Vec<&str> {
    plan.iter().map(|a| a.summary.as_str()).collect()
}

#[test]
fn exact_versions_with_their_dependencies_are_planned_installed_and_kept() {
    let repo = lab();
    let mut bench = bench(&repo, &repo.file_url());
    let wanted = site(packages(&[("alpha", "1.1"), ("beta", "1.0")]));
    let before = snapshot(bench.root.dir(), &["/var/lib/assent"]);
    let plan = wanted.plan(&mut bench.machine).unwrap();
    assert_eq!(snapshot(bench.root.dir(), &["/var/lib/assent"]), before, "planning changes nothing");
    assert_eq!(
        summaries(&plan),
        [
            "install alpha 1.1 (Lab:stable)",
            "install beta 1.0 (Lab:stable)",
            "install libalpha 1:1.5-2 (Lab:stable)"
        ]
    );
    for action in &plan {
        let pin = action.package.as_ref().unwrap();
        let file = fs::read(repo.file("stable", &pin.name, pin.to.as_ref().unwrap())).unwrap();
        assert_eq!(pin.sha256, Some(Digest::of(&file)), "{}", pin.name);
        assert_eq!((pin.arch.as_str(), pin.origin.as_deref()), ("all", Some("Lab:stable")));
    }
    let outcome = bench.apply(&wanted);
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    assert_eq!(bench.installed(), ["alpha 1.1", "beta 1.0", "libalpha 1:1.5-2"]);
    assert_eq!(wanted.plan(&mut bench.machine).unwrap(), []);
    let auto = fs::read_to_string(bench.root.path("var/lib/apt/extended_states")).unwrap();
    assert!(auto.contains("Package: libalpha") && !auto.contains("Package: alpha"), "{auto}");
}

#[test]
fn upgrade_hold_downgrade_and_remove() {
    let repo = lab();
    let mut bench = bench(&repo, &repo.file_url());
    bench.apply(&site(packages(&[("alpha", "1.0"), ("beta", "1.0")])));
    let hold = json!([{ "package": { "name": "beta", "version": "2.0", "hold": true } }]);
    assert_eq!(bench.apply(&site(hold.clone())).outcome, HostOutcome::Applied);
    assert_eq!(bench.installed(), ["alpha 1.0", "beta 2.0 held"]);
    assert_eq!(site(hold).plan(&mut bench.machine).unwrap(), []);
    let mut down = site(packages(&[("beta", "1.0")]));
    let refused = down.plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("does not allow to downgrade beta from 2.0 to 1.0"), "{refused}");
    down.downgrade = true;
    assert_eq!(down.plan(&mut bench.machine).unwrap()[0].verb, Verb::Downgrade);
    assert_eq!(bench.apply(&down).outcome, HostOutcome::Applied);
    assert_eq!(bench.installed(), ["alpha 1.0", "beta 1.0 held"], "a hold that nobody named stays");
    let gone = json!([{ "package": { "name": "alpha", "state": "absent" } }, { "package": { "name": "beta", "version": "1.0", "hold": false } }]);
    let outcome = bench.apply(&site(gone));
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    assert_eq!(bench.installed(), ["beta 1.0"]);
}

#[test]
fn patches_take_exactly_what_they_select() {
    let repo = lab();
    for (select, expected) in [
        (
            json!({ "select": "security" }),
            vec!["upgrade alpha from 1.0 to 1.0+deb1 (Lab-Security:stable-security)"],
        ),
        (
            json!({ "select": "all" }),
            vec![
                "upgrade alpha from 1.0 to 1.1 (Lab:stable)",
                "upgrade beta from 1.0 to 2.0 (Lab:stable)",
                "install libalpha 1:1.5-2 (Lab:stable)",
            ],
        ),
        (json!({ "select": "all", "exclude": ["al*"] }), vec!["upgrade beta from 1.0 to 2.0 (Lab:stable)"]),
        (json!({ "select": "named", "names": ["b?ta"] }), vec!["upgrade beta from 1.0 to 2.0 (Lab:stable)"]),
    ] {
        let mut bench = bench(&repo, &repo.file_url());
        bench.apply(&site(packages(&[("alpha", "1.0"), ("beta", "1.0")])));
        let patch = patch(select.clone());
        assert_eq!(summaries(&patch.plan(&mut bench.machine).unwrap()), expected, "{select}");
        let outcome = bench.apply(&patch);
        assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
        assert_eq!(patch.plan(&mut bench.machine).unwrap(), [], "{select}");
    }
}

#[test]
fn packages_on_hold_are_left_alone_by_patches() {
    let repo = lab();
    let mut bench = bench(&repo, &repo.file_url());
    bench.apply(&site(json!([
        { "package": { "name": "alpha", "version": "1.0", "hold": true } },
        { "package": { "name": "beta", "version": "1.0" } },
    ])));
    let plan = patch(json!({ "select": "all" })).plan(&mut bench.machine).unwrap();
    assert_eq!(summaries(&plan), ["upgrade beta from 1.0 to 2.0 (Lab:stable)"]);
}

#[test]
fn a_package_on_hold_that_is_needed_is_told_as_that() {
    let repo = lab();
    repo.add("stable", &Deb { name: "gamma", version: "1.0", depends: "beta (>= 2.0)", ..Deb::default() })
        .publish();
    let mut bench = bench(&repo, &repo.file_url());
    bench.apply(&site(json!([{ "package": { "name": "beta", "version": "1.0", "hold": true } }])));
    let refused = site(packages(&[("gamma", "1.0")])).plan(&mut bench.machine).unwrap_err();
    assert_eq!(refused.code, Code::PlanHeld, "{refused}");
    assert!(refused.message.contains("beta is on hold on this host"), "{refused}");
    // A manifest that names it means it.
    let named = site(packages(&[("gamma", "1.0"), ("beta", "2.0")])).plan(&mut bench.machine).unwrap();
    assert_eq!(named.len(), 2, "{named:?}");
}

#[test]
fn a_failed_run_puts_the_versions_back() {
    let repo = lab();
    repo.add("stable", &Deb { name: "bad", version: "1.0", postinst: "exit 1", ..Deb::default() });
    repo.add("stable", &Deb { name: "conf", version: "1.0", conffile: "a=1\n", ..Deb::default() }).publish();
    let mut bench = bench(&repo, &repo.file_url());
    bench.apply(&site(packages(&[("alpha", "1.0"), ("beta", "2.0")])));
    let before = bench.installed();
    let mut all = packages(&[("alpha", "1.1"), ("beta", "1.0"), ("bad", "1.0"), ("conf", "1.0")]);
    all.as_array_mut().unwrap().insert(0, json!({ "file": { "path": "/etc/motd", "content": "x" } }));
    let mut failing = site(all);
    failing.downgrade = true;
    let outcome = bench.apply(&failing);
    assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
    assert_eq!(bench.installed(), before);
    assert!(!bench.root.path("etc/motd").exists() && !bench.root.path("etc/conf.conf").exists());
    assert!(outcome.note.contains("apt-get install ended with exit code 100"), "{}", outcome.note);
}

#[test]
fn configuration_files_that_people_changed_stay() {
    let repo = Repo::new();
    repo.add("stable", &Deb { name: "app", version: "1", conffile: "a=1\n", ..Deb::default() });
    repo.add("stable", &Deb { name: "app", version: "2", conffile: "a=2\n", ..Deb::default() }).publish();
    let mut bench = bench(&repo, &repo.file_url());
    bench.apply(&site(packages(&[("app", "1")])));
    fs::write(bench.root.path("etc/app.conf"), "mine\n").unwrap();
    let outcome = bench.apply(&site(packages(&[("app", "2")])));
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    assert_eq!(fs::read(bench.root.path("etc/app.conf")).unwrap(), b"mine\n");
}

#[test]
fn packages_are_known_by_the_source_that_they_are_from() {
    let repo = lab();
    let mut bench = bench(&repo, &repo.file_url());
    let origins = |bench: &Bench| {
        let shown = |p: shared::facts::Package| (p.name, p.origin);
        super::support::facts(&bench.machine).packages.into_iter().map(shown).collect::<Vec<_>>()
    };
    assert_eq!(origins(&bench), [], "there are neither packages nor lists");
    bench.apply(&site(packages(&[("alpha", "1.0"), ("beta", "1.0")])));
    let lab = |name: &str| (name.to_owned(), Some("Lab:stable".to_owned()));
    assert_eq!(origins(&bench), [lab("alpha"), lab("beta")]);
    // The source has another version of the one by now, and knows nothing of the other.
    for (name, version) in [("alpha", "1.0"), ("beta", "1.0"), ("beta", "2.0")] {
        fs::remove_file(repo.file("stable", name, version)).unwrap();
    }
    fs::remove_file(repo.file("stable-security", "alpha", "1.0+deb1")).unwrap();
    repo.publish();
    bench.machine.packager().refresh().unwrap();
    assert_eq!(origins(&bench), [lab("alpha"), ("beta".to_owned(), Some(String::new()))]);
    // Without lists nobody knows.
    fs::remove_dir_all(bench.root.state().join("apt/lists")).unwrap();
    assert_eq!(origins(&bench), [("alpha".to_owned(), None), ("beta".to_owned(), None)]);
}

#[test]
fn what_was_approved_is_installed_whatever_the_sources_offer_since() {
    let repo = lab();
    let mut bench = bench(&repo, &repo.file_url());
    let wanted = site(json!([{ "package": { "name": "alpha", "state": "latest" } }]));
    let approved = wanted.plan(&mut bench.machine).unwrap();
    assert_eq!(
        summaries(&approved),
        ["install alpha 1.1 (Lab:stable)", "install libalpha 1:1.5-2 (Lab:stable)"]
    );
    repo.add("stable", &deb("alpha", "1.2", "beta"))
        .add("stable", &deb("libalpha", "1:1.6", "beta"))
        .publish();
    let outcome = wanted.apply_approved(approved, &mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    assert_eq!(bench.installed(), ["alpha 1.1", "libalpha 1:1.5-2"]);
    bench.journal.receipt_made(Digest::of(b"r")).unwrap();
    assert_eq!(wanted.plan(&mut bench.machine).unwrap().len(), 2, "the newer ones are a change of their own");
}

#[test]
fn a_host_that_would_need_more_than_was_approved_is_refused() {
    let repo = lab();
    let mut bench = bench(&repo, &repo.file_url());
    let wanted = site(packages(&[("alpha", "1.1")]));
    let mut approved = wanted.plan(&mut bench.machine).unwrap();
    approved.retain(|action| action.resource.as_str() != "package:libalpha");
    match wanted.apply_approved(approved, &mut bench.machine, &mut bench.journal) {
        Err(Stopped::Refused(refused)) => {
            assert_eq!(refused.code, Code::PlanDrift, "{refused}");
            assert!(refused.message.contains("alpha : Depends: libalpha (>= 1)"), "{refused}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.installed(), Vec::<String>::new());
    // The door itself compares too, right before the transaction: what needs libalpha would go with it.
    bench.apply(&site(packages(&[("alpha", "1.1")])));
    let gone = PackageChange { name: "libalpha".into(), from: Some("1:1.5-2".into()), ..Default::default() };
    let fault = bench.machine.packager().transact(&[gone], Terms::default()).unwrap_err();
    let told = "plan.drift: package alpha would now also be changed to removed";
    assert!(fault.text().starts_with(told), "{}", fault.text());
    assert_eq!(bench.installed(), ["alpha 1.1", "libalpha 1:1.5-2"]);
}

#[test]
fn a_tampered_package_file_is_not_installed() {
    let repo = lab();
    let web = serve(repo.path("repo"));
    let mut bench = bench(&repo, &web.url);
    let wanted = site(packages(&[("beta", "1.0")]));
    let file = repo.file("stable", "beta", "1.0");
    let good = fs::read(&file).unwrap();
    let mut bad = good.clone();
    let at = bad.len() - 10;
    bad[at] ^= 1;
    fs::write(&file, &bad).unwrap();
    match wanted.apply(&mut bench.machine, &mut bench.journal) {
        Err(Stopped::Refused(refused)) => {
            assert!(refused.message.contains("Hash Sum mismatch"), "{refused}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.installed(), Vec::<String>::new());
    // A kept file that the disk has damaged since is thrown away and fetched again.
    fs::write(&file, &good).unwrap();
    let kept = format!("beta_1.0_all_{}.deb", Digest::of(&good).hex());
    fs::write(bench.root.state().join("apt/store").join(kept), &bad).unwrap();
    assert_eq!(bench.apply(&wanted).outcome, HostOutcome::Applied);
    assert_eq!(bench.installed(), ["beta 1.0"]);
}

#[test]
fn a_bad_signature_is_an_error_and_not_nothing_to_do() {
    let repo = lab();
    let web = serve(repo.path("repo"));
    let mut bench = bench(&repo, &web.url);
    bench.apply(&site(packages(&[("alpha", "1.0")])));
    let path = repo.in_release("stable-security");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("Label: Lab-Security", "Label: Lab-Securitx")).unwrap();
    let refused = patch(json!({ "select": "security" })).plan(&mut bench.machine).unwrap_err();
    assert_eq!(refused.code, Code::PlanFailed);
    assert!(refused.message.contains("apt-get update ended with exit code 100"), "{refused}");
    // So is a server that does not answer.
    drop(web);
    std::thread::sleep(Duration::from_millis(100));
    assert!(patch(json!({ "select": "security" })).plan(&mut bench.machine).is_err());
}

#[test]
fn damaged_lists_are_fetched_again() {
    let repo = lab();
    let mut bench = bench(&repo, &repo.file_url());
    bench.apply(&site(packages(&[("alpha", "1.0")])));
    let lists = bench.root.state().join("apt/lists");
    let mut emptied = 0;
    for entry in fs::read_dir(&lists).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("InRelease") {
            if path.is_symlink() {
                fs::remove_file(&path).unwrap();
            }
            fs::write(&path, "").unwrap();
            emptied += 1;
        }
    }
    assert!(emptied >= 2);
    let plan = patch(json!({ "select": "security" })).plan(&mut bench.machine).unwrap();
    assert_eq!(plan.len(), 1);
}

#[test]
fn an_unknown_version_says_so() {
    let repo = lab();
    let mut bench = bench(&repo, &repo.file_url());
    let refused = site(packages(&[("alpha", "9.9")])).plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("9.9") && refused.code == Code::PlanFailed, "{refused}");
}

/// The agent is killed while dpkg runs: the package stays half configured and dpkg goes on as an orphan.
#[test]
fn an_interrupted_package_manager_is_brought_to_an_end_first() {
    let repo = lab();
    let marker = tempfile::tempdir().unwrap();
    let gate = marker.path().join("gate");
    // The first configuration kills dpkg itself, the second one succeeds.
    let postinst = format!("[ -e {0} ] && exit 0; touch {0}; kill -9 $PPID; sleep 1; exit 1", gate.display());
    repo.add("stable", &Deb { name: "slow", version: "1.0", postinst: &postinst, ..Deb::default() })
        .publish();
    let mut bench = bench(&repo, &repo.file_url());
    let wanted = site(packages(&[("alpha", "1.0"), ("slow", "1.0")]));
    let outcome = bench.apply(&wanted);
    assert!(gate.exists());
    assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
    assert_eq!(bench.installed(), Vec::<String>::new());
    assert!(outcome.results.iter().all(|r| r.status == StepStatus::Undone), "{outcome:#?}");
    // Left behind by somebody else: planned as a repair, not by `apt-get -f install`.
    fs::remove_file(&gate).unwrap();
    let config = bench.root.state().join("apt/apt.conf");
    let status =
        Command::new("apt-get").env("APT_CONFIG", config).args(["-qq", "-y", "install", "slow=1.0"]).output();
    assert!(!status.unwrap().status.success());
    assert_eq!(bench.installed(), ["slow 1.0 Unconfigured"]);
    let plan = wanted.plan(&mut bench.machine).unwrap();
    assert_eq!(
        summaries(&plan),
        [
            "repair slow 1.0: finish its configuration, which an earlier run left undone",
            "install alpha 1.0 (Lab:stable)",
        ]
    );
    let outcome = bench.apply(&wanted);
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    assert_eq!(bench.installed(), ["alpha 1.0", "slow 1.0"]);
}

/// A process that holds the lock of dpkg until it ends or this is dropped.
struct Holder(std::process::Child);

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().unwrap();
    }
}

/// flock(1) takes another kind of lock, so a few lines of python hold the one that dpkg uses.
fn hold_lock(root: &Root, secs: u32) -> Holder {
    let lock = root.path("var/lib/dpkg/lock-frontend");
    fs::write(&lock, "").unwrap();
    let script = "import fcntl,sys,time\nf=open(sys.argv[1],'w')\nfcntl.lockf(f,fcntl.LOCK_EX)\nprint('held',flush=True)\ntime.sleep(int(sys.argv[2]))\n";
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(&lock).arg(secs.to_string()).stdout(std::process::Stdio::piped());
    let mut holder = python.spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.take().unwrap()), &mut line)
        .unwrap();
    Holder(holder)
}

#[test]
fn a_busy_package_manager_is_waited_for() {
    let repo = lab();
    let mut bench = bench(&repo, &repo.file_url());
    let _holder = hold_lock(&bench.root, 2);
    let started = std::time::Instant::now();
    let outcome = bench.apply(&site(packages(&[("beta", "1.0")])));
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    assert!(started.elapsed() > Duration::from_millis(1_500));
}

#[test]
fn a_lock_that_stays_held_is_told_with_its_holder() {
    let repo = lab();
    let root = repo.root(&repo.file_url());
    let machine = Machine::open(root.dir(), &root.state()).unwrap();
    let machine = machine.waiting_for_packages(Duration::from_millis(300));
    let journal = Journal::open(RealDisk, &root.state().join("journal")).unwrap();
    let mut bench = Bench { root, machine, journal };
    let holder = hold_lock(&bench.root, 60);
    let outcome = bench.apply(&site(packages(&[("beta", "1.0")])));
    assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
    let told = format!("in use by process {} (python3)", holder.0.id());
    assert!(outcome.note.contains(&told), "{}", outcome.note);
    drop(holder);
    assert_eq!(bench.apply(&site(packages(&[("beta", "1.0")]))).outcome, HostOutcome::Applied);
}

#[test]
fn ranges_and_the_latest_are_pinned_to_exact_versions() {
    let repo = lab();
    let mut bench = bench(&repo, &repo.file_url());
    let one = |body: Value| site(json!([{ "package": body }]));
    for (body, told) in [
        (
            json!({ "name": "alpha", "range": ">= 1.0, < 1.1" }),
            "install alpha 1.0+deb1 (Lab-Security:stable-security)",
        ),
        (json!({ "name": "beta", "range": "< 2" }), "install beta 1.0 (Lab:stable)"),
        (json!({ "name": "beta", "state": "latest" }), "install beta 2.0 (Lab:stable)"),
    ] {
        assert_eq!(summaries(&one(body.clone()).plan(&mut bench.machine).unwrap()), [told], "{body}");
    }
    for (body, told) in [
        (
            json!({ "name": "beta", "range": "> 3" }),
            "no source of this host offers beta > 3; on offer: 2.0, 1.0",
        ),
        (json!({ "name": "gamma", "state": "latest" }), "no source of this host offers gamma"),
        (json!({ "name": "beta", "range": "> a_b" }), "is not a Debian version"),
    ] {
        let refused = one(body).plan(&mut bench.machine).unwrap_err();
        assert!(refused.message.contains(told), "{refused}");
    }
    let within = one(json!({ "name": "beta", "range": ">= 1, < 3", "hold": true }));
    bench.apply(&one(json!({ "name": "beta", "range": "< 2" })));
    assert_eq!(bench.installed(), ["beta 1.0"]);
    // What is installed is within: only the hold mark is missing.
    assert_eq!(summaries(&within.plan(&mut bench.machine).unwrap()), ["hold beta"]);
    bench.apply(&within);
    // A manifest that names a package may move it, hold or not.
    bench.apply(&one(json!({ "name": "beta", "state": "latest" })));
    assert_eq!(bench.installed(), ["beta 2.0 held"]);
}

#[test]
fn approved_packages_are_installed_with_the_repository_gone() {
    let repo = lab();
    let web = serve(repo.path("repo"));
    let mut bench = bench(&repo, &web.url);
    bench.apply(&site(packages(&[("beta", "1.0")])));
    let wanted = patch(json!({ "select": "all" }));
    let approved = wanted.plan(&mut bench.machine).unwrap();
    let changes: Vec<PackageChange> =
        approved.iter().filter_map(|a| a.package.as_ref()).map(agent::resource::package::change).collect();
    bench.machine.packager().fetch(&changes).unwrap();
    drop(web);
    fs::rename(repo.path("repo"), repo.path("gone")).unwrap();
    // The old version was not kept, so a way back would need the source; the way forward does not.
    let outcome = wanted.apply_approved(approved, &mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    assert_eq!(bench.installed(), ["beta 2.0"]);
    bench.machine.packager().forget(&changes).unwrap();
    assert_eq!(fs::read_dir(bench.root.state().join("apt/store")).unwrap().count(), 1, "beta 1.0 is left");
}

#[test]
fn a_disk_without_room_is_refused_with_figures() {
    let repo = lab();
    repo.add("stable", &Deb { name: "huge", version: "1.0", installed_kib: 1 << 40, ..Deb::default() })
        .publish();
    let mut bench = bench(&repo, &repo.file_url());
    let refused = site(packages(&[("huge", "1.0")])).plan(&mut bench.machine).unwrap_err();
    assert_eq!(refused.code, Code::PlanRoom, "{refused}");
    assert!(refused.message.contains("unpack 2147483648 MiB"), "{refused}");
    assert!(refused.message.contains("MiB free, and") && refused.message.contains("make room"), "{refused}");
}

#[test]
fn configuration_files_that_people_changed_are_told_and_given_up_only_when_wanted() {
    let repo = Repo::new();
    repo.add("stable", &Deb { name: "app", version: "1", conffile: "a=1\n", ..Deb::default() });
    repo.add("stable", &Deb { name: "app", version: "2", conffile: "a=2\n", ..Deb::default() }).publish();
    let mut bench = bench(&repo, &repo.file_url());
    bench.apply(&site(packages(&[("app", "1")])));
    let wanted = |conffiles: &str| {
        site(json!([{ "package": { "name": "app", "version": "2", "conffiles": conffiles } }]))
    };
    assert_eq!(wanted("old").plan(&mut bench.machine).unwrap()[0].diff, None, "nobody has changed anything");
    fs::write(bench.root.path("etc/app.conf"), "mine\n").unwrap();
    let [old, new] = ["old", "new"].map(|how| wanted(how).plan(&mut bench.machine).unwrap().remove(0));
    assert_eq!(
        old.diff.as_deref(),
        Some(
            "/etc/app.conf: changed on this host; it stays as it is; one that the new version brings is put beside it\n"
        )
    );
    assert_eq!(
        new.diff.as_deref(),
        Some("/etc/app.conf: changed on this host; it is replaced if the new version brings another one\n")
    );
    assert_ne!(old.after, new.after, "an approval of one is none of the other");
    let outcome = bench.apply(&wanted("new"));
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    assert_eq!(fs::read(bench.root.path("etc/app.conf")).unwrap(), b"a=2\n");
    assert_eq!(fs::read(bench.root.path("etc/app.conf.dpkg-old")).unwrap(), b"mine\n");
}

#[test]
fn the_undo_contract_says_no_when_there_is_no_way_back() {
    let repo = lab();
    let mut bench = bench(&repo, &repo.file_url());
    bench.apply(&site(packages(&[("alpha", "1.0"), ("beta", "1.0")])));
    let undo = |bench: &mut Bench, name: &str, version: &str| {
        let undo = site(packages(&[(name, version)])).plan(&mut bench.machine).unwrap().remove(0).undo;
        format!("{}: {}", undo.undo.as_str(), undo.why)
    };
    assert!(undo(&mut bench, "beta", "2.0").starts_with("partly: 1.0 is at hand"));
    // The source drops what is installed: it is still in the agent's own directory.
    for name in ["alpha", "beta"] {
        fs::remove_file(repo.file("stable", name, "1.0")).unwrap();
    }
    repo.publish();
    assert!(undo(&mut bench, "beta", "2.0").starts_with("partly: 1.0 is at hand"));
    fs::remove_dir_all(bench.root.state().join("apt/store")).unwrap();
    assert_eq!(
        undo(&mut bench, "beta", "2.0"),
        "no: beta 1.0 is neither kept here nor offered by a source any more"
    );
    assert_eq!(
        undo(&mut bench, "alpha", "1.0+deb1"),
        "no: alpha 1.0 is neither kept here nor offered by a source any more"
    );
    // A way back that would take more with it: gamma would lose what it needs, and is not part of the change.
    repo.add("stable", &deb("gamma", "1.0", "delta (>= 2)"))
        .add("stable", &deb("delta", "1.0", "breaks-nothing"))
        .add("stable", &deb("delta", "2.0", ""))
        .add("stable", &deb("breaks-nothing", "1.0", ""))
        .publish();
    bench.apply(&site(packages(&[("delta", "1.0")])));
    let plan =
        site(packages(&[("delta", "2.0"), ("breaks-nothing", "1.0")])).plan(&mut bench.machine).unwrap();
    assert!(plan[0].undo.why.starts_with("1.0 is at hand"), "{:?}", plan[0].undo);
}

/// Half installed: dpkg is killed while it unpacks. `apt-get -f install` would take the newest version.
#[test]
fn a_half_installed_package_is_repaired_at_its_own_version_first() {
    let repo = lab();
    let marker = tempfile::tempdir().unwrap();
    let gate = marker.path().join("gate");
    let preinst = format!("[ -e {0} ] && exit 0; touch {0}; kill -9 $PPID; sleep 1", gate.display());
    repo.add("stable", &Deb { name: "slow", version: "1.0", preinst: &preinst, ..Deb::default() })
        .add("stable", &deb("slow", "1.1", ""))
        .publish();
    let mut bench = bench(&repo, &repo.file_url());
    bench.machine.packager().refresh().unwrap();
    let config = bench.root.state().join("apt/apt.conf");
    let broke =
        Command::new("apt-get").env("APT_CONFIG", config).args(["-qq", "-y", "install", "slow=1.0"]).output();
    assert!(!broke.unwrap().status.success());
    bench.machine.settle_packages().unwrap();
    assert_eq!(bench.installed(), ["slow 1.0 Broken"]);
    let wanted = site(packages(&[("beta", "1.0")]));
    let plan = wanted.plan(&mut bench.machine).unwrap();
    assert_eq!(
        summaries(&plan),
        [
            "repair slow 1.0: install it again, because an earlier run left it half installed",
            "install beta 1.0 (Lab:stable)"
        ]
    );
    assert_eq!(plan[0].verb, Verb::Repair);
    assert!(plan[0].package.as_ref().unwrap().sha256.is_some());
    // Without the repair in the plan nothing is done at all.
    let fault = bench.machine.packager().transact(&[], Terms::default()).unwrap_err();
    assert!(fault.text().contains("package slow is half installed"), "{}", fault.text());
    let outcome = bench.apply(&wanted);
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    assert_eq!(bench.installed(), ["beta 1.0", "slow 1.0"]);
    // A failed run takes back what it did, but not the repair.
    assert_eq!(wanted.plan(&mut bench.machine).unwrap(), []);
}

#[test]
fn a_half_installed_package_without_its_file_is_told() {
    let repo = lab();
    let mut bench = bench(&repo, &repo.file_url());
    bench.apply(&site(packages(&[("beta", "1.0")])));
    let status = bench.root.path("var/lib/dpkg/status");
    let text = fs::read_to_string(&status).unwrap();
    let text = text
        .replace("install ok installed", "install reinstreq half-installed")
        .replace("Version: 1.0", "Version: 0.9");
    fs::write(&status, text).unwrap();
    let refused = site(packages(&[("alpha", "1.0")])).plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("left packages half installed"), "{refused}");
    assert!(refused.message.contains("beta 0.9 is neither kept here"), "{refused}");
}

#[test]
fn an_expired_repository_is_refused_with_the_reason() {
    let repo = lab();
    let web = serve(repo.path("repo"));
    let mut bench = bench(&repo, &web.url);
    bench.apply(&site(packages(&[("alpha", "1.0")])));
    repo.publish_until("Sat, 01 Jan 2022 00:00:00 UTC");
    let refused = patch(json!({ "select": "security" })).plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("is expired"), "{refused}");
    repo.publish();
    assert_eq!(patch(json!({ "select": "security" })).plan(&mut bench.machine).unwrap().len(), 1);
}

#[test]
fn a_kernel_comes_with_a_security_update_and_says_that_it_is_not_taken_back() {
    let repo = Repo::new();
    repo.add("stable", &deb("linux-image-amd64", "6.1.1", "linux-image-6.1.0-1-amd64"))
        .add("stable", &deb("linux-image-6.1.0-1-amd64", "6.1.1", ""))
        .add("stable-security", &deb("linux-image-amd64", "6.1.2", "linux-image-6.1.0-2-amd64"))
        .add("stable-security", &deb("linux-image-6.1.0-2-amd64", "6.1.2", ""))
        .publish();
    let mut bench = bench(&repo, &repo.file_url());
    bench.apply(&site(packages(&[("linux-image-amd64", "6.1.1")])));
    let plan = patch(json!({ "select": "security" })).plan(&mut bench.machine).unwrap();
    assert_eq!(
        summaries(&plan),
        [
            "install linux-image-6.1.0-2-amd64 6.1.2 (Lab-Security:stable-security)",
            "upgrade linux-image-amd64 from 6.1.1 to 6.1.2 (Lab-Security:stable-security)",
        ]
    );
    assert!(plan.iter().all(|a| a.undo.undo == shared::plan::UndoContract::No), "{plan:#?}");
    assert_eq!(bench.apply(&patch(json!({ "select": "security" }))).outcome, HostOutcome::Applied);
    assert_eq!(bench.installed().len(), 3, "the old kernel stays");
}

/// A repository with its key, and a package that only it has.
fn vendor(repo: &Repo, key: &str) -> Value {
    json!([
        { "package": { "name": "tool", "version": "2.0" } },
        { "package_repository": { "name": "vendor", "uris": [repo.file_url()], "suites": ["stable"], "components": ["main"], "key": key } },
        { "file": { "path": "/etc/motd", "content": "x" } },
        { "file": { "path": "/etc/tool.conf", "content": "x", "requires": ["package:tool"] } },
    ])
}

#[test]
fn a_repository_comes_with_its_key_and_its_packages_with_the_next_change() {
    let (repo, theirs) = (lab(), Repo::new());
    theirs.add("stable", &deb("tool", "2.0", "")).publish();
    let mut bench = bench(&repo, &repo.file_url());
    let wanted = site(vendor(&theirs, &theirs.armored_key()));
    let planned = wanted.planned(&mut bench.machine).unwrap();
    let plan: Vec<String> =
        planned.actions.iter().map(|a| format!("{} {}", a.verb.as_str(), a.resource)).collect();
    assert_eq!(plan, ["create package_repository:vendor", "create file:/etc/motd"]);
    assert!(
        planned.notes[0]
            .starts_with("package:tool is not part of this plan: it waits for package_repository:vendor"),
        "{:?}",
        planned.notes
    );
    assert!(
        planned.notes[1]
            .starts_with("file:/etc/tool.conf is not part of this plan: it waits for package:tool"),
        "{:?}",
        planned.notes
    );
    let diff = planned.actions[0].diff.as_deref().unwrap();
    assert!(
        diff.contains("+Suites: stable") && diff.contains("+-----BEGIN PGP PUBLIC KEY BLOCK-----"),
        "{diff}"
    );
    assert_eq!(bench.apply(&wanted).outcome, HostOutcome::Applied);
    let rings = || -> Vec<String> {
        let entries = fs::read_dir(bench.root.path("etc/apt/keyrings")).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(rings().len(), 1);
    assert!(rings()[0].starts_with("assent-vendor-") && rings()[0].ends_with(".asc"), "{:?}", rings());
    // Now the source is there, and the same manifest has its package with version and file.
    let next = wanted.planned(&mut bench.machine).unwrap();
    assert_eq!(summaries(&next.actions)[0], "install tool 2.0 (Lab:stable)");
    assert_eq!(next.notes, Vec::<String>::new());
    assert_eq!(bench.apply(&wanted).outcome, HostOutcome::Applied);
    assert_eq!(bench.installed(), ["tool 2.0"]);
    // Another key than the one that signs: nothing of that source is believed, and the old key is gone.
    let other = site(vendor(&theirs, &Repo::new().armored_key()));
    assert_eq!(bench.apply(&other).outcome, HostOutcome::Applied);
    let refused = patch(json!({ "select": "all" })).plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("apt-get update") && refused.message.contains("NO_PUBKEY"), "{refused}");
    let left = fs::read_dir(bench.root.path("etc/apt/keyrings")).unwrap().count();
    assert_eq!(left, 1, "the keyring of the key before is gone");
    let gone = site(json!([{ "package_repository": { "name": "vendor", "state": "absent" } }]));
    assert_eq!(bench.apply(&gone).outcome, HostOutcome::Applied);
    assert_eq!(fs::read_dir(bench.root.path("etc/apt/keyrings")).unwrap().count(), 0);
    assert_eq!(gone.plan(&mut bench.machine).unwrap(), []);
    assert_eq!(patch(json!({ "select": "all" })).plan(&mut bench.machine).unwrap(), []);
}

#[test]
fn a_repository_of_a_failed_run_is_taken_back() {
    let (repo, theirs) = (lab(), Repo::new());
    let mut bench = bench(&repo, &repo.file_url());
    let before = snapshot(bench.root.dir(), &["/var/lib/assent"]);
    let key = theirs.armored_key();
    let failing = Site::new(vec![from_json(&json!({
        "manifest": "base", "version": "1.0.0",
        "resources": [
            { "package_repository": { "name": "vendor", "uris": ["https://packages.example.org"], "suites": ["./"], "key": key } },
        ],
        "health": [{ "name": "never", "command": { "run": ["/bin/sh", "-c", "exit 2"] }, "retries": 0 }],
    }))]);
    assert_eq!(bench.apply(&failing).outcome, HostOutcome::RolledBack);
    assert_eq!(snapshot(bench.root.dir(), &["/var/lib/assent"]), before);
}

#[test]
fn a_source_of_dnf_and_zypper_is_refused_where_there_is_apt() {
    let repo = lab();
    let mut bench = bench(&repo, &repo.file_url());
    let refused = site(json!([
        { "package_repository": { "name": "vendor", "uris": ["https://packages.example.org"], "key": repo.armored_key() } },
    ]));
    let refused = refused.plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("has no suites, so it is a source of dnf and zypper"), "{refused}");
    assert!(
        refused.message.contains("this host has apt; give hosts with apt a manifest of their own"),
        "{refused}"
    );
}

#[test]
fn facts_name_packages_with_their_sources() {
    let repo = lab();
    let mut bench = bench(&repo, &repo.file_url());
    bench.apply(&site(json!([{ "package": { "name": "alpha", "version": "1.1", "hold": true } }])));
    fs::create_dir_all(bench.root.path("usr/lib")).unwrap();
    fs::write(bench.root.path("usr/lib/os-release"), "ID=debian\nVERSION_ID=\"12\"\n").unwrap();
    symlink("../usr/lib/os-release", bench.root.path("etc/os-release")).unwrap();
    fs::write(bench.root.path("etc/hostname"), "lab1\n").unwrap();
    let facts = super::support::facts(&bench.machine);
    facts.check().unwrap();
    let shown: Vec<String> = facts
        .packages
        .iter()
        .map(|p| format!("{} {} {} {:?}", p.name, p.version, p.source, p.status))
        .collect();
    assert_eq!(shown, ["alpha 1.1 alpha Held", "libalpha 1:1.5-2 libalpha Installed"]);
    assert_eq!(
        (facts.hostname.as_str(), facts.os.version.as_str(), facts.arch.as_str()),
        ("lab1", "12", "amd64")
    );
}

/// The plan makes the directory itself, as it cannot know that the package does.
#[test]
fn a_directory_that_a_package_brings_is_as_good_as_the_planned_one() {
    let repo = Repo::new();
    let postinst = "mkdir -p \"$DPKG_ROOT/etc/modprobe.d\"";
    repo.add("stable", &Deb { postinst, ..deb("tools", "1.0", "") }).publish();
    let mut bench = bench(&repo, &repo.file_url());
    let site = site(json!([
        { "package": { "name": "tools", "version": "1.0" } },
        { "kernel_module": { "name": "rds", "state": "blocked", "requires": ["package:tools"] } },
        { "kernel_module": { "name": "tipc", "state": "blocked", "requires": ["package:tools"] } }
    ]));
    let outcome = bench.apply(&site);
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    let file = bench.root.dir().join("etc/modprobe.d/assent-rds.conf");
    assert!(fs::read_to_string(file).unwrap().contains("install rds /bin/false"));
    assert_eq!(bench.apply(&site).results, []);
}

/// The record of dpkg itself, with a package of two architectures beside each other.
#[test]
fn what_others_do_to_packages_of_a_foreign_architecture_is_told_by_the_name_that_they_have() {
    let repo = lab();
    let bench = bench(&repo, &repo.file_url());
    let dpkg = |arguments: &[&str]| {
        let root = format!("--root={}", bench.root.dir().display());
        let log = format!("--log={}", bench.root.path("var/log/dpkg.log").display());
        let mut dpkg = Command::new("dpkg");
        dpkg.args([root, log, "--force-not-root".into(), "--force-script-chrootless".into()]);
        super::support::run(dpkg.args(arguments));
    };
    dpkg(&["--add-architecture", "i386"]);
    let history = |since| bench.machine.packager().history(since).unwrap().unwrap();
    let (_, place) = history(None);
    for arch in ["amd64", "i386"] {
        let tree = bench.root.path("build");
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        let control = format!(
            "Package: multi\nVersion: 1.0\nArchitecture: {arch}\nMulti-Arch: same\nMaintainer: Lab <lab@example.org>\nDescription: test\n"
        );
        fs::write(tree.join("DEBIAN/control"), control).unwrap();
        let file = bench.root.path(&format!("{arch}.deb")).display().to_string();
        super::support::run(Command::new("dpkg-deb").args(["-b"]).arg(&tree).arg(&file));
        dpkg(&["-i", &file]);
    }
    dpkg(&["-i", repo.file("stable", "beta", "1.0").to_str().unwrap()]);
    assert_eq!(bench.installed(), ["beta 1.0", "multi 1.0", "multi:i386 1.0"]);
    dpkg(&["-r", "multi:i386"]);
    let told: Vec<_> = history(Some(&place)).0.into_iter().map(|event| (event.name, event.to)).collect();
    let to = |version: &str| Some(version.to_owned());
    let expected =
        [("multi", to("1.0")), ("multi:i386", to("1.0")), ("beta", to("1.0")), ("multi:i386", None)];
    assert_eq!(told, expected.map(|(name, to)| (name.to_owned(), to)));
}

/// The record of apt and dpkg, the check of what was approved, and the book that makes findings of both.
#[test]
fn an_upgrade_by_others_and_the_version_that_nobody_approved_are_one_finding() {
    let repo = lab();
    let mut bench = bench(&repo, &repo.file_url());
    let site = site(packages(&[("alpha", "1.0")]));
    assert_eq!(bench.apply(&site).outcome, HostOutcome::Applied);
    let expected = Expected {
        manifest: "main/base".into(),
        version: semver::Version::new(1, 0, 0),
        change_id: "C-1".parse().unwrap(),
        revision: 1,
        change: Digest::of(b"change"),
    };
    let approved = ApprovedState {
        expected: expected.clone(),
        since: Timestamp(0),
        manifest: site.manifests[0].clone(),
        params: Map::default(),
        facts: facts(),
        health_programs: Vec::new(),
    };
    let upheld = Upheld { states: vec![approved], packages: Map::default() };
    let (mut book, mut now) = (Book::default(), Timestamp(1_000));
    let mut look = |bench: &mut Bench| -> Vec<Entry> {
        now = now.plus(60);
        let (events, place) = bench.machine.packager().history(book.place()).unwrap().unwrap();
        book.reconcile(events, place, now);
        let found = check(&upheld, &site.vault, Depth::Full, &mut Memory::default(), now, &mut bench.machine);
        let found = found.unwrap().into_iter().map(|found| (expected.clone(), found.difference));
        book.update(found.collect(), now);
        let due = book.due(now, Pace { quiet_secs: 0, flapping_secs: 0 });
        due.iter().for_each(|entry| book.said(entry.number, now));
        due
    };
    let named = |entry: &Entry| entry.told().iter().map(|told| told.summary.clone()).collect::<Vec<_>>();
    assert_eq!(look(&mut bench), [], "what was before the first look is nobody's matter");
    bench.root.by_hand(&["install", "alpha=1.1", "beta=1.0"]);
    let told = look(&mut bench);
    assert_eq!(told.len(), 1, "{told:#?}");
    let cause = told[0].cause().unwrap();
    assert!(cause.command.contains("install") && cause.command.contains("alpha=1.1"), "{cause:?}");
    assert_eq!(
        named(&told[0]),
        ["alpha 1.1 is installed; approved: 1.0", "beta 1.0 was installed", "libalpha 1:1.5-2 was installed"]
    );
    assert_eq!(look(&mut bench), []);
    bench.root.by_hand(&["install", "--allow-downgrades", "alpha=1.0"]);
    let told = look(&mut bench);
    assert_eq!((told.len(), told[0].number, told[0].presence), (1, 2, Presence::Gone), "{told:#?}");
    assert!(told[0].cause().unwrap().command.contains("alpha=1.0"));
}
