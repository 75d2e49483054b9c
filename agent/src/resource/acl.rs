//! Access control lists of a file or directory: listed entries are set, others stay or, purged, go.
//!
//! Plans name accounts, the machine numbers them. Never: what lies below a directory; its default list is for what is
//! made there later.

use super::parts::{Part, plain};
use super::wanted::Sight;
use super::{refuse, state, textdiff};
use crate::host::{Accounts, Acl, AclEntry, Acls, Attrs, Entry, Fault, Host, several_names};
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::ids::ResourceId;
use shared::manifest::{self, AclTag};
use shared::plan::{Action, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;
use std::collections::BTreeMap;

/// Entries that a summary names; the difference has all.
const NAMED: usize = 8;

/// The lists as they were found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    pub directory: bool,
    pub acls: Acls<u32>,
    /// As earlier steps of a plan leave them, where those come between.
    #[serde(skip)]
    pub foreseen: Option<Acls<String>>,
}

/// Paths that earlier steps of a plan make or change, as they leave them.
pub type Foreseen = BTreeMap<String, (bool, Acls<String>)>;

fn named(acls: &Acls<u32>, accounts: &Accounts) -> Acls<String> {
    let name = |tag, id: &u32| -> Result<String, std::convert::Infallible> {
        Ok(if tag == AclTag::User { accounts.user(*id) } else { accounts.group(*id) })
    };
    // Renaming by tables cannot fail.
    let list = |list: &Acl<u32>| list.renamed(name).unwrap_or_else(|never| match never {});
    Acls { access: list(&acls.access), default: acls.default.as_ref().map(list) }
}

fn numeric(acls: &Acls<String>, accounts: &Accounts) -> Result<Acls<u32>, Fault> {
    let number = |tag, name: &String| {
        let (kind, id) = match tag {
            AclTag::User => ("user", accounts.uid(name)),
            _ => ("group", accounts.gid(name)),
        };
        // An account without a name is shown, and stays, as its number.
        let none = || {
            Fault::Refused(format!("the host has no {kind} {name}; bring it before the ACL that names it"))
        };
        id.or_else(|| name.parse().ok()).ok_or_else(none)
    };
    let default = acls.default.as_ref().map(|list| list.renamed(number)).transpose()?;
    Ok(Acls { access: acls.access.renamed(number)?, default })
}

impl Found {
    fn now(&self, accounts: &Accounts) -> Acls<String> {
        self.foreseen.clone().unwrap_or_else(|| named(&self.acls, accounts))
    }
}

/// What the resource consists of: nothing yet where the path comes with a package.
pub(super) fn wanted<'a, H: Host>(
    own: &'a manifest::Acl,
    sight: &Sight<'_, H>,
) -> Result<Option<Vec<Part<'a>>>, Refused> {
    let path = own.path.as_str();
    let there = sight.host.look(path).map_err(|fault| refuse(fault.text()))?;
    let foreseen = sight.acls.get(path);
    match (there, foreseen) {
        (Entry::Absent, None) if sight.comes => return Ok(None),
        (Entry::Absent, None) => {
            return Err(refuse(format!(
                "{path} does not exist; require what brings it, or add it as a resource"
            )));
        }
        (Entry::Link { target }, None) => {
            let target = shared::strict::shorten(&target);
            return Err(refuse(format!(
                "{path} is a link to {target} and has no ACL; name what it points to"
            )));
        }
        (Entry::Other, None) => return Err(refuse(format!("{path} is neither a file nor a directory"))),
        _ => {}
    }
    let accounts = own.access.iter().chain(&own.default).map(manifest::AclEntry::parts);
    for (tag, name, _) in accounts.filter(|(_, name, _)| !name.is_empty()) {
        let (kind, known) = match tag {
            AclTag::User => ("user", sight.accounts.uid(name)),
            _ => ("group", sight.accounts.gid(name)),
        };
        if known.is_none() && !sight.comes {
            return Err(refuse(format!(
                "the host has no {kind} {name}; require the resource that brings it"
            )));
        }
    }
    Ok(Some(vec![Part::Acl { own }]))
}

/// What is there, or will be when the steps before are done.
///
/// # Errors
/// Its file system has no ACLs; the machine's.
pub(super) fn inspect<H: Host>(path: &str, sight: &Sight<'_, H>) -> Result<Found, Refused> {
    if let Some((directory, acls)) = sight.acls.get(path) {
        let (directory, foreseen) = (*directory, Some(acls.clone()));
        return Ok(Found { directory, acls: Acls::of_mode(0), foreseen });
    }
    look(path, sight.host).map_err(|fault| refuse(fault.text()))
}

/// # Errors
/// There is nothing that has ACLs.
fn look(path: &str, host: &impl Host) -> Result<Found, Fault> {
    let directory = matches!(host.look(path)?, Entry::Directory { .. });
    let none = || {
        Fault::Refused(format!(
            "{path} has no POSIX ACL that could be changed: it is not there, or its file system does not support them (such as vfat, or a mount with noacl)"
        ))
    };
    Ok(Found { directory, acls: host.acls(path)?.ok_or_else(none)?, foreseen: None })
}

/// The same for what a step was about; what is gone by now is in no state that was found before.
///
/// # Errors
/// The machine's.
pub fn look_again(path: &str, host: &impl Host) -> Result<Found, Fault> {
    let directory = matches!(host.look(path)?, Entry::Directory { .. });
    let acls = host.acls(path)?.unwrap_or_else(|| Acls::of_mode(0));
    Ok(Found { directory, acls, foreseen: None })
}

/// What an entry that is made or gets a mode will have, for later steps of the plan.
///
/// # Errors
/// The machine's.
pub(crate) fn foresee<H: Host>(
    (path, directory): (&str, bool),
    mode: u32,
    made: bool,
    sight: &Sight<'_, H>,
) -> Result<Option<Acls<String>>, Fault> {
    let now = |path: &str| match sight.acls.get(path) {
        Some((_, acls)) => Ok(Some(acls.clone())),
        None => Ok::<_, Fault>(sight.host.acls(path)?.map(|acls| named(&acls, sight.accounts))),
    };
    if !made {
        let with_mode = |acls: Acls<String>| Acls { access: acls.access.with_mode(mode), ..acls };
        return Ok(now(path)?.map(with_mode));
    }
    let parent =
        path.rsplit_once('/').map_or("/", |(parent, _)| if parent.is_empty() { "/" } else { parent });
    // Where the directory knows no ACL, neither does what is made in it; that comes up when it is made.
    Ok(Some(now(parent)?.map_or_else(|| Acls::of_mode(mode), |above| above.hand_down(directory, mode))))
}

/// What comes of the lists.
pub(crate) fn outcome(own: &manifest::Acl, found: &Found, accounts: &Accounts) -> Acls<String> {
    let mut acls = found.now(accounts);
    if !own.access.is_empty() || own.purge {
        acls.access = merged(&own.access, acls.access, own.purge, accounts);
    }
    let default = match (own.default.is_empty(), own.purge, acls.default.take()) {
        (true, true, _) => None,
        (true, false, now) => now,
        (false, purge, now) => {
            // A new default list begins with owner, group and others of the directory itself, as setfacl(1) does it.
            let base = now.unwrap_or_else(|| {
                let mut base = acls.access.clone();
                base.retain(|entry| entry.who.is_none() && entry.tag != AclTag::Mask);
                base
            });
            Some(merged(&own.default, base, purge, accounts))
        }
    };
    Acls { default, ..acls }
}

fn merged(
    listed: &[manifest::AclEntry],
    mut list: Acl<String>,
    purge: bool,
    accounts: &Accounts,
) -> Acl<String> {
    if purge {
        list.retain(|entry| entry.who.is_none());
    }
    list.retain(|entry| entry.tag != AclTag::Mask);
    for (tag, name, perms) in listed.iter().map(manifest::AclEntry::parts) {
        // Several names may have one number; what is found always has the first of them.
        let first = match tag {
            AclTag::User => accounts.uid(name).map(|id| accounts.user(id)),
            AclTag::Group => accounts.gid(name).map(|id| accounts.group(id)),
            _ => None,
        };
        let who = (!name.is_empty()).then(|| first.unwrap_or_else(|| name.to_owned()));
        list.set(tag, who, perms);
    }
    if list.get(AclTag::Mask, None).is_none() {
        list.compute_mask();
    }
    list
}

/// The digest that plans and receipts name for found lists.
pub fn digest(found: &Found, accounts: &Accounts) -> Digest {
    of(&found.now(accounts))
}

fn of(acls: &Acls<String>) -> Digest {
    state(&("acl", text(acls)))
}

/// As getfacl(1) shows them.
fn text(acls: &Acls<String>) -> String {
    let access = acls.access.entries().iter().map(|entry| format!("{entry}\n"));
    let default = acls.default.iter().flat_map(|list: &Acl<String>| list.entries());
    access.chain(default.map(|entry: &AclEntry<String>| format!("default:{entry}\n"))).collect()
}

pub(super) fn change<H: Host>(
    id: &ResourceId,
    own: &manifest::Acl,
    found: &Found,
    sight: &Sight<'_, H>,
) -> Result<Option<Action>, Refused> {
    if !found.directory && !own.default.is_empty() {
        return Err(refuse(format!("{} is no directory and has no default ACL", own.path)));
    }
    let (now, then) = (found.now(sight.accounts), outcome(own, found, sight.accounts));
    if now == then {
        return Ok(None);
    }
    let names = sight.host.names(own.path.as_str()).map_err(|fault| refuse(fault.text()))?;
    if !found.directory && names > 1 {
        return Err(refuse(several_names(own.path.as_str(), names)));
    }
    let (old, new) = (text(&now), text(&then));
    let set: Vec<&str> = new.lines().filter(|line| !old.lines().any(|other| other == *line)).collect();
    let left = |line: &&str| {
        let subject = |line: &str| line.rsplit_once(':').map(|(subject, _)| subject.to_owned());
        !new.lines().any(|other| subject(other) == subject(line))
    };
    let gone: Vec<&str> = old.lines().filter(left).collect();
    let mut summary = format!("change the ACL of {}", own.path);
    for (word, lines) in [("set", set), ("remove", gone)].into_iter().filter(|(_, lines)| !lines.is_empty()) {
        let more = lines.len().saturating_sub(NAMED);
        let shown = lines.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        summary.push_str(&format!("; {word} {shown}"));
        if more > 0 {
            summary.push_str(&format!(" and {more} more"));
        }
    }
    Ok(Some(Action {
        class: ActionClass::of_file(own.path.as_str(), None).max(ActionClass::SensitiveFile),
        diff: textdiff::unified(old.as_bytes(), new.as_bytes()),
        ..plain(id, Verb::Update, (of(&now), of(&then)), summary)
    }))
}

/// Sets the lists.
///
/// # Errors
/// The machine's, or the host has no such account.
pub(super) fn apply(own: &manifest::Acl, found: &Found, host: &mut impl Host) -> Result<(), Fault> {
    let accounts = host.accounts()?;
    let acls = numeric(&outcome(own, found, &accounts), &accounts)?;
    host.set_acls(own.path.as_str(), &acls)
}

/// Gives what was just made exactly these lists, or none: not those that its directory hands down.
///
/// # Errors
/// The machine's.
pub(super) fn exactly(
    path: &str,
    acls: Option<&Acls<u32>>,
    attrs: Attrs,
    host: &mut impl Host,
) -> Result<(), Fault> {
    let want = acls.cloned().unwrap_or_else(|| Acls::of_mode(attrs.mode));
    if let Some(now) = host.acls(path)?
        && (now.is_extended() || want.is_extended())
    {
        host.set_acls(path, &want)?;
    }
    host.set_attrs(path, attrs)
}

/// The lists of what is about to be changed, if they say more than its mode.
///
/// # Errors
/// The machine's.
pub(super) fn extended(path: &str, host: &impl Host) -> Result<Option<Acls<u32>>, Fault> {
    Ok(host.acls(path)?.filter(Acls::is_extended))
}
