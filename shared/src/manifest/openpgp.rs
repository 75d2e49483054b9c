//! Public OpenPGP keys, as far as they must be told apart.
//!
//! Never: whether a signature is good; package managers judge that.

use super::values::NotAValue;
use crate::digest::Digest;
use crate::strict;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";

/// Longest text of a key; keys with many signatures have some ten KiB.
const KEY_BYTES: usize = 64 << 10;

/// A public OpenPGP key in ASCII armor.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenPgpKey(String);

impl OpenPgpKey {
    pub const FORMAT: &'static str = "openpgp-key";

    /// The armored block with a line break at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// What makes the key itself, whoever has signed it and until when: the digest of each primary key's packet.
    pub fn primaries(&self) -> BTreeSet<Digest> {
        Self::primaries_of(&self.0)
    }

    /// The same of all armored blocks in a text.
    pub fn primaries_of(text: &str) -> BTreeSet<Digest> {
        let mut all = BTreeSet::new();
        for block in text.split(BEGIN).skip(1) {
            let block = block.split(END).next().unwrap_or_default();
            let bytes = unarmored(&format!("{BEGIN}{block}")).unwrap_or_default();
            let primaries = packets(&bytes).into_iter().filter(|(tag, _)| *tag == PRIMARY);
            all.extend(primaries.map(|(_, body)| Digest::of(body)));
        }
        all
    }
}

/// The bytes of an armored block (RFC 9580, section 6.2); `None` when it is none.
fn unarmored(block: &str) -> Option<Vec<u8>> {
    let mut lines = block.lines().map(str::trim_end).skip(1);
    // Headers such as `Comment:` end with an empty line.
    lines.by_ref().find(|line| line.is_empty() || !line.contains(": ")).filter(|line| line.is_empty())?;
    let body: String = lines.filter(|line| !line.starts_with(['-', '='])).collect();
    STANDARD.decode(body).ok()
}

/// Tag of a public key packet (RFC 9580, section 5.5.1.1).
const PRIMARY: u8 = 6;

/// Tag and body of each packet (RFC 9580, section 4.2), up to the first that is not whole.
fn packets(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut all = Vec::new();
    while let Some((tag, body, rest)) = packet(bytes) {
        all.push((tag, body));
        bytes = rest;
    }
    all
}

/// Lengths that are not told at the start have no place in keys.
fn packet(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (tag, octets) = match first & 0xc0 {
        0xc0 => match rest.first()? {
            0..192 => (first & 0x3f, 1),
            192..224 => (first & 0x3f, 2),
            255 => (first & 0x3f, 5),
            _ => return None,
        },
        0x80 if first & 3 < 3 => ((first & 0x3c) >> 2, 1 << (first & 3)),
        _ => return None,
    };
    let (length, rest) = rest.split_at_checked(octets)?;
    let number = |octets: &[u8]| octets.iter().fold(0_usize, |all, octet| (all << 8) | usize::from(*octet));
    let length = match (first & 0xc0, length) {
        (0xc0, [high, low]) => ((usize::from(*high) - 192) << 8) + usize::from(*low) + 192,
        (0xc0, [255, four @ ..]) => number(four),
        (_, octets) => number(octets),
    };
    let (body, rest) = rest.split_at_checked(length)?;
    Some((tag, body, rest))
}

fn is_public_key(block: &str) -> bool {
    unarmored(block).is_some_and(|bytes| packets(&bytes).first().is_some_and(|(tag, _)| *tag == PRIMARY))
}

impl FromStr for OpenPgpKey {
    type Err = NotAValue;
    fn from_str(text: &str) -> Result<Self, NotAValue> {
        let block = text.trim();
        let whole =
            block.starts_with(BEGIN) && block.ends_with(END) && block.matches("-----BEGIN").count() == 1;
        if !whole || text.len() > KEY_BYTES || !is_public_key(block) {
            return Err(NotAValue {
                kind: "a public OpenPGP key",
                rule: "one block from -----BEGIN PGP PUBLIC KEY BLOCK----- to its END, as gpg --armor --export prints it",
                text: strict::shorten(text),
            });
        }
        Ok(Self(format!("{block}\n")))
    }
}

impl fmt::Display for OpenPgpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OpenPgpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenPgpKey(sha256 {})", self.digest())
    }
}

strict::text_serde!(OpenPgpKey);

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = include_str!("golden/repository.asc");

    #[test]
    fn only_one_public_key_is_taken() {
        let key: OpenPgpKey = format!("\n{KEY}\n").parse().unwrap();
        assert_eq!(key.as_str(), KEY);
        for bad in [
            "",
            &KEY.replace("PUBLIC", "PRIVATE"),
            &format!("{KEY}{KEY}"),
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----",
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n-----END PGP PUBLIC KEY BLOCK-----",
        ] {
            assert!(bad.parse::<OpenPgpKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_the_same_whatever_is_around_it() {
        let key: OpenPgpKey = KEY.parse().unwrap();
        assert_eq!(key.primaries().len(), 1);
        // As rpm keeps it: with a header, without the packets after the first.
        let bytes = unarmored(KEY).unwrap();
        let first = 2 + packets(&bytes)[0].1.len();
        let alone =
            format!("{BEGIN}\nVersion: rpm-4.18.0\n\n{}\n=AAAA\n{END}\n", STANDARD.encode(&bytes[..first]));
        assert_eq!(OpenPgpKey::primaries_of(&alone), key.primaries());
        assert_eq!(OpenPgpKey::primaries_of(&format!("text\n{alone}{KEY}")), key.primaries());
        assert_eq!(OpenPgpKey::primaries_of("no key"), BTreeSet::new());
        assert_eq!(OpenPgpKey::primaries_of(BEGIN), BTreeSet::new());
    }

    #[test]
    fn packets_are_read_in_both_forms_and_never_beyond_their_end() {
        let long = [[0xc6, 255, 0, 0, 1, 0].as_slice(), &[7; 256]].concat();
        let middle = [[0xc6, 192, 8].as_slice(), &[7; 200]].concat();
        let old = [[0x99, 1, 0].as_slice(), &[7; 256]].concat();
        assert_eq!(
            packets(&[long, middle, old].concat()).iter().map(|(t, b)| (*t, b.len())).collect::<Vec<_>>(),
            [(6, 256), (6, 200), (6, 256)]
        );
        for bad in [
            &[0xc6][..],
            &[0xc6, 2, 0],
            &[0xc6, 230, 0],
            &[0x9b, 1],
            &[0x06, 0],
            &[0xc6, 255, 255, 255, 255, 255],
        ] {
            assert_eq!(packets(bad), [], "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            packets(&bytes);
        }
    }
}
