//! Locks of package managers: who holds one, and waiting for it. Never: breaking it.

use super::Fault;
use super::process::say_waiting;
use rustix::process::{Flock, FlockType, fcntl_getlk};
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Waits until nobody else uses the package manager, as `holder` tells.
///
/// # Errors
/// Somebody still does when the time is over; the message names the process.
pub fn wait(limit: Duration, holder: impl Fn() -> Result<Option<String>, Fault>) -> Result<(), Fault> {
    let started = Instant::now();
    let mut told = false;
    while let Some(holder) = holder()? {
        if !std::mem::replace(&mut told, true) {
            say_waiting(&format!("the package manager is in use by {holder}"));
        }
        if started.elapsed() >= limit {
            let waited = limit.as_secs();
            return Err(Fault::Refused(format!(
                "the package manager is in use by {holder}, and it was waited for in vain for {waited} s"
            )));
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Who has locked the file (fcntl(2)), as `process 812 (unattended-upgr)`.
pub fn of_file(path: &Path) -> Result<Option<String>, Fault> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Fault::io(format!("open {}", path.display()))(e)),
    };
    let held = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock))
        .map_err(|e| Fault::io(format!("look at {}", path.display()))(e.into()))?;
    Ok(held.map(|held| describe(held.pid.map_or(0, |pid| pid.as_raw_nonzero().get()))))
}

/// The process that wrote its number into the file, if it still runs and names one of `programs` among the first words
/// of its command line: interpreters come before what they run.
pub fn of_number(path: &Path, programs: &[&str]) -> Result<Option<String>, Fault> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Fault::io(format!("read {}", path.display()))(e)),
    };
    let Ok(pid) = text.trim().parse::<i32>() else { return Ok(None) };
    // Numbers are given again; one that belongs to something else says nothing.
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).into_owned();
    let ours = |part: &str| programs.contains(&part.rsplit('/').next().unwrap_or(part));
    Ok(line.split('\0').take(6).any(ours).then(|| describe(pid)))
}

fn describe(pid: i32) -> String {
    if pid == 0 {
        return "a process of another container".into();
    }
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| !c.is_control()).collect();
    // It may have ended in this moment; the number is all that is known then.
    if name.is_empty() { format!("process {pid}") } else { format!("process {pid} ({name})") }
}
