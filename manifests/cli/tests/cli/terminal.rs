//! The ceremony as a person meets it: at a terminal, with hidden input and a print-out typed back.

use crate::{INIT, PASSPHRASE, empty};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use shared::keys::SigningKey;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs `assent` on a terminal of its own. `answer` sees everything shown since the last answer, at each
/// prompt (a colon and a blank at the end), and says what is typed. Returns exit code and all that was shown.
fn converse(dir: &Path, arguments: &[&str], mut answer: impl FnMut(&str) -> String) -> (i32, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let slave = || Stdio::from(OpenOptions::new().read(true).write(true).open(&name).unwrap());
    let mut child = Command::new(env!("CARGO_BIN_EXE_assent"))
        .current_dir(dir)
        .args(arguments)
        .env_clear()
        .stdin(slave())
        .stdout(slave())
        .stderr(slave())
        .spawn()
        .unwrap();
    let mut terminal = File::from(master);
    let (mut all, mut recent, mut piece) = (String::new(), String::new(), [0; 4096]);
    // Reading fails once the last holder of the other end is gone.
    while let Ok(n) = terminal.read(&mut piece) {
        let text = String::from_utf8_lossy(&piece[..n]);
        all.push_str(&text);
        recent.push_str(&text);
        // Messages begin with a short word and a colon, and may arrive in pieces; prompts are sentences.
        let line = recent.rsplit('\n').next().unwrap_or_default();
        if line.ends_with(": ") && line.contains(char::is_uppercase) {
            let line = answer(&recent);
            writeln!(terminal, "{line}").unwrap();
            recent.clear();
        }
    }
    (child.wait().unwrap().code().unwrap(), all)
}

/// The last group that was printed above the prompt.
fn last_group(shown: &str) -> String {
    let groups = shown.split("public key").next().unwrap();
    groups.split_whitespace().last().unwrap().to_owned()
}

#[test]
fn the_recovery_key_is_typed_back_before_anything_is_written() {
    let dir = empty();
    let (mut prompts, mut group) = (0, String::new());
    let (code, shown) = converse(dir.path(), &INIT[..9], |recent| {
        prompts += 1;
        assert!(!dir.path().join("site/keys").exists(), "written before the key was typed back");
        match prompts {
            1 | 2 => PASSPHRASE.to_owned(),
            3 => {
                group = last_group(recent);
                "WRONGONE".to_owned()
            }
            _ => group.to_lowercase(),
        }
    });
    assert_eq!((code, prompts), (0, 4), "{shown}");
    assert!(!shown.contains(PASSPHRASE), "the passphrase was shown");
    assert!(shown.contains("these are not the last 8 characters"), "{shown}");
    let sealed = fs::read_to_string(dir.path().join("site/keys/governance.pem")).unwrap();
    assert!(SigningKey::from_pem(&sealed, Some(PASSPHRASE)).is_ok());
    assert!(!tree_contains(&dir.path().join("site"), &group), "the recovery key stayed on the machine");
}

#[test]
fn whoever_cannot_type_the_key_back_gets_no_site() {
    let dir = empty();
    let (code, shown) = converse(dir.path(), &INIT[..9], |recent| {
        if recent.contains("assphrase") || recent.contains("same again") {
            PASSPHRASE.to_owned()
        } else {
            "A".into()
        }
    });
    assert_eq!(code, 1, "{shown}");
    assert!(shown.contains("nothing was written"), "{shown}");
    assert_eq!(fs::read_dir(dir.path().join("site")).unwrap().count(), 0);
}

#[test]
fn two_different_passphrases_are_refused() {
    let dir = empty();
    let mut prompts = 0;
    let (code, shown) = converse(dir.path(), &INIT[..9], |_| {
        prompts += 1;
        format!("{PASSPHRASE} {prompts}")
    });
    assert_eq!((code, prompts), (1, 2), "{shown}");
    assert!(shown.contains("the two passphrases differ"), "{shown}");
}

fn tree_contains(dir: &Path, text: &str) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tree_contains(&path, text)
        } else {
            fs::read_to_string(&path).unwrap().contains(text)
        }
    })
}
