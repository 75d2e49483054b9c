//! `assent log witness`: signs for others that the ledger has only grown, seen from a machine that is not the server's.
//!
//! Owns the key file of a witness. Never: signs a checkpoint that was not checked and noted here first.
//!
//! Source: C2SP tlog-cosignature. The order of checking, noting and signing is that of C2SP tlog-witness.

use crate::args::AsJson;
use crate::error::{Context as _, Done, Failure};
use crate::session::Session;
use crate::written::{self, Written};
use crate::{clock, files, term};
use shared::keys::SigningKey;
use shared::ledger::{KeyName, SignedNote, WitnessKey};
use std::path::Path;
use zeroize::Zeroizing;

/// A key and its name in text.
const SMALL: usize = 8 << 10;
const PEM: &str = "-----BEGIN";

/// Makes a key file: the public form, which carries the name, and the private key.
pub fn new(name: &KeyName, path: &Path) -> Done {
    let key = SigningKey::from_seed(&Zeroizing::new(clock::random::<32>()?));
    let public = WitnessKey::new(name.clone(), key.public());
    let pem = key.to_pem().or_fault("the key could not be written")?;
    let text = Zeroizing::new(format!("{public}\n{}", pem.as_str()));
    files::write_new(path, text.as_bytes())?;
    term::print(&format!(
        "{} holds the key of a witness; keep it on this machine\n  {public}\n\
         next: whoever governs runs `assent policy ledger --add-witness {public} --quorum 1`, and here a timer runs \
         `assent log witness --key {}`\n",
        path.display(),
        path.display()
    ))
}

/// Looks at the ledger as `assent log verify` does, and signs what was seen.
pub fn sign(session: &Session, path: &Path, json: AsJson) -> Done {
    let json = json.begin();
    let (public, key) = read(path)?;
    let looked = super::verify(session)?;
    let mut note = SignedNote::parse(&looked.note).or_refuse("the ledger's checkpoint is not accepted")?;
    note.cosign(public.name(), &key, session.now);
    session.api.cosigned(note.to_string())?;
    let words = format!("signed as {}\n", public.name());
    written::tell(json, Written::of("witness", public.name(), &looked)?, &words)
}

fn read(path: &Path) -> Done<(WitnessKey, SigningKey)> {
    let text = Zeroizing::new(files::read_text(path, SMALL)?);
    let bad = || {
        Failure::usage(format!("{} is not the key of a witness", path.display()))
            .remedy("make one with `assent key witness NAME --out FILE`")
    };
    let (head, pem) = text.find(PEM).map(|at| text.split_at(at)).ok_or_else(bad)?;
    let public: WitnessKey = head.trim().parse().map_err(|_| bad())?;
    let key = SigningKey::from_pem(pem, None).map_err(|_| bad())?;
    if key.public() == *public.public() { Ok((public, key)) } else { Err(bad()) }
}
