//! Approvals with OpenSSH's own programs: an ssh-agent with a key in it, and key files through `ssh-keygen`.

use super::*;
use shared::approval::{Approval, Decision, Saw};
use shared::digest::Digest;
use shared::policy::{Assurance, Role};
use std::process::Child;

/// A running ssh-agent; ended with the value.
struct RunningAgent {
    child: Child,
    dir: tempfile::TempDir,
}

impl RunningAgent {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("agent");
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null());
        let agent = Self { child: command.spawn().unwrap(), dir };
        for _ in 0..200 {
            if UnixStream::connect(&socket).is_ok() {
                return agent;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the ssh-agent does not listen");
    }

    fn socket(&self) -> OsString {
        self.dir.path().join("agent").into()
    }

    fn add(&self, key: &Path) {
        let status = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", self.socket()).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for RunningAgent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A new key pair of OpenSSH: its private file, and how a policy names it.
fn key_pair(dir: &Path, name: &str, kind: &str) -> (std::path::PathBuf, Option<PersonKey>) {
    let path = dir.join(name);
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-C", "x", "-f"]).arg(&path).status();
    assert!(made.unwrap().success());
    let line = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    let key = public(&line).map(|(public, kind)| PersonKey {
        public,
        kind,
        roles: [Role::Approver].into(),
        assurance: Assurance::Independent,
        not_after: None,
    });
    (path, key)
}

fn approval() -> Statement<Approval> {
    let now = shared::time::Timestamp(1_800_000_000);
    Statement::unsigned(Approval {
        site: "00112233aabbccdd".parse().unwrap(),
        change_id: "C-1".parse().unwrap(),
        revision: 1,
        change: Digest::of(b"change"),
        decision: Decision::Approve,
        person: "peer".parse().unwrap(),
        at: now,
        expires: now.plus(60),
        saw: Saw { plan_set: Digest::of(b"plans"), renderer: "test".into() },
        agents: None,
        nonce: "n".into(),
        comment: String::new(),
        breakglass: None,
    })
}

/// Signed, sent as bytes, read and verified as a host does.
fn holds(statement: &Statement<Approval>, key: &PersonKey) -> bool {
    Statement::<Approval>::parse(&statement.to_bytes()).unwrap().is_signed_with(key.verifier())
}

#[test]
fn the_key_of_an_ssh_agent_signs_and_no_other() {
    let agent = RunningAgent::start();
    let dir = tempfile::tempdir().unwrap();
    let (other_file, other) = key_pair(dir.path(), "other", "ed25519");
    let (file, key) = key_pair(dir.path(), "mine", "ed25519");
    let (other, key) = (other.unwrap(), key.unwrap());
    agent.add(&other_file);
    let ssh = [(&key, key.kind.ssh(&key.public).unwrap())];
    let namespace = signature::namespace(Approval::TYPE);
    assert_eq!(namespace, "assent-approval@v1");
    let mut statement = approval();
    let message = statement.envelope.signed_bytes();
    let missing = by_agent(&agent.socket(), &ssh, &namespace, &message).unwrap_err();
    assert!(missing.to_string().contains("holds none of your keys"), "{missing}");
    agent.add(&file);
    let blob = by_agent(&agent.socket(), &ssh, &namespace, &message).unwrap();
    statement.envelope.signatures.push(signature::ssh_entry(&key.public, &blob));
    assert!(holds(&statement, &key) && !holds(&statement, &other));
    let status = Command::new("ssh-add").arg("-q").arg("-D").env("SSH_AUTH_SOCK", agent.socket()).status();
    assert!(status.unwrap().success());
    assert!(by_agent(&agent.socket(), &ssh, &namespace, &message).is_err(), "the agent is empty again");
    assert!(by_agent(&dir.path().join("nobody").into(), &ssh, &namespace, &message).is_err());
}

#[test]
fn a_key_file_signs_through_ssh_keygen_if_the_policy_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let (file, key) = key_pair(dir.path(), "mine", "ed25519");
    let (other_file, _) = key_pair(dir.path(), "other", "ed25519");
    let (rsa_file, rsa) = key_pair(dir.path(), "rsa", "rsa");
    assert!(rsa.is_none(), "only ed25519");
    let key = key.unwrap();
    let mut good = approval();
    sign(&mut good, &[&key], Place::File(&file)).unwrap();
    assert!(holds(&good, &key));
    for (why, keys, path) in [
        ("a key that the policy does not name", vec![&key], other_file.as_path()),
        ("another type of key", vec![&key], rsa_file.as_path()),
        ("no key in the policy", vec![], file.as_path()),
        ("no key file", vec![&key], Path::new("/nonexistent")),
    ] {
        let mut statement = approval();
        assert!(sign(&mut statement, &keys, Place::File(path)).is_err(), "{why}");
        assert!(statement.envelope.signatures.is_empty(), "{why}");
    }
    // The same key as a key file of `assent` is another kind: its plain signature is none of this one.
    let as_file = PersonKey { kind: KeyKind::File, ..key.clone() };
    assert!(!holds(&good, &as_file));
}

/// An agent that answers rubbish.
#[test]
fn a_broken_agent_is_an_error_and_nothing_else() {
    for answer in [
        vec![0, 0, 0, 0],
        vec![255, 255, 255, 255],
        vec![0, 0, 0, 1, FAILURE],
        vec![0, 0, 0, 1, 99],
        vec![0, 0, 0, 5, LISTED, 255, 255, 255, 255],
        vec![0, 0, 0, 9, LISTED, 0, 0, 0, 1, 0, 0, 0, 200],
        vec![0, 0, 0, 9],
    ] {
        let (mine, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&answer).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(Agent(mine).list().is_err(), "{answer:?}");
    }
}
