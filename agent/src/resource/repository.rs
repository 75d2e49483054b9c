//! Sources of packages: a keyring named by its contents, and the source that names this keyring only.
//!
//! apt and dnf believe a source's own keyring. zypper believes the keys of rpm's database for all sources, so that a key
//! is added there as well, and taken out with the last file that brings it.

use super::file::{self, Content, Want};
use super::parts::{Part, plain};
use super::wanted::Sight;
use super::{refuse, state, units};
use crate::host::{Fault, Host};
use shared::digest::Digest;
use shared::ids::ResourceId;
use shared::manifest::{AccountName, Mode, OpenPgpKey, PackageRepository, SourceFormat, SourceKind};
use shared::plan::{Action, Reversibility, UndoContract, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;
use std::collections::BTreeSet;

/// Where files of keys lie on rpm hosts: those of sources, and those that SUSE brings.
const KEYS: [&str; 2] = ["/etc/pki/rpm-gpg", "/usr/lib/rpm/gnupg/keys"];
/// What else dnf reads repositories from, beside [`SourceFormat::directory`].
const DNF: [&str; 3] = ["/etc/yum/repos.d", "/etc/distro.repos.d", "/etc/dnf/dnf.conf"];

/// The keyring comes before the source that names it; the one that an earlier key had goes last.
///
/// # Errors
/// The source is not for this host's package manager, or another file describes a repository of this name; the
/// machine's, as a reason not to go on.
pub(super) fn wanted<'a, H: Host>(
    own: &'a PackageRepository,
    sight: &Sight<'_, H>,
) -> Result<Vec<Part<'a>>, Refused> {
    let packager = sight.host.packager();
    let format = packager.sources();
    let path = own.path(format);
    let there = sight.bytes(&path)?;
    let old = there.as_deref().and_then(|bytes| keyring_of(own, format, bytes));
    let mut parts = Vec::new();
    let (mut new, mut stay) = (None, BTreeSet::new());
    match &own.source {
        Some(source) => {
            let keyring = own.keyring(format, &source.key);
            let text = own.text(format, &sight.host.outside(&keyring));
            let text = text.ok_or_else(|| refuse(misfit(own, &source.kind, format, packager.is_there())))?;
            alone(own, format, sight)?;
            parts.extend(directories(format, sight)?);
            parts.push(whole(keyring.clone(), Content::Bytes(source.key.as_str().as_bytes().into()), sight));
            stay = source.key.primaries();
            if format == SourceFormat::Zypper {
                parts.push(Part::Keys { path: keyring.clone(), keys: stay.clone(), known: true });
            }
            parts.push(whole(path, Content::Bytes(text.into_bytes().into()), sight));
            new = Some(keyring);
        }
        None => parts.push(Part::File(Want::plain(path.into(), Content::Absent))),
    }
    if let Some(old) = old.filter(|old| new.as_ref() != Some(old)) {
        if format == SourceFormat::Zypper {
            parts.extend(forgotten(&old, &stay, sight)?);
        }
        parts.push(Part::File(Want::plain(old.into(), Content::Absent)));
    }
    Ok(parts)
}

fn misfit(own: &PackageRepository, kind: &SourceKind, format: SourceFormat, there: bool) -> String {
    let (name, manager) = (&own.name, format.as_str());
    match kind {
        SourceKind::Rpm { .. } if !there => format!(
            "package_repository:{name} is a source of dnf and zypper, and this host has neither dnf 4 nor zypper"
        ),
        SourceKind::Deb { .. } => format!(
            "package_repository:{name} has suites, so it is a source of apt, and this host has {manager}; give hosts with \
             {manager} a manifest of their own, in which it has uris and key only"
        ),
        SourceKind::Rpm { .. } => format!(
            "package_repository:{name} has no suites, so it is a source of dnf and zypper, and this host has {manager}; give \
             hosts with {manager} a manifest of their own, in which it has suites (and components)"
        ),
    }
}

/// Directories that hosts of this kind need not have.
fn directories<'a, H: Host>(format: SourceFormat, sight: &Sight<'_, H>) -> Result<Vec<Part<'a>>, Refused> {
    let all: &[&str] = match format {
        SourceFormat::Apt => &[SourceFormat::Apt.keyrings()],
        SourceFormat::Dnf | SourceFormat::Zypper => &["/etc/pki", format.keyrings(), format.directory()],
    };
    all.iter().filter_map(|directory| units::missing(directory, sight).transpose()).collect()
}

/// Package managers read keyrings as other users, so they are readable by all.
fn whole<'a, H: Host>(path: String, content: Content<'a>, sight: &Sight<'_, H>) -> Part<'a> {
    let root = || "root".parse::<AccountName>().ok().filter(|_| sight.host.default_owner() == (0, 0));
    Part::File(Want {
        owner: root(),
        group: root(),
        mode: Some(Mode::of_bits(0o644)),
        ..Want::plain(path.into(), content)
    })
}

/// The keyring that the source names now, if it is one of this resource.
fn keyring_of(own: &PackageRepository, format: SourceFormat, source: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(source);
    let field = if format == SourceFormat::Apt { "Signed-By:" } else { "gpgkey=" };
    let named = text.lines().find_map(|line| line.strip_prefix(field))?.trim();
    let prefix = own.keyring_prefix(format);
    let keyring = &named[named.find(&prefix)?..];
    let name = keyring.strip_prefix(&prefix)?;
    (!name.contains('/')).then(|| keyring.to_owned())
}

/// The files in a directory as the step will find them, with their text; those that are no text are left out.
fn texts<H: Host>(directory: &str, sight: &Sight<'_, H>) -> Result<Vec<(String, String)>, Refused> {
    let listed = sight.host.list(directory).map_err(|fault| refuse(fault.text()))?;
    let mut paths: BTreeSet<String> = listed.into_iter().map(|name| format!("{directory}/{name}")).collect();
    let below = |path: &&String| path.rsplit_once('/').is_some_and(|(parent, _)| parent == directory);
    paths.extend(sight.files.keys().filter(below).cloned());
    let mut all = Vec::new();
    for path in paths {
        if let Some(text) = text(&path, sight)? {
            all.push((path, text));
        }
    }
    Ok(all)
}

fn text<H: Host>(path: &str, sight: &Sight<'_, H>) -> Result<Option<String>, Refused> {
    let bytes = match sight.file(path)? {
        file::Found::File { content, .. } => content,
        file::Found::Link { .. } => match sight.host.real(path).map_err(|fault| refuse(fault.text()))? {
            Some(real) => match sight.file(&real)? {
                file::Found::File { content, .. } => content,
                _ => None,
            },
            None => None,
        },
        _ => None,
    };
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Two descriptions of one name: rpm's package managers take parts of either.
fn alone<H: Host>(
    own: &PackageRepository,
    format: SourceFormat,
    sight: &Sight<'_, H>,
) -> Result<(), Refused> {
    let more: &[&str] = match format {
        SourceFormat::Apt => return Ok(()),
        SourceFormat::Dnf => &DNF,
        SourceFormat::Zypper => &[],
    };
    let (head, path) = (format!("[{}]", own.name), own.path(format));
    for place in [format.directory()].iter().chain(more) {
        let files = if place.ends_with(".conf") {
            text(place, sight)?.map(|text| ((*place).to_owned(), text)).into_iter().collect()
        } else {
            let mut files = texts(place, sight)?;
            files.retain(|(file, _)| file.ends_with(".repo") && *file != path);
            files
        };
        if let Some((other, _)) = files.iter().find(|(_, text)| text.lines().any(|line| line.trim() == head))
        {
            return Err(refuse(format!(
                "{other} describes a repository {head} already; give package_repository:{name} another name, or remove that \
                 one first (file: {{path: {other}, state: absent}}, which package_repository:{name} requires)",
                name = own.name
            )));
        }
    }
    Ok(())
}

/// Keys of the file that is to go, as far as neither the new key nor another file brings them.
fn forgotten<'a, H: Host>(
    old: &str,
    stay: &BTreeSet<Digest>,
    sight: &Sight<'_, H>,
) -> Result<Option<Part<'a>>, Refused> {
    let Some(text) = text(old, sight)? else { return Ok(None) };
    let mut keys = OpenPgpKey::primaries_of(&text);
    keys.retain(|key| !stay.contains(key));
    for directory in KEYS {
        for (path, text) in texts(directory, sight)? {
            if path != old {
                let others = OpenPgpKey::primaries_of(&text);
                keys.retain(|key| !others.contains(key));
            }
        }
    }
    Ok((!keys.is_empty()).then(|| Part::Keys { path: old.to_owned(), keys, known: false }))
}

/// Which of the keys the package manager's database believes.
///
/// # Errors
/// The machine's.
pub fn known(keys: &BTreeSet<Digest>, host: &impl Host) -> Result<BTreeSet<Digest>, Fault> {
    Ok(host.packager().keys()?.intersection(keys).copied().collect())
}

pub fn digest(known: &BTreeSet<Digest>) -> Digest {
    state(&("keys", known))
}

pub(super) fn change(
    id: &ResourceId,
    path: &str,
    (keys, known): (&BTreeSet<Digest>, bool),
    now: &BTreeSet<Digest>,
) -> Option<Action> {
    let after = if known { keys.clone() } else { BTreeSet::new() };
    let (verb, summary, undo, why) = if known {
        let words = format!("let rpm believe the key of {path} for packages of any repository");
        (Verb::Create, words, UndoContract::Yes, "")
    } else {
        let words = format!("let rpm no longer believe the key of {path}");
        (
            Verb::Remove,
            words,
            UndoContract::Partly,
            "rpm gets the key again as its file has it, with another date",
        )
    };
    (after != *now).then(|| Action {
        class: ActionClass::SensitiveFile,
        undo: Reversibility { undo, why: why.to_owned() },
        ..plain(id, verb, (digest(now), digest(&after)), summary)
    })
}

/// # Errors
/// The package manager's, or it does not take the key.
pub fn bring(path: &str, keys: &BTreeSet<Digest>, wanted: bool, host: &impl Host) -> Result<(), Fault> {
    if !wanted {
        return host.packager().drop_keys(keys);
    }
    host.packager().add_keys(path)?;
    if known(keys, host)? == *keys {
        return Ok(());
    }
    Err(Fault::Refused(format!("rpm did not take the key of {path}; look at what rpm --import {path} says")))
}

/// Lets the database believe what it believed before. The file is back already.
///
/// # Errors
/// The package manager's.
pub fn put_back(
    path: &str,
    keys: &BTreeSet<Digest>,
    before: &BTreeSet<Digest>,
    host: &impl Host,
) -> Result<(), Fault> {
    let now = known(keys, host)?;
    let more: BTreeSet<Digest> = now.difference(before).copied().collect();
    if !more.is_empty() {
        host.packager().drop_keys(&more)?;
    }
    if before.is_subset(&now) { Ok(()) } else { bring(path, before, true, host) }
}
