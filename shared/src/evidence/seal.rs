//! The outer seal: checksums of all files, signed so that common tools can check them.

use super::{Files, Flaw};
use crate::digest::Digest;
use crate::keys::{PublicKey, SigningKey};
use crate::sshsig::{self, SshKey};
use std::collections::BTreeSet;

const SUMS: &str = "SHA256SUMS";
const SIGNATURE: &str = "SHA256SUMS.sig";
const SSH_SIGNATURE: &str = "SHA256SUMS.sshsig";
const SIGNER: &str = "signer.pub";
const ALLOWED: &str = "keys/allowed_signers";
const NAMESPACE: &str = "assent-evidence";
const OUTSIDE: [&str; 4] = [SUMS, SIGNATURE, SSH_SIGNATURE, SIGNER];

/// Adds `SHA256SUMS`, its signatures and the signer's public key.
pub fn seal(files: &mut Files, signer: &SigningKey) {
    files.insert(ALLOWED.into(), allowed(&signer.public()).into_bytes());
    let sums: String = files.iter().map(|(path, bytes)| format!("{}  {path}\n", Digest::of(bytes))).collect();
    files.insert(SIGNATURE.into(), signer.sign(sums.as_bytes()).to_vec());
    files.insert(SSH_SIGNATURE.into(), sshsig::sign(signer, NAMESPACE, sums.as_bytes()).into_bytes());
    files.insert(SIGNER.into(), signer.public().to_pem().into_bytes());
    files.insert(SUMS.into(), sums.into_bytes());
}

fn allowed(signer: &PublicKey) -> String {
    sshsig::allowed_signer(NAMESPACE, NAMESPACE, &SshKey::Ed25519(signer))
}

/// Checks that every file is listed with its digest, that none was added, and that `signer` signed the list.
///
/// Returns all flaws, each with the path that it is about.
pub fn check_seal(files: &Files, signer: &PublicKey) -> Vec<Flaw> {
    let Some(sums) = files.get(SUMS) else { return vec![Flaw::at(SUMS, "is missing")] };
    let mut flaws = Vec::new();
    let plain = files.get(SIGNATURE).is_some_and(|sig| signer.verifies(sums, sig));
    let ssh =
        files.get(SSH_SIGNATURE).is_some_and(|sig| sshsig::is_signed_text(sig, signer, NAMESPACE, sums));
    // One changed file spoils both only if it is the one that both are over.
    if !plain && !ssh {
        flaws.push(Flaw::at(SUMS, "fits neither of its signatures"));
    }
    for (fits, path) in [(plain, SIGNATURE), (ssh, SSH_SIGNATURE)] {
        if !fits {
            flaws.push(Flaw::at(path, "does not fit SHA256SUMS and the ledger's key"));
        }
    }
    if files.get(SIGNER).is_none_or(|pem| *pem != signer.to_pem().into_bytes()) {
        flaws.push(Flaw::at(SIGNER, "is not the ledger's key that the policy names"));
    }
    let Ok(text) = std::str::from_utf8(sums) else { return vec![Flaw::at(SUMS, "is not text")] };
    let mut listed = BTreeSet::new();
    for line in text.lines() {
        let Some((digest, path)) = line.split_once("  ") else {
            flaws.push(Flaw::at(
                SUMS,
                format!("has a line that is not 'digest  path': {:?}", crate::strict::shorten(line)),
            ));
            continue;
        };
        listed.insert(path);
        match files.get(path) {
            None => flaws.push(Flaw::at(path, "is listed in SHA256SUMS but missing")),
            Some(bytes) if Digest::of(bytes).hex() != digest => {
                flaws.push(Flaw::at(path, "its content does not fit its checksum: it was changed"));
            }
            Some(_) => {}
        }
    }
    let added = files.keys().filter(|p| !listed.contains(p.as_str()) && !OUTSIDE.contains(&p.as_str()));
    flaws.extend(added.map(|path| Flaw::at(path, "is not listed in SHA256SUMS: it was added")));
    flaws
}
