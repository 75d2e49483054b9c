//! Sources of rpm packages with their keys, on private roots with the real dnf and zypper.

use super::rpm::{Bench, on, package, packages, patch, site, summaries};
use super::support::aptrepo::serve;
use super::support::rpmrepo::{Family, Repo, Rpm, rpm};
use super::support::run;
use super::support::site::{Site, from_json};
use agent::apply::Stopped;
use agent::host::Host;
use serde_json::{Value, json};
use shared::manifest::OpenPgpKey;
use shared::plan::UndoContract;
use shared::receipt::HostOutcome;
use std::fs;
use std::process::{Command, Output};

with_both! {
    an_rpm_repository_comes_with_its_key_and_its_packages_with_the_next_change
    another_key_than_the_one_that_signs_is_refused_and_the_one_before_is_forgotten
    tampered_lists_of_an_rpm_repository_are_refused
    packages_of_unsigned_lists_are_signed_all_the_same
    an_rpm_repository_of_a_failed_run_is_taken_back
    a_removed_rpm_repository_comes_back_with_its_key_when_the_run_fails
    what_does_not_fit_an_rpm_host_is_refused_with_what_to_do
    the_host_s_own_package_manager_uses_the_source_as_it_is
    a_mirror_takes_over_where_an_rpm_repository_is_gone
}

const KEYS: &str = "etc/pki/rpm-gpg";

/// A root without any repository.
fn bare(family: Family) -> Bench {
    let bench = on(family.root(), family);
    // The first question makes the directories of a root that has none yet.
    bench.machine.packager().refresh().unwrap();
    bench.machine.packager().keys().unwrap();
    bench
}

/// A repository with a package that only it has.
fn theirs() -> Repo {
    let repo = Repo::new();
    repo.add(&package("tool", "2.0-1", "")).add(&package("extra", "1.0-1", "")).publish();
    repo
}

fn source(uris: &[String], key: &str, more: Value) -> Value {
    let mut own = json!({ "name": "vendor", "uris": uris, "key": key });
    own.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    json!([{ "package": { "name": "tool", "version": "2.0-1" } }, { "package_repository": own }])
}

fn vendor(repo: &Repo, key: &str) -> Site {
    site(source(&[repo.url()], key, Value::Null))
}

/// The same without a package, whose lists a broken source would keep from being read.
fn only(repo: &Repo, key: &str, more: Value) -> Site {
    site(json!([source(&[repo.url()], key, more)[1]]))
}

fn gone() -> Site {
    site(json!([{ "package_repository": { "name": "vendor", "state": "absent" } }]))
}

/// The resources with a health check that always fails.
fn failing(resources: Value) -> Site {
    Site::new(vec![from_json(&json!({
        "manifest": "base", "version": "1.0.0", "resources": resources,
        "health": [{ "name": "never", "command": { "run": ["/bin/sh", "-c", "exit 2"] }, "retries": 0 }],
    }))])
}

impl Bench {
    /// Whether the database of rpm has exactly the key of these repositories.
    fn believes(&self, repos: &[&Repo]) {
        let expected = repos.iter().flat_map(|repo| OpenPgpKey::primaries_of(&repo.armored_key())).collect();
        assert_eq!(self.machine.packager().keys().unwrap(), expected, "{:?}", self.family);
    }

    /// Whether it has the key of this repository with zypper, and none with dnf.
    fn knows(&self, repo: &Repo) {
        match self.family {
            Family::Dnf => self.believes(&[]),
            Family::Zypper => self.believes(&[repo]),
        }
    }

    fn key_files(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.path(KEYS)) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Why nothing can be planned.
    fn refusal(&mut self) -> String {
        patch(json!({ "select": "all" })).plan(&mut self.machine).unwrap_err().message
    }

    /// The host's own dnf or zypper, as its users call it.
    fn by_hand(&self, arguments: &[&str]) -> Output {
        let root = self.root.dir();
        let mut command = match self.family {
            Family::Dnf => {
                let mut dnf = Command::new("dnf");
                let below = |name: &str, path: &str| format!("--setopt={name}={}", root.join(path).display());
                dnf.arg("-c").arg(root.join("etc/dnf/dnf.conf")).arg("--installroot").arg(root);
                dnf.args([below("reposdir", "etc/yum.repos.d"), below("cachedir", "var/cache/dnf")]);
                dnf.args([below("logdir", "var/log"), below("persistdir", "var/lib/dnf")]);
                dnf.args(["--setopt=plugins=0", "--releasever=1", "-y"]);
                dnf
            }
            Family::Zypper => {
                let mut zypper = Command::new("zypper");
                zypper.arg("--root").arg(root).arg("--non-interactive");
                zypper
            }
        };
        command.env("HOME", "/root").env("LC_ALL", "C").args(arguments).output().unwrap()
    }
}

fn an_rpm_repository_comes_with_its_key_and_its_packages_with_the_next_change(family: Family) {
    let theirs = theirs();
    let mut bench = bare(family);
    let wanted = vendor(&theirs, &theirs.armored_key());
    let before = bench.snapshot();
    let planned = wanted.planned(&mut bench.machine).unwrap();
    assert_eq!(bench.snapshot(), before, "planning changes nothing");
    bench.believes(&[]);
    let [action] = planned.actions.as_slice() else { panic!("{:#?}", planned.actions) };
    assert_eq!((action.verb.as_str(), action.resource.as_str()), ("create", "package_repository:vendor"));
    assert!(
        planned.notes[0].starts_with("package:tool is not part of this plan: it waits for"),
        "{planned:?}"
    );
    let diff = action.diff.as_deref().unwrap();
    for line in ["+[vendor]", "+gpgcheck=1", "+repo_gpgcheck=1", "+-----BEGIN PGP PUBLIC KEY BLOCK-----"] {
        assert!(diff.contains(line), "{diff}");
    }
    assert_eq!(action.undo.undo, UndoContract::Yes, "{action:#?}");
    assert_eq!(
        action.summary.contains("let rpm believe the key of"),
        family == Family::Zypper,
        "{action:#?}"
    );
    bench.does(&wanted);
    let dir = if family == Family::Dnf { "etc/yum.repos.d" } else { "etc/zypp/repos.d" };
    let text = bench.text(&format!("{dir}/assent-vendor.repo"));
    assert!(!text.contains("gpgcheck=0") && text.contains("/etc/pki/rpm-gpg/assent-vendor-"), "{text}");
    assert_eq!(bench.key_files().len(), 1);
    // zypper knows no key but those of rpm; for dnf the file is enough, and counts for this source only.
    bench.knows(&theirs);
    let next = wanted.planned(&mut bench.machine).unwrap();
    assert_eq!(summaries(&next.actions), ["install tool 2.0-1 (vendor)"]);
    assert_eq!(next.notes, Vec::<String>::new());
    bench.does(&wanted);
    assert_eq!(bench.installed(), ["tool 2.0-1"]);
    assert_eq!(wanted.plan(&mut bench.machine).unwrap(), []);
    // Gone again with its key; what was installed stays.
    bench.does(&gone());
    assert_eq!(
        (bench.key_files(), bench.text(&format!("{dir}/assent-vendor.repo"))),
        (vec![], String::new())
    );
    bench.believes(&[]);
    assert_eq!(bench.installed(), ["tool 2.0-1"]);
    assert_eq!(gone().plan(&mut bench.machine).unwrap(), []);
}

fn another_key_than_the_one_that_signs_is_refused_and_the_one_before_is_forgotten(family: Family) {
    let (theirs, other) = (theirs(), Repo::new());
    let mut bench = bare(family);
    // From the start, and after the right one was there.
    bench.does(&vendor(&theirs, &other.armored_key()));
    let why = bench.refusal();
    assert!(why.contains("vendor"), "{family:?}: {why}");
    bench.does(&only(&theirs, &theirs.armored_key(), Value::Null));
    assert_eq!(patch(json!({ "select": "all" })).plan(&mut bench.machine).unwrap(), [], "{family:?}");
    bench.does(&only(&theirs, &other.armored_key(), Value::Null));
    let why = bench.refusal();
    assert!(why.contains("vendor"), "{family:?}: {why}");
    assert_eq!(bench.key_files().len(), 1, "the file of the key before is gone");
    bench.knows(&other);
    assert_eq!(bench.installed(), [""; 0]);
}

fn tampered_lists_of_an_rpm_repository_are_refused(family: Family) {
    let theirs = theirs();
    let mut bench = bare(family);
    let wanted = vendor(&theirs, &theirs.armored_key());
    bench.does(&wanted);
    for path in [theirs.index(), theirs.primary(), theirs.path("repo/repodata/repomd.xml.asc")] {
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        fs::write(&path, &bad).unwrap();
        let refused = wanted.plan(&mut bench.machine).unwrap_err();
        assert!(refused.message.contains("vendor"), "{family:?} {}: {refused}", path.display());
        fs::write(&path, good).unwrap();
        assert_eq!(wanted.plan(&mut bench.machine).unwrap().len(), 1, "{family:?} {}", path.display());
    }
}

fn packages_of_unsigned_lists_are_signed_all_the_same(family: Family) {
    let theirs = theirs();
    theirs.add(&Rpm { unsigned: true, ..package("naked", "1.0-1", "") }).publish();
    for name in ["repomd.xml.asc", "repomd.xml.key"] {
        fs::remove_file(theirs.path("repo/repodata").join(name)).unwrap();
    }
    let mut bench = bare(family);
    bench.does(&vendor(&theirs, &theirs.armored_key()));
    let why = bench.refusal();
    assert!(why.contains("vendor"), "{family:?}: {why}");
    bench.does(&only(&theirs, &theirs.armored_key(), json!({ "repo_gpgcheck": false })));
    bench.does(&site(packages(&[("tool", "2.0-1")])));
    assert_eq!(bench.installed(), ["tool 2.0-1"]);
    match site(packages(&[("naked", "1.0-1")])).apply(&mut bench.machine, &mut bench.journal) {
        Err(Stopped::Refused(refused)) => assert!(refused.message.contains("sign"), "{family:?}: {refused}"),
        other => panic!("{family:?}: {other:?}"),
    }
    assert_eq!(bench.installed(), ["tool 2.0-1"]);
}

fn an_rpm_repository_of_a_failed_run_is_taken_back(family: Family) {
    let theirs = theirs();
    let mut bench = bare(family);
    let before = bench.snapshot();
    let outcome = bench.apply(&failing(source(&[theirs.url()], &theirs.armored_key(), Value::Null)));
    assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
    assert_eq!(bench.snapshot(), before);
    bench.believes(&[]);
}

fn a_removed_rpm_repository_comes_back_with_its_key_when_the_run_fails(family: Family) {
    let theirs = theirs();
    let mut bench = bare(family);
    let wanted = vendor(&theirs, &theirs.armored_key());
    bench.does(&wanted);
    let before = bench.snapshot();
    let absent = json!([{ "package_repository": { "name": "vendor", "state": "absent" } }]);
    let undo = gone().plan(&mut bench.machine).unwrap().remove(0).undo;
    let contract = if family == Family::Zypper { UndoContract::Partly } else { UndoContract::Yes };
    assert_eq!(undo.undo, contract, "{undo:?}");
    let outcome = bench.apply(&failing(absent));
    assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
    assert_eq!(bench.snapshot(), before);
    bench.knows(&theirs);
    bench.does(&wanted);
    assert_eq!(bench.installed(), ["tool 2.0-1"]);
}

fn what_does_not_fit_an_rpm_host_is_refused_with_what_to_do(family: Family) {
    let theirs = theirs();
    let mut bench = bare(family);
    let deb = json!({ "suites": ["stable"], "components": ["main"] });
    let refused =
        site(source(&[theirs.url()], &theirs.armored_key(), deb)).plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("has suites, so it is a source of apt, and this host has"), "{refused}");
    assert!(refused.message.contains("uris and key only"), "{refused}");
    // Another file describes the name.
    let dir = if family == Family::Dnf { "/etc/yum.repos.d" } else { "/etc/zypp/repos.d" };
    let other = format!("{dir}/other.repo");
    fs::write(bench.root.path(&other[1..]), "[vendor]\nname=x\nenabled=0\nbaseurl=file:///srv\n").unwrap();
    let wanted = vendor(&theirs, &theirs.armored_key());
    let refused = wanted.plan(&mut bench.machine).unwrap_err();
    assert!(
        refused.message.contains(&format!("{other} describes a repository [vendor] already")),
        "{refused}"
    );
    // As the message says.
    let mut both =
        source(&[theirs.url()], &theirs.armored_key(), json!({ "requires": [format!("file:{other}")] }));
    both.as_array_mut().unwrap().push(json!({ "file": { "path": other, "state": "absent" } }));
    bench.does(&site(both));
    assert!(bench.text(&format!("{dir}/assent-vendor.repo")[1..]).contains("[vendor]"));
}

/// dnf takes the key from the file when it first needs it; zypper has it already.
fn the_host_s_own_package_manager_uses_the_source_as_it_is(family: Family) {
    let theirs = theirs();
    let mut bench = bare(family);
    bench.does(&vendor(&theirs, &theirs.armored_key()));
    let ran = bench.by_hand(&["install", "extra"]);
    assert!(ran.status.success(), "{family:?}: {ran:?}");
    assert_eq!(bench.installed(), ["extra 1.0-1"]);
    bench.believes(&[&theirs]);
    // A key that a file of somebody else brings is not taken from it.
    if family == Family::Zypper {
        fs::create_dir_all(bench.root.path("usr/lib/rpm/gnupg/keys")).unwrap();
        let copy = bench.root.path("usr/lib/rpm/gnupg/keys/gpg-pubkey-x.asc");
        fs::write(copy, theirs.armored_key()).unwrap();
        bench.does(&gone());
        bench.believes(&[&theirs]);
    }
    // And rpm itself agrees with the package.
    let file = theirs.file("extra", "1.0-1");
    let mut checksig = rpm(&bench.root);
    run(checksig.arg("--checksig").arg(file));
}

fn a_mirror_takes_over_where_an_rpm_repository_is_gone(family: Family) {
    let theirs = theirs();
    let mut bench = bare(family);
    // dnf takes a source for a directory of this machine when its first address is one.
    let web = serve(theirs.path("repo"));
    let uris = match family {
        Family::Dnf => ["http://127.0.0.1:9/".to_owned(), web.url.clone()],
        Family::Zypper => ["file:///nothing/here".to_owned(), theirs.url()],
    };
    let wanted = site(source(&uris, &theirs.armored_key(), Value::Null));
    bench.does(&wanted);
    bench.does(&wanted);
    assert_eq!(bench.installed(), ["tool 2.0-1"]);
}
