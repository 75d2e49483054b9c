//! The person's own key for secrets, so that what was encrypted can be encrypted again for other hosts.
//!
//! Owns `keys/secrets.age` (sealed with the passphrase of the other keys) and its public part beside it; made when
//! first needed. Both are ordinary age files.

use super::cipher;
use crate::error::{Context as _, Done, Failure};
use crate::profile::{KeyUse, SMALL};
use crate::session::Session;
use crate::{files, term};
use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use shared::secret::{Opened, Recipient, Secret};
use std::path::PathBuf;
use zeroize::Zeroizing;

fn paths(session: &Session) -> (PathBuf, PathBuf) {
    let keys = session.profile.dir.join("keys");
    (keys.join("secrets.age"), keys.join("secrets.pub"))
}

/// The public part.
pub fn recipient(session: &Session) -> Done<Recipient> {
    let (sealed, public) = paths(session);
    if let Some(bytes) = files::try_read(&public, SMALL)? {
        let damaged = format!("{} is damaged", public.display());
        return String::from_utf8(bytes).or_fault(&*damaged)?.trim().parse().or_fault(&*damaged);
    }
    let key = match files::try_read(&sealed, SMALL)? {
        Some(_) => unsealed(session)?,
        None => made(session)?,
    };
    let text = key.to_public().to_string();
    files::replace(&public, format!("{text}\n").as_bytes())?;
    text.parse().or_fault("the new key for secrets cannot be used")
}

fn made(session: &Session) -> Done<Identity> {
    // Opening another key proves the passphrase before something is sealed with it.
    session.key(KeyUse::Publisher)?;
    let key = Identity::generate();
    let sealed = cipher::seal(key.to_string().expose_secret(), &session.secrets.passphrase()?)?;
    files::write_new(&paths(session).0, sealed.as_bytes())?;
    term::note(&format!(
        "note: your own key for secrets was made: {}; back it up with the others\n",
        paths(session).0.display()
    ));
    Ok(key)
}

fn unsealed(session: &Session) -> Done<Identity> {
    let path = paths(session).0;
    let none = || {
        Failure::refused("there is no own key for secrets here yet, so nothing was encrypted for it")
            .remedy("encrypt the value anew with assent secret encrypt")
    };
    let bytes = files::try_read(&path, SMALL)?.ok_or_else(none)?;
    let damaged = format!("{} is damaged", path.display());
    let sealed = String::from_utf8(bytes).or_fault(&*damaged)?;
    let text = cipher::unseal(&sealed, &session.secrets.passphrase()?)?;
    let text: Zeroizing<Vec<u8>> = text.ok_or_else(|| {
        Failure::refused("the passphrase does not open your key for secrets").why(path.display())
    })?;
    let text = std::str::from_utf8(&text).or_fault(&*damaged)?;
    text.trim().parse().map_err(|why: &str| Failure::fault(damaged).why(why))
}

/// Opens a secret with the own key.
pub fn open(session: &Session, secret: &Secret) -> Done<Opened> {
    let opened = cipher::decrypt(secret, &unsealed(session)?)?;
    opened.ok_or_else(|| {
        Failure::refused("this secret was not encrypted for your own key")
            .why("somebody else encrypted it, or it was made with --hosts-only")
            .remedy("encrypt the value anew with assent secret encrypt")
    })
}
