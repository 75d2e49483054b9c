//! Carrying out what was approved, from checked files and without any source: nothing else can come in.
//!
//! Never: a version or a file that the changes do not name.

use super::config::Config;
use super::solve::NO_CACHE;
use super::{Apt, LISTING_BYTES, LOOK, TRANSACTION, lock, room, solve, store};
use crate::host::Fault;
use crate::host::packages::{PackageChange, PackageManager, PackageState, Terms, same_effect};
use crate::host::process::Exec;
use shared::manifest::Conffiles;
use std::fs;
use std::io;
use std::path::Path;

/// Waits, looks for what others left, fetches, rehearses, compares, installs. Nothing changes before all checks
/// hold.
pub fn transact(apt: &Apt, changes: &[PackageChange], terms: Terms) -> Result<(), Fault> {
    lock::wait(apt)?;
    if let Some(other) = apt.unfinished()?.into_iter().find(|p| !changes.iter().any(|c| c.name == p.name)) {
        return Err(Fault::Refused(format!(
            "plan.drift: package {} is half installed by an earlier run, and its repair is not part of this plan; plan again",
            other.name
        )));
    }
    run(apt, changes, terms)
}

fn run(apt: &Apt, changes: &[PackageChange], terms: Terms) -> Result<(), Fault> {
    room::room(apt, changes)?;
    store::fetch(apt, changes)?;
    same_effect(&rehearse(apt, changes, None)?, changes)?;
    let mut arguments = vec!["-q".to_owned(), "-y".into()];
    if terms.purge {
        arguments.push("--purge".into());
    }
    arguments.extend(["-o".into(), format!("DPkg::Options::={}", Config::dpkg_conffiles(terms.conffiles))]);
    arguments.extend(sealed(apt, changes));
    let exec = Exec::new("apt-get", arguments).timeout(TRANSACTION).heard();
    let exec = if terms.conffiles == Conffiles::New { exec.env("UCF_FORCE_CONFFNEW", "1") } else { exec };
    apt.exec(exec)?.success("apt-get install")?;
    Ok(())
}

/// What the files of these changes do to the host, or to the host as `status` describes it.
pub fn rehearse(
    apt: &Apt,
    changes: &[PackageChange],
    status: Option<&Path>,
) -> Result<Vec<PackageChange>, Fault> {
    let mut arguments = vec!["-q".to_owned(), "-s".into()];
    if let Some(status) = status {
        arguments.extend(["-o".into(), format!("Dir::State::status={}", status.display())]);
    }
    arguments.extend(sealed(apt, changes));
    let exec = Exec::new("apt-get", arguments).timeout(LOOK).output_bytes(LISTING_BYTES);
    solve::answer(apt.exec(exec)?)
}

/// The part of the command line that rehearsal and run have in common: no sources, files by path. Downgrades and
/// packages on hold are the plan's to allow; here the effect is compared as a whole.
fn sealed(apt: &Apt, changes: &[PackageChange]) -> Vec<String> {
    let mut arguments: Vec<String> = NO_CACHE.map(str::to_owned).into();
    for option in [
        "Dir::Etc::sourcelist=/dev/null".to_owned(),
        "Dir::Etc::sourceparts=/dev/null".into(),
        format!("DPkg::Lock::Timeout={}", apt.lock_wait.as_secs()),
    ] {
        arguments.extend(["-o".into(), option]);
    }
    let flags = ["install", "--no-install-recommends", "--allow-downgrades", "--allow-change-held-packages"];
    arguments.extend(flags.map(str::to_owned));
    if changes.iter().any(|c| c.to.is_some() && c.to == c.from) {
        arguments.push("--reinstall".into());
    }
    arguments.push("--".into());
    arguments.extend(changes.iter().filter_map(|c| Some(apt.store.path(c)?.display().to_string())));
    arguments.extend(changes.iter().filter(|c| c.to.is_none()).map(|c| format!("{}-", c.name)));
    arguments
}

/// Finishes configurations, and installs again what is half installed, at the versions that the changes name.
pub fn repair(apt: &Apt, changes: &[PackageChange]) -> Result<(), Fault> {
    lock::wait(apt)?;
    let unfinished = apt.unfinished()?;
    if let Some(other) = unfinished.iter().find(|p| !changes.iter().any(|c| c.name == p.name)) {
        return Err(Fault::Refused(format!(
            "plan.drift: package {} is half installed, too, and its repair is not part of this plan; plan again",
            other.name
        )));
    }
    let broken = |c: &&PackageChange| {
        let half = |p: &&super::Installed| p.name == c.name && p.state == PackageState::Broken;
        unfinished.iter().any(|p| half(&p))
    };
    let again: Vec<PackageChange> = changes.iter().filter(broken).cloned().collect();
    if !again.is_empty() {
        if let Some(bare) = again.iter().find(|c| c.sha256.is_none()) {
            return Err(Fault::Refused(format!(
                "plan.drift: package {} is half installed and must be installed again, which is not part of this plan; plan again",
                bare.name
            )));
        }
        run(apt, &again, Terms::default())?;
    }
    configure(apt)
}

/// Finishes what was unpacked. `dpkg --configure -a` ends with 0 even when packages are left half installed, and
/// badly when a maintainer script does; what the database says is what counts.
pub fn configure(apt: &Apt) -> Result<(), Fault> {
    let waits = |state| state == PackageState::Unconfigured;
    if !was_interrupted(apt)? && !apt.packages()?.iter().any(|p| waits(p.state)) {
        return Ok(());
    }
    let policy = Config::dpkg_conffiles(Conffiles::Old);
    let arguments = apt.config.dpkg_options().into_iter();
    let arguments = arguments.chain([policy, "--configure", "-a"].map(str::to_owned));
    let ran = apt.exec(Exec::new("dpkg", arguments).timeout(TRANSACTION).heard())?;
    if was_interrupted(apt)? {
        ran.success("dpkg --configure -a")?;
    }
    Ok(())
}

/// dpkg journals into this directory and empties it at the end of a run.
fn was_interrupted(apt: &Apt) -> Result<bool, Fault> {
    let dir = apt.config.dpkg_dir().join("updates");
    match fs::read_dir(&dir) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Fault::io(format!("read {}", dir.display()))(e)),
    }
}
