//! Users and groups of the host itself: entries of passwd(5), shadow(5), group(5) and gshadow(5).
//!
//! The entries are edited here and not by useradd(8): numbers are chosen when planning, so that they are approved;
//! undo brings back entries as they were, with password and ageing; private roots work like the machine itself.
//! Never: home directories, other files and processes of an account, or its password.

mod tables;
mod wish;

use super::{Saved, absent, refuse, state};
use crate::host::{Attrs, Entry, Fault, Host};
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::ids::ResourceId;
use shared::manifest::Resource;
use shared::plan::{Action, Reversibility, UndoContract, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;
use shared::strict::Map;
use std::collections::BTreeMap;
pub use tables::{Table, Tables};

/// Account files of hosts with many local accounts.
const TABLE_BYTES: u64 = 16 << 20;

/// What an account is, as far as manifests speak of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Described {
    User {
        uid: u32,
        group: String,
        /// All other groups, sorted.
        groups: Vec<String>,
        comment: String,
        home: String,
        shell: String,
        locked: bool,
    },
    Group {
        gid: u32,
    },
}

/// Everything about an account that a step may change: a step that broke off has changed some of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whole {
    /// None: there is no such account.
    pub described: Option<Described>,
    pub has_shadow: bool,
    /// Groups that name it in gshadow(5).
    pub shadow_groups: Vec<String>,
    /// Whether there is a group of its name, and one in gshadow(5).
    pub has_group: bool,
    pub has_gshadow: bool,
}

/// One entry as it was found. Secret ones are kept beside the journal, by their digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    pub table: Table,
    /// Name of the entry.
    pub entry: String,
    /// Its line, from 0.
    pub at: usize,
    pub text: Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Text {
    Plain(String),
    Saved(Digest),
}

/// An account as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    pub name: String,
    pub is_user: bool,
    pub whole: Whole,
    /// Whether a group of the user's name comes and goes with it.
    pub with_group: bool,
    pub kept: Vec<Kept>,
}

/// Reads the four files; `look` answers the bytes of one, or nothing where it does not exist.
///
/// # Errors
/// The host has no account files, or they are no text.
pub fn read<E>(
    look: impl Fn(&str) -> Result<Option<Vec<u8>>, E>,
    fail: impl Fn(String) -> E,
) -> Result<Tables, E> {
    let text = |table: Table| match look(table.path())? {
        None => Ok(None),
        Some(bytes) => {
            let bad = |_| fail(format!("{} is no UTF-8 text and is not edited", table.path()));
            String::from_utf8(bytes).map(Some).map_err(bad)
        }
    };
    let needed = |table: Table| {
        let none = || fail(format!("the host has no {}, so it has no accounts of its own", table.path()));
        text(table)?.ok_or_else(none)
    };
    let (passwd, group) = (needed(Table::Passwd)?, needed(Table::Group)?);
    Ok(Tables::of(&passwd, &group, text(Table::Shadow)?.as_deref(), text(Table::Gshadow)?.as_deref()))
}

fn read_from(host: &impl Host) -> Result<Tables, Fault> {
    read(|path| host.read(path, TABLE_BYTES), Fault::Refused)
}

fn name_of(resource: &Resource) -> (&str, bool) {
    match resource {
        Resource::User(user) => (user.name.as_str(), true),
        Resource::Group(group) => (group.name.as_str(), false),
        _ => ("", false),
    }
}

/// What is found, and the secret lines that undoing needs.
fn found(resource: &Resource, tables: &Tables) -> (Found, Vec<Vec<u8>>) {
    let (name, is_user) = name_of(resource);
    let with_group = is_user && wish::brings_group(resource, tables);
    let mut secrets = Vec::new();
    let kept = tables.entries_about(name, is_user).map(|(table, entry, at, line)| {
        let text = if table.is_secret() {
            secrets.push(line.as_bytes().to_vec());
            Text::Saved(Digest::of(line.as_bytes()))
        } else {
            Text::Plain(line.to_owned())
        };
        Kept { table, entry: entry.to_owned(), at, text }
    });
    let kept = kept.collect();
    let whole = tables.whole(name, is_user);
    (Found { name: name.to_owned(), is_user, whole, with_group, kept }, secrets)
}

/// Looks at the account; with it come the secret lines that undoing needs.
///
/// # Errors
/// The account files cannot be read.
pub fn inspect(resource: &Resource, host: &impl Host) -> Result<(Found, Vec<Vec<u8>>), Fault> {
    Ok(found(resource, &read_from(host)?))
}

/// The same account as it is now.
///
/// # Errors
/// The account files cannot be read.
pub fn look(before: &Found, host: &impl Host) -> Result<Found, Fault> {
    let whole = read_from(host)?.whole(&before.name, before.is_user);
    Ok(Found { whole, ..before.clone() })
}

/// The digest that plans and receipts name.
pub fn digest(found: &Found) -> Digest {
    of(&found.name, &found.whole)
}

fn of(name: &str, whole: &Whole) -> Digest {
    let nothing = whole.described.is_none() && !whole.has_shadow && !whole.has_group && !whole.has_gshadow;
    if nothing && whole.shadow_groups.is_empty() { absent() } else { state(&("account", name, whole)) }
}

/// The action that brings the account about, and the tables after it.
///
/// # Errors
/// What is in the way, missing or contradictory.
pub fn diff(resource: &Resource, tables: &Tables) -> Result<Option<(Action, Tables)>, Refused> {
    let (name, is_user) = name_of(resource);
    let id: ResourceId = resource.id();
    let after = wish::grant(resource, tables).map_err(|why| refuse(format!("{id}: {why}")))?;
    let (found, comes) = (tables.whole(name, is_user), after.whole(name, is_user));
    let (old, new) = (&found.described, &comes.described);
    if old == new {
        return Ok(None);
    }
    let verb = match (old, new) {
        (None, _) => Verb::Create,
        (_, None) => Verb::Remove,
        _ => Verb::Update,
    };
    let action = Action {
        resource: id,
        verb,
        class: ActionClass::SensitiveFile,
        before: old.is_some().then(|| of(name, &found)),
        after: of(name, &comes),
        summary: wish::summary(resource, old.as_ref(), new.as_ref(), &after),
        diff: None,
        undo: Reversibility { undo: UndoContract::Yes, why: String::new() },
        content: None,
        package: None,
        programs: Map::default(),
        satisfies: Vec::new(),
    };
    Ok(Some((action, after)))
}

/// Brings the account about; false when it is as it should be already.
///
/// # Errors
/// The machine's, or the account would not become the approved one.
pub fn apply(resource: &Resource, after: Digest, host: &mut impl Host) -> Result<bool, Fault> {
    let _lock = host.lock_accounts()?;
    let old = read_from(host)?;
    let wanted = diff(resource, &old).map_err(|refused| Fault::Refused(refused.message))?;
    let Some((action, new)) = wanted else { return Ok(false) };
    if action.after != after {
        return Err(Fault::Refused(format!(
            "{} would not become what was approved, because accounts have changed; plan again",
            action.resource
        )));
    }
    write(&old, &new, action.verb == Verb::Remove, host)?;
    Ok(true)
}

/// Puts the entries back as they were found. What others have changed besides stays.
///
/// # Errors
/// The machine's, or a secret line was not kept.
pub fn undo(before: &Found, host: &mut impl Host, saved: &dyn Saved) -> Result<(), Fault> {
    let _lock = host.lock_accounts()?;
    let old = read_from(host)?;
    let mut lines = BTreeMap::new();
    for kept in &before.kept {
        let line = match &kept.text {
            Text::Plain(line) => line.clone(),
            Text::Saved(digest) => {
                let mut line = String::new();
                std::io::Read::read_to_string(&mut saved.open(*digest)?, &mut line)
                    .map_err(Fault::io("read an old account entry"))?;
                line
            }
        };
        lines.insert((kept.table, kept.entry.clone()), (kept.at, line));
    }
    let mut new = old.clone();
    new.restore(&before.name, before.is_user, before.with_group, &lines);
    write(&old, &new, before.whole.described.is_none(), host)
}

/// Writes the files that differ. A user's own entry is last to come and first to go, so that no account is ever
/// seen without its group and password entry.
fn write(old: &Tables, new: &Tables, goes: bool, host: &mut impl Host) -> Result<(), Fault> {
    let mut order = [Table::Group, Table::Gshadow, Table::Shadow, Table::Passwd];
    if goes {
        order.reverse();
    }
    for table in order {
        let (Some(before), Some(after)) = (old.text(table), new.text(table)) else { continue };
        if before == after {
            continue;
        }
        let attrs: Attrs = match host.look(table.path())? {
            Entry::File { attrs, .. } => attrs,
            _ => return Err(Fault::Refused(format!("{} is no regular file", table.path()))),
        };
        let bytes = after.into_bytes();
        host.put(table.path(), &mut bytes.as_slice(), Digest::of(&bytes), attrs)?;
    }
    Ok(())
}
