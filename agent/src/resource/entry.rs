//! What lies below a directory and is no resource itself: attributes for all of it, or its removal.
//!
//! Each entry is an action of its own, `entry:<path>`, so that approvers see and bind every one. Links keep their
//! attributes; devices and sockets are never removed. Never: resources of the change, and what leads to them.

use super::{NamedAttrs, WantedAttrs, absent, directory, file, parts, refuse};
use crate::host::{Accounts, Attrs, Entry, Fault, Host, several_names};
use crate::plan::Item;
use shared::digest::Digest;
use shared::ids::ResourceId;
use shared::manifest::{Directory, Recurse, Resource};
use shared::plan::{Action, Reversibility, UndoContract, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;
use shared::strict::Map;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Directories within directories; deeper trees are no configuration.
const DEPTH: usize = 32;
/// The pseudo-kind of the actions.
const KIND: &str = "entry:";

/// Which paths belong to resources of the change.
#[derive(Debug, Default)]
pub struct Managed<'a> {
    paths: BTreeSet<Cow<'a, str>>,
    /// Directories that say themselves what is wanted below them.
    reaching: BTreeSet<&'a str>,
    /// Where archives are unpacked.
    unpacked: BTreeSet<&'a str>,
}

impl<'a> Managed<'a> {
    /// Empty where no directory asks for it.
    pub(crate) fn of(items: &[Item<'a>], accounts: &Accounts) -> Self {
        let mut managed = Self::default();
        let asks = |item: &Item<'_>| matches!(item.resource, Resource::Directory(own) if own.reaches_below());
        if !items.iter().any(asks) {
            return managed;
        }
        for item in items {
            managed.paths.extend(item.resource.paths());
            managed.paths.extend(item.resource.edits().map(Cow::Borrowed));
            match item.resource {
                Resource::Directory(own) if own.reaches_below() => {
                    managed.reaching.insert(own.path.as_str());
                }
                Resource::Archive(own) => {
                    // What lies in it is the matter of the archive.
                    managed.unpacked.insert(own.path.as_str());
                    managed.reaching.insert(own.path.as_str());
                    managed.paths.insert(own.path.as_str().into());
                }
                Resource::Acl(own) => {
                    managed.paths.insert(own.path.as_str().into());
                }
                Resource::AuthorizedKeys(own) => {
                    let home = accounts.home(own.user.as_str()).map(|(_, home)| home);
                    managed.paths.extend(home.map(|home| format!("{home}/.ssh/authorized_keys").into()));
                }
                _ => {}
            }
        }
        managed
    }

    fn holds(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// Whether something that is managed lies below.
    fn leads_on(&self, path: &str) -> bool {
        let below = format!("{path}/");
        let from = (Bound::Included(below.as_str()), Bound::Unbounded);
        self.paths.range::<str, _>(from).next().is_some_and(|next| next.starts_with(&below))
    }
}

/// The path of an action about an entry.
pub fn path_of(resource: &ResourceId) -> Option<&str> {
    resource.as_str().strip_prefix(KIND)
}

/// The resource that governs an entry: the nearest directory above it that reaches below itself.
pub(crate) fn governor<'i, 'a>(
    path: &str,
    items: &BTreeMap<ResourceId, &'i Item<'a>>,
) -> Option<(&'i Item<'a>, &'a Directory)> {
    let above = path.match_indices('/').rev().map(|(at, _)| &path[..at]);
    above.filter(|dir| !dir.is_empty()).find_map(|dir| {
        let id: ResourceId = format!("directory:{dir}").parse().ok()?;
        let item = *items.get(&id)?;
        match item.resource {
            Resource::Directory(own) if own.reaches_below() => Some((item, own)),
            _ => None,
        }
    })
}

/// All actions about what lies below the directory: inner entries first, so that directories are empty at their turn.
///
/// # Errors
/// There is too much below, or something that cannot be named, shown or removed.
pub fn diff<H: Host>(want: &Directory, managed: &Managed<'_>, host: &H) -> Result<Vec<Action>, Refused> {
    if !want.reaches_below() {
        return Ok(Vec::new());
    }
    if managed.unpacked.contains(want.path.as_str()) {
        return Err(refuse(format!(
            "an archive is unpacked into {0} and says itself what lies there; directory:{0} cannot purge or recurse as well",
            want.path
        )));
    }
    let accounts = host.accounts().map_err(|fault| refuse(fault.text()))?;
    let mut walk = Walk { want, managed, host, accounts, seen: 0, actions: Vec::new() };
    walk.below(want.path.as_str(), 0)?;
    Ok(walk.actions)
}

struct Walk<'w, H> {
    want: &'w Directory,
    managed: &'w Managed<'w>,
    host: &'w H,
    accounts: Accounts,
    seen: usize,
    actions: Vec<Action>,
}

impl<H: Host> Walk<'_, H> {
    fn below(&mut self, dir: &str, depth: usize) -> Result<(), Refused> {
        let names = self.host.list(dir).map_err(|fault| refuse(fault.text()))?;
        self.seen += names.len();
        if self.seen > Directory::ENTRIES || depth > DEPTH {
            return Err(refuse(format!(
                "{} has more than {} entries or {DEPTH} levels below it; name a smaller directory",
                self.want.path,
                Directory::ENTRIES
            )));
        }
        for name in names.iter().filter(|name| !name.ends_with(".assent-unfinished")) {
            self.entry(&format!("{dir}/{name}"), depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &str, depth: usize) -> Result<(), Refused> {
        let entry = self.host.look(path).map_err(|fault| refuse(fault.text()))?;
        let own = self.managed.holds(path);
        if matches!(entry, Entry::Directory { .. }) && !self.managed.reaching.contains(path) {
            self.below(path, depth + 1)?;
        }
        if own {
            return Ok(());
        }
        let id: ResourceId = format!("{KIND}{path}").parse().map_err(|_| {
            refuse(format!(
                "{} is too long or has control characters, so it can be neither shown nor bound; rename or remove it first",
                shared::strict::shorten(path)
            ))
        })?;
        let action = if self.want.purge && !self.managed.leads_on(path) {
            self.removal(id, path, &entry)?
        } else {
            self.attributes(id, path, &entry)?
        };
        self.actions.extend(action);
        Ok(())
    }

    fn removal(&self, id: ResourceId, path: &str, entry: &Entry) -> Result<Option<Action>, Refused> {
        let (what, length) = match entry {
            Entry::File { length, .. } => (format!("the file {path} ({length} bytes)"), *length),
            Entry::Link { target } => {
                (format!("the link {path} (to {})", shared::strict::shorten(target)), 0)
            }
            Entry::Directory { .. } => (format!("the directory {path}"), 0),
            Entry::Absent => {
                return Err(refuse(format!(
                    "{} has a name that is no UTF-8 text or goes while it is looked at; rename or remove it first",
                    shared::strict::shorten(path)
                )));
            }
            Entry::Other => {
                return Err(refuse(format!(
                    "{path} is a device, pipe or socket and is not purged; remove it first"
                )));
            }
        };
        let found = find(path, Verb::Remove, self.host).map_err(|fault| refuse(fault.text()))?;
        let undo = if length > file::SAVED_BYTES {
            let why = format!("contents above {} MiB are not kept", file::SAVED_BYTES >> 20);
            Reversibility { undo: UndoContract::Partly, why }
        } else {
            Reversibility { undo: UndoContract::Yes, why: String::new() }
        };
        Ok(Some(Action {
            resource: id,
            verb: Verb::Remove,
            class: ActionClass::of_file(path, None),
            before: Some(parts::digest(&[found], &self.accounts)),
            after: absent(),
            summary: format!("purge {what}"),
            diff: None,
            undo,
            content: None,
            package: None,
            programs: Map::default(),
            satisfies: Vec::new(),
        }))
    }

    fn attributes(&self, id: ResourceId, path: &str, entry: &Entry) -> Result<Option<Action>, Refused> {
        let Some((attrs, is_directory)) = attributes_of(entry) else { return Ok(None) };
        let Some(recurse) = &self.want.recurse else { return Ok(None) };
        let wanted = wanted(recurse, is_directory, attrs).named(Some(attrs), &self.accounts);
        let found = NamedAttrs::of(attrs, &self.accounts);
        if found == wanted {
            return Ok(None);
        }
        let names = self.host.names(path).map_err(|fault| refuse(fault.text()))?;
        if !is_directory && names > 1 {
            return Err(refuse(several_names(path, names)));
        }
        let mode = u32::from_str_radix(&wanted.mode, 8).ok();
        let mode = if is_directory { mode.map(|m| m & 0o777) } else { mode };
        Ok(Some(Action {
            resource: id,
            verb: Verb::Update,
            class: ActionClass::of_file(path, mode),
            before: Some(parts::attributes(&found)),
            after: parts::attributes(&wanted),
            summary: format!("update {path}: {}", found.differences(&wanted).join(", ")),
            diff: None,
            undo: Reversibility { undo: UndoContract::Yes, why: String::new() },
            content: None,
            package: None,
            programs: Map::default(),
            satisfies: Vec::new(),
        }))
    }
}

fn attributes_of(entry: &Entry) -> Option<(Attrs, bool)> {
    match entry {
        Entry::File { attrs, .. } => Some((*attrs, false)),
        Entry::Directory { attrs } => Some((*attrs, true)),
        Entry::Absent | Entry::Link { .. } | Entry::Other => None,
    }
}

fn wanted(recurse: &Recurse, is_directory: bool, default: Attrs) -> WantedAttrs<'_> {
    let mode = if is_directory { recurse.directory_mode } else { recurse.file_mode };
    WantedAttrs { owner: recurse.owner.as_ref(), group: recurse.group.as_ref(), mode, default }
}

/// What is there, as far as undoing the verb needs it.
///
/// # Errors
/// The machine's, or nothing fits the verb.
pub fn find(path: &str, verb: Verb, host: &impl Host) -> Result<parts::Found, Fault> {
    let entry = host.look(path)?;
    let place = path.to_owned();
    match (verb, &entry) {
        (Verb::Remove, Entry::Directory { .. }) => {
            Ok(parts::Found::Directory { path: place, found: directory::inspect(path, host)? })
        }
        (Verb::Remove, _) => Ok(parts::Found::File { path: place, found: file::inspect(path, host)? }),
        _ => {
            let gone =
                || Fault::Refused(format!("{path} is neither file nor directory any more; plan again"));
            let (attrs, _) = attributes_of(&entry).ok_or_else(gone)?;
            Ok(parts::Found::Attributes { path: place, attrs })
        }
    }
}

/// Carries out one action.
///
/// # Errors
/// The machine's, or the entry would not become what was approved.
pub fn apply(
    path: &str,
    (verb, after): (Verb, Digest),
    want: &Directory,
    host: &mut impl Host,
) -> Result<(), Fault> {
    let entry = host.look(path)?;
    if verb == Verb::Remove {
        return match entry {
            Entry::Directory { .. } => host.remove_dir(path),
            Entry::File { .. } | Entry::Link { .. } => host.remove(path),
            Entry::Absent => Ok(()),
            Entry::Other => {
                Err(Fault::Refused(format!("{path} is a device, pipe or socket and is not purged")))
            }
        };
    }
    let accounts = host.accounts()?;
    let changed = || Fault::Refused(format!("{path} would not become what was approved; plan again"));
    let ((attrs, is_directory), recurse) =
        attributes_of(&entry).zip(want.recurse.as_ref()).ok_or_else(changed)?;
    let wanted = wanted(recurse, is_directory, attrs);
    if parts::attributes(&wanted.named(Some(attrs), &accounts)) != after {
        return Err(changed());
    }
    let attrs = wanted.numeric(Some(attrs), &accounts)?;
    host.set_attrs(path, attrs)
}
