//! The program as an operator meets it: exit codes, messages, signals.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use rcgen::{CertificateParams, KeyPair};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_assent-server");

fn configuration(dir: &Path) -> String {
    fs::create_dir_all(dir.join("tls")).unwrap();
    for name in ["people", "agents", "ca"] {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        fs::write(dir.join(format!("tls/{name}.crt")), cert.pem()).unwrap();
        let path = dir.join(format!("tls/{name}.key"));
        fs::write(&path, key.serialize_pem()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let text = format!(
        "site_id = \"0011223344556677\"\ndata_dir = \"{}\"\n\
         [people]\nlisten = \"127.0.0.1:0\"\nurl = \"https://localhost\"\n\
         [agents]\nlisten = \"127.0.0.1:0\"\nurl = \"https://localhost\"\n",
        dir.display()
    );
    let path = dir.join("server.toml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
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
    assert_eq!(row("site_id"), ["site_id", "0011223344556677", "line", "1"]);
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
