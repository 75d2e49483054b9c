//! Fetching the lists of package sources. A failure is told; it never passes for "nothing to upgrade".

use super::Apt;
use crate::host::Fault;
use crate::host::process::Exec;
use std::fs;
use std::io;
use std::time::Duration;

const UPDATE: Duration = Duration::from_secs(1_800);

/// What apt says of lists that a power cut or a full disk has damaged.
const DAMAGED: [&str; 6] = [
    "Splitting of clearsigned file",
    "Encountered a section with no Package: header",
    "The package lists or status file could not be parsed",
    "Problem with MergeList",
    "Unable to parse",
    "Clearsigned file isn't valid",
];

/// `apt-get update` in which every failure counts: without the option apt says "W:" and ends with 0 when a signature
/// is bad. Lists that are damaged are fetched whole; lists that are only old stay when no source answers.
pub fn refresh(apt: &Apt) -> Result<(), Fault> {
    if empty(apt)? {
        apt.config.forget_lists()?;
    }
    match update(apt) {
        Err(fault) if is_damage(&fault.text()) => {
            apt.config.forget_lists()?;
            update(apt)
        }
        other => other,
    }
}

fn update(apt: &Apt) -> Result<(), Fault> {
    let arguments = ["update", "-q", "-o", "APT::Update::Error-Mode=any", "-o", "Acquire::Retries=2"];
    apt.exec(Exec::new("apt-get", arguments).timeout(UPDATE))?.success("apt-get update").map(drop)
}

fn is_damage(text: &str) -> bool {
    DAMAGED.iter().any(|sign| text.contains(sign))
}

/// After a power cut lists can have 0 bytes, and every run fails on them.
fn empty(apt: &Apt) -> Result<bool, Fault> {
    let dir = apt.config.lists();
    let look = || -> io::Result<bool> {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let release = entry.file_name().to_string_lossy().contains("Release");
            if release && entry.metadata()?.len() == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    };
    look().map_err(Fault::io(format!("read {}", dir.display())))
}
