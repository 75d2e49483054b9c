//! SSH signatures over a file, as `ssh-keygen -Y verify` reads them.
//!
//! Source: OpenSSH `PROTOCOL.sshsig`; ed25519 keys, hash sha512.

use crate::keys::{PublicKey, SigningKey};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use sha2::{Digest as _, Sha512};

const MAGIC: &[u8] = b"SSHSIG";
const KEY_TYPE: &[u8] = b"ssh-ed25519";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";

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

/// The bytes that the key signs for `message` under `namespace`.
fn to_sign(namespace: &str, message: &[u8]) -> Vec<u8> {
    let mut signed = MAGIC.to_vec();
    put(&mut signed, namespace.as_bytes());
    put(&mut signed, b"");
    put(&mut signed, b"sha512");
    put(&mut signed, &Sha512::digest(message));
    signed
}

fn armored(key: &PublicKey, namespace: &str, signature: &[u8]) -> String {
    let mut typed = Vec::new();
    put(&mut typed, KEY_TYPE);
    put(&mut typed, signature);
    let mut blob = MAGIC.to_vec();
    blob.extend_from_slice(&1u32.to_be_bytes());
    put(&mut blob, &key_blob(key));
    put(&mut blob, namespace.as_bytes());
    put(&mut blob, b"");
    put(&mut blob, b"sha512");
    put(&mut blob, &typed);
    let text = BASE64.encode(blob);
    let mut armored = format!("{BEGIN}\n");
    for line in text.as_bytes().chunks(70) {
        armored.push_str(&String::from_utf8_lossy(line));
        armored.push('\n');
    }
    armored.push_str(END);
    armored.push('\n');
    armored
}

/// The armored signature of `message` under `namespace`.
pub fn sign(key: &SigningKey, namespace: &str, message: &[u8]) -> String {
    armored(&key.public(), namespace, &key.sign(&to_sign(namespace, message)))
}

/// Whether `text` is, byte for byte, what [`sign`] writes with the private key of `key`.
pub fn verifies(text: &[u8], key: &PublicKey, namespace: &str, message: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let body: String = text.lines().filter(|line| *line != BEGIN && *line != END).collect();
    let Ok(blob) = BASE64.decode(body) else { return false };
    // The signature is the last field; comparing the whole text checks all the others.
    let Some(signature) = blob.last_chunk::<64>() else { return false };
    key.verifies(&to_sign(namespace, message), signature) && armored(key, namespace, signature) == text
}

/// A line for an `allowed_signers` file.
pub fn allowed_signer(identity: &str, key: &PublicKey) -> String {
    format!("{identity} namespaces=\"{identity}\" ssh-ed25519 {}\n", BASE64.encode(key_blob(key)))
}
