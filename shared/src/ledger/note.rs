//! Signed notes: text with signature lines below it, and the keys that verify them.
//!
//! Ed25519 keys only: of whoever wrote the note (type 0x01), and of witnesses (type 0x04, see `witness`). Lines of other
//! keys are kept and not judged.
//!
//! Source: C2SP signed-note; the text form of keys as in Go's `sumdb/note`.

use crate::digest::{Digest, hex};
use crate::keys::{PublicKey, SigningKey};
use crate::limits;
use crate::strict;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Types of keys (C2SP signed-note, "Signature types").
const ED25519: u8 = 1;
pub(super) const COSIGNATURE: u8 = 4;
const LINE_START: &str = "— ";

/// Why a note or its key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error(
        "{0:?} is not a key name: 1 to {max} bytes without spaces, '+' and control characters",
        max = limits::KEY_NAME_BYTES
    )]
    Name(String),
    #[error("{0:?} is not a verifier key of the form name+hash+base64 with an ed25519 key")]
    VerifierKey(String),
    #[error("{0:?} is not the key of a witness: name+hash+base64 with an ed25519 key of type 4")]
    WitnessKey(String),
    #[error("the verifier key of {name} carries the key hash {got}, computed is {expected}")]
    KeyHash { name: KeyName, got: String, expected: String },
    #[error("the signed note is {0} bytes; at most {max} are accepted", max = limits::NOTE_BYTES)]
    TooLarge(usize),
    #[error("the signed note is malformed: {0}")]
    Malformed(&'static str),
    #[error("the note is not signed by {0}")]
    Unsigned(KeyName),
    #[error("a signature of {0} on the note is wrong: note and signature do not belong together")]
    WrongSignature(KeyName),
}

/// The name of a note key; for a log it is also the log's origin, such as `assent.example.org/ledger`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName(String);

impl KeyName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = NoteError;
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let fits = (1..=limits::KEY_NAME_BYTES).contains(&text.len());
        if fits && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+') {
            return Ok(Self(text.to_owned()));
        }
        Err(NoteError::Name(strict::shorten(text)))
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

strict::text_serde!(KeyName);

/// A named ed25519 key; `KIND` is its type. Text form (vkey) is `name+hash+base64(type || key)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedKey<const KIND: u8> {
    name: KeyName,
    public: PublicKey,
}

/// Verifies notes.
pub type VerifierKey = NamedKey<ED25519>;

impl<const KIND: u8> NamedKey<KIND> {
    pub fn new(name: KeyName, public: PublicKey) -> Self {
        Self { name, public }
    }

    pub fn name(&self) -> &KeyName {
        &self.name
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// First four bytes of SHA-256 over name, newline, type and key.
    pub fn id(&self) -> [u8; 4] {
        let parts = [self.name.as_str().as_bytes(), &[b'\n', KIND], self.public.as_bytes()];
        let [a, b, c, d, ..] = Digest::of_parts(&parts).0;
        [a, b, c, d]
    }
}

impl<const KIND: u8> fmt::Display for NamedKey<KIND> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[KIND], self.public.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex(&self.id()), BASE64.encode(key))
    }
}

impl<const KIND: u8> FromStr for NamedKey<KIND> {
    type Err = NoteError;
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let bad = || match KIND {
            COSIGNATURE => NoteError::WitnessKey(strict::shorten(text)),
            _ => NoteError::VerifierKey(strict::shorten(text)),
        };
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad());
        };
        let key = BASE64.decode(key).map_err(|_| bad())?;
        let raw = match key.split_first() {
            Some((kind, raw)) if *kind == KIND => raw,
            _ => return Err(bad()),
        };
        // A weak key would verify for anybody; the text is then no key at all.
        let public = raw.try_into().ok().and_then(|raw| PublicKey::from_bytes(raw).ok()).ok_or_else(bad)?;
        let key = Self { name: name.parse()?, public };
        let expected = hex(&key.id());
        if hash != expected {
            return Err(NoteError::KeyHash { name: key.name, got: strict::shorten(hash), expected });
        }
        Ok(key)
    }
}

strict::text_serde!(VerifierKey);

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NoteSignature {
    name: KeyName,
    id: [u8; 4],
    /// The signature itself: 64 bytes for ed25519, 72 of a witness, other lengths for keys that we do not know.
    signature: Vec<u8>,
}

/// A note with its signature lines, none of them verified yet. `Display` gives the exact text back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// Signs `text` (ending in a newline, without control characters) with one key.
    pub fn sign(text: &str, name: &KeyName, key: &SigningKey) -> Result<Self, NoteError> {
        check_characters(text)?;
        if !text.ends_with('\n') {
            return Err(NoteError::Malformed("the text does not end in a newline"));
        }
        let mut note = Self { text: text.to_owned(), signatures: Vec::new() };
        note.add_signature(name, key);
        Ok(note)
    }

    /// Adds a signature line below the others.
    pub fn add_signature(&mut self, name: &KeyName, key: &SigningKey) {
        let line = key.sign(self.text.as_bytes()).to_vec();
        self.add_line(VerifierKey::new(name.clone(), key.public()), line);
    }

    pub(super) fn add_line<const KIND: u8>(&mut self, key: NamedKey<KIND>, signature: Vec<u8>) {
        self.signatures.push(NoteSignature { id: key.id(), name: key.name, signature });
    }

    /// What stands behind name and id in the lines of one key.
    pub(super) fn lines<const KIND: u8>(&self, key: &NamedKey<KIND>) -> impl Iterator<Item = &[u8]> {
        let id = key.id();
        let of_key = self.signatures.iter().filter(move |line| line.name == key.name && line.id == id);
        of_key.map(|line| line.signature.as_slice())
    }

    /// Leaves out the lines of all other keys.
    pub fn only(mut self, keys: &[[u8; 4]]) -> Self {
        self.signatures.retain(|line| keys.contains(&line.id));
        self
    }

    /// Reads a note. The text must be ignored until `verify` has accepted it.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > limits::NOTE_BYTES {
            return Err(NoteError::TooLarge(note.len()));
        }
        check_characters(note)?;
        let (text, lines) = note
            .rfind("\n\n")
            .map(|blank| (&note[..=blank], &note[blank + 2..]))
            .ok_or(NoteError::Malformed("no empty line before the signatures"))?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed("it does not end in a newline"))?;
        let signatures: Vec<_> = lines.split('\n').map(signature_line).collect::<Result<_, _>>()?;
        if signatures.len() > limits::NOTE_SIGNATURES {
            return Err(NoteError::Malformed("more signatures than are accepted"));
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text if `key` signed it. A wrong signature in the name of `key` refuses the note, even if
    /// another line of the same key is right; lines of other keys are ignored.
    pub fn verify(&self, key: &VerifierKey) -> Result<&str, NoteError> {
        let mut signed = false;
        for signature in self.lines(key) {
            if !key.public.verifies(self.text.as_bytes(), signature) {
                return Err(NoteError::WrongSignature(key.name.clone()));
            }
            signed = true;
        }
        if signed { Ok(&self.text) } else { Err(NoteError::Unsigned(key.name.clone())) }
    }

    /// The text without any check, for display and for finding out which key to ask for.
    pub fn unverified_text(&self) -> &str {
        &self.text
    }
}

fn check_characters(text: &str) -> Result<(), NoteError> {
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(NoteError::Malformed("control characters other than newline are not allowed"));
    }
    Ok(())
}

fn signature_line(line: &str) -> Result<NoteSignature, NoteError> {
    let bad = NoteError::Malformed("a signature line is not an em dash, a key name and base64");
    let Some((name, signature)) = line.strip_prefix(LINE_START).and_then(|rest| rest.split_once(' ')) else {
        return Err(bad);
    };
    let (Ok(name), Ok(bytes)) = (name.parse(), BASE64.decode(signature)) else { return Err(bad) };
    match bytes.split_first_chunk::<4>() {
        Some((id, signature)) if !signature.is_empty() => {
            Ok(NoteSignature { name, id: *id, signature: signature.to_vec() })
        }
        _ => Err(bad),
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for line in &self.signatures {
            let bytes = [line.id.as_slice(), &line.signature].concat();
            writeln!(f, "{LINE_START}{} {}", line.name, BASE64.encode(bytes))?;
        }
        Ok(())
    }
}
