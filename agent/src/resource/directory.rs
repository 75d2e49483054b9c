//! Directories: that they exist, with owner, group and mode.

use super::{NamedAttrs, WantedAttrs, absent, acl, refuse, state};
use crate::host::{Accounts, Acls, Attrs, Entry, Fault, Host};
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::manifest::{Directory, Resource};
use shared::plan::{Action, Reversibility, UndoContract, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;
use shared::strict::Map;

const MODE: u32 = 0o755;

/// What was at the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Found {
    Absent,
    Directory {
        attrs: Attrs,
        /// Where they say more than the mode: for a directory that goes and comes back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        acls: Option<Acls<u32>>,
    },
    /// A file, link, device, socket or pipe: not replaced.
    Other,
}

fn attrs(want: &Directory, default_owner: (u32, u32)) -> WantedAttrs<'_> {
    let default = Attrs { uid: default_owner.0, gid: default_owner.1, mode: MODE };
    WantedAttrs { owner: want.owner.as_ref(), group: want.group.as_ref(), mode: want.mode, default }
}

pub fn inspect(path: &str, host: &impl Host) -> Result<Found, Fault> {
    Ok(match host.look(path)? {
        Entry::Absent => Found::Absent,
        Entry::Directory { attrs } => Found::Directory { attrs, acls: acl::extended(path, host)? },
        Entry::File { .. } | Entry::Link { .. } | Entry::Other => Found::Other,
    })
}

/// The mode that comes of it.
pub fn mode(want: &Directory, found: &Found) -> u32 {
    let now = if let Found::Directory { attrs, .. } = found { attrs.mode } else { MODE };
    want.mode.map_or(now, |mode| mode.bits())
}

/// The digest that plans and receipts name for a found state.
pub fn digest(found: &Found, accounts: &Accounts) -> Digest {
    match found {
        Found::Absent => absent(),
        Found::Directory { attrs, .. } => state(&("directory", NamedAttrs::of(*attrs, accounts))),
        Found::Other => state(&"other"),
    }
}

/// The action that brings the directory about; `None` when nothing is left to do.
///
/// # Errors
/// Something other than a directory is in the way.
pub fn diff(
    want: &Directory,
    found: &Found,
    accounts: &Accounts,
    default_owner: (u32, u32),
) -> Result<Option<Action>, Refused> {
    let path = &want.path;
    let before_attrs = match found {
        Found::Absent => None,
        Found::Directory { attrs, .. } => Some(*attrs),
        Found::Other => {
            return Err(refuse(format!(
                "{path} exists and is no directory; it is not replaced, remove it first"
            )));
        }
    };
    let wanted = attrs(want, default_owner).named(before_attrs, accounts);
    let (before, after) = (digest(found, accounts), state(&("directory", &wanted)));
    if before == after {
        return Ok(None);
    }
    let (verb, summary) = match before_attrs {
        None => (Verb::Create, format!("create the directory {path}: {wanted}")),
        Some(found) => {
            let parts = NamedAttrs::of(found, accounts).differences(&wanted).join(", ");
            (Verb::Update, format!("update the directory {path}: {parts}"))
        }
    };
    let mode = u32::from_str_radix(&wanted.mode, 8).ok();
    Ok(Some(Action {
        resource: Resource::Directory(want.clone()).id(),
        verb,
        // The sticky and set-group-id bits of a directory grant nobody anything.
        class: ActionClass::of_file(path.as_str(), mode.map(|m| m & 0o777)),
        before: before_attrs.map(|_| before),
        after,
        summary,
        diff: None,
        undo: Reversibility { undo: UndoContract::Yes, why: String::new() },
        content: None,
        package: None,
        programs: Map::default(),
        satisfies: Vec::new(),
    }))
}

/// Brings the directory to the approved end `after`.
///
/// # Errors
/// The machine's; owner or mode that the manifest leaves open are not as they were when the plan was made.
pub fn apply(want: &Directory, found: &Found, after: Digest, host: &mut impl Host) -> Result<(), Fault> {
    let now = match found {
        Found::Directory { attrs, .. } => Some(*attrs),
        Found::Absent | Found::Other => None,
    };
    let (accounts, wanted) = (host.accounts()?, attrs(want, host.default_owner()));
    // Where a new one was planned, a package may have brought it since.
    let ends = |before| state(&("directory", wanted.named(before, &accounts))) == after;
    let before = [now, None].into_iter().find(|before| ends(*before)).ok_or_else(|| {
        let path = &want.path;
        Fault::Refused(format!(
            "{path} would not become what was approved, because something changed; plan again"
        ))
    })?;
    let attrs = wanted.numeric(before, &accounts)?;
    match found {
        Found::Directory { .. } => host.set_attrs(want.path.as_str(), attrs),
        Found::Absent | Found::Other => host.make_dir(want.path.as_str(), attrs),
    }
}

/// Puts back what was found before. A directory into which others have written stays, with an error.
pub fn undo(path: &str, before: &Found, host: &mut impl Host) -> Result<(), Fault> {
    match before {
        Found::Absent => host.remove_dir(path),
        // One that was purged comes back.
        Found::Directory { attrs, acls } if host.look(path)? == Entry::Absent => {
            host.make_dir(path, Attrs { mode: attrs.mode & 0o700, ..*attrs })?;
            acl::exactly(path, acls.as_ref(), *attrs, host)
        }
        Found::Directory { attrs, .. } => host.set_attrs(path, *attrs),
        Found::Other => Err(Fault::Refused(format!("{path} was no directory"))),
    }
}
