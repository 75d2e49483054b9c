//! Packages at exact versions. What the solver adds or removes is an action of its own, pinned like the rest.

use super::{absent, refuse, state};
use crate::host::{Entry, Fault, Host, Installed, Mark, Offer, PackageChange, PackageState, Terms};
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::ids::ResourceId;
use shared::manifest::{Conffiles, NameGlob, Package, PackageWant, WantedVersion};
use shared::plan::{Action, PackagePin, Reversibility, UndoContract, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;
use shared::strict::Map;
use shared::version::Order;
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

    pub fn is_whole(&self) -> bool {
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

/// The version that the resource needs installed; none when what is installed will do. `offer` is what the sources
/// have; an exact version needs none.
///
/// # Errors
/// No source offers what is wanted.
pub fn needed(
    name: &str,
    wanted: &WantedVersion,
    found: &Found,
    offer: Option<&Offer>,
    order: Order,
) -> Result<Option<String>, Refused> {
    let now = found.version();
    let candidate = offer.and_then(|offer| offer.candidate.clone());
    match wanted {
        WantedVersion::Exact(version) => Ok((now != Some(version.as_str())).then(|| version.to_string())),
        WantedVersion::Latest => match (now, candidate) {
            (None, None) => Err(refuse(format!("no source of this host offers {name}"))),
            (Some(_), None) => Ok(None),
            (None, candidate) => Ok(candidate),
            (Some(now), Some(candidate)) => Ok(order.is_newer(&candidate, now).then_some(candidate)),
        },
        WantedVersion::Range(range) => {
            let within = |version: &str| {
                range.contains(version, order).map_err(|e| refuse(format!("package {name}: {e}")))
            };
            if let Some(now) = now
                && within(now)?
            {
                return Ok(None);
            }
            let offered = offer.map(|offer| offer.versions.as_slice()).unwrap_or_default();
            let offered = offered.iter().filter(|o| !o.origins.is_empty()).map(|o| o.version.clone());
            // The host's own preference first, then the others, best first.
            for version in candidate.into_iter().chain(offered.clone()) {
                if within(&version)? {
                    return Ok(Some(version));
                }
            }
            let all: Vec<String> = offered.take(5).collect();
            let offers = if all.is_empty() { "nothing".to_owned() } else { all.join(", ") };
            Err(refuse(format!(
                "no source of this host offers {name} {}; on offer: {offers}",
                range.as_str()
            )))
        }
    }
}

/// What an approver should know of a package change besides its ends.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    pub order: Order,
    pub conffiles: Conffiles,
    /// Configuration files of the package that people have changed.
    pub changed: &'a [String],
    /// Why the transaction cannot be taken back, if it cannot.
    pub irreversible: Option<&'a str>,
}

/// The action for one package of a simulated transaction.
pub fn action(change: &PackageChange, found: &Found, about: About<'_>) -> Result<Action, Refused> {
    let name = &change.name;
    let (verb, summary) = match (found.version(), &change.to) {
        (_, None) => (Verb::Remove, format!("remove {name} {}", found.version().unwrap_or_default())),
        (None, Some(to)) => (Verb::Install, format!("install {name} {to}")),
        (Some(from), Some(to)) if about.order.is_newer(from, to) => {
            (Verb::Downgrade, format!("downgrade {name} from {from} to {to}"))
        }
        (Some(from), Some(to)) => (Verb::Upgrade, format!("upgrade {name} from {from} to {to}")),
    };
    let summary = match &change.origin {
        Some(origin) => format!("{summary} ({origin})"),
        None => summary,
    };
    let after = match (&change.to, about.conffiles) {
        (None, _) => absent(),
        (Some(to), Conffiles::Old) => state(&("package", name, &change.arch, to, change.sha256)),
        (Some(to), Conffiles::New) => {
            state(&("package", name, &change.arch, to, change.sha256, "new conffiles"))
        }
    };
    Ok(Action {
        resource: id(name)?,
        verb,
        class: ActionClass::Package,
        before: found.version().map(|_| digest(name, found)),
        after,
        summary,
        diff: about.told(found, change),
        undo: reversibility(name, found, change, about.irreversible),
        content: None,
        package: Some(pin(change, about.conffiles)),
        programs: Map::default(),
        satisfies: Vec::new(),
    })
}

fn pin(change: &PackageChange, conffiles: Conffiles) -> PackagePin {
    PackagePin {
        name: change.name.clone(),
        arch: change.arch.clone(),
        from: change.from.clone(),
        to: change.to.clone(),
        sha256: change.sha256,
        origin: change.origin.clone(),
        conffiles,
    }
}

impl About<'_> {
    /// What becomes of configuration files that people have changed. Whether the new version brings another one
    /// is only known once it is unpacked.
    fn told(&self, found: &Found, change: &PackageChange) -> Option<String> {
        if self.changed.is_empty() || found.version().is_none() {
            return None;
        }
        let becomes = match (&change.to, self.conffiles) {
            (None, _) if self.order == Order::Rpm => "stays beside it as .rpmsave",
            (None, _) => "stays",
            (Some(_), Conffiles::Old) => "stays as it is; one that the new version brings is put beside it",
            (Some(_), Conffiles::New) => "is replaced if the new version brings another one",
        };
        let line = |path: &String| format!("{path}: changed on this host; it {becomes}\n");
        Some(self.changed.iter().map(line).collect())
    }
}

/// Packages that an older version of which may not work with what the newer one did.
const ONE_WAY: [(&str, &str); 17] = [
    ("libc6", C_LIBRARY),
    ("glibc", C_LIBRARY),
    ("linux-image-*", KERNEL),
    ("kernel", KERNEL),
    ("kernel-*", KERNEL),
    ("postgresql*", DATA),
    ("mariadb-server*", DATA),
    ("mariadb", DATA),
    ("mysql-*server*", DATA),
    ("slapd", DATA),
    ("openldap-servers", DATA),
    ("openldap2", DATA),
    ("389-ds*", DATA),
    ("grub-*", BOOT),
    ("grub2*", BOOT),
    ("shim*", BOOT),
    ("systemd", "the running system and service manager stays the newer one"),
];
const C_LIBRARY: &str = "the C library is never taken back";
const KERNEL: &str = "a kernel is taken back by a person, after the host runs another one";
const DATA: &str = "data that the newer version has converted stays converted";
const BOOT: &str = "the boot loader outside of its files stays the newer one";

fn reversibility(
    name: &str,
    found: &Found,
    change: &PackageChange,
    irreversible: Option<&str>,
) -> Reversibility {
    let one_way = ONE_WAY.iter().find(|(pattern, _)| {
        pattern.parse::<NameGlob>().is_ok_and(|glob| glob.matches(name.split(':').next().unwrap_or(name)))
    });
    let (undo, why) = match (irreversible, one_way, found.version(), &change.to) {
        (Some(why), ..) => (UndoContract::No, why.to_owned()),
        (None, Some((_, why)), ..) => (UndoContract::No, (*why).to_owned()),
        (None, None, None, _) => {
            (UndoContract::Partly, "files that it made while running may stay".to_owned())
        }
        (None, None, Some(old), Some(_)) => {
            (UndoContract::Partly, format!("{old} is at hand; what its scripts and services did since stays"))
        }
        (None, None, Some(old), None) => {
            (UndoContract::Partly, format!("{old} is at hand; what removing it did besides stays"))
        }
    };
    Reversibility { undo, why }
}

/// The action that brings a package to its end that an earlier run left half done.
pub fn repair(change: &PackageChange, found: &Found) -> Result<Action, Refused> {
    let (name, version) = (&change.name, change.to.as_deref().unwrap_or_default());
    let summary = match change.sha256 {
        None => {
            format!("repair {name} {version}: finish its configuration, which an earlier run left undone")
        }
        Some(_) => format!(
            "repair {name} {version}: install it again, because an earlier run left it half installed"
        ),
    };
    Ok(Action {
        resource: id(name)?,
        verb: Verb::Repair,
        class: ActionClass::Package,
        before: Some(digest(name, found)),
        after: state(&("package", name, &change.arch, version, change.sha256)),
        summary,
        diff: None,
        undo: Reversibility {
            undo: UndoContract::No,
            why: "a half installed state is not brought back".to_owned(),
        },
        content: None,
        package: Some(pin(change, Conffiles::Old)),
        programs: Map::default(),
        satisfies: Vec::new(),
    })
}

/// Configuration files of these packages that differ from what their packages brought, by package.
///
/// # Errors
/// The database or a file cannot be read.
pub fn changed_conffiles(names: &[&str], host: &impl Host) -> Result<BTreeMap<String, Vec<String>>, Fault> {
    let mut changed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if names.is_empty() {
        return Ok(changed);
    }
    for conffile in host.packager().conffiles(names)? {
        // One that was removed, or is no regular file any more, is a change by people as well.
        let now = match host.look(&conffile.path)? {
            Entry::File { length, .. } if length <= CONFFILE_BYTES => {
                host.read(&conffile.path, CONFFILE_BYTES)?
            }
            _ => None,
        };
        if !now.is_some_and(|bytes| conffile.sum.is_of(&bytes)) {
            let name = conffile.package.split(':').next().unwrap_or_default().to_owned();
            changed.entry(name).or_default().push(conffile.path);
        }
    }
    Ok(changed)
}

/// Larger configuration files count as changed.
const CONFFILE_BYTES: u64 = 16 << 20;

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
        content: None,
        package: None,
        programs: Map::default(),
        satisfies: Vec::new(),
    }))
}

/// How a package action is carried out; actions that differ in it are not one transaction.
pub fn manner(action: &Action) -> Option<(bool, Conffiles)> {
    action.package.as_ref().map(|pin| (action.verb == Verb::Repair, pin.conffiles))
}

/// What an approved pin does.
pub fn change(pin: &PackagePin) -> PackageChange {
    PackageChange {
        name: pin.name.clone(),
        arch: pin.arch.clone(),
        from: pin.from.clone(),
        to: pin.to.clone(),
        origin: pin.origin.clone(),
        sha256: pin.sha256,
    }
}

/// Fetches the files of approved packages that are not there yet, and those of the versions that they replace:
/// the way back must not need a source either.
///
/// # Errors
/// No room, or a file of the way forward cannot be had.
pub fn prefetch(actions: &[Action], host: &impl Host) -> Result<(), Fault> {
    let inventory = inventory(host)?;
    let pins = actions.iter().filter_map(|action| action.package.as_ref());
    let todo: Vec<&PackagePin> = pins.filter(|pin| !is_at(pin, &inspect(&pin.name, &inventory))).collect();
    let changes: Vec<PackageChange> = todo.iter().map(|pin| change(pin)).collect();
    let packager = host.packager();
    if !packager.has_files(&changes)? {
        packager.room(&changes)?;
        packager.fetch(&changes)?;
    }
    let replaced = |pin: &&PackagePin| {
        let found = inspect(&pin.name, &inventory);
        let old = found.version().filter(|old| pin.to.as_deref() != Some(old))?;
        Some((pin.name.clone(), old.to_owned()))
    };
    let olds: Vec<(String, String)> = todo.iter().filter_map(replaced).collect();
    // What is not at hand was said before approval, in the undo contract.
    if let Err(fault) = packager.locate(&olds).and_then(|olds| packager.fetch(&olds)) {
        tracing::info!("not everything is kept for the way back: {}", fault.text());
    }
    Ok(())
}

/// Lets go of the files of a run that has ended.
///
/// # Errors
/// The disk's.
pub fn forget(actions: &[Action], host: &impl Host) -> Result<(), Fault> {
    let mut changes: Vec<PackageChange> = Vec::new();
    for pin in actions.iter().filter_map(|action| action.package.as_ref()) {
        changes.push(change(pin));
        if let Some(from) = pin.from.clone().filter(|from| pin.to.as_ref() != Some(from)) {
            changes.extend(host.packager().kept(&pin.name, &from)?);
        }
    }
    if changes.is_empty() { Ok(()) } else { host.packager().forget(&changes) }
}

/// Brings the packages of one transaction about, in one run of the package manager. `dependencies` are marked
/// as such; hold marks that were there stay.
pub fn apply(pins: &[&PackagePin], dependencies: &[&str], host: &mut impl Host) -> Result<(), Fault> {
    let before = inventory(host)?;
    let changes: Vec<PackageChange> = pins.iter().map(|pin| change(pin)).collect();
    let conffiles = pins.first().map(|pin| pin.conffiles).unwrap_or_default();
    host.packager().transact(&changes, Terms { conffiles, purge: false })?;
    let after = inventory(host)?;
    check(pins, &after)?;
    let lost: Vec<&str> = pins
        .iter()
        .map(|p| p.name.as_str())
        .filter(|n| was_held(n, &before) && !was_held(n, &after))
        .collect();
    for (mark, names) in [(Mark::Hold, lost.as_slice()), (Mark::Auto, dependencies)] {
        if !names.is_empty() {
            host.packager().mark(mark, names)?;
        }
    }
    Ok(())
}

/// Brings packages to their end that an earlier run left half done.
pub fn apply_repair(pins: &[&PackagePin], host: &mut impl Host) -> Result<(), Fault> {
    let changes: Vec<PackageChange> = pins.iter().map(|pin| change(pin)).collect();
    host.packager().repair(&changes)?;
    check(pins, &inventory(host)?)
}

fn check(pins: &[&PackagePin], after: &Inventory) -> Result<(), Fault> {
    for pin in pins {
        let found = inspect(&pin.name, after);
        if is_at(pin, &found) {
            continue;
        }
        let end = pin.to.as_ref().map_or("removed".to_owned(), |v| format!("at {v}"));
        let now = match (found.version(), found.is_whole()) {
            (None, _) => "not installed".to_owned(),
            (Some(now), true) => now.to_owned(),
            (Some(now), false) => format!("half installed at {now}"),
        };
        return Err(Fault::Refused(format!("{} should be {end} and is {now} afterwards", pin.name)));
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
    let (mut back, mut gone, mut terms) = (Vec::new(), Vec::new(), Terms::default());
    for (name, found) in versions {
        let current = inspect(name, &now);
        match found.version() {
            Some(old) if current.version() != Some(old) || !current.is_whole() => {
                back.push(((*name).to_owned(), old.to_owned()));
            }
            None if current.version().is_some() => {
                // Only what this run brought: nothing of it was there before.
                terms.purge |= **found == Found::Absent;
                let from = current.version().map(str::to_owned);
                gone.push(PackageChange { name: (*name).to_owned(), from, ..PackageChange::default() });
            }
            _ => {}
        }
    }
    if !back.is_empty() || !gone.is_empty() {
        let mut changes = host.packager().locate(&back)?;
        changes.append(&mut gone);
        host.packager().transact(&changes, terms)?;
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
            host.packager().mark(mark, &names)?;
        }
    }
    Ok(())
}
