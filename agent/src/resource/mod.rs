//! Kinds of resources. Each kind is four functions: `inspect, diff, apply, undo`.
//!
//! `diff` is pure. `undo` takes what `inspect` found before and nothing of the manifest, so that an interrupted
//! run can be undone from the journal alone. Never: order, journal, or whether anything may happen.

pub mod account;
pub mod acl;
pub mod agent;
pub mod archive;
mod authorized_keys;
mod block;
pub mod command;
pub mod directory;
pub mod entry;
pub mod external;
pub mod file;
pub mod firewall;
pub mod hook;
mod line;
mod lines;
mod module;
mod mount;
pub mod outdated;
pub mod package;
pub mod parts;
pub mod patch;
pub mod programs;
pub mod reboot;
mod repository;
pub mod secret;
pub mod service;
mod setting;
mod textdiff;
mod trust;
mod units;
pub mod wanted;

use crate::host::{Accounts, Attrs, Fault};
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::manifest::{AccountName, Mode};
use shared::refusal::{Code, Refused};
use shared::secret::Seal;
use shared::strict;
use std::io::Read;

/// What was found before a step: all that undoing it needs. Kept in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Found {
    File(file::Found),
    /// A file that is to hold a secret, with the key of its digests.
    Secret(Seal, file::Found),
    Directory(directory::Found),
    Package(package::Found),
    Service(service::Found),
    Command(command::Found),
    Hook(command::Found),
    /// Units that use replaced files and are restarted, and the rules by which they were chosen.
    Outdated(outdated::Found),
    Reboot(reboot::Found),
    Account(account::Found),
    Parts(Vec<parts::Found>),
    /// A check of what is to become the file at this path; it leaves nothing behind.
    Check(String),
    /// The program of the agent that did the work.
    Agent(agent::Found),
}

/// The old contents of files, kept beside the journal by their digest.
pub trait Saved {
    /// # Errors
    /// Not there, or not readable.
    fn open(&self, digest: Digest) -> Result<Box<dyn Read + '_>, Fault>;
}

/// A digest over a canonical description of a state.
fn state<T: Serialize>(description: &T) -> Digest {
    Digest::of(&strict::to_json(description))
}

/// The state of everything that is not there.
fn absent() -> Digest {
    state(&"absent")
}

fn refuse(message: impl Into<String>) -> Refused {
    Refused::new(Code::PlanFailed, message)
}

/// Owner, group and mode as a manifest names them. Not given: stays, or the default of a new thing.
#[derive(Clone, Copy, Debug)]
pub struct WantedAttrs<'a> {
    pub owner: Option<&'a AccountName>,
    pub group: Option<&'a AccountName>,
    pub mode: Option<Mode>,
    pub default: Attrs,
}

/// Owner and group by name: the same on hosts that number them differently, and plannable before the
/// package that makes the account is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedAttrs {
    pub owner: String,
    pub group: String,
    pub mode: String,
}

impl WantedAttrs<'_> {
    fn named(&self, found: Option<Attrs>, accounts: &Accounts) -> NamedAttrs {
        let base = found.unwrap_or(self.default);
        // Several names may have one number; what is found always has the first of them.
        let user =
            |n: &AccountName| accounts.uid(n.as_str()).map_or_else(|| n.to_string(), |id| accounts.user(id));
        let group =
            |n: &AccountName| accounts.gid(n.as_str()).map_or_else(|| n.to_string(), |id| accounts.group(id));
        NamedAttrs {
            owner: self.owner.map_or_else(|| accounts.user(base.uid), user),
            group: self.group.map_or_else(|| accounts.group(base.gid), group),
            mode: self.mode.unwrap_or(Mode::of_bits(base.mode)).to_string(),
        }
    }

    /// # Errors
    /// The host has no such account.
    fn numeric(&self, found: Option<Attrs>, accounts: &Accounts) -> Result<Attrs, Fault> {
        let base = found.unwrap_or(self.default);
        let none = |kind: &str, name: &AccountName| {
            Fault::Refused(format!("the host has no {kind} {name}; bring it before what belongs to it"))
        };
        let uid =
            self.owner.map_or(Ok(base.uid), |n| accounts.uid(n.as_str()).ok_or_else(|| none("user", n)))?;
        let gid =
            self.group.map_or(Ok(base.gid), |n| accounts.gid(n.as_str()).ok_or_else(|| none("group", n)))?;
        Ok(Attrs { uid, gid, mode: self.mode.map_or(base.mode, Mode::bits) })
    }
}

impl NamedAttrs {
    fn of(attrs: Attrs, accounts: &Accounts) -> Self {
        Self {
            owner: accounts.user(attrs.uid),
            group: accounts.group(attrs.gid),
            mode: Mode::of_bits(attrs.mode).to_string(),
        }
    }

    /// What differs, such as `mode 0644 to 0600`.
    fn differences(&self, wanted: &Self) -> Vec<String> {
        [
            ("owner", &self.owner, &wanted.owner),
            ("group", &self.group, &wanted.group),
            ("mode", &self.mode, &wanted.mode),
        ]
        .iter()
        .filter(|(_, found, wanted)| found != wanted)
        .map(|(what, found, wanted)| format!("{what} {found} to {wanted}"))
        .collect()
    }
}

impl std::fmt::Display for NamedAttrs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} {}", self.owner, self.group, self.mode)
    }
}
