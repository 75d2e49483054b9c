//! The program as an operator meets it: exit codes, messages, signals.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use rcgen::{CertificateParams, KeyPair};
use shared::digest::Digest;
use shared::ids::SiteId;
use shared::keys::SigningKey;
use shared::ledger::VerifierKey;
use shared::time::Timestamp;
use shared::tuf::Signed;
use shared::tuf::writer::{self, KeySet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_assent-server");

/// What the key ceremony leaves in the data directory, and a configuration for it.
fn configuration(dir: &Path) -> String {
    for name in ["people", "agents", "ca"] {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        write(&dir.join(format!("tls/{name}.crt")), cert.pem().as_bytes());
        write(&dir.join(format!("tls/{name}.key")), key.serialize_pem().as_bytes());
    }
    let site = site(dir);
    let text = format!(
        "site_id = \"{site}\"\ndata_dir = \"{}\"\n\
         [people]\nlisten = \"127.0.0.1:0\"\nurl = \"https://localhost\"\n\
         [agents]\nlisten = \"127.0.0.1:0\"\nurl = \"https://localhost\"\n",
        dir.display()
    );
    let path = dir.join("server.toml");
    write(&path, text.as_bytes());
    path.display().to_string()
}

/// Keys and the first files of a site with one person; gives its id.
fn site(dir: &Path) -> SiteId {
    let key = |n: u8| SigningKey::from_seed(&[n; 32]);
    let (governance, online, log, publisher) = (key(1), key(2), key(3), key(4));
    let set = |key: &SigningKey| KeySet::one(key.public());
    let end = Timestamp(4_000_000_000);
    let root = writer::new_root(1, end, &set(&governance), &set(&online)).unwrap();
    let root = Signed::by(root, &[&governance]).to_bytes();
    let site: SiteId = Digest::of(&root).hex()[..16].parse().unwrap();
    let vkey = VerifierKey::new(format!("assent.{site}").parse().unwrap(), log.public());
    let policy = serde_json::json!({
        "schema": "assent-policy/1", "site": site, "version": 1, "issued": Timestamp(0), "one_person": true,
        "persons": [], "rules": [], "clock": {"max_skew_s": 300, "offline_grace_h": 24},
        "log": {"vkeys": [vkey]}, "ca_spki": [], "server_urls": []
    });
    let policy = policy.to_string().into_bytes();
    let teams = [("main".parse().unwrap(), set(&publisher))].into();
    let targets = writer::targets_with_policy(1, end, &policy, &teams, &set(&online)).unwrap();
    let content = writer::content(1, end, &"main".parse().unwrap(), Default::default()).unwrap();
    write(&dir.join("site/1.root.json"), &root);
    write(&dir.join("site/1.targets.json"), &Signed::by(targets, &[&governance]).to_bytes());
    write(&dir.join("site/1.content.main.json"), &Signed::by(content, &[&publisher]).to_bytes());
    write(&dir.join("site/policy.json"), &policy);
    write(&dir.join("keys/online.key"), online.to_pem().unwrap().as_bytes());
    write(&dir.join("keys/log.key"), log.to_pem().unwrap().as_bytes());
    site
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn call(arguments: &[&str]) -> Output {
    let url = "ASSENT_SERVER_DATABASE_URL";
    Command::new(PROGRAM).args(arguments).env_remove(url).env_remove("RUST_LOG").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn run_needs_a_database_and_stops_in_good_order() {
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path());
    let early = call(&["run", "--config", &config]);
    assert_eq!(early.status.code(), Some(3));
    assert!(text(&early.stderr).contains("run `assent-server migrate`"), "{}", text(&early.stderr));
    assert_eq!(call(&["migrate", "--config", &config]).status.code(), Some(0));

    let mut server = Command::new(PROGRAM)
        .args(["run", "--config", &config])
        .env_remove("RUST_LOG")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(server.stderr.take().unwrap()).lines();
    let mut wait_for = |wanted: &str| {
        let line = log.by_ref().map(Result::unwrap).find(|line| line.contains(wanted));
        assert!(line.is_some(), "the log ended without {wanted:?}");
    };
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &server.id().to_string()]).status().unwrap();
        assert!(sent.success());
    };
    wait_for("\"ready\"");
    signal("-HUP");
    wait_for("certificates read again");
    fs::write(dir.path().join("tls/people.crt"), "damaged").unwrap();
    signal("-HUP");
    wait_for("the old certificates stay in use");
    signal("-TERM");
    wait_for("stopping");
    assert!(server.wait().unwrap().success());
}

#[test]
fn config_explain_names_value_and_origin() {
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path());
    let shown = text(&call(&["config", "explain", &config]).stdout);
    let row = |name: &str| -> Vec<String> {
        let line = shown.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(row("site_id")[2..], ["line", "1"]);
    assert_eq!(row("language"), ["language", "de", "default"]);
    let environment = Command::new(PROGRAM)
        .args(["config", "explain", &config])
        .env("ASSENT_SERVER_DATABASE_URL", "postgresql://u:secret@h/d")
        .output()
        .unwrap();
    let shown = text(&environment.stdout);
    assert!(!shown.contains("secret"), "{shown}");
    assert!(shown.contains("environment ASSENT_SERVER_DATABASE_URL"), "{shown}");
}

#[test]
fn a_wrong_configuration_is_a_usage_error_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.toml");
    fs::write(&path, "language = \"xx\"\n").unwrap();
    let path = path.display().to_string();
    let refused = call(&["config", "explain", &path]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused.stderr).contains(&format!("error: {path}:1: language: ")),
        "{}",
        text(&refused.stderr)
    );
}
