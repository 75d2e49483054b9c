//! Packages at exact versions. What the solver adds or removes is an action of its own, pinned like the rest.

use super::{absent, refuse, state};
use crate::host::{Fault, Host, Installed, Mark, PackageChange, PackageState, Request};
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::ids::ResourceId;
use shared::manifest::{Package, PackageWant};
use shared::plan::{Action, PackagePin, Reversibility, UndoContract, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;
use shared::strict::Map;
use shared::version::DebVersion;
use std::collections::BTreeMap;

/// One package as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Found {
    Absent,
    /// Removed; configuration files are left.
    Removed,
    Present {
        version: String,
        arch: String,
        held: bool,
        state: PackageState,
    },
}

/// All packages of the host by name.
pub type Inventory = BTreeMap<String, Installed>;

pub fn inventory(host: &impl Host) -> Result<Inventory, Fault> {
    Ok(host.packages()?.into_iter().map(|p| (p.name.clone(), p)).collect())
}

pub fn inspect(name: &str, inventory: &Inventory) -> Found {
    match inventory.get(name) {
        None => Found::Absent,
        Some(p) if p.state == PackageState::ConfigFiles => Found::Removed,
        Some(p) => {
            Found::Present { version: p.version.clone(), arch: p.arch.clone(), held: p.held, state: p.state }
        }
    }
}

impl Found {
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::Present { version, .. } => Some(version),
            Self::Absent | Self::Removed => None,
        }
    }

    pub fn held(&self) -> bool {
        matches!(self, Self::Present { held: true, .. })
    }

    fn is_whole(&self) -> bool {
        !matches!(self, Self::Present { state: PackageState::Unconfigured | PackageState::Broken, .. })
    }
}

/// The digest of the installed state; a broken installation has another one than a whole one.
pub fn digest(name: &str, found: &Found) -> Digest {
    match found {
        Found::Absent | Found::Removed => absent(),
        Found::Present { version, arch, .. } if found.is_whole() => state(&("package", name, arch, version)),
        Found::Present { version, arch, state: how, .. } => state(&("package", name, arch, version, how)),
    }
}

/// The digest of a hold mark.
pub fn hold_digest(name: &str, held: bool) -> Digest {
    state(&("hold", name, held))
}

/// True when the host is as the pin of an action wants it.
pub fn is_at(pin: &PackagePin, found: &Found) -> bool {
    match &pin.to {
        None => found.version().is_none(),
        Some(to) => found.version() == Some(to) && found.is_whole(),
    }
}

/// Resource id of a package that a transaction touches.
///
/// # Errors
/// The package manager printed a name that is none.
pub fn id(name: &str) -> Result<ResourceId, Refused> {
    format!("package:{name}").parse().map_err(|_| refuse(format!("{name:?} is not the name of a package")))
}

/// Adds to the request what this resource needs.
pub fn ask(want: &Package, found: &Found, request: &mut Request) {
    let name = want.name.as_str();
    match &want.want {
        PackageWant::Absent if found.version().is_some() => request.remove.push(name.to_owned()),
        PackageWant::Absent => {}
        PackageWant::Present { version, .. } => {
            if found.version() != Some(version.as_str()) || !found.is_whole() {
                request.install.push((name.to_owned(), version.to_string()));
                request.downgrade |= found.version().is_some_and(|now| is_older(version.as_str(), now));
                request.held |= found.held();
                request.reinstall |= !found.is_whole();
            }
        }
    }
}

fn is_older(to: &str, from: &str) -> bool {
    match (to.parse::<DebVersion>(), from.parse::<DebVersion>()) {
        (Ok(to), Ok(from)) => to < from,
        // Versions that are none cannot be ordered; the package manager refuses a downgrade by itself.
        _ => false,
    }
}

/// The action for one package of a simulated transaction.
pub fn action(change: &PackageChange, found: &Found) -> Result<Action, Refused> {
    let name = &change.name;
    let (verb, summary) = match (found.version(), &change.to) {
        (_, None) => (Verb::Remove, format!("remove {name} {}", found.version().unwrap_or_default())),
        (None, Some(to)) => (Verb::Install, format!("install {name} {to}")),
        (Some(from), Some(to)) if from == to => {
            (Verb::Install, format!("install {name} {to} again, because it is half installed"))
        }
        (Some(from), Some(to)) if is_older(to, from) => {
            (Verb::Downgrade, format!("downgrade {name} from {from} to {to}"))
        }
        (Some(from), Some(to)) => (Verb::Upgrade, format!("upgrade {name} from {from} to {to}")),
    };
    let summary = match &change.origin {
        Some(origin) => format!("{summary} ({origin})"),
        None => summary,
    };
    let after = match &change.to {
        None => absent(),
        Some(to) => state(&("package", name, &change.arch, to, change.sha256)),
    };
    Ok(Action {
        resource: id(name)?,
        verb,
        class: ActionClass::Package,
        before: found.version().map(|_| digest(name, found)),
        after,
        summary,
        diff: None,
        undo: Reversibility {
            undo: UndoContract::Partly,
            why: match found.version() {
                Some(old) => format!("only while a package source still offers {old}"),
                None => "files that it made while running may stay".to_owned(),
            },
        },
        package: Some(PackagePin {
            name: name.clone(),
            arch: change.arch.clone(),
            from: change.from.clone(),
            to: change.to.clone(),
            sha256: change.sha256,
            origin: change.origin.clone(),
        }),
        programs: Map::default(),
    })
}

/// The action for the hold mark; `None` when it is as wanted or nothing is wanted.
pub fn hold(want: &Package, found: &Found) -> Result<Option<Action>, Refused> {
    let PackageWant::Present { hold: Some(hold), .. } = &want.want else { return Ok(None) };
    if found.held() == *hold {
        return Ok(None);
    }
    let name = want.name.as_str();
    let verb = if *hold { Verb::Hold } else { Verb::Unhold };
    Ok(Some(Action {
        resource: id(name)?,
        verb,
        class: ActionClass::Package,
        before: Some(hold_digest(name, !hold)),
        after: hold_digest(name, *hold),
        summary: format!("{} {name}", verb.as_str()),
        diff: None,
        undo: Reversibility { undo: UndoContract::Yes, why: String::new() },
        package: None,
        programs: Map::default(),
    }))
}

/// The transaction that approved pins describe: every package by name and exact version.
pub fn transaction(pins: &[&PackagePin], inventory: &Inventory) -> (Request, Vec<PackageChange>) {
    let mut request = Request::default();
    let mut expected = Vec::new();
    for pin in pins {
        let found = inspect(&pin.name, inventory);
        match &pin.to {
            None => request.remove.push(pin.name.clone()),
            Some(to) => {
                request.downgrade |= found.version().is_some_and(|now| is_older(to, now));
                request.reinstall |= found.version() == Some(to) && !found.is_whole();
                request.install.push((pin.name.clone(), to.clone()));
            }
        }
        request.held |= found.held();
        expected.push(PackageChange {
            name: pin.name.clone(),
            arch: pin.arch.clone(),
            from: pin.from.clone(),
            to: pin.to.clone(),
            origin: pin.origin.clone(),
            sha256: pin.sha256,
        });
    }
    (request, expected)
}

/// Brings the packages of one transaction about, in one run of the package manager. `dependencies` are marked
/// as such; hold marks that were there stay.
pub fn apply(pins: &[&PackagePin], dependencies: &[&str], host: &mut impl Host) -> Result<(), Fault> {
    let before = inventory(host)?;
    let (request, expected) = transaction(pins, &before);
    host.transact(&request, &expected)?;
    let after = inventory(host)?;
    for pin in pins {
        let found = inspect(&pin.name, &after);
        if !is_at(pin, &found) {
            let end = pin.to.as_ref().map_or("removed".to_owned(), |v| format!("at {v}"));
            let now = found.version().unwrap_or("not installed");
            return Err(Fault::Refused(format!("{} should be {end} and is {now} afterwards", pin.name)));
        }
    }
    let lost: Vec<&str> = pins
        .iter()
        .map(|p| p.name.as_str())
        .filter(|n| was_held(n, &before) && !was_held(n, &after))
        .collect();
    for (mark, names) in [(Mark::Hold, lost.as_slice()), (Mark::Auto, dependencies)] {
        if !names.is_empty() {
            host.mark(mark, names)?;
        }
    }
    Ok(())
}

fn was_held(name: &str, inventory: &Inventory) -> bool {
    inspect(name, inventory).held()
}

/// Puts packages back to the versions that were found, in one transaction that touches nothing else, and then
/// hold marks (`true`: on hold) of those that are installed.
///
/// # Errors
/// An old version is no longer offered, or the solver would have to change other packages.
pub fn undo(
    versions: &BTreeMap<&str, &Found>,
    holds: &BTreeMap<&str, bool>,
    host: &mut impl Host,
) -> Result<(), Fault> {
    host.settle_packages()?;
    let now = inventory(host)?;
    let mut request = Request { held: true, ..Request::default() };
    for (name, found) in versions {
        let current = inspect(name, &now);
        match found.version() {
            Some(old) if current.version() != Some(old) || !current.is_whole() => {
                request.install.push(((*name).to_owned(), old.to_owned()));
                request.downgrade |= current.version().is_some_and(|c| is_older(old, c));
                request.reinstall |= current.version() == Some(old);
            }
            None if current.version().is_some() => {
                request.remove.push((*name).to_owned());
                // Only what this run brought: nothing of it was there before.
                request.purge |= **found == Found::Absent;
            }
            _ => {}
        }
    }
    if !request.is_empty() {
        let expected = host.simulate(&request)?;
        if let Some(other) = expected.iter().find(|c| !versions.contains_key(c.name.as_str())) {
            return Err(Fault::Refused(format!("undoing would also change package {}", other.name)));
        }
        host.transact(&request, &expected)?;
    }
    restore_holds(holds, host)
}

fn restore_holds(holds: &BTreeMap<&str, bool>, host: &mut impl Host) -> Result<(), Fault> {
    let now = inventory(host)?;
    for (held, mark) in [(true, Mark::Hold), (false, Mark::Unhold)] {
        let wrong = |name: &&str| {
            let found = inspect(name, &now);
            found.version().is_some() && found.held() != held
        };
        let wanted = holds.iter().filter(|(_, wanted)| **wanted == held).map(|(name, _)| *name);
        let names: Vec<&str> = wanted.filter(wrong).collect();
        if !names.is_empty() {
            host.mark(mark, &names)?;
        }
    }
    Ok(())
}
