//! SSH signatures, as `ssh-keygen -Y sign` and ssh-agents make them and `ssh-keygen -Y verify` reads them.
//!
//! Source: OpenSSH `PROTOCOL.sshsig`, and `PROTOCOL.u2f` for security keys. Keys: ed25519, plain or on a security key; hash:
//! sha512 only. Never: a signature without a namespace, or one for another namespace than the caller asks for.

use crate::digest::Digest;
use crate::keys::{PublicKey, SigningKey};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use sha2::{Digest as _, Sha512};

const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;
const HASH: &[u8] = b"sha512";
const KEY_TYPE: &[u8] = b"ssh-ed25519";
const SK_KEY_TYPE: &[u8] = b"sk-ssh-ed25519@openssh.com";
/// Of the flags of a security key: somebody touched it.
const PRESENT: u8 = 1;
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";

/// A public key as OpenSSH knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SshKey<'a> {
    Ed25519(&'a PublicKey),
    /// On a security key, for this application (`ssh:` unless its owner chose another one).
    SecurityKey(&'a PublicKey, &'a str),
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    #[expect(clippy::cast_possible_truncation, reason = "all fields here are far below 4 GiB")]
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Takes one length-prefixed field off the front.
fn take<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (field, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *bytes = rest;
    Some(field)
}

impl SshKey<'_> {
    /// The key as it stands in SSH's own messages and files.
    pub fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        match self {
            Self::Ed25519(key) => {
                put(&mut blob, KEY_TYPE);
                put(&mut blob, key.as_bytes());
            }
            Self::SecurityKey(key, application) => {
                put(&mut blob, SK_KEY_TYPE);
                put(&mut blob, key.as_bytes());
                put(&mut blob, application.as_bytes());
            }
        }
        blob
    }

    /// Whether `signature`, of the form of SSH (type, bytes, and for security keys flags and counter), is over `signed`.
    fn verifies(&self, signed: &[u8], mut signature: &[u8]) -> bool {
        let (Some(kind), Some(raw)) = (take(&mut signature), take(&mut signature)) else { return false };
        match self {
            Self::Ed25519(key) => kind == KEY_TYPE && signature.is_empty() && key.verifies(signed, raw),
            Self::SecurityKey(key, application) => {
                let Ok([flags, counter @ ..]) = <&[u8; 5]>::try_from(signature) else { return false };
                let mut message = Digest::of(application.as_bytes()).0.to_vec();
                message.push(*flags);
                message.extend_from_slice(counter);
                message.extend_from_slice(&Digest::of(signed).0);
                kind == SK_KEY_TYPE && flags & PRESENT != 0 && key.verifies(&message, raw)
            }
        }
    }
}

/// The bytes that the key signs for `message` under `namespace`.
pub fn to_sign(namespace: &str, message: &[u8]) -> Vec<u8> {
    let mut signed = MAGIC.to_vec();
    put(&mut signed, namespace.as_bytes());
    put(&mut signed, b"");
    put(&mut signed, HASH);
    put(&mut signed, &Sha512::digest(message));
    signed
}

/// The whole signature around what the key made of [`to_sign`], in SSH's form, such as an ssh-agent answers it.
pub fn wrap(key: &SshKey<'_>, namespace: &str, signature: &[u8]) -> Vec<u8> {
    let mut blob = MAGIC.to_vec();
    blob.extend_from_slice(&VERSION.to_be_bytes());
    put(&mut blob, &key.blob());
    put(&mut blob, namespace.as_bytes());
    put(&mut blob, b"");
    put(&mut blob, HASH);
    put(&mut blob, signature);
    blob
}

/// Whether `blob` is a signature of `message` by `key` for exactly this namespace. Nothing may follow it.
pub fn verifies(mut blob: &[u8], key: &SshKey<'_>, namespace: &str, message: &[u8]) -> bool {
    let Some(rest) = blob.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(&VERSION.to_be_bytes()))
    else {
        return false;
    };
    blob = rest;
    let mut next = || take(&mut blob);
    let same = next().is_some_and(|field| field == key.blob())
        && next().is_some_and(|field| field == namespace.as_bytes())
        && next().is_some_and(<[u8]>::is_empty)
        && next().is_some_and(|field| field == HASH);
    let Some(signature) = next().filter(|_| same) else { return false };
    blob.is_empty() && key.verifies(&to_sign(namespace, message), signature)
}

/// The text form that OpenSSH writes and reads.
pub fn armor(blob: &[u8]) -> String {
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

/// The bytes of a text form; `None` when it is none.
pub fn dearmor(text: &str) -> Option<Vec<u8>> {
    let body = text.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let body: String = body.lines().map(str::trim).collect();
    BASE64.decode(body).ok()
}

/// The text form of a signature of `message` by a key that is at hand.
pub fn sign(key: &SigningKey, namespace: &str, message: &[u8]) -> String {
    let mut signature = Vec::new();
    put(&mut signature, KEY_TYPE);
    put(&mut signature, &key.sign(&to_sign(namespace, message)));
    armor(&wrap(&SshKey::Ed25519(&key.public()), namespace, &signature))
}

/// Whether `text` is, byte for byte, what [`sign`] writes with the private key of `key`.
pub fn is_signed_text(text: &[u8], key: &PublicKey, namespace: &str, message: &[u8]) -> bool {
    let Some((text, blob)) = std::str::from_utf8(text).ok().and_then(|t| Some((t, dearmor(t)?))) else {
        return false;
    };
    armor(&blob) == text && verifies(&blob, &SshKey::Ed25519(key), namespace, message)
}

/// The key of a public key line, such as `ssh-ed25519 AAAA… comment`; for a security key also its application.
pub fn parse_public(line: &str) -> Option<(PublicKey, Option<String>)> {
    let mut words = line.split_whitespace();
    let (kind, blob) = (words.next()?, BASE64.decode(words.next()?).ok()?);
    parse_blob(&blob).filter(|_| blob_type(&blob) == Some(kind.as_bytes()))
}

fn blob_type(mut blob: &[u8]) -> Option<&[u8]> {
    take(&mut blob)
}

/// The same from the bytes of the key.
pub fn parse_blob(mut blob: &[u8]) -> Option<(PublicKey, Option<String>)> {
    let kind = take(&mut blob)?;
    let key = PublicKey::from_bytes(take(&mut blob)?.try_into().ok()?).ok()?;
    let application = match kind {
        KEY_TYPE => None,
        SK_KEY_TYPE => Some(String::from_utf8(take(&mut blob)?.to_vec()).ok()?),
        _ => return None,
    };
    blob.is_empty().then_some((key, application))
}

/// A public key as one line, without a comment.
pub fn public_line(key: &SshKey<'_>) -> String {
    let kind = match key {
        SshKey::Ed25519(_) => KEY_TYPE,
        SshKey::SecurityKey(..) => SK_KEY_TYPE,
    };
    format!("{} {}", String::from_utf8_lossy(kind), BASE64.encode(key.blob()))
}

/// A line for an `allowed_signers` file, good for one namespace.
pub fn allowed_signer(identity: &str, namespace: &str, key: &SshKey<'_>) -> String {
    format!("{identity} namespaces=\"{namespace}\" {}\n", public_line(key))
}
