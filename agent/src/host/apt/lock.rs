//! The locks of dpkg.

use super::Apt;
use crate::host::Fault;
use crate::host::lock;

/// Waits until nobody else uses the package manager. An apt that outlived a killed agent holds the lock, and dpkg
/// itself does not wait for it.
///
/// # Errors
/// Somebody still holds it when the time is over; the message names the process.
pub fn wait(apt: &Apt) -> Result<(), Fault> {
    lock::wait(apt.lock_wait, || holder(apt))
}

/// Who uses the package manager now, as `process 812 (unattended-upgr)`.
pub fn holder(apt: &Apt) -> Result<Option<String>, Fault> {
    for name in ["lock-frontend", "lock"] {
        if let Some(holder) = lock::of_file(&apt.config.dpkg_dir().join(name))? {
            return Ok(Some(holder));
        }
    }
    Ok(None)
}
