//! Random manifests of every kind that a private root can carry, two after each other on a random root: planning
//! leaves no trace, what changes was planned, a second run has nothing to do, and undo leaves the state before.

use super::archives::archive;
use super::crash::{OTHER_ROOT, ROOT};
use super::external;
use super::files::Bench;
use super::support::tree::Tree;
use super::system::LEAF;
use agent::host::{Host as _, Machine};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::{Value, json};
use shared::digest::Digest;
use shared::manifest::{Manifest, Resource};
use shared::plan::{Action, Verb};
use shared::receipt::{HostOutcome, StepStatus};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

/// Paths of ordinary things; those below `/srv/d` come and go with it.
const PATHS: [&str; 12] = [
    "/opt/app",
    "/home/web/.ssh",
    "/etc/sudoers.d",
    "/etc/systemd/system/app.service.d",
    "/srv/a",
    "/srv/b",
    "/srv/c",
    "/srv/d",
    "/srv/d/a",
    "/srv/d/b",
    "/srv/d/e",
    "/srv/d/e/a",
];
/// Files that kinds of their own write.
const SPECIAL: [&str; 9] = [
    "/etc/hostname",
    "/etc/timezone",
    "/etc/fstab",
    "/etc/sudoers.d/web",
    "/etc/sysctl.d/95-assent.conf",
    "/etc/systemd/system/job.timer",
    "/etc/systemd/system/app.service.d/x.conf",
    "/etc/modprobe.d/assent-cramfs.conf",
    "/home/web/.ssh/authorized_keys",
];
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6eR4sCRB0gVZgzy8nW0+8mDqnnFhzuLGJ4ZKoWMHgQ";

/// What somebody did to the root before the first run.
#[derive(Clone, Debug)]
enum Dirt {
    File(String, String, u32),
    Directory(String, u32),
    Link(String),
    Acl(String, String),
    Owner(String, u32),
}

fn mode() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0o644), Just(0o600), Just(0o755), Just(0o4750), Just(0o2770), Just(0o1777)]
}

fn path() -> impl Strategy<Value = String> {
    proptest::sample::select(PATHS.as_slice()).prop_map(str::to_owned)
}

fn perms() -> impl Strategy<Value = String> {
    proptest::sample::select(&["rwx", "r--", "---", "r-x"][..]).prop_map(str::to_owned)
}

fn dirt() -> impl Strategy<Value = Dirt> {
    let special = proptest::sample::select(SPECIAL.as_slice()).prop_map(str::to_owned);
    let text = || prop_oneof![Just(String::new()), "[abk=\n]{1,12}", Just("# mine\nk = v\n".to_owned())];
    let lists = proptest::sample::select(
        &["u:33:rwx", "g:33:r,m::r", "u:7:rw", "d:u:33:rwx,d:o::-", "d:g:7:r,u:7:r"][..],
    );
    prop_oneof![
        4 => (path(), text(), mode()).prop_map(|(p, t, m)| Dirt::File(p, t, m)),
        3 => (special, text(), mode()).prop_map(|(p, t, m)| Dirt::File(p, t, m)),
        3 => (path(), mode()).prop_map(|(p, m)| Dirt::Directory(p, m)),
        1 => path().prop_map(Dirt::Link),
        3 => (path(), lists).prop_map(|(p, l)| Dirt::Acl(p, l.to_owned())),
        1 => (path(), prop_oneof![Just(33), Just(4711)]).prop_map(|(p, o)| Dirt::Owner(p, o)),
    ]
}

impl Dirt {
    /// What does not fit what is there by now is left out.
    fn put(&self, bench: &Bench) {
        let at = |path: &str| bench.path(path.trim_start_matches('/'));
        let done = match self {
            Self::File(path, text, mode) => fs::create_dir_all(at(path).parent().unwrap())
                .and_then(|()| fs::write(at(path), text))
                .and_then(|()| fs::set_permissions(at(path), fs::Permissions::from_mode(*mode))),
            Self::Directory(path, mode) => fs::create_dir_all(at(path))
                .and_then(|()| fs::set_permissions(at(path), fs::Permissions::from_mode(*mode))),
            Self::Link(path) => symlink("a", at(path)),
            Self::Acl(path, list) => {
                if at(path).exists() {
                    Command::new("setfacl").args(["-m", list]).arg(at(path)).output().unwrap();
                }
                Ok(())
            }
            Self::Owner(path, owner) => chown(at(path), Some(*owner), Some(*owner)),
        };
        // A file where a directory is, and the like.
        drop(done);
    }
}

fn optional(key: &'static str, value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    proptest::option::of(value).prop_map(move |value| value.map_or(json!({}), |value| json!({ key: value })))
}

fn octal() -> impl Strategy<Value = Value> {
    mode().prop_map(|mode| json!(format!("{mode:04o}")))
}

fn owner() -> impl Strategy<Value = Value> {
    proptest::sample::select(&["web", "root", "deploy"][..]).prop_map(|name| json!(name))
}

/// One kind with these keys together.
fn resource(kind: &'static str, parts: impl Into<Vec<Value>>) -> Value {
    let mut all = serde_json::Map::new();
    parts.into().into_iter().for_each(|part| all.extend(part.as_object().unwrap().clone()));
    json!({ kind: all })
}

/// Files, directories and what is in them.
fn ordinary() -> impl Strategy<Value = Value> {
    let text = prop_oneof![Just(String::new()), "[a-c\n]{1,12}", Just("# mine\nk = v\n".to_owned())];
    let entries = || {
        let subject =
            proptest::sample::select(&["user:web", "group:web", "user:", "other:", "mask:", "group:ops"][..]);
        proptest::collection::btree_map(subject, perms(), 0..3)
            .prop_map(|all| json!(all.iter().map(|(of, perms)| format!("{of}:{perms}")).collect::<Vec<_>>()))
    };
    let file = (path(), text, optional("mode", octal()), optional("owner", owner()))
        .prop_map(|(p, t, m, o)| resource("file", [json!({ "path": p, "content": t }), m, o]));
    let gone = path().prop_map(|p| resource("file", [json!({ "path": p, "state": "absent" })]));
    let recurse = (optional("owner", owner()), optional("file_mode", octal()), octal())
        .prop_map(|(o, f, d)| resource("recurse", [o, f, json!({ "directory_mode": d })])["recurse"].clone());
    let directory = (path(), optional("mode", octal()), optional("recurse", recurse), any::<bool>())
        .prop_map(|(p, m, r, purge)| resource("directory", [json!({ "path": p, "purge": purge }), m, r]));
    let link = (path(), any::<bool>()).prop_map(|(p, there)| {
        let rest = if there { json!({ "target": "b" }) } else { json!({ "state": "absent" }) };
        resource("symlink", [json!({ "path": p }), rest])
    });
    let acl = (path(), entries(), entries(), any::<bool>()).prop_map(|(p, a, d, purge)| {
        resource("acl", [json!({ "path": p, "access": a, "default": d, "purge": purge })])
    });
    let line = (path(), "[abc]{1,2}", any::<bool>()).prop_map(|(p, l, there)| {
        let rest = if there { json!({ "create": true }) } else { json!({ "state": "absent" }) };
        resource("line", [json!({ "path": p, "name": "n", "line": l }), rest])
    });
    let block = (path(), "[ab\n]{0,4}").prop_map(|(p, c)| {
        resource("block", [json!({ "path": p, "name": "n", "content": c, "create": true })])
    });
    let setting = (path(), any::<bool>()).prop_map(|(p, there)| {
        let rest = if there { json!({ "value": "v", "create": true }) } else { json!({ "state": "absent" }) };
        resource("setting", [json!({ "path": p, "key": "k" }), rest])
    });
    prop_oneof![4 => file, 1 => gone, 4 => directory, 1 => link, 4 => acl, 1 => line, 1 => block, 1 => setting]
}

/// Kinds of the system, which choose their files themselves.
fn special() -> impl Strategy<Value = Value> {
    let there = any::<bool>();
    let state = |there: bool, rest: Value| if there { rest } else { json!({ "state": "absent" }) };
    let named = move |kind: &'static str, fixed: Value, rest: Value| {
        there.prop_map(move |there| resource(kind, [fixed.clone(), state(there, rest.clone())]))
    };
    let value = |values: &'static [&'static str]| proptest::sample::select(values);
    let sudoers =
        named("sudoers", json!({ "name": "web" }), json!({ "content": "web ALL=(root) /bin/true\n" }));
    let timer = named(
        "timer",
        json!({ "name": "job" }),
        json!({ "on_calendar": ["daily"], "run": ["/bin/true"], "user": "web" }),
    );
    let dropin =
        named("dropin", json!({ "unit": "app", "name": "x" }), json!({ "content": "[Service]\nNice=5\n" }));
    let repository = named(
        "package_repository",
        json!({ "name": "vendor" }),
        json!({ "uris": ["https://packages.example.org"], "suites": ["stable"], "components": ["main"],
                "key": include_str!("../../../shared/src/manifest/golden/repository.asc") }),
    );
    let mount = named(
        "mount",
        json!({ "path": "/srv/c" }),
        json!({ "source": "tmpfs", "fstype": "tmpfs", "options": ["nosuid"] }),
    );
    let group = named("group", json!({ "name": "ops" }), json!({ "gid": 1500 }));
    let user =
        named("user", json!({ "name": "deploy" }), json!({ "uid": 1600, "home": "/srv", "groups": ["adm"] }));
    let keys = named("authorized_keys", json!({ "user": "web" }), json!({ "keys": [KEY] }));
    let module = value(&["loaded", "blocked", "absent"])
        .prop_map(|state| resource("kernel_module", [json!({ "name": "cramfs", "state": state })]));
    let sysctl = value(&["0", "1"])
        .prop_map(|value| resource("sysctl", [json!({ "key": "net.ipv4.ip_forward", "value": value })]));
    let name = value(&["web1", "web2"]).prop_map(|name| resource("hostname", [json!({ "name": name })]));
    let zone =
        value(&["Europe/Berlin", "Etc/UTC"]).prop_map(|zone| resource("timezone", [json!({ "zone": zone })]));
    let level = (1..4).prop_map(|level| json!({ "test-external": level }));
    let unpacked = (0..3).prop_map(|which| json!({ "test-archive": which }));
    let certificate = value(&["", ROOT, OTHER_ROOT]).prop_map(|pem| {
        let rest = if pem.is_empty() { json!({ "state": "absent" }) } else { json!({ "content": pem }) };
        resource("certificate", [json!({ "name": "root" }), rest])
    });
    prop_oneof![
        2 => sudoers, 1 => timer, 1 => dropin, 2 => repository, 2 => mount, 2 => group, 2 => user, 2 => keys,
        2 => module, 2 => sysctl, 2 => name, 2 => zone, 1 => level, 4 => unpacked, 1 => certificate
    ]
}

fn wishes() -> impl Strategy<Value = Vec<Value>> {
    proptest::collection::vec(prop_oneof![3 => ordinary(), 2 => special()], 1..9)
}

/// A root on which every kind could be at work.
fn prepared() -> Bench {
    let bench = Bench::new();
    let put = |path: &str, text: &str, mode: u32| {
        fs::create_dir_all(bench.path(path).parent().unwrap()).unwrap();
        fs::write(bench.path(path), text).unwrap();
        fs::set_permissions(bench.path(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    put("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nweb:x:33:33::/home/web:/bin/sh\n", 0o644);
    put("etc/group", "root:x:0:\nadm:x:4:web\nweb:x:33:\n", 0o644);
    put("etc/shadow", "root:*:19000:0:99999:7:::\nweb:!:19000::::::\n", 0o640);
    put("etc/gshadow", "root:*::\nadm:*::web\nweb:!::\n", 0o640);
    put("usr/share/zoneinfo/Europe/Berlin", "", 0o644);
    put("usr/share/zoneinfo/Etc/UTC", "", 0o644);
    put("lib/systemd/system/app.service", "[Service]\nExecStart=/bin/sleep 60\n", 0o644);
    // Stands in for visudo, which the machine need not have.
    put("usr/sbin/visudo", "#!/bin/sh\ntest -r \"$2\"\n", 0o755);
    put("etc/ca-certificates.conf", "base.crt\n", 0o644);
    put("usr/share/ca-certificates/base.crt", LEAF, 0o644);
    for dir in [
        "home/web",
        "opt",
        "etc/systemd/system",
        "etc/sysctl.d",
        "etc/sudoers.d",
        "etc/apt/sources.list.d",
        "etc/ssl/certs",
        "etc/modules-load.d",
        "usr/share/ca-certificates",
        "usr/local/share/ca-certificates",
    ] {
        fs::create_dir_all(bench.path(dir)).unwrap();
    }
    bench
}

/// The first resources that go together as one manifest.
fn fitting(bench: &Bench, wishes: &[Value]) -> Vec<Value> {
    let mut fitting: Vec<Value> = Vec::new();
    let mut edited = BTreeSet::new();
    for wish in wishes {
        let wish = match (wish.get("test-external"), wish.get("test-archive").and_then(Value::as_u64)) {
            (Some(level), _) => {
                let mut own = external::resource(bench, &external::dsc(), json!({ "level": level }));
                own["restore"] = json!(true);
                json!({ "external": own })
            }
            (_, Some(0)) => json!({ "archive": { "path": "/opt/app", "state": "absent" } }),
            (_, Some(which)) => {
                let first: &[(&str, &str)] = &[("bin/tool", "one"), ("lib/x", "x"), ("now", "->bin/tool")];
                let second: &[(&str, &str)] = &[("bin/tool", "two"), ("conf", "c"), ("now", "->conf")];
                let mut own = archive(
                    &bench.path("var/lib/assent/artifacts"),
                    if which == 1 { first } else { second },
                    json!({}),
                );
                own["archive"]["path"] = json!("/opt/app");
                own
            }
            _ => wish.clone(),
        };
        let text =
            |all: &[Value]| json!({ "manifest": "base", "version": "1.0.0", "resources": all }).to_string();
        let with: Vec<Value> = fitting.iter().cloned().chain([wish.clone()]).collect();
        let Ok(manifest) = Manifest::from_json(text(&with).as_bytes()) else { continue };
        // Edits of one file may contradict each other; they have a test of their own.
        let kind = wish.as_object().unwrap().keys().next().unwrap().clone();
        let edits = manifest.resources().last().and_then(Resource::edits).map(str::to_owned);
        let once = ["line", "block", "setting"].contains(&kind.as_str());
        if once && !edits.is_none_or(|path| edited.insert(path)) {
            continue;
        }
        fitting = with;
    }
    fitting
}

/// The paths that an action may change: its own, what it edits, and directories that it makes for them.
fn covers(action: &Action, resources: &BTreeMap<String, Resource>, path: &str, machine: &Machine) -> bool {
    let id = action.resource.as_str();
    // A path counts as what it leads to.
    let real = |own: &str| {
        let (parent, name) = own.rsplit_once('/').unwrap();
        let parent = machine.real(if parent.is_empty() { "/" } else { parent }).unwrap();
        parent.map_or(own.to_owned(), |parent| format!("{}/{name}", parent.trim_end_matches('/')))
    };
    if let Some(entry) = id.strip_prefix("entry:") {
        return path == real(entry);
    }
    let Some(resource) = resources.get(id) else { return false };
    let mut own: Vec<String> = resource.paths().map(Into::into).collect();
    own.extend(resource.edits().map(str::to_owned));
    match resource {
        Resource::Acl(acl) => own.push(acl.path.to_string()),
        Resource::Archive(archive) => {
            if path.starts_with(&format!("{}/", archive.path)) {
                return true;
            }
            own.push(archive.path.to_string());
        }
        Resource::User(_) | Resource::Group(_) => {
            own.extend(["passwd", "group", "shadow", "gshadow"].map(|table| format!("/etc/{table}")));
        }
        Resource::AuthorizedKeys(_) => own.push("/home/web/.ssh/authorized_keys".into()),
        Resource::Mount(mount) => own.push(mount.path.to_string()),
        Resource::Timezone(_) => own.push("/etc/timezone".into()),
        Resource::Certificate(_) if path.starts_with("/etc/ssl/certs") => return true,
        Resource::PackageRepository(_) if path.starts_with("/etc/apt/keyrings") => return true,
        Resource::External(_) => own.push("/srv/state.json".into()),
        _ => {}
    }
    own.extend(own.iter().map(|own| real(own)).collect::<Vec<_>>());
    let makes_directories =
        !matches!(resource, Resource::File(_) | Resource::Directory(_) | Resource::Acl(_));
    own.iter().any(|own| own == path || (makes_directories && own.starts_with(&format!("{path}/"))))
}

/// The root without the record of what a program was asked.
fn tree(bench: &Bench) -> Tree {
    let mut tree = bench.tree();
    tree.remove("/srv/log");
    tree
}

fn round(
    bench: &mut Bench,
    wishes: &[Value],
    fails: bool,
    applied: &RefCell<BTreeMap<String, usize>>,
) -> Result<(), TestCaseError> {
    let fitting = fitting(bench, wishes);
    let whole = bench.untouched();
    let mut all: Vec<Value> = Vec::new();
    for wish in fitting {
        // What is in the way of one resource is in the way of the whole plan.
        all.push(wish);
        if bench.site(Value::from(all.clone())).plan(&mut bench.machine).is_err() {
            all.pop();
        }
    }
    prop_assert!(bench.untouched() == whole, "planning leaves a trace");
    if all.is_empty() {
        return Ok(());
    }
    let site = bench.site(Value::from(all.clone()));
    let resources: BTreeMap<String, Resource> =
        site.manifests[0].resources().iter().map(|own| (own.id().to_string(), own.clone())).collect();
    let before = tree(bench);
    let plan = site.plan(&mut bench.machine).unwrap();
    prop_assert_eq!(&plan, &site.plan(&mut bench.machine).unwrap());
    for action in &plan {
        let kind = action.resource.as_str().split(':').next().unwrap().to_owned();
        *applied.borrow_mut().entry(kind).or_default() += 1;
    }
    if fails {
        all.push(json!({ "command": { "name": "fail", "run": ["/bin/false"], "needed": "always", "undo": ["/bin/true"] } }));
        let outcome =
            bench.site(Value::from(all.clone())).apply(&mut bench.machine, &mut bench.journal).unwrap();
        let notes: Vec<_> = outcome.results.iter().map(|r| (r.resource.as_str(), r.note.as_str())).collect();
        prop_assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{} {:?}", outcome.note, notes);
        prop_assert!(outcome.note.contains("command:fail"), "a planned step failed: {}", outcome.note);
        let after = tree(bench);
        let paths = before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path));
        let left: Vec<_> = paths.map(|path| (path, before.get(path), after.get(path))).collect();
        prop_assert!(left.is_empty(), "not as before: {:#?}", left);
        bench.journal.receipt_made(Digest::of(b"r")).unwrap();
        return Ok(());
    }
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    bench.journal.receipt_made(Digest::of(b"r")).unwrap();
    let after = tree(bench);
    let asked = |n: usize| plan[n].verb == Verb::Run && outcome.results[n].status == StepStatus::Unneeded;
    let done = |n: usize| outcome.results[n].status == StepStatus::Done || asked(n);
    let shown: Vec<&str> = plan.iter().map(|action| action.summary.as_str()).collect();
    let went: Vec<_> =
        outcome.results.iter().map(|r| (r.resource.as_str(), r.status, r.note.as_str())).collect();
    prop_assert!((0..plan.len()).all(done), "{}: {:#?} {:#?}", outcome.note, shown, went);
    for path in before.keys().chain(after.keys()) {
        let changed = before.get(path) != after.get(path);
        let planned = plan.iter().any(|action| covers(action, &resources, path, &bench.machine));
        prop_assert!(!changed || planned, "{} was not planned: {:#?}", path, shown);
    }
    let again = site.plan(&mut bench.machine).map(|mut plan| {
        plan.retain(|action| action.verb != Verb::Run);
        plan.into_iter().map(|action| action.summary).collect::<Vec<_>>()
    });
    prop_assert_eq!(again, Ok(vec![]), "a second run has something to do after {:#?}", shown);
    Ok(())
}

/// The same cases in every run; with `ASSENT_TEST_CASES` that many others.
pub fn runner(cases: u32, shrinks: u32) -> TestRunner {
    let more = std::env::var("ASSENT_TEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = ProptestConfig {
        cases: more.unwrap_or(cases),
        failure_persistence: None,
        max_shrink_iters: shrinks,
        ..ProptestConfig::default()
    };
    match more {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    }
}

#[test]
fn every_kind_does_what_its_plan_says_and_takes_it_back() {
    let applied = RefCell::new(BTreeMap::new());
    let case = (proptest::collection::vec(dirt(), 0..10), wishes(), wishes(), any::<bool>());
    let run = runner(64, 400).run(&case, |(dirt, first, second, fails)| {
        let mut bench = prepared();
        if first.iter().chain(&second).any(|wish| wish.get("certificate").is_some()) {
            // As the host itself made its store; the program makes none of no certificate at all.
            bench.machine.refresh_trust().unwrap();
        }
        dirt.iter().for_each(|dirt| dirt.put(&bench));
        round(&mut bench, &first, false, &applied)?;
        round(&mut bench, &second, fails, &applied)
    });
    if let Err(error) = run {
        panic!("{error}");
    }
    if std::env::var_os("ASSENT_TEST_CASES").is_some() {
        println!("{:?}", applied.borrow());
    }
    // A property of nothing but refused plans says nothing.
    let applied = applied.into_inner();
    for kind in [
        "file",
        "directory",
        "entry",
        "symlink",
        "acl",
        "line",
        "block",
        "setting",
        "sudoers",
        "timer",
        "dropin",
        "package_repository",
        "mount",
        "group",
        "user",
        "authorized_keys",
        "kernel_module",
        "sysctl",
        "hostname",
        "timezone",
        "external",
        "archive",
        "certificate",
    ] {
        assert!(applied.get(kind).is_some_and(|times| *times > 0), "no plan about {kind}: {applied:?}");
    }
}

#[test]
fn the_tools_that_kinds_need_are_there() {
    for tool in ["/usr/sbin/update-ca-certificates", "/usr/bin/systemd-analyze", "/usr/bin/setfacl"] {
        assert!(Path::new(tool).exists(), "{tool} is missing; tests/run installs it");
    }
}
