//! Archives of the repository, unpacked into a directory.
//!
//! What an archive has brought is recorded below the agent's own directory: later plans compare the host with
//! that record, and the files of a former version go with it. Never: anything outside of the directory.

mod listing;

pub use listing::{Kind, Listing};

use super::file::{Content, Want};
use super::parts::{self, Found, Part, plain};
use super::{directory, file, refuse, state};
use crate::host::{Entry, Fault, Host};
use crate::plan::Item;
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::limits;
use shared::manifest::{Archive, Directory, Mode, Unpacked};
use shared::plan::{Action, Reversibility, UndoContract, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;
use shared::strict;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// Where records lie, each named after the directory that it is about.
const RECORDS: &str = "/var/lib/assent/archives";
/// A record of as many entries as an archive may have, with long names.
const RECORD_BYTES: u64 = 8 << 20;
/// Files whose names become durable together.
const GROUP: usize = 64;

/// What an archive has brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub path: String,
    pub want: Unpacked,
    pub listing: Listing,
}

fn place(path: &str) -> String {
    format!("{RECORDS}/{}.json", Digest::of(path.as_bytes()).hex())
}

/// The record of the directory; `None` when nothing was unpacked there.
///
/// # Errors
/// It is damaged.
pub fn record(path: &str, host: &impl Host) -> Result<Option<Record>, Fault> {
    let place = place(path);
    let Some(bytes) = host.read(&place, RECORD_BYTES)? else { return Ok(None) };
    let record: Option<Record> = serde_json::from_slice(&bytes).ok();
    let good = record.filter(|record| record.path == path && record.listing.is_safe());
    good.map(Some).ok_or_else(|| {
        Fault::Refused(format!(
            "the record {place} of what lies in {path} is damaged; remove it, then {path} is unpacked anew"
        ))
    })
}

/// The action that brings the archive about; `None` when everything lies as it was unpacked.
///
/// # Errors
/// The machine's, as a reason not to go on.
pub(crate) fn diff(item: &Item<'_>, own: &Archive, host: &impl Host) -> Result<Option<Action>, Refused> {
    let path = own.path.as_str();
    let refused = |fault: Fault| refuse(fault.text());
    let record = record(path, host).map_err(refused)?;
    let Some(want) = &own.want else {
        let Some(record) = record else { return Ok(None) };
        let summary = format!("remove what archive {} has brought to {path}", record.want.artifact.sha256);
        return Ok(Some(action(item, Verb::Remove, &record, summary, shown(record.listing.paths(), "-"))));
    };
    if !matches!(host.look(path).map_err(refused)?, Entry::Directory { .. } | Entry::Absent) {
        return Err(refuse(format!(
            "{path} exists and is no directory; nothing is unpacked there, remove it first"
        )));
    }
    let text = format!("archive {} ({} bytes) into {path}", want.artifact.sha256, want.artifact.length);
    let Some(record) = record else {
        let none = Record { path: path.into(), want: want.clone(), listing: Listing::default() };
        let action = action(item, Verb::Create, &none, format!("unpack {text}"), None);
        return Ok(Some(Action { before: None, ..action }));
    };
    if record.want != *want {
        let old = record.want.artifact.sha256;
        let summary = format!(
            "unpack {text} in place of archive {old}; what only that one had ({} entries at most) goes",
            record.listing.entries.len()
        );
        return Ok(Some(action(item, Verb::Update, &record, summary, None)));
    }
    let different = different(&record, host).map_err(refused)?;
    if different.is_empty() {
        return Ok(None);
    }
    let summary = format!("unpack {text} again: {} entries are not as they were unpacked", different.len());
    let list = shown(different.iter().map(String::as_str), "");
    Ok(Some(action(item, Verb::Update, &record, summary, list)))
}

fn action(item: &Item<'_>, verb: Verb, old: &Record, summary: String, diff: Option<String>) -> Action {
    let large = old.listing.entries.iter().any(|entry| entry.length() > file::SAVED_BYTES);
    let undo = match large {
        true => Reversibility {
            undo: UndoContract::Partly,
            why: format!("old files larger than {} MiB are not kept", file::SAVED_BYTES >> 20),
        },
        false => Reversibility { undo: UndoContract::Yes, why: String::new() },
    };
    let ends = (state(&("archive", &old.want)), parts::unseen(item.resource));
    let class = item.resource.classes().into_iter().filter(|c| *c != ActionClass::Service).max();
    Action { class: class.unwrap_or(ActionClass::File), diff, undo, ..plain(&item.id(), verb, ends, summary) }
}

fn shown<'p>(paths: impl Iterator<Item = &'p str>, mark: &str) -> Option<String> {
    let mut text = String::new();
    for path in paths {
        if text.len() + path.len() > limits::DIFF_BYTES - 100 {
            text.push_str("(more are not shown)\n");
            break;
        }
        text.push_str(&format!("{mark}{path}\n"));
    }
    Some(text)
}

/// Entries that are not as they were unpacked.
fn different(record: &Record, host: &impl Host) -> Result<Vec<String>, Fault> {
    let accounts = host.accounts()?;
    let mut different = Vec::new();
    for part in parts(&record.path, &record.want, &record.listing, None)? {
        look(&part, &record.path, host)?;
        let (path, same) = match &part {
            Part::File(want) => {
                let found = file::inspect(&want.path, host)?;
                (want.path.to_string(), want.is_at(&found, &accounts, host.default_owner()))
            }
            Part::Directory(want) => {
                let found = directory::inspect(want.path.as_str(), host)?;
                let change = directory::diff(want, &found, &accounts, host.default_owner());
                (want.path.to_string(), matches!(change, Ok(None)))
            }
            _ => continue,
        };
        if !same {
            different.push(path);
        }
    }
    Ok(different)
}

/// What the listing makes of the directory; files of `old` that it lacks are to go.
fn parts<'a>(
    path: &str,
    want: &Unpacked,
    listing: &Listing,
    old: Option<&Record>,
) -> Result<Vec<Part<'a>>, Fault> {
    let bad = |e: shared::manifest::NotAValue| {
        Fault::Refused(format!("an entry of the archive cannot be unpacked: {e}"))
    };
    let directory = |path: &str, mode: Option<u32>| -> Result<Part<'a>, Fault> {
        Ok(Part::Directory(Directory {
            owner: want.owner.clone(),
            group: want.group.clone(),
            mode: mode.map(Mode::of_bits),
            ..Directory::at(path.parse().map_err(bad)?)
        }))
    };
    let mut parts = vec![directory(path, None)?];
    for entry in &listing.entries {
        let place = format!("{path}/{}", entry.path);
        let content = match &entry.kind {
            Kind::Directory { mode } => {
                parts.push(directory(&place, Some(*mode))?);
                continue;
            }
            Kind::File { sha256, length, .. } => Content::Artifact { sha256: *sha256, length: *length },
            Kind::Link { target } => Content::Link(target.clone().into()),
        };
        let mode = if let Kind::File { mode, .. } = entry.kind { Some(Mode::of_bits(mode)) } else { None };
        parts.push(Part::File(Want {
            owner: want.owner.clone(),
            group: want.group.clone(),
            mode,
            ..Want::plain(place.into(), content)
        }));
    }
    parts.extend(leaving(path, listing, old));
    Ok(parts)
}

/// Files first, then directories from the inside out.
fn leaving<'a>(path: &str, listing: &Listing, old: Option<&Record>) -> Vec<Part<'a>> {
    let stays: BTreeSet<&str> = listing.paths().collect();
    let gone = old.iter().flat_map(|old| old.listing.entries.iter().rev());
    let gone: Vec<_> = gone.filter(|entry| !stays.contains(entry.path.as_str())).collect();
    let (directories, files): (Vec<_>, Vec<_>) =
        gone.into_iter().partition(|entry| matches!(entry.kind, Kind::Directory { .. }));
    let place = |entry: &listing::Entry| format!("{path}/{}", entry.path);
    let files = files.into_iter().map(|e| Part::File(Want::plain(place(e).into(), Content::Absent)));
    files.chain(directories.into_iter().map(|e| Part::Leaving { path: place(e) })).collect()
}

/// A run's view: what is to be, what is there, and what is in the archive.
pub struct Run<'a> {
    pub parts: Vec<Part<'a>>,
    pub found: Vec<Found>,
    listing: Listing,
}

/// Reads the archive and looks at everything that it is about.
///
/// # Errors
/// The archive is not one that is unpacked, or something is in the way.
pub fn inspect<'a>(
    own: &Archive,
    host: &impl Host,
    artifact: &dyn Fn(Digest) -> Result<Box<dyn Read>, Fault>,
) -> Result<Run<'a>, Fault> {
    let path = own.path.as_str();
    let old = record(path, host)?;
    let (parts, listing) = match &own.want {
        Some(want) => {
            let listing = listing::read(&mut artifact(want.artifact.sha256)?, want.strip)?;
            let mut parts = parts(path, want, &listing, old.as_ref())?;
            let new = Record { path: path.to_owned(), want: want.clone(), listing: listing.clone() };
            parts.push(Part::Directory(Directory {
                mode: Some(Mode::of_bits(0o700)),
                ..Directory::at(RECORDS.parse().map_err(|e| Fault::Refused(format!("{RECORDS}: {e}")))?)
            }));
            let bytes = strict::to_json(&new);
            parts.push(Part::File(Want::plain(place(path).into(), Content::Bytes(bytes.into()))));
            (parts, listing)
        }
        None => {
            let mut parts = leaving(path, &Listing::default(), old.as_ref());
            parts.push(Part::File(Want::plain(place(path).into(), Content::Absent)));
            (parts, Listing::default())
        }
    };
    let mut found = Vec::new();
    for part in &parts {
        found.push(look(part, path, host)?);
    }
    Ok(Run { parts, found, listing })
}

fn look(part: &Part<'_>, base: &str, host: &impl Host) -> Result<Found, Fault> {
    let place = match part {
        Part::File(want) => want.path.to_string(),
        Part::Directory(want) => want.path.to_string(),
        Part::Leaving { path } => path.clone(),
        _ => return Err(Fault::Refused("an archive has no such part".into())),
    };
    // A link on the way would lead out of the directory.
    let inside = place.get(base.len()..).unwrap_or_default().match_indices('/').skip(1);
    for (at, _) in inside.filter(|_| place.starts_with(&format!("{base}/"))) {
        let above = &place[..base.len() + at];
        if !matches!(host.look(above)?, Entry::Directory { .. } | Entry::Absent) {
            return Err(Fault::Refused(format!("{above} is no directory; nothing is unpacked through it")));
        }
    }
    match part {
        Part::File(_) => {
            let found = file::inspect(&place, host)?;
            match &found {
                file::Found::Other => {
                    Err(Fault::Refused(format!("{place} is a directory or device and is not replaced")))
                }
                file::Found::File { length, .. }
                    if *length > file::SAVED_BYTES && base_is_foreign(part, &found) =>
                {
                    Err(Fault::Refused(format!(
                        "{place} has more than {} MiB and would be lost; move it away first",
                        file::SAVED_BYTES >> 20
                    )))
                }
                _ => Ok(Found::File { path: place, found }),
            }
        }
        _ => match directory::inspect(&place, host)? {
            directory::Found::Other => Err(Fault::Refused(format!("{place} exists and is no directory"))),
            found => Ok(Found::Directory { path: place, found }),
        },
    }
}

/// Whether other contents than the wanted ones lie there.
fn base_is_foreign(part: &Part<'_>, found: &file::Found) -> bool {
    let file::Found::File { digest, .. } = found else { return false };
    !matches!(part, Part::File(want) if want.digest() == Some(*digest))
}

/// Old contents that this run takes away, for [`super::Saved`].
pub fn endangered<'r>(run: &'r Run<'_>) -> impl Iterator<Item = (&'r str, &'r file::Found)> {
    run.parts.iter().zip(&run.found).filter_map(|(part, found)| match found {
        Found::File { path, found } if base_is_foreign(part, found) => Some((path.as_str(), found)),
        _ => None,
    })
}

/// Unpacks: directories, then the files in the order of the archive, then links, then what has to go.
///
/// # Errors
/// The machine's; the archive is another one than it was a moment ago.
pub fn apply(
    own: &Archive,
    run: &Run<'_>,
    host: &mut impl Host,
    artifact: &dyn Fn(Digest) -> Result<Box<dyn Read>, Fault>,
) -> Result<(), Fault> {
    let accounts = host.accounts()?;
    let owner = host.default_owner();
    for (part, found) in run.parts.iter().zip(&run.found) {
        if let (Part::Directory(want), Found::Directory { found, .. }) = (part, found) {
            let change = directory::diff(want, found, &accounts, owner);
            if let Some(change) = change.map_err(|refused| Fault::Refused(refused.message))? {
                directory::apply(want, found, change.after, host)?;
            }
        }
    }
    if let Some(want) = &own.want {
        unpack(own.path.as_str(), want, run, host, artifact)?;
    }
    let none = |digest: Digest| Err(Fault::Refused(format!("{digest} is unpacked by itself")));
    for (part, found) in run.parts.iter().zip(&run.found) {
        match (part, found) {
            (Part::File(want), Found::File { found, .. })
                if !matches!(want.content, Content::Artifact { .. })
                    && !want.is_at(found, &accounts, owner) =>
            {
                let after = want.end(found, &accounts, owner);
                file::apply(want, found, after, host, &none)?;
            }
            (Part::Leaving { path }, _) if host.list(path)?.is_empty() => host.remove_dir(path)?,
            _ => {}
        }
    }
    Ok(())
}

fn unpack(
    path: &str,
    want: &Unpacked,
    run: &Run<'_>,
    host: &mut impl Host,
    artifact: &dyn Fn(Digest) -> Result<Box<dyn Read>, Fault>,
) -> Result<(), Fault> {
    let accounts = host.accounts()?;
    let owner = host.default_owner();
    let pairs = run.parts.iter().zip(&run.found);
    let known: BTreeMap<&str, _> = pairs.filter_map(|pair| Some((pair.0.path()?, pair))).collect();
    let mut staged: Vec<String> = Vec::new();
    let mut archive = artifact(want.artifact.sha256)?;
    let unpacked = listing::each_file(&mut archive, want.strip, &run.listing, &mut |name, content| {
        let place = format!("{path}/{name}");
        let pair = known.get(place.as_str());
        let Some((Part::File(want), Found::File { found, .. })) = pair else { return Ok(()) };
        if want.is_at(found, &accounts, owner) {
            return Ok(());
        }
        let (digest, attrs) = want.content_and_attrs(found, &accounts, owner)?;
        if matches!(found, file::Found::File { digest: now, .. } if *now == digest) {
            return host.set_attrs(&place, attrs);
        }
        host.stage(&place, content, digest, attrs)?;
        staged.push(place);
        if staged.len() >= GROUP { commit(&mut staged, host) } else { Ok(()) }
    });
    let put = unpacked.and_then(|()| commit(&mut staged, host));
    if put.is_err() {
        // The first error counts; what stays is overwritten by the next try.
        staged.iter().for_each(|path| drop(host.sweep(path)));
    }
    put
}

fn commit(staged: &mut Vec<String>, host: &mut impl Host) -> Result<(), Fault> {
    if staged.is_empty() {
        return Ok(());
    }
    host.sync_staged()?;
    while let Some(path) = staged.pop() {
        host.commit(&path)?;
    }
    host.sync_committed()
}
