//! Kinds that are brought about as one or more parts: whole files, links, directories, kernel parameters.
//!
//! A kind says what each part is to be (`wanted`); looking, comparing, applying in order and undoing in reverse
//! order are the same for all.

use super::programs::{self, Coming};
use super::wanted::{Nothing, Sight};
use super::{
    NamedAttrs, Saved, acl, command, directory, file, firewall, module, mount, refuse, repository, service,
    state, trust,
};
use crate::host::{Accounts, Attrs, Entry, Fault, Host, Module, Mounted, Unit, UnitVerb};
use crate::plan::Item;
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::ids::ResourceId;
use shared::limits;
use shared::manifest::{self, Authority, Checker, Directory, Resource};
use shared::plan::{Action, Reversibility, UndoContract, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;
use shared::strict::Map;
use std::collections::BTreeSet;

/// What one part is to be.
#[derive(Clone, Debug)]
pub enum Part<'a> {
    File(file::Want<'a>),
    Directory(Directory),
    Kernel {
        path: String,
        value: &'a str,
    },
    /// A unit of systemd that runs or does not.
    Unit {
        unit: String,
        active: bool,
    },
    /// What is mounted in a place.
    Mount {
        path: String,
        want: Option<Mounted>,
    },
    /// A module of the running kernel.
    Module {
        name: String,
        loaded: bool,
    },
    /// Access control lists.
    Acl {
        own: &'a manifest::Acl,
    },
    /// A directory that goes when nothing is in it any more.
    Leaving {
        path: String,
    },
    /// An authority that the trust store names or not.
    Trust {
        link: String,
        authority: Authority,
        trusted: bool,
        /// Its file is there already; only the store does not follow.
        stale: bool,
    },
    /// Keys of a file that rpm's database believes or not.
    Keys {
        path: String,
        keys: BTreeSet<Digest>,
        known: bool,
    },
}

/// One part as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Found {
    File {
        path: String,
        found: file::Found,
    },
    Directory {
        path: String,
        found: directory::Found,
    },
    Kernel {
        path: String,
        value: String,
    },
    Unit {
        path: String,
        state: Unit,
    },
    /// Whether the store trusts the authority; `path` is the store's link to the file that says so.
    Trust {
        path: String,
        sha256: Digest,
        trusted: bool,
    },
    /// Which keys of the file at `path` the package manager's database believes.
    Keys {
        path: String,
        keys: BTreeSet<Digest>,
        known: BTreeSet<Digest>,
    },
    Mount {
        path: String,
        now: Option<Mounted>,
    },
    /// `path` is the module's name.
    Module {
        path: String,
        loaded: bool,
    },
    /// The rules in the kernel; `saved` are all of them, `live` is what does not change by itself.
    Rules {
        path: String,
        live: Digest,
        saved: Digest,
    },
    Acl {
        path: String,
        found: acl::Found,
    },
    /// Owner and mode of something whose contents are not the matter.
    Attributes {
        path: String,
        attrs: Attrs,
    },
}

impl Part<'_> {
    /// The path of a file or directory.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::File(want) => Some(&want.path),
            Self::Directory(want) => Some(want.path.as_str()),
            Self::Leaving { path } => Some(path),
            _ => None,
        }
    }

    fn look<H: Host>(&self, sight: &Sight<'_, H>) -> Result<Found, Refused> {
        Ok(match self {
            Self::File(want) => Found::File { path: want.path.to_string(), found: sight.file(&want.path)? },
            Self::Directory(want) => {
                let path = want.path.to_string();
                let found = directory::inspect(&path, sight.host).map_err(|fault| refuse(fault.text()))?;
                Found::Directory { path, found }
            }
            Self::Kernel { path, .. } => {
                let value = sight.host.kernel(path).map_err(|fault| refuse(fault.text()))?;
                let none = || refuse(format!("the running kernel has no parameter {path}"));
                Found::Kernel { path: path.clone(), value: value.ok_or_else(none)? }
            }
            Self::Acl { own } => {
                let path = own.path.to_string();
                let found = acl::inspect(&path, sight)?;
                Found::Acl { path, found }
            }
            Self::Leaving { path } => {
                let found = directory::inspect(path, sight.host).map_err(|fault| refuse(fault.text()))?;
                Found::Directory { path: path.clone(), found }
            }
            Self::Mount { path, .. } => {
                let now = sight.host.mounted(path).map_err(|fault| refuse(fault.text()))?;
                Found::Mount { path: path.clone(), now }
            }
            Self::Module { name, .. } => {
                let now = sight.host.module(name).map_err(|fault| refuse(fault.text()))?;
                Found::Module { path: name.clone(), loaded: now != Module::Absent }
            }
            Self::Unit { unit, .. } => {
                let state = sight.host.unit(unit).map_err(|fault| refuse(fault.text()))?;
                Found::Unit { path: unit.clone(), state }
            }
            Self::Trust { link, authority, .. } => {
                let sha256 = authority.sha256;
                let trusted = trust::is_trusted(sha256, sight.host).map_err(|fault| refuse(fault.text()))?;
                Found::Trust { path: link.clone(), sha256, trusted }
            }
            Self::Keys { path, keys, .. } => {
                let known = repository::known(keys, sight.host).map_err(|fault| refuse(fault.text()))?;
                Found::Keys { path: path.clone(), keys: keys.clone(), known }
            }
        })
    }
}

/// What is there now, part by part.
///
/// # Errors
/// The machine's, as a reason not to go on.
pub(crate) fn inspect<H: Host>(parts: &[Part<'_>], sight: &Sight<'_, H>) -> Result<Vec<Found>, Refused> {
    parts.iter().map(|part| part.look(sight)).collect()
}

/// The same parts as before a step, as they are now.
pub fn look(before: &[Found], host: &impl Host) -> Result<Vec<Found>, Fault> {
    let again = |found: &Found| {
        Ok(match found {
            Found::File { path, .. } => Found::File { path: path.clone(), found: file::inspect(path, host)? },
            Found::Directory { path, .. } => {
                Found::Directory { path: path.clone(), found: directory::inspect(path, host)? }
            }
            Found::Kernel { path, .. } => {
                Found::Kernel { path: path.clone(), value: host.kernel(path)?.unwrap_or_default() }
            }
            Found::Unit { path, .. } => Found::Unit { path: path.clone(), state: host.unit(path)? },
            Found::Mount { path, .. } => Found::Mount { path: path.clone(), now: host.mounted(path)? },
            Found::Module { path, .. } => {
                Found::Module { path: path.clone(), loaded: host.module(path)? != Module::Absent }
            }
            Found::Rules { path, saved, .. } => {
                let live = firewall::normal(&host.rules()?);
                Found::Rules { path: path.clone(), live, saved: *saved }
            }
            Found::Trust { path, sha256, .. } => {
                let trusted = trust::is_trusted(*sha256, host)?;
                Found::Trust { path: path.clone(), sha256: *sha256, trusted }
            }
            Found::Keys { path, keys, .. } => {
                let known = repository::known(keys, host)?;
                Found::Keys { path: path.clone(), keys: keys.clone(), known }
            }
            Found::Acl { path, .. } => Found::Acl { path: path.clone(), found: acl::look_again(path, host)? },
            Found::Attributes { path, attrs } => match host.look(path)? {
                Entry::File { attrs, .. } | Entry::Directory { attrs } => {
                    Found::Attributes { path: path.clone(), attrs }
                }
                // It is gone, or something else: then it is not as it was.
                _ => Found::Attributes {
                    path: path.clone(),
                    attrs: Attrs { mode: !attrs.mode & 0o7777, ..*attrs },
                },
            },
        })
    };
    before.iter().map(again).collect()
}

impl Found {
    /// The path or unit that it is about.
    pub fn place(&self) -> &str {
        match self {
            Self::File { path, .. }
            | Self::Directory { path, .. }
            | Self::Kernel { path, .. }
            | Self::Unit { path, .. }
            | Self::Trust { path, .. }
            | Self::Keys { path, .. }
            | Self::Rules { path, .. }
            | Self::Mount { path, .. }
            | Self::Module { path, .. }
            | Self::Acl { path, .. }
            | Self::Attributes { path, .. } => path,
        }
    }
}

/// The digest that plans and receipts name for a found state. One file alone counts as that file.
pub fn digest(found: &[Found], accounts: &Accounts) -> Digest {
    together(found.iter().map(|part| one(part, accounts)).collect())
}

fn one(found: &Found, accounts: &Accounts) -> Digest {
    match found {
        Found::File { found, .. } => file::digest(found, accounts),
        Found::Directory { found, .. } => directory::digest(found, accounts),
        Found::Kernel { path, value } => kernel(path, value),
        Found::Unit { path, state } => unit(path, state.is_active()),
        Found::Mount { path, now } => mount::digest(path, now.as_ref()),
        Found::Module { path, loaded } => module::digest(path, *loaded),
        Found::Rules { live, .. } => state(&("rules", live)),
        Found::Trust { sha256, trusted, .. } => trust::digest(*sha256, *trusted),
        Found::Keys { known, .. } => repository::digest(known),
        Found::Acl { found, .. } => acl::digest(found, accounts),
        Found::Attributes { attrs, .. } => attributes(&NamedAttrs::of(*attrs, accounts)),
    }
}

/// The digest of owner and mode alone.
pub fn attributes(attrs: &NamedAttrs) -> Digest {
    state(&("attributes", attrs))
}

/// The kernel writes tabs where people write blanks.
fn kernel(path: &str, value: &str) -> Digest {
    state(&("kernel", path, value.split_whitespace().collect::<Vec<_>>()))
}

fn unit(unit: &str, active: bool) -> Digest {
    state(&("unit", unit, if active { "active" } else { "inactive" }))
}

fn together(digests: Vec<Digest>) -> Digest {
    match digests.as_slice() {
        [only] => *only,
        _ => state(&("parts", digests)),
    }
}

/// The actions that bring the resource about: at most a check of its own and the change.
///
/// # Errors
/// Something is in the way.
pub(crate) fn diff<H: Host>(
    item: &Item<'_>,
    parts: &[Part<'_>],
    found: &[Found],
    sight: &Sight<'_, H>,
    coming: Coming<'_>,
) -> Result<Vec<Action>, Refused> {
    let (mut changes, mut after, mut checks) = (Vec::new(), Vec::new(), Vec::new());
    for (part, found) in parts.iter().zip(found) {
        let change = change(&item.id(), part, found, sight)?;
        after.push(change.as_ref().map_or_else(|| one(found, sight.accounts), |action| action.after));
        if let (Part::File(want), Some(_)) = (part, &change) {
            checks.extend(check(&item.id(), want, sight, coming)?);
        }
        changes.extend(change);
    }
    let Some(mut all) = merged(changes) else { return Ok(Vec::new()) };
    all.class = sharper(all.class, item.resource);
    all.before = (all.verb != Verb::Create).then(|| digest(found, sight.accounts));
    all.after = together(after);
    all.undo = weaker(all.undo, item.resource);
    checks.push(all);
    Ok(checks)
}

/// The digest of what comes of the parts.
///
/// # Errors
/// Something is in the way.
pub(crate) fn after(
    id: &ResourceId,
    parts: &[Part<'_>],
    found: &[Found],
    host: &impl Host,
) -> Result<Digest, Fault> {
    let accounts = host.accounts()?;
    let none = Nothing::default();
    let sight = none.sight(host, &accounts);
    let each = |(part, found): (&Part<'_>, &Found)| {
        let change = change(id, part, found, &sight).map_err(|refused| Fault::Refused(refused.message))?;
        Ok(change.map_or_else(|| one(found, &accounts), |action| action.after))
    };
    Ok(together(parts.iter().zip(found).map(each).collect::<Result<_, Fault>>()?))
}

/// The action of one part.
fn change<H: Host>(
    id: &ResourceId,
    part: &Part<'_>,
    found: &Found,
    sight: &Sight<'_, H>,
) -> Result<Option<Action>, Refused> {
    let default_owner = sight.host.default_owner();
    match (part, found) {
        (Part::File(want), Found::File { found, .. }) => {
            file::diff(id, want, found, sight.accounts, default_owner)
        }
        (Part::Directory(want), Found::Directory { found, .. }) => {
            let action = directory::diff(want, found, sight.accounts, default_owner)?;
            Ok(action.map(|action| Action { resource: id.clone(), ..action }))
        }
        (Part::Kernel { path, value }, Found::Kernel { value: now, .. }) => {
            let (before, after) = (kernel(path, now), kernel(path, value));
            let name = path.trim_start_matches("/proc/sys/").replace('/', ".");
            let now = shared::strict::shorten(now);
            let summary = format!("set {name} to {value} in the running kernel (is {now})");
            Ok((before != after).then(|| Action {
                undo: once_only(path),
                ..plain(id, Verb::Update, (before, after), summary)
            }))
        }
        (Part::Leaving { .. }, _) => Ok(None),
        (Part::Acl { own }, Found::Acl { found, .. }) => acl::change(id, own, found, sight),
        (Part::Mount { path, want }, Found::Mount { now, .. }) => {
            mount::change(id, path, want.as_ref(), now.as_ref(), sight)
        }
        (Part::Module { name, loaded }, Found::Module { loaded: now, .. }) => {
            Ok(module::change(id, name, *loaded, *now))
        }
        (Part::Unit { unit: name, active }, Found::Unit { state: now, .. }) => {
            let (before, after) = (unit(name, now.is_active()), unit(name, *active));
            let (verb, word) = match (active, now.loaded) {
                (true, false) => (Verb::Create, "start"),
                (true, true) => (Verb::Update, "start"),
                (false, _) => (Verb::Remove, "stop"),
            };
            let summary = format!("{word} {name}");
            Ok((before != after)
                .then(|| Action { class: ActionClass::Service, ..plain(id, verb, (before, after), summary) }))
        }
        (Part::Trust { authority, trusted, stale, .. }, Found::Trust { trusted: now, .. }) => {
            Ok(trust::change(id, authority, (*now, *trusted), *stale))
        }
        (Part::Keys { keys, known, .. }, Found::Keys { path, known: now, .. }) => {
            Ok(repository::change(id, path, (keys, *known), now))
        }
        _ => Err(refuse(format!("{id} is not as it was a moment ago"))),
    }
}

/// The action of a part that is no file: undone as it is done, with nothing more to read.
pub(crate) fn plain(
    id: &ResourceId,
    verb: Verb,
    (before, after): (Digest, Digest),
    summary: String,
) -> Action {
    Action {
        resource: id.clone(),
        verb,
        class: ActionClass::File,
        before: Some(before),
        after,
        summary,
        diff: None,
        undo: Reversibility { undo: UndoContract::Yes, why: String::new() },
        content: None,
        package: None,
        programs: Map::default(),
        satisfies: Vec::new(),
    }
}

/// Parameters that the kernel lets nobody take back before the next boot.
fn once_only(path: &str) -> Reversibility {
    const ONE_WAY: [&str; 4] = [
        "/proc/sys/kernel/modules_disabled",
        "/proc/sys/kernel/kexec_load_disabled",
        "/proc/sys/kernel/unprivileged_bpf_disabled",
        "/proc/sys/kernel/yama/ptrace_scope",
    ];
    if ONE_WAY.contains(&path) {
        let why = "the kernel may not take this value back before the next boot".to_owned();
        return Reversibility { undo: UndoContract::Partly, why };
    }
    Reversibility { undo: UndoContract::Yes, why: String::new() }
}

/// Several parts are one action: what they do together.
fn merged(changes: Vec<Action>) -> Option<Action> {
    let all = |verb: Verb| changes.iter().all(|c| c.verb == verb);
    let verb = if all(Verb::Create) {
        Verb::Create
    } else if all(Verb::Remove) {
        Verb::Remove
    } else {
        Verb::Update
    };
    let mut changes = changes.into_iter();
    let mut merged = changes.next()?;
    merged.verb = verb;
    for next in changes {
        // One digest cannot name several files.
        merged.content = None;
        merged.summary = format!("{}; {}", merged.summary, next.summary);
        merged.diff = match (merged.diff, next.diff) {
            (Some(one), Some(other)) => Some(one + &other),
            (one, other) => one.or(other),
        };
        merged.class = merged.class.max(next.class);
        if next.undo.undo > merged.undo.undo {
            merged.undo = next.undo;
        }
    }
    Some(merged)
}

/// Some kinds decide who has which power, wherever their files lie.
fn sharper(class: ActionClass, resource: &Resource) -> ActionClass {
    match resource {
        Resource::Sysctl(_) | Resource::Sudoers(_) | Resource::AuthorizedKeys(_) | Resource::Mount(_) => {
            class.max(ActionClass::SensitiveFile)
        }
        _ => class,
    }
}

fn weaker(undo: Reversibility, resource: &Resource) -> Reversibility {
    let own = Reversibility::from(resource.undo());
    if own.undo > undo.undo { own } else { undo }
}

/// The check as an action of its own, unless the checker is known to do nothing but read the file.
///
/// # Errors
/// The host does not have the program, and nothing of the plan brings it.
pub(crate) fn check<H: Host>(
    id: &ResourceId,
    want: &file::Want<'_>,
    sight: &Sight<'_, H>,
    coming: Coming<'_>,
) -> Result<Option<Action>, Refused> {
    let Some(checker) = want.checker.as_deref().filter(|_| want.digest().is_some()) else { return Ok(None) };
    let program = checker.argv().program();
    let there = sight.host.has_program(program).map_err(|fault| refuse(fault.text()))?;
    if !there && !sight.comes && (coming.file)(program).is_none() {
        return Err(refuse(format!(
            "{id} is to be checked with {program}, which the host does not have; require the package that brings it"
        )));
    }
    if checker.only_reads() {
        return Ok(None);
    }
    let programs =
        programs::bound(&[checker.argv()], coming, sight.host).map_err(|fault| refuse(fault.text()))?;
    let shown = command::listed(checker.argv(), &programs);
    if shown.len() > limits::DIFF_BYTES {
        return Err(refuse(format!(
            "the check of {id} is too long to be shown to whoever approves it; put its text into a file"
        )));
    }
    Ok(Some(Action {
        resource: id.clone(),
        verb: Verb::Run,
        class: ActionClass::Command,
        before: None,
        after: checked(&want.path, checker, &programs),
        summary: format!(
            "run {} on the new {} before it goes live",
            command::shown(checker.argv()),
            want.path
        ),
        diff: Some(shown),
        undo: Reversibility {
            undo: UndoContract::Partly,
            why: "a check has nothing to take back; what the program does besides is not taken back".into(),
        },
        content: None,
        package: None,
        programs,
        satisfies: Vec::new(),
    }))
}

/// What an approval of a check binds: the file, program and arguments, and the files that it runs.
pub fn checked(path: &str, checker: &Checker, programs: &Map<String, Digest>) -> Digest {
    state(&("check", path, checker, programs))
}

/// The action for a file that a package of the same plan brings: bound is what is wanted of it.
pub(crate) fn later(item: &Item<'_>, path: &str) -> Action {
    let class = item.resource.classes();
    let class = class.into_iter().filter(|c| *c != ActionClass::Service).max().unwrap_or(ActionClass::File);
    let check = item.resource.checker();
    let check = check.map_or_else(String::new, |c| format!(", once {} accepts it", command::shown(c.argv())));
    Action {
        resource: item.id(),
        verb: Verb::Update,
        class,
        before: None,
        after: unseen(item.resource),
        summary: format!("edit {path} when its package has brought it ({}){check}", item.id()),
        diff: Some(String::from_utf8_lossy(&shared::strict::to_json(item.resource)).into_owned()),
        undo: Reversibility { undo: UndoContract::Yes, why: String::new() },
        content: None,
        package: None,
        programs: Map::default(),
        satisfies: Vec::new(),
    }
}

/// What an approval binds of an edit whose result cannot be known yet.
pub fn unseen(resource: &Resource) -> Digest {
    state(&("edit", resource))
}

/// Brings the parts about, in order; those that are right already are left alone.
///
/// # Errors
/// The machine's, or a checker does not accept a file.
pub(crate) fn apply(
    id: &ResourceId,
    parts: &[Part<'_>],
    found: &[Found],
    host: &mut impl Host,
) -> Result<(), Fault> {
    for (part, found) in parts.iter().zip(found) {
        let accounts = host.accounts()?;
        let none = Nothing::default();
        let sight = none.sight(&*host, &accounts);
        let needed = change(id, part, found, &sight).map_err(|refused| Fault::Refused(refused.message))?;
        let Some(needed) = needed else { continue };
        match (part, found) {
            (Part::File(want), Found::File { found, .. }) => {
                let none =
                    |digest: Digest| Err(Fault::Refused(format!("{digest} is no artifact of this kind")));
                file::apply(want, found, needed.after, host, &none)?;
            }
            (Part::Directory(want), Found::Directory { found, .. }) => {
                directory::apply(want, found, needed.after, host)?
            }
            (Part::Kernel { path, value }, _) => host.set_kernel(path, value)?,
            (Part::Mount { path, want }, _) => mount::bring(path, want.as_ref(), host)?,
            (Part::Module { name, loaded }, _) => module::bring(name, *loaded, host)?,
            (Part::Acl { own }, Found::Acl { found, .. }) => acl::apply(own, found, host)?,
            (Part::Unit { unit, active }, _) => set_unit(unit, *active, host)?,
            (Part::Trust { link, authority, trusted, .. }, _) => {
                trust::apply(link, authority.sha256, *trusted, host)?;
            }
            (Part::Keys { path, keys, known }, _) => repository::bring(path, keys, *known, host)?,
            _ => return Err(Fault::Refused("a part is not as it was a moment ago".into())),
        }
    }
    Ok(())
}

/// systemd starts what it has read.
fn set_unit(unit: &str, active: bool, host: &mut impl Host) -> Result<(), Fault> {
    if active {
        host.reload_units()?;
    }
    host.set_unit(if active { UnitVerb::Start } else { UnitVerb::Stop }, unit)?;
    let now = host.unit(unit)?;
    if now.is_active() == active {
        return Ok(());
    }
    Err(Fault::Refused(format!("{unit} is {} all the same", now.active)))
}

/// Removes what bringing a part about, or undoing it, has left behind.
///
/// # Errors
/// The machine's.
pub fn tidy(before: &[Found], host: &mut impl Host) -> Result<(), Fault> {
    before.iter().try_for_each(|part| match part {
        Found::Rules { live, .. } => firewall::tidy(*live, host),
        _ => Ok(()),
    })
}

/// Puts back what was found before, the last part first.
///
/// # Errors
/// The machine's; the parts that come after it in the undoing are not tried.
pub fn undo(before: &[Found], host: &mut impl Host, saved: &dyn Saved) -> Result<(), Fault> {
    // What follows from files is made again once they are back.
    let mut derived = Vec::new();
    for part in before.iter().rev() {
        match part {
            Found::File { path, found } => file::undo(path, found, host, saved)?,
            Found::Directory { path, found } => directory::undo(path, found, host)?,
            Found::Attributes { path, attrs } => host.set_attrs(path, *attrs)?,
            Found::Acl { path, found } => host.set_acls(path, &found.acls)?,
            Found::Kernel { path, value } => {
                if host.kernel(path)?.as_ref() != Some(value) {
                    host.set_kernel(path, value)?;
                }
            }
            Found::Unit { path, state } => {
                if host.unit(path)?.is_active() != state.is_active() {
                    set_unit(path, state.is_active(), host)?;
                }
                service::forget_failure(path, state, host)?;
            }
            Found::Mount { path, now } => mount::bring(path, now.as_ref(), host)?,
            Found::Module { path, loaded } => module::bring(path, *loaded, host)?,
            Found::Rules { live, saved: rules, .. } => firewall::undo(*live, *rules, host, saved)?,
            Found::Trust { .. } => derived.push(part),
            Found::Keys { path, keys, known } => repository::put_back(path, keys, known, host)?,
        }
    }
    derived.into_iter().try_for_each(|part| match part {
        Found::Trust { path, sha256, trusted } => trust::undo(path, *sha256, *trusted, host),
        _ => Ok(()),
    })
}

/// Directories that the parts make, for what is to lie in them.
pub fn made<'p>(parts: &'p [Part<'_>], found: &'p [Found]) -> impl Iterator<Item = &'p str> {
    parts.iter().zip(found).filter_map(|pair| match pair {
        (Part::Directory(want), Found::Directory { found: directory::Found::Absent, .. }) => {
            Some(want.path.as_str())
        }
        _ => None,
    })
}
