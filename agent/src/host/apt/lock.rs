//! The lock of dpkg: who holds it, and waiting for it. Never: breaking it.

use super::Apt;
use crate::host::Fault;
use rustix::process::{Flock, FlockType, fcntl_getlk};
use std::fs::{self, File};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Waits until nobody else uses the package manager. An apt that outlived a killed agent holds the lock, and dpkg
/// itself does not wait for it.
///
/// # Errors
/// Somebody still holds it when the time is over; the message names the process.
pub fn wait(apt: &Apt) -> Result<(), Fault> {
    let started = Instant::now();
    while let Some(holder) = holder(apt)? {
        if started.elapsed() >= apt.lock_wait {
            let waited = apt.lock_wait.as_secs();
            return Err(Fault::Refused(format!(
                "the package manager is in use by {holder}, and it was waited for in vain for {waited} s"
            )));
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Who uses the package manager now, as `process 812 (unattended-upgr)`.
pub fn holder(apt: &Apt) -> Result<Option<String>, Fault> {
    for name in ["lock-frontend", "lock"] {
        let path = apt.config.dpkg_dir().join(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Fault::io(format!("open {}", path.display()))(e)),
        };
        let held = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock))
            .map_err(|e| Fault::io(format!("look at {}", path.display()))(e.into()))?;
        if let Some(held) = held {
            return Ok(Some(describe(held.pid.map_or(0, |pid| pid.as_raw_nonzero().get()))));
        }
    }
    Ok(None)
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
