//! SSH signatures against OpenSSH's own `ssh-keygen`: it verifies ours, and we verify what it signed and nothing bent.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise, with its place")]

use shared::keys::SigningKey;
use shared::signature::namespace;
use shared::sshsig::{self, SshKey};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const MESSAGE: &[u8] = b"DSSEv1 28 application/vnd.in-toto+json 2 {}";

fn keygen(arguments: &[&str], input: &[u8]) -> (bool, Vec<u8>) {
    let mut child = Command::new("ssh-keygen")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("ssh-keygen is installed");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), output.stdout)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn what_ssh_keygen_signs_holds_and_nothing_bent() {
    let dir = std::env::temp_dir().join(format!("assent-sshsig-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("key");
    assert!(keygen(&["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", text(&file)], b"").0);
    let line = std::fs::read_to_string(file.with_extension("pub")).unwrap();
    let (key, application) = sshsig::parse_public(&line).unwrap();
    assert_eq!((application, sshsig::public_line(&SshKey::Ed25519(&key)).as_str()), (None, line.trim()));
    let ours = namespace("urn:assent:approval:v1");
    let signed = |namespace: &str, hash: &str| {
        let hash = format!("hashalg={hash}");
        let (good, out) = keygen(&["-Y", "sign", "-O", &hash, "-n", namespace, "-f", text(&file)], MESSAGE);
        assert!(good);
        sshsig::dearmor(std::str::from_utf8(&out).unwrap()).unwrap()
    };
    let blob = signed(&ours, "sha512");
    let holds = |blob: &[u8]| sshsig::verifies(blob, &SshKey::Ed25519(&key), &ours, MESSAGE);
    assert!(holds(&blob));
    for (why, bent) in [
        ("the namespace of files", signed("file", "sha512")),
        ("the namespace of git", signed("git", "sha512")),
        ("the namespace of another statement", signed("assent-change@v1", "sha512")),
        ("another hash", signed(&ours, "sha256")),
        ("more behind it", [blob.clone(), vec![0]].concat()),
    ] {
        assert!(!holds(&bent), "{why}");
    }
    for length in 0..blob.len() {
        assert!(!holds(&blob[..length]), "cut to {length}");
    }
    for at in 0..blob.len() {
        let mut bent = blob.clone();
        bent[at] ^= 1;
        assert!(!holds(&bent), "byte {at}");
    }
    let other = SigningKey::from_seed(&[9; 32]).public();
    assert!(!sshsig::verifies(&blob, &SshKey::Ed25519(&other), &ours, MESSAGE), "another key");
    assert!(!sshsig::verifies(&blob, &SshKey::SecurityKey(&key, "ssh:"), &ours, MESSAGE), "another type");
    assert!(!sshsig::verifies(&blob, &SshKey::Ed25519(&key), &ours, b"other"), "another message");
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn ssh_keygen_verifies_ours() {
    let dir = std::env::temp_dir().join(format!("assent-sshsig-ours-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let key = SigningKey::from_seed(&[1; 32]);
    let (allowed, signature) = (dir.join("allowed"), dir.join("sig"));
    let public = key.public();
    let ours = namespace("urn:assent:approval:v1");
    std::fs::write(&allowed, sshsig::allowed_signer("peer", &ours, &SshKey::Ed25519(&public))).unwrap();
    std::fs::write(&signature, sshsig::sign(&key, &ours, MESSAGE)).unwrap();
    let verify = |namespace: &str, message: &[u8]| {
        let files = ["-f", text(&allowed), "-s", text(&signature)];
        keygen(&[&["-Y", "verify", "-I", "peer", "-n", namespace], &files[..]].concat(), message).0
    };
    assert!(verify(&ours, MESSAGE));
    assert!(!verify("file", MESSAGE) && !verify(&ours, b"other"));
    std::fs::remove_dir_all(dir).unwrap();
}

/// The form of `PROTOCOL.u2f`, made here with a plain key: no security key is at hand in tests.
#[test]
fn a_security_key_signs_its_application_flags_and_counter() {
    use shared::digest::Digest;
    let key = SigningKey::from_seed(&[2; 32]);
    let public = key.public();
    let sk = SshKey::SecurityKey(&public, "ssh:");
    let ours = namespace("urn:assent:approval:v1");
    let made = |application: &str, flags: u8, kind: &[u8]| {
        let counter = [0, 0, 0, 9];
        let mut message = Digest::of(application.as_bytes()).0.to_vec();
        message.push(flags);
        message.extend(counter);
        message.extend(Digest::of(&sshsig::to_sign(&ours, MESSAGE)).0);
        let field = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
        let signature = [field(kind), field(&key.sign(&message)), vec![flags], counter.to_vec()].concat();
        sshsig::wrap(&sk, &ours, &signature)
    };
    let holds = |blob: &[u8]| sshsig::verifies(blob, &sk, &ours, MESSAGE);
    let good = made("ssh:", 1, b"sk-ssh-ed25519@openssh.com");
    assert!(holds(&good) && holds(&made("ssh:", 5, b"sk-ssh-ed25519@openssh.com")));
    assert!(!holds(&made("ssh:", 0, b"sk-ssh-ed25519@openssh.com")), "nobody touched it");
    assert!(!holds(&made("ssh:other", 1, b"sk-ssh-ed25519@openssh.com")), "another application");
    assert!(!holds(&made("ssh:", 1, b"ssh-ed25519")), "another type");
    assert!(!sshsig::verifies(&good, &SshKey::Ed25519(&public), &ours, MESSAGE));
    let mut counted = good.clone();
    *counted.last_mut().unwrap() ^= 1;
    assert!(!holds(&counted), "another counter");
}
