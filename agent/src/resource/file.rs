//! Regular files: contents, owner, group, mode; or their absence. Links and parts of files are brought about
//! here too, once their kind has said what the whole is to be.

use super::secret::{self, Hidden};
use super::{NamedAttrs, Saved, WantedAttrs, absent, acl, refuse, state, textdiff};
use crate::host::{Accounts, Acls, Attrs, Entry, Fault, Host};
use crate::vault::Opener;
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::facts::TemplateFacts;
use shared::ids::ResourceId;
use shared::manifest::{AccountName, Checker, File, FileSource, FileWant, Mode, ParamValue};
use shared::plan::{Action, Reversibility, UndoContract, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;
use shared::secret::Seal;
use shared::strict::Map;
use shared::template;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::io::Read;
use std::rc::Rc;

/// Contents that are kept for a readable difference; longer ones are compared by digest.
pub const READABLE_BYTES: u64 = 64 << 10;
/// A file of which a part is edited; configuration files are far below.
pub const EDITED_BYTES: u64 = 4 << 20;
/// Old contents that are kept for undo; configuration files are far below.
pub const SAVED_BYTES: u64 = 32 << 20;

const NEW: Attrs = Attrs { uid: 0, gid: 0, mode: 0o644 };

/// What one path is to be, with its contents resolved.
#[derive(Clone, Debug)]
pub struct Want<'a> {
    pub path: Cow<'a, str>,
    pub content: Content<'a>,
    pub owner: Option<AccountName>,
    pub group: Option<AccountName>,
    pub mode: Option<Mode>,
    /// Contents stay out of the plan.
    pub sensitive: bool,
    /// Only a part of the file is the author's: the file is small, however much of it is others'.
    pub part: bool,
    /// Must accept the contents before they get their name.
    pub checker: Option<Cow<'a, Checker>>,
    /// The unit that systemd must still be able to read with the contents in it.
    pub unit: Option<String>,
    /// Digest of the contents, once somebody asked for it.
    pub(super) hashed: OnceCell<Digest>,
}

#[derive(Clone, Debug)]
pub enum Content<'a> {
    Absent,
    Bytes(Cow<'a, [u8]>),
    /// Bytes that hold a secret.
    Hidden(Rc<Hidden>),
    /// A verified artifact; its bytes are only needed by apply.
    Artifact {
        sha256: Digest,
        length: u64,
    },
    /// No file but a symbolic link.
    Link(Cow<'a, str>),
}

/// What was at the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Found {
    Absent,
    File {
        attrs: Attrs,
        length: u64,
        digest: Digest,
        /// Where they say more than the mode: for a file that goes and comes back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        acls: Option<Acls<u32>>,
        /// Only for the readable difference.
        #[serde(skip)]
        content: Option<Vec<u8>>,
    },
    Link {
        target: String,
    },
    /// A directory, device, socket or pipe: not replaced.
    Other,
}

/// Renders what the file is to contain.
///
/// # Errors
/// The template does not render on this host, or a secret is not for it.
pub fn resolve<'a>(
    file: &'a File,
    params: &Map<String, ParamValue>,
    facts: &TemplateFacts,
    opener: Opener<'_>,
) -> Result<Want<'a>, Refused> {
    let path = file.path.as_str().into();
    let FileWant::Present { source, owner, group, mode, sensitive, validate } = &file.want else {
        return Ok(Want::plain(path, Content::Absent));
    };
    let content = match source {
        FileSource::Content(text) => Content::Bytes(text.as_bytes().into()),
        FileSource::Secret(secret) => {
            Content::Hidden(Rc::new(opener.open(secret, &format!("the content of {}", file.path))?.into()))
        }
        FileSource::Template(text) => {
            match secret::render(file.path.as_str(), text, params, facts, opener)? {
                Some(hidden) => Content::Hidden(Rc::new(hidden)),
                None => {
                    let text = template::render(text, params, facts)
                        .map_err(|problem| refuse(format!("{}: {problem}", file.path)))?;
                    Content::Bytes(text.into_bytes().into())
                }
            }
        }
        FileSource::Artifact(artifact) => {
            Content::Artifact { sha256: artifact.sha256, length: artifact.length }
        }
    };
    Ok(Want {
        owner: owner.clone(),
        group: group.clone(),
        mode: *mode,
        sensitive: *sensitive,
        checker: validate.as_ref().map(Cow::Borrowed),
        ..Want::plain(path, content)
    })
}

impl<'a> Want<'a> {
    /// Owner, group and mode stay as they are.
    pub fn plain(path: Cow<'a, str>, content: Content<'a>) -> Self {
        let (owner, group, mode, checker, unit) = (None, None, None, None, None);
        let hashed = OnceCell::new();
        Self { path, content, owner, group, mode, sensitive: false, part: false, checker, unit, hashed }
    }

    /// The whole text of a file of which a part is edited.
    pub fn part(path: Cow<'a, str>, text: String) -> Self {
        Self { part: true, ..Self::plain(path, Content::Bytes(text.into_bytes().into())) }
    }

    /// The key of digests, where the contents hold a secret.
    pub fn seal(&self) -> Option<&Seal> {
        match &self.content {
            Content::Hidden(hidden) => Some(&hidden.seal),
            _ => None,
        }
    }

    /// Digest of the bytes, for this host's own use; none for a link or nothing.
    pub fn digest(&self) -> Option<Digest> {
        match &self.content {
            Content::Absent | Content::Link(_) => None,
            Content::Bytes(bytes) => Some(*self.hashed.get_or_init(|| Digest::of(bytes))),
            Content::Hidden(hidden) => Some(*self.hashed.get_or_init(|| Digest::of(&hidden.bytes))),
            Content::Artifact { sha256, .. } => Some(*sha256),
        }
    }

    /// Whether the file has the contents, owner and mode; quicker than comparing digests of states, which say the same.
    fn is_met(&self, found: &Found, accounts: &Accounts, default_owner: (u32, u32)) -> bool {
        let Found::File { attrs, digest, .. } = found else { return false };
        let wanted = self.attrs(default_owner).numeric(Some(*attrs), accounts);
        self.digest() == Some(*digest) && wanted.is_ok_and(|wanted| wanted == *attrs)
    }

    /// Whether nothing is left to do.
    pub fn is_at(&self, found: &Found, accounts: &Accounts, default_owner: (u32, u32)) -> bool {
        digest(found, accounts) == self.end(found, accounts, default_owner)
    }

    /// The digest of what comes of what was found.
    pub fn end(&self, found: &Found, accounts: &Accounts, default_owner: (u32, u32)) -> Digest {
        let before = if let Found::File { attrs, .. } = found { Some(*attrs) } else { None };
        end(self, before, accounts, default_owner)
    }

    /// Digest, owner and mode of the file that is to be.
    ///
    /// # Errors
    /// It is to be no file, or the host has no such account.
    pub fn content_and_attrs(
        &self,
        found: &Found,
        accounts: &Accounts,
        default_owner: (u32, u32),
    ) -> Result<(Digest, Attrs), Fault> {
        let none = || Fault::Refused(format!("{} is to be no file", self.path));
        let before = if let Found::File { attrs, .. } = found { Some(*attrs) } else { None };
        let attrs = self.attrs(default_owner).numeric(before, accounts)?;
        Ok((self.digest().ok_or_else(none)?, attrs))
    }

    fn attrs(&self, default_owner: (u32, u32)) -> WantedAttrs<'_> {
        let default = Attrs { uid: default_owner.0, gid: default_owner.1, ..NEW };
        WantedAttrs { owner: self.owner.as_ref(), group: self.group.as_ref(), mode: self.mode, default }
    }

    /// What is found once this is brought about, as later steps of a plan see it.
    pub fn outcome(&self, found: &Found, accounts: &Accounts, default_owner: (u32, u32)) -> Found {
        let before = match found {
            Found::File { attrs, .. } => Some(*attrs),
            _ => None,
        };
        let wanted = self.attrs(default_owner);
        // An account that the plan is yet to bring has no number; only the contents count for what follows.
        let attrs = wanted.numeric(before, accounts).unwrap_or(before.unwrap_or(wanted.default));
        match &self.content {
            Content::Absent => Found::Absent,
            Content::Link(target) => Found::Link { target: target.to_string() },
            Content::Artifact { sha256, length } => {
                Found::File { attrs, length: *length, digest: *sha256, acls: None, content: None }
            }
            Content::Bytes(bytes) => Found::File {
                attrs,
                length: bytes.len() as u64,
                digest: Digest::of(bytes),
                acls: None,
                content: Some(bytes.to_vec()),
            },
            Content::Hidden(hidden) => Found::File {
                attrs,
                length: hidden.bytes.len() as u64,
                digest: Digest::of(&hidden.bytes),
                acls: None,
                content: None,
            },
        }
    }
}

impl Found {
    /// The same file with other contents.
    pub fn with_content(self, bytes: Vec<u8>) -> Self {
        match self {
            Self::File { attrs, acls, .. } => Self::File {
                attrs,
                length: bytes.len() as u64,
                digest: Digest::of(&bytes),
                acls,
                content: Some(bytes),
            },
            other => other,
        }
    }
}

pub fn inspect(path: &str, host: &impl Host) -> Result<Found, Fault> {
    inspect_up_to(path, READABLE_BYTES, host)
}

/// With the contents of files of at most `keep` bytes.
pub fn inspect_up_to(path: &str, keep: u64, host: &impl Host) -> Result<Found, Fault> {
    let scan = host.scan(path, keep)?;
    Ok(match (scan.entry, scan.digest) {
        (Entry::Absent, _) => Found::Absent,
        (Entry::File { attrs, length }, Some(digest)) => {
            Found::File { attrs, length, digest, acls: scan.acls, content: scan.content }
        }
        (Entry::Link { target }, _) => Found::Link { target },
        (Entry::File { .. } | Entry::Directory { .. } | Entry::Other, _) => Found::Other,
    })
}

/// The digest that plans and receipts name for a found state.
pub fn digest(found: &Found, accounts: &Accounts) -> Digest {
    digest_under(None, found, accounts)
}

/// The same for a file that holds a secret, or is to hold one: the contents count by their keyed digest.
pub fn digest_under(seal: Option<&Seal>, found: &Found, accounts: &Accounts) -> Digest {
    match found {
        Found::Absent => absent(),
        Found::File { attrs, digest, .. } => {
            described(&NamedAttrs::of(*attrs, accounts), sealed(seal, *digest))
        }
        Found::Link { target } => linked(target),
        Found::Other => state(&"other"),
    }
}

fn sealed(seal: Option<&Seal>, plain: Digest) -> Digest {
    seal.map_or(plain, |seal| seal.digest(plain))
}

/// What a plan tells of a file that goes: of contents that not everybody may read, not even a digest.
pub fn digest_of_removed(found: &Found, accounts: &Accounts) -> Digest {
    match found {
        Found::File { attrs, .. } if attrs.mode & 0o004 == 0 => {
            state(&("closed file", NamedAttrs::of(*attrs, accounts)))
        }
        _ => digest(found, accounts),
    }
}

fn linked(target: &str) -> Digest {
    state(&("link", target))
}

fn described(attrs: &NamedAttrs, content: Digest) -> Digest {
    state(&("file", attrs, content))
}

/// The action that brings the file about; `None` when nothing is left to do.
///
/// # Errors
/// Something other than a file is in the way.
pub fn diff(
    id: &ResourceId,
    want: &Want<'_>,
    found: &Found,
    accounts: &Accounts,
    default_owner: (u32, u32),
) -> Result<Option<Action>, Refused> {
    let path = &*want.path;
    if *found == Found::Other {
        let what = if matches!(want.content, Content::Link(_)) { "link" } else { "file" };
        return Err(refuse(format!(
            "{path} is a directory or device and is not replaced by a {what}; remove it first"
        )));
    }
    if want.is_met(found, accounts, default_owner) {
        return Ok(None);
    }
    let before_attrs = match found {
        Found::File { attrs, .. } => Some(*attrs),
        _ => None,
    };
    let wanted = want.attrs(default_owner).named(before_attrs, accounts);
    let after = end(want, before_attrs, accounts, default_owner);
    let mut before = digest_under(want.seal(), found, accounts);
    if before == after {
        return Ok(None);
    }
    if matches!(want.content, Content::Absent) {
        before = digest_of_removed(found, accounts);
    }
    let verb = match (found, &want.content) {
        (_, Content::Absent) => Verb::Remove,
        (Found::Absent, _) => Verb::Create,
        _ => Verb::Update,
    };
    let mode = u32::from_str_radix(&wanted.mode, 8).ok();
    let undo = match found {
        Found::File { length, .. } if *length > SAVED_BYTES => Reversibility {
            undo: UndoContract::Partly,
            why: format!("the old contents are larger than {} MiB and are not kept", SAVED_BYTES >> 20),
        },
        _ => Reversibility { undo: UndoContract::Yes, why: String::new() },
    };
    Ok(Some(Action {
        resource: id.clone(),
        verb,
        class: ActionClass::of_file(path, mode),
        before: (*found != Found::Absent).then_some(before),
        after,
        summary: summary(want, found, &wanted, accounts),
        diff: readable(want, found),
        undo,
        content: changed_content(want, found),
        package: None,
        programs: Map::default(),
        satisfies: Vec::new(),
    }))
}

/// What the file is to hold, when that is new and no secret.
fn changed_content(want: &Want<'_>, found: &Found) -> Option<Digest> {
    let old = if let Found::File { digest, .. } = found { Some(*digest) } else { None };
    let secret = want.sensitive || matches!(want.content, Content::Hidden(_));
    want.digest().filter(|digest| !secret && Some(*digest) != old)
}

fn summary(want: &Want<'_>, found: &Found, wanted: &NamedAttrs, accounts: &Accounts) -> String {
    let path = &want.path;
    let contents = match &want.content {
        Content::Absent => return format!("remove {path}"),
        Content::Bytes(bytes) => format!("{} bytes", bytes.len()),
        // Its length says something about a password.
        Content::Hidden(_) => "a secret".to_owned(),
        Content::Artifact { length, .. } => format!("{length} bytes"),
        Content::Link(target) => return link_summary(path, target, found),
    };
    let accepted = match &want.checker {
        Some(checker) if checker.only_reads() => format!(", once {} accepts it", checker.argv().program()),
        _ if want.unit.is_some() => ", once systemd-analyze accepts it".to_owned(),
        _ => String::new(),
    };
    let (attrs, digest) = match found {
        Found::File { attrs, digest, .. } => (attrs, digest),
        Found::Link { target } => {
            let target = shared::strict::shorten(target);
            return format!(
                "replace the link {path} (to {target}) by a file of {contents}, {wanted}{accepted}"
            );
        }
        Found::Absent | Found::Other => return format!("create {path}: {contents}, {wanted}{accepted}"),
    };
    let mut parts = Vec::new();
    if want.digest() != Some(*digest) {
        let hidden = want.seal().is_some();
        parts.push(if hidden { "contents (a secret)".to_owned() } else { "contents".to_owned() });
    }
    parts.extend(NamedAttrs::of(*attrs, accounts).differences(wanted));
    format!("update {path}: {}{accepted}", parts.join(", "))
}

fn link_summary(path: &str, target: &str, found: &Found) -> String {
    let target = shared::strict::shorten(target);
    match found {
        Found::Link { target: old } => {
            format!("point the link {path} to {target} (is {})", shared::strict::shorten(old))
        }
        Found::File { length, .. } => {
            format!("replace the file {path} ({length} bytes) by a link to {target}")
        }
        Found::Absent | Found::Other => format!("create the link {path} to {target}"),
    }
}

fn readable(want: &Want<'_>, found: &Found) -> Option<String> {
    if want.sensitive {
        return None;
    }
    let old: &[u8] = match found {
        Found::File { content, .. } => content.as_deref()?,
        _ => b"",
    };
    let new: &[u8] = match &want.content {
        Content::Bytes(bytes) if want.part || bytes.len() as u64 <= READABLE_BYTES => bytes,
        // A removed file may hold secrets that nobody declared; its digest is in `before`.
        Content::Bytes(_)
        | Content::Hidden(_)
        | Content::Artifact { .. }
        | Content::Absent
        | Content::Link(_) => return None,
    };
    // What others wrote into a file that not everybody may read, or is to read, stays on the host.
    let closed = matches!(found, Found::File { attrs, .. } if attrs.mode & 0o004 == 0)
        || want.mode.is_some_and(|mode| mode.bits() & 0o004 == 0);
    match old == new {
        true => None,
        false if closed && !old.is_empty() => textdiff::added(old, new),
        false => textdiff::unified(old, new),
    }
}

/// What owner, group and mode that the manifest leaves open are taken from, so that the end is the approved
/// one: the file as it is now, or nothing where a new file was planned and a package has brought one since.
///
/// # Errors
/// Neither leads to `after`: owner or mode of the file, or facts in its template, have changed since the plan.
fn basis(want: &Want<'_>, found: &Found, after: Digest, host: &impl Host) -> Result<Option<Attrs>, Fault> {
    let now = match found {
        Found::File { attrs, .. } => Some(*attrs),
        _ => None,
    };
    let accounts = host.accounts()?;
    let ends = |before| end(want, before, &accounts, host.default_owner()) == after;
    [now, None].into_iter().find(|before| ends(*before)).ok_or_else(|| {
        let path = &want.path;
        Fault::Refused(format!(
            "{path} would not become what was approved, because something changed; plan again"
        ))
    })
}

/// The digest of the state that the file is brought to from one with the attributes `before`.
fn end(want: &Want<'_>, before: Option<Attrs>, accounts: &Accounts, default_owner: (u32, u32)) -> Digest {
    if let Content::Link(target) = &want.content {
        return linked(target);
    }
    let wanted = want.attrs(default_owner).named(before, accounts);
    want.digest().map_or_else(absent, |content| described(&wanted, sealed(want.seal(), content)))
}

/// Writes new contents beside their place, to be committed at the step's turn. False when the step needs no new
/// contents. `after` is the approved end. `artifact` opens the bytes of an artifact; they are hashed again on their way.
///
/// # Errors
/// The machine's; [`Fault::Digest`] when an artifact is not what the manifest names; the file would not become
/// the approved one.
pub fn stage(
    want: &Want<'_>,
    found: &Found,
    after: Digest,
    host: &mut impl Host,
    artifact: &dyn Fn(Digest) -> Result<Box<dyn Read>, Fault>,
) -> Result<bool, Fault> {
    let Some(digest) = want.digest() else { return Ok(false) };
    if matches!(found, Found::File { digest: now, .. } if *now == digest) {
        return Ok(false);
    }
    let before = basis(want, found, after, host)?;
    let path = &*want.path;
    let attrs = want.attrs(host.default_owner()).numeric(before, &host.accounts()?)?;
    match &want.content {
        Content::Absent | Content::Link(_) => return Ok(false),
        Content::Bytes(bytes) => host.stage(path, &mut &bytes[..], digest, attrs)?,
        Content::Hidden(hidden) => host.stage(path, &mut hidden.bytes.as_slice(), digest, attrs)?,
        Content::Artifact { sha256, .. } => host.stage(path, &mut artifact(*sha256)?, digest, attrs)?,
    }
    Ok(true)
}

/// Lets the checker, if there is one, judge what is staged; what it does not accept is swept away.
///
/// # Errors
/// It does not accept the contents, or cannot be run.
pub fn check(want: &Want<'_>, host: &mut impl Host) -> Result<(), Fault> {
    let judged = match (&want.checker, &want.unit) {
        (Some(checker), _) => {
            host.check(&want.path, checker).and_then(|ran| ran.success(checker.argv().program()).map(drop))
        }
        (None, Some(unit)) => host.check_unit(&want.path, unit),
        (None, None) => return Ok(()),
    };
    match judged {
        Ok(()) => Ok(()),
        Err(fault) => {
            host.sweep(&want.path)?;
            let why = match fault {
                // It may quote the line that it does not like.
                Fault::Program { program, how, .. } if want.seal().is_some() => {
                    format!("{program} {how}; what it printed is not shown, because the file holds a secret")
                }
                fault => fault.text(),
            };
            Err(Fault::Refused(format!("{} is not changed: {why}", want.path)))
        }
    }
}

/// Brings the file about by itself.
///
/// # Errors
/// As for [`stage`] and [`check`].
pub fn apply(
    want: &Want<'_>,
    found: &Found,
    after: Digest,
    host: &mut impl Host,
    artifact: &dyn Fn(Digest) -> Result<Box<dyn Read>, Fault>,
) -> Result<(), Fault> {
    let path = &*want.path;
    if stage(want, found, after, host, artifact)? {
        host.sync_staged()?;
        check(want, host)?;
        host.commit(path)?;
        return host.sync_committed();
    }
    match (&want.content, found) {
        (Content::Absent, _) => host.remove(path),
        (Content::Link(target), _) => host.put_link(path, target),
        (_, Found::File { .. }) => {
            let before = basis(want, found, after, host)?;
            let attrs = want.attrs(host.default_owner()).numeric(before, &host.accounts()?)?;
            host.set_attrs(path, attrs)
        }
        _ => Err(Fault::Refused(format!("{path} is not as it was a moment ago"))),
    }
}

/// Puts back what was found before.
///
/// # Errors
/// The machine's, or the old contents were not kept.
pub fn undo(path: &str, before: &Found, host: &mut impl Host, saved: &dyn Saved) -> Result<(), Fault> {
    match before {
        Found::Absent => host.remove(path),
        Found::Link { target } => host.put_link(path, target),
        Found::File { attrs, digest, acls, .. } => match inspect(path, host)? {
            Found::File { digest: now, .. } if now == *digest => host.set_attrs(path, *attrs),
            Found::File { .. } => host.put(path, &mut saved.open(*digest)?, *digest, *attrs),
            _ => {
                // The owner's alone until it has its own ACL again.
                let closed = Attrs { mode: attrs.mode & 0o700, ..*attrs };
                host.put(path, &mut saved.open(*digest)?, *digest, closed)?;
                acl::exactly(path, acls.as_ref(), *attrs, host)
            }
        },
        Found::Other => Err(Fault::Refused(format!("{path} was no file"))),
    }
}
