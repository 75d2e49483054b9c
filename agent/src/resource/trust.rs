//! Authorities in the host's trust store: a file of administrators, and the store that is made from all files.
//!
//! The store trusts an authority when its bundle holds the certificate; that is what programs read.

use super::file::{Content, Want};
use super::parts::{Part, plain};
use super::wanted::Sight;
use super::{refuse, state, units};
use crate::host::{Entry, Fault, Host};
use shared::digest::Digest;
use shared::ids::ResourceId;
use shared::manifest::{Authority, Certificate};
use shared::plan::{Action, Reversibility, UndoContract, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;

/// The store's directory: the bundle, a link to each file, and links named after subjects.
const STORE: &str = "/etc/ssl/certs";
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// A bundle of all public authorities has about 220 KiB.
const BUNDLE_BYTES: u64 = 16 << 20;
const PROGRAM: &str = "/usr/sbin/update-ca-certificates";

/// What a certificate resource wants: the file, and that the store follows it.
///
/// # Errors
/// The host has no such store.
pub(super) fn wanted<'a, H: Host>(
    own: &'a Certificate,
    sight: &Sight<'_, H>,
) -> Result<Vec<Part<'a>>, Refused> {
    let path = own.path();
    let link = format!("{STORE}/{}.pem", own.name);
    let there = sight.bytes(&path)?;
    let has_store = sight.host.has_program(PROGRAM).map_err(|fault| refuse(fault.text()))?;
    if !has_store && !sight.comes && (own.content.is_some() || there.is_some()) {
        return Err(refuse(format!(
            "the host has no {PROGRAM}; require the package ca-certificates (stores of other systems are not managed)"
        )));
    }
    let new = own.content.as_ref().map(|content| content.authority());
    let leaves = |old: &Authority| new.is_none_or(|new| new.sha256 != old.sha256);
    let (old, same): (Vec<_>, Vec<_>) =
        Authority::all_of(there.as_deref().unwrap_or_default()).into_iter().partition(leaves);
    let trust = |authority: Authority, trusted| {
        let stale = trusted && !same.is_empty();
        Part::Trust { link: link.clone(), authority, trusted, stale }
    };
    let mut parts = Vec::new();
    match &own.content {
        Some(content) => {
            parts.extend(units::missing(Certificate::DIRECTORY, sight)?);
            let content = Content::Bytes(content.as_str().as_bytes().into());
            parts.push(Part::File(Want::plain(path.into(), content)));
        }
        None => parts.push(Part::File(Want::plain(path.into(), Content::Absent))),
    }
    parts.extend(old.into_iter().map(|authority| trust(authority, false)));
    parts.extend(new.map(|authority| trust(authority.clone(), true)));
    Ok(parts)
}

/// Whether the bundle holds the certificate.
///
/// # Errors
/// The machine's.
pub fn is_trusted(sha256: Digest, host: &impl Host) -> Result<bool, Fault> {
    let bundle = host.read(BUNDLE, BUNDLE_BYTES)?.unwrap_or_default();
    Ok(Authority::fingerprints(&bundle).contains(&sha256))
}

pub fn digest(sha256: Digest, trusted: bool) -> Digest {
    state(&("trust", sha256, trusted))
}

/// `stale`: the file was there before, so that nothing takes its authority out of the store again.
pub(super) fn change(
    id: &ResourceId,
    authority: &Authority,
    (now, trusted): (bool, bool),
    stale: bool,
) -> Option<Action> {
    let (undo, why) = match stale {
        true => (UndoContract::Partly, "the store follows its files from now on"),
        false => (UndoContract::Yes, ""),
    };
    let (verb, words) = match trusted {
        true => (Verb::Create, "trust"),
        false => (Verb::Remove, "no longer trust"),
    };
    let ends = (digest(authority.sha256, now), digest(authority.sha256, trusted));
    (trusted != now).then(|| Action {
        class: ActionClass::SensitiveFile,
        undo: Reversibility { undo, why: why.to_owned() },
        ..plain(id, verb, ends, format!("{words} the authority {authority}"))
    })
}

/// Makes the store follow the file. An authority that another file names as well stays trusted.
///
/// # Errors
/// The program's, or it left a wanted authority out.
pub fn apply(link: &str, sha256: Digest, trusted: bool, host: &mut impl Host) -> Result<(), Fault> {
    // Another certificate of the same file has been seen to already.
    if is_trusted(sha256, host)? == trusted {
        return Ok(());
    }
    refresh(link, host)?;
    if trusted && !is_trusted(sha256, host)? {
        return Err(Fault::Refused(format!("{PROGRAM} has left the certificate out of {BUNDLE}")));
    }
    Ok(())
}

/// The file is back as it was; so is the store.
///
/// # Errors
/// The program's.
pub fn undo(link: &str, sha256: Digest, trusted: bool, host: &mut impl Host) -> Result<(), Fault> {
    if is_trusted(sha256, host)? == trusted { Ok(()) } else { refresh(link, host) }
}

/// The program makes links anew only for files whose own link is missing, and leaves those of removed files behind.
fn refresh(link: &str, host: &mut impl Host) -> Result<(), Fault> {
    let own = link.rsplit('/').next().unwrap_or_default();
    for name in host.list(STORE)? {
        let path = format!("{STORE}/{name}");
        if matches!(host.look(&path)?, Entry::Link { target } if target == own) {
            host.remove(&path)?;
        }
    }
    host.remove(link)?;
    host.refresh_trust()
}
