//! What the agent says and hears about packages, whatever the package manager is.

use super::{Fault, record};
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use sha2::{Sha256, Sha512};
use shared::digest::Digest;
use shared::manifest::{Conffiles, SourceFormat};
use shared::version::Order;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// How complete an installation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageState {
    Installed,
    /// Unpacked; its configuration has not run to its end.
    Unconfigured,
    /// Half installed; must be installed again.
    Broken,
    /// Removed; its configuration files are left.
    ConfigFiles,
}

impl PackageState {
    /// An earlier run broke off.
    pub fn is_unfinished(self) -> bool {
        matches!(self, Self::Unconfigured | Self::Broken)
    }
}

/// One package that the package manager knows on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    pub name: String,
    pub arch: String,
    pub version: String,
    pub source: String,
    pub source_version: String,
    /// Who made it, where the package says so (rpm).
    pub vendor: Option<String>,
    pub held: bool,
    pub state: PackageState,
}

/// One package that a transaction changes. `from` and `to` are versions; without `to` it is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageChange {
    pub name: String,
    pub arch: String,
    pub from: Option<String>,
    pub to: Option<String>,
    /// The sources that offer it, joined with `, `: `Label:suite` of apt, names of rpm repositories.
    pub origin: Option<String>,
    /// Digest of the package file; none for a removal, and for a configuration that is only finished.
    pub sha256: Option<Digest>,
}

/// What is asked of the solver: exact versions only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Name (with `:arch` for a foreign one) and version.
    pub install: Vec<(String, String)>,
    pub remove: Vec<String>,
    /// Older versions than the installed ones are meant.
    pub downgrade: bool,
    /// Packages on hold are meant.
    pub held: bool,
    /// The same version again, for packages that are broken.
    pub reinstall: bool,
}

impl Request {
    pub fn is_empty(&self) -> bool {
        self.install.is_empty() && self.remove.is_empty()
    }
}

/// How a transaction is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    pub conffiles: Conffiles,
    /// Configuration files of removed packages go too.
    pub purge: bool,
}

/// A package with the versions that its sources offer, best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub name: String,
    pub installed: Option<String>,
    /// The version that the host's own settings prefer.
    pub candidate: Option<String>,
    pub versions: Vec<OnOffer>,
}

/// One version of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnOffer {
    pub version: String,
    /// Where it comes from, as `Label:suite` of apt or the name of an rpm repository; none for a version that only
    /// the host itself has.
    pub origins: Vec<String>,
    /// Brings a fix of security: of a security source, or named by a security advisory.
    pub security: bool,
}

/// How far the package manager's own record of what it did was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The files of its record; none before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Vec<record::Mark>>,
    /// The last transaction of its history, or the number of those that there are.
    #[serde(default)]
    pub transaction: u64,
    /// Digest of what was installed, and the time of what was installed last (seconds since 1970).
    #[serde(default)]
    pub last: String,
    #[serde(default)]
    pub youngest: i64,
    /// Whose wish the last entry was a part of: what follows it may be, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

/// One package that was changed, as the record has it. `from` and `to` are versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageEvent {
    /// As it is written there: local time of the host.
    pub when: String,
    pub name: String,
    pub from: Option<String>,
    pub to: Option<String>,
    /// What it was a part of, where that is on record.
    pub cause: Option<Cause>,
}

/// A transaction as its own record has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    pub began: String,
    pub command: String,
    pub by: String,
}

/// A note of the package manager about a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Hold,
    Unhold,
    /// Came as a dependency; may go when nothing needs it any more.
    Auto,
}

/// One package manager of a machine.
///
/// Looking and solving change nothing on the machine; lists and package files lie in the agent's own directory.
pub trait PackageManager: std::fmt::Debug {
    /// True when the machine is managed by it.
    fn is_there(&self) -> bool;
    fn order(&self) -> Order;
    /// Its name of the machine type.
    fn architecture(&self) -> Result<String, Fault>;
    /// What it knows, sorted by name.
    fn packages(&self) -> Result<Vec<Installed>, Fault>;
    /// Where installed packages are from, by [`Installed::name`]: `Label:suite` of a source that has the package, this
    /// version before others; empty where none has it. `None` where that is not known.
    fn origins(&self) -> Result<Option<BTreeMap<String, String>>, Fault> {
        Ok(None)
    }
    /// Whether the installed package brings the file at `path`.
    fn ships(&self, package: &str, path: &str) -> Result<bool, Fault>;
    /// Fetches the lists of all sources; one that fails is a fault.
    fn refresh(&self) -> Result<(), Fault>;
    /// Versions on offer for these packages, best first.
    fn offers(&self, names: &[&str]) -> Result<Vec<Offer>, Fault>;
    /// Exactly what the request would do once [`PackageManager::repairs`] are done, dependencies included, sorted
    /// by name.
    fn simulate(&self, request: &Request) -> Result<Vec<PackageChange>, Fault>;
    /// Why these changes could not be taken back afterwards; none when the old versions are at hand and the solver
    /// agrees.
    fn irreversible(&self, changes: &[PackageChange]) -> Result<Option<String>, Fault>;
    /// What brings packages to their end that an earlier run left half done, at the versions that they have.
    fn repairs(&self) -> Result<Vec<PackageChange>, Fault>;
    /// Configuration files of these packages, with the digest that each was brought with.
    fn conffiles(&self, names: &[&str]) -> Result<Vec<Conffile>, Fault>;
    /// Refuses when the disk has no room for what is still to be fetched and unpacked.
    fn room(&self, changes: &[PackageChange]) -> Result<(), Fault>;

    /// Brings the files of these changes into the agent's own directory, each checked by its digest.
    fn fetch(&self, changes: &[PackageChange]) -> Result<(), Fault>;
    /// Whether [`PackageManager::fetch`] has nothing left to do.
    fn has_files(&self, changes: &[PackageChange]) -> Result<bool, Fault>;
    /// Changes that put these packages at these versions, as far as their files are here or on offer.
    fn locate(&self, wanted: &[(String, String)]) -> Result<Vec<PackageChange>, Fault>;
    /// The file of a version that is kept here, as a change; sources are not asked.
    fn kept(&self, name: &str, version: &str) -> Result<Option<PackageChange>, Fault>;
    /// Lets go of the files of these changes, and of those that nobody came for in a month.
    fn forget(&self, changes: &[PackageChange]) -> Result<(), Fault>;

    /// What exactly these files would do, without any source; for changes whose files are all here.
    fn rehearse(&self, changes: &[PackageChange]) -> Result<Vec<PackageChange>, Fault>;
    /// Does exactly these changes with exactly these files, without any source, or refuses before the first one.
    fn transact(&self, changes: &[PackageChange], terms: Terms) -> Result<(), Fault>;
    /// Does what [`PackageManager::repairs`] told, and nothing else.
    fn repair(&self, changes: &[PackageChange]) -> Result<(), Fault>;
    fn mark(&self, mark: Mark, names: &[&str]) -> Result<(), Fault>;
    /// How it wants package sources described.
    fn sources(&self) -> SourceFormat {
        SourceFormat::Apt
    }
    /// Keys that its database believes for the packages of any source, as [`shared::manifest::OpenPgpKey::primaries`]
    /// names them; none where each source has its own.
    fn keys(&self) -> Result<BTreeSet<Digest>, Fault> {
        Ok(BTreeSet::new())
    }
    /// Adds the keys of a file to that database.
    fn add_keys(&self, path: &str) -> Result<(), Fault> {
        Err(Fault::Refused(format!("this host's package manager has no database for the keys of {path}")))
    }
    /// Takes keys out of it; those that are not there are gone already.
    fn drop_keys(&self, _keys: &BTreeSet<Digest>) -> Result<(), Fault> {
        Ok(())
    }
    /// What was done to packages since that place, by whomever, oldest first, and the place to go on from. Without a
    /// place nothing is told: what was before the first look is nobody's matter. A manager whose record is not read
    /// tells nothing. None while somebody is at it and half done would be told: to be asked again later.
    fn history(&self, since: Option<&Place>) -> Result<Option<(Vec<PackageEvent>, Place)>, Fault> {
        Ok(Some((Vec::new(), since.cloned().unwrap_or_default())))
    }
    /// Waits for other users and finishes configurations that an interrupted run of the agent left.
    fn settle(&self) -> Result<(), Fault>;
}

/// A configuration file as its package brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conffile {
    pub package: String,
    pub path: String,
    pub sum: Sum,
}

/// The digest of a file in a package database, hexadecimal: dpkg has MD5, rpm mostly SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sum {
    Md5(String),
    Sha256(String),
    Sha512(String),
}

impl Sum {
    /// Whether these are the bytes that the package brought.
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        let hex = |digest: &[u8]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        match self {
            Self::Md5(sum) => hex(&Md5::digest(bytes)) == *sum,
            Self::Sha256(sum) => hex(&Sha256::digest(bytes)) == *sum,
            Self::Sha512(sum) => hex(&Sha512::digest(bytes)) == *sum,
        }
    }
}

/// Same packages, same ends. Where they start from may differ, as after an interrupted run; which files are used
/// is not the solver's matter.
pub fn same_effect(now: &[PackageChange], expected: &[PackageChange]) -> Result<(), Fault> {
    let effect = |changes: &[PackageChange]| -> BTreeSet<(String, Option<String>)> {
        changes.iter().map(|c| (c.name.clone(), c.to.clone())).collect()
    };
    let (now, expected) = (effect(now), effect(expected));
    let Some((name, to)) = now.symmetric_difference(&expected).next() else { return Ok(()) };
    let end = to.as_ref().map_or("removed".to_owned(), |v| format!("version {v}"));
    let how = if expected.iter().any(|e| &e.0 == name) {
        "was approved to become"
    } else {
        "would now also be changed to"
    };
    Err(Fault::Refused(format!(
        "plan.drift: package {name} {how} {end}; the packages differ from the approved set, plan again"
    )))
}

/// Whether two paths name one file: `/bin/x` and `/usr/bin/x` do where `/usr` is merged, and packages name either.
pub fn same_path(a: &str, b: &str) -> bool {
    const MERGED: [&str; 4] = ["/bin/", "/sbin/", "/lib/", "/lib64/"];
    let merged = |path: &'_ str| -> usize {
        let rest = path.strip_prefix("/usr");
        if rest.is_some_and(|rest| MERGED.iter().any(|dir| rest.starts_with(dir))) { "/usr".len() } else { 0 }
    };
    a[merged(a)..] == b[merged(b)..]
}
