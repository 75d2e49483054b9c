//! What the running kernel and the firmware say about the machine: `/proc`, `/sys` and two system calls, no programs.
//!
//! All of it is foreign text: read with limits, and what cannot be read is left out with a note. Never: contents of
//! files, command lines or environments of processes (but the one word with which a container names its kind).

mod clock;
pub(crate) mod hardware;
pub(crate) mod mounts;
pub(crate) mod sockets;
mod virtualisation;

pub use sockets::Owners;

use shared::facts::{Hardware, Socket};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Tables of busy machines: some ten thousand sockets of 150 bytes.
const TABLE_BYTES: u64 = 16 << 20;

/// One file system in use, with how full it is as exactly as the kernel tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystem {
    pub path: String,
    pub source: String,
    pub fstype: String,
    pub options: Vec<String>,
    /// MiB and percent in use, of local file systems.
    pub room: Option<(u64, u8)>,
}

/// The machine at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Of the machine itself; none in a container.
    pub hardware: Option<Hardware>,
    /// As systemd-detect-virt(1) names it.
    pub virtualisation: String,
    pub is_container: bool,
    pub listening: Vec<Socket>,
    pub mounts: Vec<FileSystem>,
    /// As timedatectl(1) says it; none where the kernel may not be asked.
    pub synchronised: Option<bool>,
    /// What could not be read, and why.
    pub notes: Vec<String>,
}

/// Looks at the machine. `owners` remembers which program holds a socket, so that processes are gone through only when
/// there is a new one.
pub fn take(owners: &mut Owners) -> Survey {
    let (virtualisation, is_container) = virtualisation::detect();
    let mut notes = Vec::new();
    let mut noted = |what: &str, error: io::Error| notes.push(format!("{what} cannot be read: {error}"));
    let listening = sockets::listening(owners).unwrap_or_else(|error| {
        noted("listening sockets", error);
        Vec::new()
    });
    let mounts = mounts::mounted().unwrap_or_else(|error| {
        noted("mounts", error);
        Vec::new()
    });
    let hardware = if is_container { None } else { Some(hardware::read()) };
    Survey {
        hardware,
        virtualisation,
        is_container,
        listening,
        mounts,
        synchronised: clock::is_synchronised(),
        notes,
    }
}

/// A whole file of the kernel as text.
fn text(path: impl AsRef<Path>) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(TABLE_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// One line of a file of the kernel, without white space and the NUL of firmware; empty where there is none.
fn line(path: impl AsRef<Path>) -> String {
    let text = text(path).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned()
}
