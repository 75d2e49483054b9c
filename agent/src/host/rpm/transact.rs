//! Carrying out what was approved, from checked files and without any repository: nothing else can come in.
//!
//! Never: a version or a file that the changes do not name.

use super::database::Row;
use super::offers::{self, Item};
use super::{Rpm, room, unfinished};
use crate::host::Fault;
use crate::host::packages::{PackageChange, PackageManager, PackageState, Terms, same_effect};
use std::path::PathBuf;

/// Files that come, and packages that go, as the package manager is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    pub files: Vec<PathBuf>,
    pub remove: Vec<Row>,
    /// Versions that are there are meant.
    pub again: bool,
}

/// Waits, looks for what others left, fetches, rehearses, compares, installs. Nothing changes before all checks hold.
pub fn transact(rpm: &Rpm, changes: &[PackageChange], terms: Terms) -> Result<(), Fault> {
    rpm.wait()?;
    let unfinished = rpm.unfinished()?;
    if let Some(other) = unfinished.into_iter().find(|name| !changes.iter().any(|c| c.name == *name)) {
        return Err(Fault::Refused(format!(
            "plan.drift: package {other} is half installed by an earlier run, and its repair is not part of this plan; plan again"
        )));
    }
    run(rpm, changes, terms)
}

fn run(rpm: &Rpm, changes: &[PackageChange], terms: Terms) -> Result<(), Fault> {
    if changes.is_empty() {
        return Ok(());
    }
    room::room(rpm, changes)?;
    rpm.fetch(changes)?;
    same_effect(&rehearse(rpm, changes)?, changes)?;
    let work = work(rpm, changes)?;
    unfinished::begin(&rpm.place, changes, terms.conffiles)?;
    rpm.forget_lists();
    let done = rpm.tool.commit(&rpm.place, &work);
    if done.is_err() {
        unfinished::doubt(&rpm.place)?;
    }
    unfinished::settle(&rpm.place, || rpm.entries())?;
    done
}

fn work(rpm: &Rpm, changes: &[PackageChange]) -> Result<Work, Fault> {
    let entries = rpm.entries()?;
    let mut work =
        Work { files: changes.iter().filter_map(|c| rpm.store.path(c)).collect(), ..Work::default() };
    for change in changes {
        let Some(entry) = entries.iter().find(|entry| entry.called == change.name) else { continue };
        let is_end = |row: &&Row| change.to.as_ref() == Some(&row.evr);
        work.again |= std::iter::once(&entry.row).chain(&entry.doubles).any(|row| is_end(&row));
        // Of several registered versions one is left, which no package manager does by itself.
        if change.to.is_none() || !entry.doubles.is_empty() {
            let rows = std::iter::once(&entry.row).chain(&entry.doubles);
            work.remove.extend(rows.filter(|row| !is_end(row)).cloned());
        }
    }
    Ok(work)
}

/// What the files of these changes do to the host.
pub fn rehearse(rpm: &Rpm, changes: &[PackageChange]) -> Result<Vec<PackageChange>, Fault> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let work = work(rpm, changes)?;
    let items: Vec<Item> = rpm.tool.rehearse(&rpm.place, &work)?;
    Ok(offers::changes(&items, &rpm.entries()?, &rpm.architecture()?))
}

/// Installs again what is broken, at the versions that the changes name.
pub fn repair(rpm: &Rpm, changes: &[PackageChange]) -> Result<(), Fault> {
    rpm.wait()?;
    let unfinished = rpm.unfinished()?;
    if let Some(other) = unfinished.iter().find(|name| !changes.iter().any(|c| c.name == **name)) {
        return Err(Fault::Refused(format!(
            "plan.drift: package {other} is half installed, too, and its repair is not part of this plan; plan again"
        )));
    }
    let again = changes.iter().filter(|c| unfinished.contains(&c.name)).cloned().collect::<Vec<_>>();
    run(rpm, &again, Terms::default())
}

/// Packages that an earlier run left half done, at the versions that they have.
///
/// While somebody else uses the package manager, half done is what they are at.
pub fn repairs(rpm: &Rpm) -> Result<Vec<PackageChange>, Fault> {
    let broken: Vec<(String, String)> = rpm
        .packages()?
        .into_iter()
        .filter(|p| p.state == PackageState::Broken)
        .map(|p| (p.name, p.version))
        .collect();
    if broken.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(holder) = rpm.holder()? {
        return Err(Fault::Refused(format!("the package manager is in use by {holder}; look again later")));
    }
    rpm.locate(&broken).map_err(|fault| {
        Fault::Refused(format!(
            "an earlier run left packages half installed, and what repairs them is not at hand: {}",
            fault.text()
        ))
    })
}
