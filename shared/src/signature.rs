//! How a person's key signs: the one place where an envelope's signature is held against a key of whatever kind.
//!
//! A host's key and a file key sign the bytes themselves. OpenSSH signs them under a namespace of the statement's type, so
//! that what it signed for something else is never a statement here. A passkey signs their digest as its challenge.

use crate::envelope::{Extension, SignatureEntry};
use crate::keys::AnyKey;
use crate::sshsig::{self, SshKey};
use crate::webauthn::{self, Assertion, RelyingParty};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

/// What holds a person's key, and so the form of its signatures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// A file that `assent` opens; ed25519 over the bytes.
    #[default]
    File,
    /// A key of OpenSSH, in a file or an ssh-agent.
    Ssh,
    /// The same on a security key.
    SshSk(Application),
    /// A passkey.
    Passkey(RelyingParty),
}

/// What a security key of OpenSSH was made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// `ssh:` unless its owner chose another one.
    pub application: String,
}

impl KeyKind {
    pub fn is_file(&self) -> bool {
        *self == Self::File
    }

    /// What is wrong with a key of this kind, in a few words.
    pub(crate) fn problem(&self, key: &AnyKey) -> Option<&'static str> {
        match (self, key) {
            (Self::Passkey(party), _) => party.problem(),
            (_, AnyKey::P256(_)) => Some("only passkeys may be P-256 keys"),
            (Self::SshSk(Application { application }), _) if !application.starts_with("ssh:") => {
                Some("application must begin with ssh:")
            }
            (Self::File | Self::Ssh | Self::SshSk(_), AnyKey::Ed25519(_)) => None,
        }
    }

    /// For OpenSSH's own messages; `None` for other kinds.
    pub fn ssh<'k>(&'k self, key: &'k AnyKey) -> Option<SshKey<'k>> {
        match (self, key) {
            (Self::Ssh, AnyKey::Ed25519(key)) => Some(SshKey::Ed25519(key)),
            (Self::SshSk(of), AnyKey::Ed25519(key)) => Some(SshKey::SecurityKey(key, &of.application)),
            (Self::File | Self::Passkey(_) | Self::Ssh | Self::SshSk(_), _) => None,
        }
    }
}

/// A key with its kind.
#[derive(Clone, Copy, Debug)]
pub struct Verifier<'k> {
    pub key: &'k AnyKey,
    pub kind: &'k KeyKind,
}

/// The namespace of OpenSSH signatures for a type of statement: `assent-approval@v1` for `urn:assent:approval:v1`.
pub fn namespace(statement_type: &str) -> String {
    let name = statement_type.strip_prefix("urn:assent:").unwrap_or(statement_type);
    format!("assent-{}", name.replacen(':', "@", 1))
}

impl Verifier<'_> {
    /// Whether `entry` is a signature of `message`, the signed bytes of a statement of that type.
    pub fn verifies(&self, entry: &SignatureEntry, statement_type: &str, message: &[u8]) -> bool {
        let Ok(sig) = BASE64.decode(&entry.sig) else { return false };
        match (self.kind, &entry.ext) {
            (KeyKind::File, None) => self.key.ed25519().is_some_and(|key| key.verifies(message, &sig)),
            (KeyKind::Ssh | KeyKind::SshSk(_), Some(Extension::Sshsig {})) => {
                let key = self.kind.ssh(self.key);
                key.is_some_and(|key| sshsig::verifies(&sig, &key, &namespace(statement_type), message))
            }
            (KeyKind::Passkey(party), Some(Extension::Webauthn { ad, cdj })) => {
                let (Ok(ad), Ok(cdj)) = (BASE64.decode(ad), BASE64.decode(cdj)) else { return false };
                let assertion = Assertion { authenticator_data: &ad, client_data: &cdj, signature: &sig };
                webauthn::verifies(&assertion, self.key, party, message)
            }
            (KeyKind::File | KeyKind::Ssh | KeyKind::SshSk(_) | KeyKind::Passkey(_), _) => false,
        }
    }
}

/// A signature of OpenSSH as an envelope carries it.
pub fn ssh_entry(key: &AnyKey, blob: &[u8]) -> SignatureEntry {
    SignatureEntry { keyid: key.digest().hex(), sig: BASE64.encode(blob), ext: Some(Extension::Sshsig {}) }
}
