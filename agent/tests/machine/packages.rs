//! Packages on private roots, with the real apt and dpkg and a signed repository.

use super::support::aptrepo::{Deb, Repo, Root, serve};
use super::support::site::{Site, from_json, manifest};
use super::support::tree::snapshot;
use agent::apply::Stopped;
use agent::disk::RealDisk;
use agent::host::{Host, Machine, PackageState};
use agent::journal::Journal;
use serde_json::{Value, json};
use shared::digest::Digest;
use shared::plan::{Action, Verb};
use shared::receipt::{HostOutcome, StepStatus};
use shared::refusal::Code;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

struct Bench {
    root: Root,
    machine: Machine,
    journal: Journal<RealDisk>,
}

fn bench(repo: &Repo, base: &str) -> Bench {
    let root = repo.root(base);
    let machine = Machine::open(root.dir(), &root.state()).unwrap();
    let journal = Journal::open(RealDisk, &root.state().join("journal")).unwrap();
    Bench { root, machine, journal }
}

impl Bench {
    fn apply(&mut self, site: &Site) -> agent::journal::Outcome {
        let outcome = site.apply(&mut self.machine, &mut self.journal).unwrap_or_else(|e| panic!("{e}"));
        self.journal.receipt_made(Digest::of(b"r")).unwrap();
        outcome
    }

    /// `name version` of all packages, with their state when it is not installed whole.
    fn installed(&self) -> Vec<String> {
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
fn lab() -> Repo {
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

fn site(resources: Value) -> Site {
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
fn a_package_set_that_grew_since_the_approval_is_refused() {
    let repo = lab();
    let mut bench = bench(&repo, &repo.file_url());
    let wanted = site(packages(&[("alpha", "1.1")]));
    let approved = wanted.plan(&mut bench.machine).unwrap();
    repo.add("stable", &deb("libalpha", "1:1.6", "beta")).publish();
    match wanted.apply_approved(approved, &mut bench.machine, &mut bench.journal) {
        Err(Stopped::Refused(refused)) => assert_eq!(refused.code, Code::PlanDrift, "{refused}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.installed(), Vec::<String>::new());
    // The door itself compares too, right before the transaction.
    let request =
        agent::host::Request { install: vec![("alpha".into(), "1.1".into())], ..Default::default() };
    let mut expected = bench.machine.simulate(&request).unwrap();
    expected.pop();
    let fault = bench.machine.transact(&request, &expected).unwrap_err();
    assert!(fault.text().starts_with("plan.drift: package libalpha"), "{}", fault.text());
    assert_eq!(bench.installed(), Vec::<String>::new());
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
    let outcome = bench.apply(&wanted);
    assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
    assert!(outcome.note.contains("Hash Sum mismatch"), "{}", outcome.note);
    assert_eq!(bench.installed(), Vec::<String>::new());
    // A file that already lies in the cache with the right name and size: apt itself would take it.
    fs::write(&file, &good).unwrap();
    fs::write(bench.root.state().join("apt/cache/archives/beta_1.0_all.deb"), &bad).unwrap();
    let outcome = bench.apply(&wanted);
    assert_ne!(outcome.outcome, HostOutcome::Applied);
    assert!(outcome.note.contains("has sha256"), "{}", outcome.note);
    assert_eq!(bench.installed(), Vec::<String>::new());
    assert_eq!(bench.apply(&wanted).outcome, HostOutcome::Applied, "the bad file was thrown away");
    let left = fs::read_dir(bench.root.state().join("apt/cache/archives")).unwrap();
    let debs = left.filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|e| e == "deb"));
    assert_eq!(debs.count(), 0, "downloads do not pile up");
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
            "install alpha 1.0 (Lab:stable)",
            "install slow 1.0 again, because it is half installed (Lab:stable)"
        ]
    );
    let outcome = bench.apply(&wanted);
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    assert_eq!(bench.installed(), ["alpha 1.0", "slow 1.0"]);
}

#[test]
fn a_busy_package_manager_is_waited_for() {
    let repo = lab();
    let mut bench = bench(&repo, &repo.file_url());
    fs::write(bench.root.path("var/lib/dpkg/lock-frontend"), "").unwrap();
    let lock = bench.root.path("var/lib/dpkg/lock-frontend");
    // flock(1) takes another kind of lock, so a few lines of python hold the one that dpkg uses.
    let script = "import fcntl,sys,time\nf=open(sys.argv[1],'w')\nfcntl.lockf(f,fcntl.LOCK_EX)\nprint('held',flush=True)\ntime.sleep(2)\n";
    let mut holder = Command::new("python3")
        .args(["-c", script])
        .arg(&lock)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.take().unwrap()), &mut line)
        .unwrap();
    let started = std::time::Instant::now();
    let outcome = bench.apply(&site(packages(&[("beta", "1.0")])));
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    assert!(started.elapsed() > Duration::from_millis(1_500));
    holder.wait().unwrap();
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
    let class = "lab".parse().unwrap();
    let facts = agent::facts::collect(&bench.machine, &class, semver::Version::new(0, 1, 0)).unwrap();
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
