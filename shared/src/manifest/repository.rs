//! Sources of packages with the key that signs them.

use super::resource::resource;
use super::rule::RuleId;
use super::text::{Contradiction, Presence};
use super::values::{NotAValue, as_written, made_of, text_value};
use crate::digest::Digest;
use crate::ids::ResourceId;
use crate::strict;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

text_value!(
    /// The name of a package source; part of the names of its files.
    RepositoryName, "repository-name", "the name of a package repository",
    "1 to 48 of a-z, 0-9 and '-', starting with a letter",
    |t| made_of(t, 48, |c| c.is_ascii_lowercase(), b"-") && !t.bytes().any(|c| c.is_ascii_uppercase())
);
text_value!(
    /// Where a source lies. User and password have no place in a manifest: apt_auth.conf(5) has one.
    RepositoryUri, "repository-uri", "the address of a package repository",
    "http://…, https://… or file:/…, at most 500 bytes without blanks and without user or password",
    |t| t.len() <= 500
        && ["http://", "https://", "file:/"].iter().any(|scheme| t.starts_with(scheme) && t.len() > scheme.len())
        && t.bytes().all(|c| c.is_ascii_graphic())
        && !t.split('/').nth(2).is_some_and(|authority| authority.contains('@'))
);
text_value!(
    /// A suite, component or architecture of a source; a suite that ends with `/` is a directory.
    RepositoryWord, "repository-word", "a suite, component or architecture",
    "1 to 100 of letters, digits and './_~+-', not starting with '-'",
    |t| made_of(t, 100, |c| c != b'-', b"./_~+-")
);
as_written!(RepositoryName RepositoryUri RepositoryWord);

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
}

/// Whether the block holds a public key packet first (RFC 9580, sections 4.2 and 5.5.1.1).
fn is_public_key(block: &str) -> bool {
    let mut lines = block.lines().map(str::trim_end);
    // Headers such as `Comment:` end with an empty line.
    if lines.by_ref().skip(1).find(|line| line.is_empty() || !line.contains(": ")).is_none() {
        return false;
    }
    let body = block.lines().map(str::trim_end).skip_while(|line| !line.is_empty());
    let body: String = body.filter(|line| !line.starts_with(['-', '='])).collect();
    let Ok(bytes) = STANDARD.decode(body) else { return false };
    bytes.first().is_some_and(|tag| match tag & 0xc0 {
        0xc0 => tag & 0x3f == 6,
        0x80 => (tag & 0x3c) >> 2 == 6,
        _ => false,
    })
}

impl FromStr for OpenPgpKey {
    type Err = NotAValue;
    fn from_str(text: &str) -> Result<Self, NotAValue> {
        let block = text.trim();
        let whole = block.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----")
            && block.ends_with("-----END PGP PUBLIC KEY BLOCK-----")
            && block.matches("-----BEGIN").count() == 1;
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

/// A source of packages, or its absence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "RepositoryEntry", into = "RepositoryEntry")]
pub struct PackageRepository {
    pub name: RepositoryName,
    /// `None`: there is no such source.
    pub source: Option<PackageSource>,
    pub requires: Vec<ResourceId>,
    pub on_change: Vec<ResourceId>,
    pub satisfies: Vec<RuleId>,
}

/// What a source is made of; its packages count only when this key has signed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageSource {
    pub uris: Vec<RepositoryUri>,
    pub suites: Vec<RepositoryWord>,
    pub components: Vec<RepositoryWord>,
    /// Empty: those of the host.
    pub architectures: Vec<RepositoryWord>,
    pub key: OpenPgpKey,
}

/// Entries of one list; more are sources of their own.
const ENTRIES: usize = 32;

impl PackageRepository {
    /// Keys that belong to one source each; see sources.list(5) on Signed-By.
    pub const KEYRINGS: &'static str = "/etc/apt/keyrings";

    /// The source in deb822 form.
    pub fn path(&self) -> String {
        format!("/etc/apt/sources.list.d/assent-{}.sources", self.name)
    }

    /// What the names of all its keyrings start with.
    pub fn keyring_prefix(&self) -> String {
        format!("{}/assent-{}-", Self::KEYRINGS, self.name)
    }

    /// The keyring, named by what it contains.
    pub fn keyring(&self, key: &OpenPgpKey) -> String {
        format!("{}{}.asc", self.keyring_prefix(), &key.digest().hex()[..16])
    }
}

impl PackageSource {
    /// The text of the source file, with the keyring at `signed_by`.
    pub fn text(&self, signed_by: &str) -> String {
        let list =
            |words: &[RepositoryWord]| words.iter().map(RepositoryWord::as_str).collect::<Vec<_>>().join(" ");
        let uris = self.uris.iter().map(RepositoryUri::as_str).collect::<Vec<_>>().join(" ");
        let mut text = format!("Types: deb\nURIs: {uris}\nSuites: {}\n", list(&self.suites));
        for (field, words) in [("Components", &self.components), ("Architectures", &self.architectures)] {
            if !words.is_empty() {
                text.push_str(&format!("{field}: {}\n", list(words)));
            }
        }
        format!("{text}Signed-By: {signed_by}\n")
    }
}

resource! {
    /// A source of packages (apt, deb822) with the key that signs it; `uris`, `suites` and `key` are required when
    /// present. It comes before the packages of the same manifest.
    #[schemars = "PackageRepository", extend("oneOf" = [
        { "required": ["uris"] },
        { "required": ["state"], "properties": { "state": { "const": "absent" } } }
    ])]
    struct RepositoryEntry {
        /// Name of the source; part of the names of its files.
        name: RepositoryName,
        /// `absent` removes the source and its key; installed packages stay.
        #[serde(default, skip_serializing_if = "Presence::is_present")]
        state: Presence,
        /// Addresses, such as https://packages.example.org/debian.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        uris: Vec<RepositoryUri>,
        /// Suites, such as stable; one that ends with `/` is a directory and has no components.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        suites: Vec<RepositoryWord>,
        /// Components, such as main.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        components: Vec<RepositoryWord>,
        /// Architectures; not given: those of the host.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        architectures: Vec<RepositoryWord>,
        /// The public key in ASCII armor, as `gpg --armor --export` prints it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<OpenPgpKey>,
    }
}

impl TryFrom<RepositoryEntry> for PackageRepository {
    type Error = Contradiction;
    fn try_from(text: RepositoryEntry) -> Result<Self, Contradiction> {
        let RepositoryEntry { name, state, uris, suites, components, architectures, key, .. } = text;
        let (requires, on_change, satisfies) = (text.requires, text.on_change, text.satisfies);
        let refuse = |why| Err(Contradiction::Keys(format!("package_repository {name}"), why));
        let lists = [uris.len(), suites.len(), components.len(), architectures.len()];
        if state == Presence::Absent {
            return if lists == [0; 4] && key.is_none() {
                Ok(Self { name, source: None, requires, on_change, satisfies })
            } else {
                refuse("is absent; only name with state: absent")
            };
        }
        if lists.iter().any(|count| *count > ENTRIES) {
            return refuse("has a list with more than 32 entries; make it several repositories");
        }
        if uris.is_empty() || suites.is_empty() {
            return refuse("has no uris or no suites; both, or state: absent");
        }
        let directories = suites.iter().filter(|suite| suite.as_str().ends_with('/')).count();
        if (directories > 0 && !components.is_empty())
            || (directories < suites.len() && components.is_empty())
        {
            return refuse("needs components for suites, and none for suites that end with /");
        }
        let Some(key) = key else {
            return refuse("has no key; the key that signs it");
        };
        let source = Some(PackageSource { uris, suites, components, architectures, key });
        Ok(Self { name, source, requires, on_change, satisfies })
    }
}

impl From<PackageRepository> for RepositoryEntry {
    fn from(own: PackageRepository) -> Self {
        let PackageRepository { name, source, requires, on_change, satisfies } = own;
        let state = Presence::of(source.is_some());
        let (uris, suites, components, architectures, key) = match source {
            Some(s) => (s.uris, s.suites, s.components, s.architectures, Some(s.key)),
            None => Default::default(),
        };
        Self { name, state, uris, suites, components, architectures, key, requires, on_change, satisfies }
    }
}

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
    fn addresses_hold_no_passwords_and_no_second_option() {
        for good in ["https://packages.example.org/debian", "http://192.0.2.1:8080", "file:/srv/repo"] {
            assert!(good.parse::<RepositoryUri>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "https://",
            "ftp://a",
            "https://user:word@example.org/",
            "https://a b",
            "https://a\nTrusted: yes",
        ] {
            assert!(bad.parse::<RepositoryUri>().is_err(), "{bad}");
        }
        for bad in ["", "-x", "a b", "[trusted=yes]", "a\nb"] {
            assert!(bad.parse::<RepositoryWord>().is_err(), "{bad}");
        }
    }
}
