//! A person at a terminal: programs that ask get one of their own.

use crate::programs::Said;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output, Stdio};

/// Runs a program on a new terminal. Each time when what it shows ends with `prompt`, one of the answers is typed;
/// when there are no more, the terminal hangs up.
pub fn converse(command: &mut Command, prompt: &str, answers: &[&str]) -> Said {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let end = || Stdio::from(OpenOptions::new().read(true).write(true).open(&name).unwrap());
    let what = format!("{command:?}");
    let mut child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    // The command keeps its ends open until it is dropped or gets others.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut terminal = File::from(master);
    let (mut shown, mut piece, mut answers) = (Vec::new(), [0; 4096], answers.iter());
    // Reading fails once the last holder of the other end is gone.
    while let Ok(n) = terminal.read(&mut piece) {
        shown.extend_from_slice(&piece[..n]);
        if String::from_utf8_lossy(&shown).ends_with(prompt) {
            let Some(answer) = answers.next() else { break };
            writeln!(terminal, "{answer}").unwrap();
        }
    }
    drop(terminal);
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), None, "{what}");
    Said::from(&what, &Output { status, stdout: shown, stderr: Vec::new() })
}
