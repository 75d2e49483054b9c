//! SSH signatures over a file, as `ssh-keygen -Y verify` reads them.
//!
//! Source: OpenSSH `PROTOCOL.sshsig`; ed25519 keys, hash sha512.

use crate::keys::{PublicKey, SigningKey};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use sha2::{Digest as _, Sha512};

const MAGIC: &[u8] = b"SSHSIG";
const KEY_TYPE: &[u8] = b"ssh-ed25519";

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    #[expect(clippy::cast_possible_truncation, reason = "all fields here are far below 4 GiB")]
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn key_blob(key: &PublicKey) -> Vec<u8> {
    let mut blob = Vec::new();
    put(&mut blob, KEY_TYPE);
    put(&mut blob, key.as_bytes());
    blob
}

/// The armored signature of `message` under `namespace`.
pub fn sign(key: &SigningKey, namespace: &str, message: &[u8]) -> String {
    let mut signed = MAGIC.to_vec();
    put(&mut signed, namespace.as_bytes());
    put(&mut signed, b"");
    put(&mut signed, b"sha512");
    put(&mut signed, &Sha512::digest(message));
    let mut signature = Vec::new();
    put(&mut signature, KEY_TYPE);
    put(&mut signature, &key.sign(&signed));

    let mut blob = MAGIC.to_vec();
    blob.extend_from_slice(&1u32.to_be_bytes());
    put(&mut blob, &key_blob(&key.public()));
    put(&mut blob, namespace.as_bytes());
    put(&mut blob, b"");
    put(&mut blob, b"sha512");
    put(&mut blob, &signature);
    let text = BASE64.encode(blob);
    let mut armored = String::from("-----BEGIN SSH SIGNATURE-----\n");
    for line in text.as_bytes().chunks(70) {
        armored.push_str(&String::from_utf8_lossy(line));
        armored.push('\n');
    }
    armored.push_str("-----END SSH SIGNATURE-----\n");
    armored
}

/// A line for an `allowed_signers` file.
pub fn allowed_signer(identity: &str, key: &PublicKey) -> String {
    format!("{identity} namespaces=\"{identity}\" ssh-ed25519 {}\n", BASE64.encode(key_blob(key)))
}
