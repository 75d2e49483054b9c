//! Secrets: values that only chosen hosts can read, as they stand in manifests and changes.
//!
//! Owns: the armored ciphertext as a value, what is inside it, and the keyed digest by which plans and receipts name
//! contents that hold a secret. Never: encryption itself, which needs randomness (`age` in agent and command).
//!
//! The ciphertext is an age file for the X25519 keys of the hosts (C2SP `age.md`). Inside, before the value, stands
//! what it was made for, so that nobody who only has the ciphertext can have hosts put it somewhere else, and a random
//! key for digests, so that a short value cannot be guessed from them by anybody who cannot read it anyway.

use crate::digest::{Digest, hex, unhex};
use crate::ids::{ManifestName, SiteId, Team};
use crate::limits;
use crate::strict;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use zeroize::{Zeroize, Zeroizing};

const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END: &str = "-----END AGE ENCRYPTED FILE-----";
const AGE: &[u8] = b"age-encryption.org/v1\n";
const MAGIC: &str = "assent-secret-v1";
/// Characters of one line of the armor (C2SP `age.md`).
const COLUMNS: usize = 64;

/// An encrypted value: an armored age file. Well-formed as far as that can be seen without a key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Secret(String);

/// Why a text is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not an encrypted value: the output of assent secret encrypt, with its first and last line")]
pub struct NotASecret;

impl Secret {
    /// The `format` keyword of this value in the JSON Schema.
    pub const FORMAT: &'static str = "age-armor";

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Names the ciphertext; tells nothing about the value.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl FromStr for Secret {
    type Err = NotASecret;
    fn from_str(text: &str) -> Result<Self, NotASecret> {
        let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
        let [BEGIN, body @ .., END] = lines.as_slice() else { return Err(NotASecret) };
        let (last, full) = body.split_last().ok_or(NotASecret)?;
        if full.iter().any(|line| line.len() != COLUMNS) || last.is_empty() || last.len() > COLUMNS {
            return Err(NotASecret);
        }
        let bytes = STANDARD.decode(body.concat()).map_err(|_| NotASecret)?;
        if !bytes.starts_with(AGE) || text.len() > limits::SECRET_ARMOR_BYTES {
            return Err(NotASecret);
        }
        Ok(Self(format!("{}\n", lines.join("\n"))))
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secret {}", self.digest())
    }
}

strict::text_serde!(Secret);

/// The written form where a plain text could stand as well: `{secret: …}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hidden {
    pub secret: Secret,
}

/// The public X25519 key of a host, as age writes it (`age1…`). Its checksum is the encrypting side's matter.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Recipient(String);

/// Why a text is no recipient.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the public age key of a host")]
pub struct NotARecipient(String);

impl Recipient {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Recipient {
    type Err = NotARecipient;
    fn from_str(text: &str) -> Result<Self, NotARecipient> {
        // Bech32 (BIP 173): 32 bytes are 52 characters, the checksum is 6.
        let data = text.strip_prefix("age1").unwrap_or_default();
        let known = |c: u8| b"qpzry9x8gf2tvdw0s3jn54khce6mua7l".contains(&c);
        if data.len() == 58 && data.bytes().all(known) {
            return Ok(Self(text.to_owned()));
        }
        Err(NotARecipient(strict::shorten(text)))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

strict::text_serde!(Recipient);

/// The key of digests of one secret. Whoever can read the secret has it, nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct Seal([u8; 32]);

impl Seal {
    /// `random` must be just that.
    pub fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// One key for contents that hold several secrets; the order counts.
    pub fn joined<'s>(seals: impl IntoIterator<Item = &'s Self>) -> Option<Self> {
        let all: Vec<&[u8]> = seals.into_iter().map(|seal| &seal.0[..]).collect();
        match all.as_slice() {
            [] => None,
            [only] => Some(Self((*only).try_into().unwrap_or_default())),
            several => {
                let parts: Vec<&[u8]> =
                    [&b"assent-seals-v1"[..]].into_iter().chain(several.iter().copied()).collect();
                Some(Self(Digest::of_parts(&parts).0))
            }
        }
    }

    /// The digest by which contents are named outside of the host. `plain` is their SHA-256, so that the length of
    /// what is hashed is fixed and the key may stand before it.
    pub fn digest(&self, plain: Digest) -> Digest {
        Digest::of_parts(&[b"assent-seal-v1", &self.0, &plain.0])
    }
}

impl Drop for Seal {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("seal")
    }
}

/// For the host's own journal only.
impl Serialize for Seal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Seal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        unhex(&text).map(Self).ok_or_else(|| serde::de::Error::custom("not a seal"))
    }
}

/// What a secret was made for; hosts refuse it anywhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purpose {
    pub site: SiteId,
    pub team: Team,
    pub manifest: ManifestName,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} at site {}", self.team, self.manifest, self.site)
    }
}

/// What is inside: lines with what it is, site, `team/manifest` and key of digests, then the bytes of the value.
pub struct Opened {
    pub purpose: Purpose,
    pub seal: Seal,
    pub value: Zeroizing<Vec<u8>>,
}

/// Why decrypted bytes are not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it was not made by assent secret encrypt")]
pub struct NotOpened;

impl Opened {
    /// The bytes to be encrypted.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let Purpose { site, team, manifest } = &self.purpose;
        let seal = Zeroizing::new(hex(&self.seal.0));
        let head = Zeroizing::new(format!("{MAGIC}\n{site}\n{team}/{manifest}\n{}\n", *seal));
        // Its whole length at once: growing would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(head.len() + self.value.len()));
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(&self.value);
        bytes
    }

    /// Reads decrypted bytes.
    ///
    /// # Errors
    /// They are not of this form.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotOpened> {
        let mut rest = bytes;
        let mut line = || {
            let end = rest.iter().position(|b| *b == b'\n').ok_or(NotOpened)?;
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            std::str::from_utf8(line).map_err(|_| NotOpened)
        };
        let (magic, site, place, seal) = (line()?, line()?, line()?, line()?);
        let (team, manifest) = place.split_once('/').ok_or(NotOpened)?;
        if magic != MAGIC || rest.len() > limits::SECRET_BYTES {
            return Err(NotOpened);
        }
        let purpose = Purpose {
            site: site.parse().map_err(|_| NotOpened)?,
            team: team.parse().map_err(|_| NotOpened)?,
            manifest: manifest.parse().map_err(|_| NotOpened)?,
        };
        let seal = unhex(seal).map(Seal).ok_or(NotOpened)?;
        Ok(Self { purpose, seal, value: Zeroizing::new(rest.to_vec()) })
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "opened secret for {}", self.purpose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armored(bytes: &[u8]) -> String {
        let text = STANDARD.encode(bytes);
        let lines: Vec<&str> =
            text.as_bytes().chunks(COLUMNS).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("{BEGIN}\n{}\n{END}\n", lines.join("\n"))
    }

    fn opened(value: &[u8]) -> Opened {
        Opened {
            purpose: Purpose {
                site: "00112233aabbccdd".parse().unwrap(),
                team: "main".parse().unwrap(),
                manifest: "web".parse().unwrap(),
            },
            seal: Seal::new([7; 32]),
            value: Zeroizing::new(value.to_vec()),
        }
    }

    #[test]
    fn only_whole_armored_age_files_are_secrets() {
        let good = armored(&[AGE, &[7; 100][..]].concat());
        let secret: Secret = good.parse().unwrap();
        assert_eq!(secret.as_str(), good);
        assert_eq!(format!("\r\n{}  \n", good.replace('\n', "\r\n")).parse(), Ok(secret));
        for bad in [
            String::new(),
            "hunter2".into(),
            good.replace(END, ""),
            good.replace(BEGIN, "-----BEGIN PGP MESSAGE-----"),
            armored(b"something else"),
            good.replacen("YW", "?W", 1),
            format!("{BEGIN}\n{END}\n"),
            armored(&[AGE, &vec![0; limits::SECRET_ARMOR_BYTES][..]].concat()),
        ] {
            assert_eq!(bad.parse::<Secret>(), Err(NotASecret), "{bad:.80}");
        }
    }

    #[test]
    fn what_is_inside_is_read_back_and_any_other_bytes_are_refused() {
        for value in [&b""[..], b"pw", b"a\nb\n", &[0xff, 0, b'\n']] {
            let bytes = opened(value).to_bytes();
            let read = Opened::parse(&bytes).unwrap();
            assert_eq!((&read.purpose, read.value.as_slice()), (&opened(b"").purpose, value));
            assert_eq!(read.seal, opened(b"").seal);
            assert!(Opened::parse(&bytes[..40]).is_err());
        }
        assert!(Opened::parse(b"hunter2").is_err());
        assert!(!format!("{:?}", opened(b"hunter2")).contains("hunter2"));
    }

    #[test]
    fn a_sealed_digest_needs_the_key_and_names_the_contents() {
        let (one, other) = (Seal::new([1; 32]), Seal::new([2; 32]));
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let all = [one.digest(a), one.digest(b), other.digest(a), a];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
        assert_eq!(Seal::joined([&one]).unwrap(), one);
        assert_ne!(Seal::joined([&one, &other]), Seal::joined([&other, &one]));
        assert_eq!(Seal::joined([]), None);
        let json = strict::to_json(&one);
        assert_eq!(serde_json::from_slice::<Seal>(&json).unwrap(), one);
    }

    #[test]
    fn recipients_are_age_keys() {
        let good = format!("age1{}", "q".repeat(58));
        assert_eq!(good.parse::<Recipient>().unwrap().as_str(), good);
        for bad in ["", "age1", &good.to_uppercase(), &format!("{good}q"), &good.replacen('q', "b", 1)] {
            assert!(bad.parse::<Recipient>().is_err(), "{bad}");
        }
    }
}
