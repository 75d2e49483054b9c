//! The key ceremony: what lies where, what the server gets, what the documents prove.

use crate::{INIT, PASSPHRASE, empty, expect, new_site};
use shared::bundle::Control;
use shared::digest::{Digest, hex};
use shared::keys::{AnyKey, SigningKey};
use shared::policy::{Policy, Role as PolicyRole};
use shared::strict;
use shared::time::Timestamp;
use shared::tuf::client::{Step, Stored, start};
use shared::tuf::{Role, Signed, TargetFile, TargetName, writer};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![dir.to_owned()];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(tree(&path)) } else { all.push(path) }
    }
    all
}

fn read(dir: &Path, name: &str) -> Vec<u8> {
    fs::read(dir.join("site").join(name)).unwrap()
}

fn key(dir: &Path, name: &str) -> SigningKey {
    let pem = String::from_utf8(read(dir, name)).unwrap();
    SigningKey::from_pem(&pem, Some(PASSPHRASE)).unwrap()
}

fn policy(dir: &Path) -> Policy {
    Policy::parse(&read(dir, "server/site/policy.json")).unwrap()
}

#[test]
fn every_file_is_private_and_the_layout_is_the_documented_one() {
    let dir = new_site();
    let site = dir.path().join("site");
    let mut names = Vec::new();
    for path in tree(&site) {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
        if path.is_file() {
            names.push(path.strip_prefix(&site).unwrap().display().to_string());
        }
    }
    names.sort();
    assert_eq!(
        names,
        [
            "ca.crt",
            "cli.toml",
            "keys/api-token",
            "keys/approver.pem",
            "keys/governance.pem",
            "keys/publisher.pem",
            "server/bootstrap.json",
            "server/first-start",
            "server/keys/log.key",
            "server/keys/online.key",
            "server/server.toml",
            "server/site/1.content.main.json",
            "server/site/1.root.json",
            "server/site/1.targets.json",
            "server/site/policy.json",
            "server/tls/agents.crt",
            "server/tls/agents.key",
            "server/tls/ca.crt",
            "server/tls/ca.key",
            "server/tls/people.crt",
            "server/tls/people.key",
            "trust/root.json",
        ]
    );
    let recovery = fs::metadata(dir.path().join("recovery.txt")).unwrap().permissions().mode() & 0o777;
    assert_eq!(recovery, 0o600);
}

/// The server's directory holds neither a key of a person or of governance, nor the person's token.
#[test]
fn the_server_gets_nothing_that_can_start_a_change() {
    let dir = new_site();
    let policy = policy(dir.path());
    let root = Signed::<shared::tuf::Root>::parse(&Role::Root, &read(dir.path(), "server/site/1.root.json"))
        .unwrap();
    let mut powerful: Vec<AnyKey> =
        policy.persons.iter().flat_map(|p| p.keys.iter().map(|k| k.public)).collect();
    let governance = root.signed.roles.root.keyids.iter();
    powerful.extend(governance.map(|id| AnyKey::from(*root.signed.keys.get(id).unwrap().public())));
    assert_eq!(powerful.len(), 4);
    let token = String::from_utf8(read(dir.path(), "keys/api-token")).unwrap();
    let mut opened = 0;
    for path in tree(&dir.path().join("site/server")).into_iter().filter(|path| path.is_file()) {
        let content = String::from_utf8(fs::read(&path).unwrap()).unwrap();
        assert!(!content.contains(token.trim()), "{}", path.display());
        assert!(!content.contains("ENCRYPTED"), "{}", path.display());
        if let Ok(key) = SigningKey::from_pem(&content, None) {
            opened += 1;
            assert!(!powerful.contains(&key.public().into()), "{}", path.display());
        }
    }
    assert_eq!(opened, 2, "online and log key");
}

#[test]
fn the_policy_says_honestly_that_one_person_decides() {
    let dir = new_site();
    let policy = policy(dir.path());
    assert!(policy.one_person);
    let lead = "lead".parse().unwrap();
    let now = Timestamp(4_000_000_000);
    for role in [PolicyRole::Author, PolicyRole::Approver, PolicyRole::Publisher] {
        assert_eq!(policy.keys_for(&lead, role, now).len(), 1, "{role:?}");
    }
    let approver = policy.keys_for(&lead, PolicyRole::Approver, now)[0].public;
    assert_eq!(approver, key(dir.path(), "keys/approver.pem").public().into());
    assert_ne!(approver, policy.keys_for(&lead, PolicyRole::Publisher, now)[0].public);
    assert_eq!((policy.rules.len(), policy.rules[0].require.approvals), (1, 1));
    assert!(policy.rules[0].require.distinct_from.is_empty());
}

/// The client of agents and of this command accepts the repository once the server's key has signed its part.
#[test]
fn the_repository_verifies_with_the_shared_client() {
    let dir = new_site();
    let [root, targets, content, policy] =
        ["1.root.json", "1.targets.json", "1.content.main.json", "policy.json"]
            .map(|name| read(dir.path(), &format!("server/site/{name}")));
    let toml = String::from_utf8(read(dir.path(), "cli.toml")).unwrap();
    let digest = Digest::of(&root);
    assert!(toml.contains(&format!("site = \"{}\"", hex(&digest.0[..8]))), "{toml}");
    assert!(toml.contains(&format!("root_sha256 = \"{digest}\"")), "{toml}");
    assert_eq!(read(dir.path(), "trust/root.json"), root);

    let online = key(dir.path(), "server/keys/online.key");
    let now = self::policy(dir.path()).issued;
    let control = strict::to_json(&Control::default());
    let files = [(TargetName::Control, TargetFile::of(&control))].into_iter().collect();
    let changes = Signed::by(writer::changes(1, now.plus(600), files).unwrap(), &[&online]).to_bytes();
    let main: Role = "content.main".parse().unwrap();
    let pinned = [(Role::Targets, &targets[..]), (Role::Changes, &changes[..]), (main, &content[..])];
    let snapshot = writer::snapshot(1, now.plus(600), None, &pinned).unwrap();
    let snapshot = Signed::by(snapshot, &[&online]).to_bytes();
    let timestamp = writer::timestamp(1, now.plus(600), now, &snapshot).unwrap();
    let timestamp = Signed::by(timestamp, &[&online]).to_bytes();
    let served = BTreeMap::from([
        ("timestamp.json", timestamp),
        ("1.snapshot.json", snapshot),
        ("1.targets.json", targets),
        ("1.changes.json", changes),
        ("1.content.main.json", content),
    ]);
    let mut step = start(Stored { root, others: BTreeMap::new() }, now).unwrap();
    let trusted = loop {
        step = match step {
            Step::Fetch(fetch) => match served.get(fetch.name()).cloned() {
                Some(bytes) => fetch.found(&bytes),
                None => fetch.not_found(),
            },
            Step::Store(store) => store.stored(),
            Step::Stale(_) => panic!("nothing is older than the first"),
            Step::Done(trusted) => break *trusted,
        }
        .unwrap();
    };
    trusted.policy().unwrap().check(&"policy.json", &policy).unwrap();
    let roots = trusted.root().roles.root.clone();
    assert_eq!((roots.threshold, roots.keyids.len()), (1, 2));
    assert!(trusted.expiries().iter().all(|(_, at)| *at > now));
}

#[test]
fn a_second_init_and_an_interrupted_one_are_named() {
    let dir = new_site();
    let before = read(dir.path(), "cli.toml");
    let (_, err) = expect(dir.path(), 1, &INIT);
    assert!(err.contains("site holds a site already"), "{err}");
    assert_eq!(read(dir.path(), "cli.toml"), before);

    fs::remove_file(dir.path().join("site/cli.toml")).unwrap();
    fs::write(dir.path().join("site/INIT-UNFINISHED"), "x").unwrap();
    let (_, err) = expect(dir.path(), 1, &INIT);
    assert!(err.contains("never finished"), "{err}");
    let (_, err) = expect(dir.path(), 2, &["--site", "site", "site", "show"]);
    assert!(err.contains("interrupted"), "{err}");

    fs::create_dir(dir.path().join("other")).unwrap();
    fs::write(dir.path().join("other/file"), "x").unwrap();
    let mut arguments = INIT;
    arguments[1] = "other";
    let (_, err) = expect(dir.path(), 1, &arguments);
    assert!(err.contains("not empty"), "{err}");
}

#[test]
fn init_needs_a_person_or_both_files() {
    let dir = empty();
    let (_, err) = expect(dir.path(), 2, &INIT[..9]);
    assert!(err.contains("--recovery-out"), "{err}");
    fs::write(dir.path().join("pass"), "short\n").unwrap();
    let (_, err) = expect(dir.path(), 1, &INIT);
    assert!(err.contains("fewer than 8 characters"), "{err}");
    assert!(!dir.path().join("recovery.txt").exists());
    fs::write(dir.path().join("pass"), PASSPHRASE).unwrap();
    for (at, bad) in [(6, "--people-url=http://a.example"), (8, "a.example"), (8, "https://a.example:1")] {
        let mut arguments = INIT;
        arguments[at] = bad;
        let (_, err) = expect(dir.path(), 2, &arguments);
        assert!(err.contains("is not an address"), "{err}");
    }
}

#[test]
fn a_wrong_passphrase_opens_nothing() {
    let dir = new_site();
    fs::write(dir.path().join("pass"), "something else entirely\n").unwrap();
    let yaml = "manifest: m\nversion: \"1.0.0\"\nresources:\n- file: { path: /etc/motd, content: x }\n";
    fs::write(dir.path().join("m.yaml"), yaml).unwrap();
    let (_, err) = expect(dir.path(), 1, &["--site", "site", "sign", "m.yaml"]);
    assert!(err.contains("the passphrase does not open the publisher key"), "{err}");
    assert!(!dir.path().join("m-1.0.0.manifest.json").exists());
}

/// The paper is a governance key of the root, and a slip of the pen is noticed.
#[test]
fn the_recovery_key_comes_back_from_its_print_out() {
    let dir = new_site();
    let (out, _) = expect(dir.path(), 0, &["key", "restore", "--from", "recovery.txt", "--out", "g2.pem"]);
    let sealed = fs::read_to_string(dir.path().join("g2.pem")).unwrap();
    let restored = SigningKey::from_pem(&sealed, Some(PASSPHRASE)).unwrap();
    assert!(out.contains(&restored.public().to_string()));
    let root = Signed::<shared::tuf::Root>::parse(&Role::Root, &read(dir.path(), "trust/root.json")).unwrap();
    assert_eq!(root.signers([&restored.public()]).len(), 1);
    assert!(root.signed.keys.values().any(|key| *key.public() == restored.public()));

    let text = fs::read_to_string(dir.path().join("recovery.txt")).unwrap();
    let line = text.lines().find(|line| line.starts_with("    ")).unwrap().trim();
    let swap = if line.starts_with('A') { "B" } else { "A" };
    let typo = text.replace(line, &format!("{swap}{}", &line[1..]));
    fs::write(dir.path().join("typo.txt"), typo).unwrap();
    let (_, err) = expect(dir.path(), 2, &["key", "restore", "--from", "typo.txt", "--out", "g3.pem"]);
    assert!(err.contains("checksum"), "{err}");
    assert!(!dir.path().join("g3.pem").exists());
}
