//! What a resource of parts wants of a host, given what is there.
//!
//! What several resources do to one file is computed on the result of the ones before: [`Sight`] shows it, in
//! planning what the plan makes of the host, when applying the host itself.

use super::parts::Part;
use super::{
    acl, authorized_keys, block, file, line, module, mount, refuse, repository, setting, trust, units,
};
use crate::host::{Accounts, Entry, Host};
use crate::plan::Item;
use shared::facts::TemplateFacts;
use shared::manifest::{
    AccountName, AuthorizedKeys, BlockWant, Checker, Directory, Hostname, KeysWant, LineWant, Mode, Resource,
    Separator, SettingWant, Sudoers, Symlink, Sysctl, Timezone,
};
use shared::refusal::Refused;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The host as a step will find it.
pub struct Sight<'s, H> {
    pub host: &'s H,
    pub accounts: &'s Accounts,
    /// Paths that earlier steps of a plan change, as they leave them.
    pub files: &'s BTreeMap<String, file::Found>,
    /// Directories that earlier steps of a plan make besides their files.
    pub made: &'s BTreeSet<String>,
    /// ACLs that earlier steps of a plan change.
    pub acls: &'s acl::Foreseen,
    /// True when a package of the plan brings files that are not there yet.
    pub comes: bool,
    /// True where directories that belong to a resource count as its parts although they are there already.
    pub directories: bool,
}

/// No steps before: what a sight of the host as it is refers to.
#[derive(Debug, Default)]
pub struct Nothing {
    files: BTreeMap<String, file::Found>,
    made: BTreeSet<String>,
    acls: acl::Foreseen,
}

impl Nothing {
    pub fn sight<'s, H>(&'s self, host: &'s H, accounts: &'s Accounts) -> Sight<'s, H> {
        Sight {
            host,
            accounts,
            files: &self.files,
            made: &self.made,
            acls: &self.acls,
            comes: false,
            directories: false,
        }
    }
}

/// What a resource wants of the host.
pub enum Wanted<'a> {
    Parts(Vec<Part<'a>>),
    /// The file that is to be edited comes with a package of the same change: its contents are not known yet.
    Later(&'a str),
}

impl<H: Host> Sight<'_, H> {
    /// # Errors
    /// The machine's, as a reason not to go on.
    pub fn file(&self, path: &str) -> Result<file::Found, Refused> {
        match self.files.get(path) {
            Some(found) => Ok(found.clone()),
            None => {
                file::inspect_up_to(path, file::EDITED_BYTES, self.host).map_err(|fault| refuse(fault.text()))
            }
        }
    }

    /// The bytes of a file that is edited as a whole table; `None` when there is no such file.
    ///
    /// # Errors
    /// It is no regular file, or too large.
    pub fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>, Refused> {
        self.text(path).map(|text| text.map(String::into_bytes))
    }

    /// The text of a file of which a part is edited; `None` when there is no such file.
    fn text(&self, path: &str) -> Result<Option<String>, Refused> {
        match self.file(path)? {
            file::Found::Absent => Ok(None),
            file::Found::File { content: Some(bytes), .. } => {
                String::from_utf8(bytes).map(Some).map_err(|_| {
                    refuse(format!("{path} is no UTF-8 text; bring the whole file instead of a part"))
                })
            }
            file::Found::File { length, .. } => Err(refuse(format!(
                "{path} has {length} bytes; files of more than {} MiB are not edited",
                file::EDITED_BYTES >> 20
            ))),
            file::Found::Link { target } => Err(refuse(format!(
                "{path} is a link to {}; edit the file that it points to",
                shared::strict::shorten(&target)
            ))),
            file::Found::Other => Err(refuse(format!("{path} is a directory or device and is not edited"))),
        }
    }
}

/// What the resource wants of the host; `None` for kinds that are no parts.
///
/// # Errors
/// What is in the way, missing or contradictory.
pub(crate) fn wanted<'a, H: Host>(
    item: &Item<'a>,
    facts: &TemplateFacts,
    sight: &Sight<'_, H>,
) -> Result<Option<Wanted<'a>>, Refused> {
    let parts = match item.resource {
        Resource::Symlink(own) => symlink(own, sight)?,
        Resource::Line(own) => {
            let (create, present) = match own.want {
                LineWant::Present { create, .. } => (create, true),
                LineWant::Absent { .. } => (false, false),
            };
            let edit = |text: &str| line::edit(own, text);
            return edited(own.path.as_str(), create, present, own.validate.as_ref(), sight, edit).map(Some);
        }
        Resource::Block(own) => {
            let (create, present) = match own.want {
                BlockWant::Present { create, .. } => (create, true),
                BlockWant::Absent => (false, false),
            };
            let edit = |text: &str| block::edit(own, text, item.params, facts);
            return edited(own.path.as_str(), create, present, own.validate.as_ref(), sight, edit).map(Some);
        }
        Resource::Setting(own) => {
            let (create, present) = match own.want {
                SettingWant::Present { create, .. } => (create, true),
                SettingWant::Absent => (false, false),
            };
            let edit = |text: &str| Ok(setting::edit(own.into(), text));
            return edited(own.path.as_str(), create, present, own.validate.as_ref(), sight, edit).map(Some);
        }
        Resource::Acl(own) => match acl::wanted(own, sight)? {
            Some(parts) => parts,
            None => return Ok(Some(Wanted::Later(own.path.as_str()))),
        },
        Resource::Sysctl(own) => sysctl(own, sight)?,
        Resource::Sudoers(own) => sudoers(own, sight),
        Resource::AuthorizedKeys(own) => keys(own, sight)?,
        Resource::Hostname(own) => hostname(own, sight)?,
        Resource::Timezone(own) => timezone(own, sight)?,
        Resource::Dropin(own) => units::dropin(own, item, facts, sight)?,
        Resource::Timer(own) => units::timer(own, sight)?,
        Resource::Mount(own) => mount::wanted(own, sight)?,
        Resource::KernelModule(own) => module::wanted(own, sight)?,
        Resource::Certificate(own) => trust::wanted(own, sight)?,
        Resource::PackageRepository(own) => repository::wanted(own, sight)?,
        _ => return Ok(None),
    };
    Ok(Some(Wanted::Parts(parts)))
}

/// A part of a file: `edit` makes the whole new text of the old one.
fn edited<'a, H: Host>(
    path: &'a str,
    create: bool,
    present: bool,
    checker: Option<&'a Checker>,
    sight: &Sight<'_, H>,
    edit: impl Fn(&str) -> Result<String, Refused>,
) -> Result<Wanted<'a>, Refused> {
    let Some(old) = sight.text(path)? else {
        if !present {
            return Ok(Wanted::Parts(Vec::new()));
        }
        if sight.comes {
            return Ok(Wanted::Later(path));
        }
        if !create {
            return Err(refuse(format!(
                "{path} does not exist; require the package that brings it, or give create: true"
            )));
        }
        let want =
            file::Want { checker: checker.map(Cow::Borrowed), ..file::Want::part(path.into(), edit("")?) };
        return Ok(Wanted::Parts(vec![Part::File(want)]));
    };
    let want =
        file::Want { checker: checker.map(Cow::Borrowed), ..file::Want::part(path.into(), edit(&old)?) };
    Ok(Wanted::Parts(vec![Part::File(want)]))
}

fn symlink<'a, H: Host>(own: &'a Symlink, sight: &Sight<'_, H>) -> Result<Vec<Part<'a>>, Refused> {
    let path = own.path.as_str();
    let content = match &own.target {
        Some(target) => file::Content::Link(target.as_str().into()),
        None => match sight.file(path)? {
            file::Found::Absent => return Ok(Vec::new()),
            file::Found::Link { .. } => file::Content::Absent,
            _ => return Err(refuse(format!("{path} is no link and is not removed as one"))),
        },
    };
    Ok(vec![Part::File(file::Want::plain(path.into(), content))])
}

fn sysctl<'a, H: Host>(own: &'a Sysctl, sight: &Sight<'_, H>) -> Result<Vec<Part<'a>>, Refused> {
    let value = own.value.as_ref().map(|value| value.as_str());
    let want =
        setting::Want { section: None, key: own.key.as_str(), value, separator: Separator::SpacedEquals };
    let old = sight.text(Sysctl::PATH)?;
    let mut parts = Vec::new();
    if old.is_some() || value.is_some() {
        let new = setting::edit(want, old.as_deref().unwrap_or_default());
        parts.push(Part::File(file::Want::part(Sysctl::PATH.into(), new)));
    }
    if let Some(value) = value
        && sight.host.has_kernel()
    {
        parts.push(Part::Kernel { path: own.key.path(), value });
    }
    Ok(parts)
}

/// Owner and mode that sudo demands (sudoers(5)); an agent without root keeps its own account.
fn sudoers<'a, H: Host>(own: &'a Sudoers, sight: &Sight<'_, H>) -> Vec<Part<'a>> {
    let content = match &own.content {
        Some(text) => file::Content::Bytes(text.as_bytes().into()),
        None => file::Content::Absent,
    };
    let mut want = file::Want::plain(own.path().into(), content);
    if own.content.is_some() {
        let root = || "root".parse::<AccountName>().ok().filter(|_| sight.host.default_owner() == (0, 0));
        want.owner = root();
        want.group = root();
        want.mode = Some(Mode::of_bits(0o440));
        want.checker = Some(Cow::Owned(Checker::visudo()));
    }
    vec![Part::File(want)]
}

/// sshd takes keys only from a file and directory that nobody else may write (StrictModes, sshd_config(5)).
fn keys<'a, H: Host>(own: &'a AuthorizedKeys, sight: &Sight<'_, H>) -> Result<Vec<Part<'a>>, Refused> {
    let user = &own.user;
    let (gid, home) = sight.accounts.home(user.as_str()).ok_or_else(|| {
        refuse(format!("the host has no user {user}; require the resource user:{user} that brings it"))
    })?;
    let dir = format!("{}/.ssh", home.trim_end_matches('/'));
    let path = format!("{dir}/authorized_keys");
    let old = sight.text(&path)?;
    if old.is_none() && own.want == KeysWant::Absent {
        return Ok(Vec::new());
    }
    let group = sight.accounts.group(gid).parse().ok();
    let mut parts = Vec::new();
    if old.is_none() {
        let dir_path = dir.parse().map_err(|e| refuse(format!("the home directory of {user}: {e}")))?;
        let there = sight.host.look(&dir).map_err(|fault| refuse(fault.text()))? != Entry::Absent;
        if !there && !sight.made.contains(&dir) {
            parts.push(Part::Directory(Directory {
                owner: Some(user.clone()),
                group: group.clone(),
                mode: Some(Mode::of_bits(0o700)),
                ..Directory::at(dir_path)
            }));
        }
    }
    let new = authorized_keys::edit(own, old.as_deref().unwrap_or_default());
    parts.push(Part::File(file::Want {
        owner: Some(user.clone()),
        group,
        mode: Some(Mode::of_bits(0o600)),
        ..file::Want::part(path.into(), new)
    }));
    Ok(parts)
}

fn hostname<'a, H: Host>(own: &'a Hostname, sight: &Sight<'_, H>) -> Result<Vec<Part<'a>>, Refused> {
    let name = own.name.as_str();
    // Comments and a missing line break do not make another name (hostname(5)).
    let old = sight.text(Hostname::PATH)?.unwrap_or_default();
    let right = old.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#')) == Some(name);
    let content = if right { old } else { format!("{name}\n") };
    let mut parts = vec![Part::File(file::Want::part(Hostname::PATH.into(), content))];
    if sight.host.has_kernel() {
        parts.push(Part::Kernel { path: "/proc/sys/kernel/hostname".into(), value: name });
    }
    Ok(parts)
}

const ZONES: &str = "/usr/share/zoneinfo/";

fn timezone<'a, H: Host>(own: &'a Timezone, sight: &Sight<'_, H>) -> Result<Vec<Part<'a>>, Refused> {
    let zone = own.zone.as_str();
    let database = format!("{ZONES}{zone}");
    let there = sight.host.look(&database).map_err(|fault| refuse(fault.text()))?;
    if !matches!(there, Entry::File { .. } | Entry::Link { .. }) && !sight.comes {
        return Err(refuse(format!("the host has no time zone {zone}; require the package tzdata")));
    }
    // Both ways to write the link are in use, by timedatectl(1) and by tzdata.
    let ways = [format!("..{database}"), database];
    let target = match sight.file(Timezone::PATH)? {
        file::Found::Link { target } if ways.contains(&target) => target,
        _ => ways[0].clone(),
    };
    let link = file::Content::Link(target.into());
    let mut parts = vec![Part::File(file::Want::plain(Timezone::PATH.into(), link))];
    if let Some(old) = sight.text("/etc/timezone")? {
        let content = if old.trim() == zone { old } else { format!("{zone}\n") };
        parts.push(Part::File(file::Want::part("/etc/timezone".into(), content)));
    }
    Ok(parts)
}
