//! Sources of packages with the key that signs them.

use super::openpgp::OpenPgpKey;
use super::resource::resource;
use super::rule::RuleId;
use super::text::{Contradiction, Presence};
use super::values::{NotAValue, as_written, made_of, text_value};
use crate::ids::ResourceId;
use crate::strict;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::{self, Write as _};
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
    /// Addresses; several are mirrors of each other.
    pub uris: Vec<RepositoryUri>,
    pub kind: SourceKind,
    pub key: OpenPgpKey,
}

/// What the package managers differ in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKind {
    Deb {
        suites: Vec<RepositoryWord>,
        components: Vec<RepositoryWord>,
        /// Empty: those of the host.
        architectures: Vec<RepositoryWord>,
    },
    Rpm {
        /// Whether the lists must be signed as well as the packages.
        repo_gpgcheck: bool,
    },
}

/// How a host wants its sources described.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceFormat {
    #[default]
    Apt,
    Dnf,
    Zypper,
}

impl SourceFormat {
    /// Name of the package manager.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Dnf => "dnf",
            Self::Zypper => "zypper",
        }
    }

    /// Where the descriptions lie.
    pub fn directory(self) -> &'static str {
        match self {
            Self::Apt => "/etc/apt/sources.list.d",
            Self::Dnf => "/etc/yum.repos.d",
            Self::Zypper => "/etc/zypp/repos.d",
        }
    }

    /// Keys that belong to one source each; see sources.list(5) on Signed-By, and dnf.conf(5) on gpgkey.
    pub fn keyrings(self) -> &'static str {
        match self {
            Self::Apt => "/etc/apt/keyrings",
            Self::Dnf | Self::Zypper => "/etc/pki/rpm-gpg",
        }
    }
}

/// Entries of one list; more are sources of their own.
const ENTRIES: usize = 32;

impl PackageRepository {
    /// The source in the form of that package manager: deb822, or a `.repo` file.
    pub fn path(&self, format: SourceFormat) -> String {
        let end = if format == SourceFormat::Apt { "sources" } else { "repo" };
        format!("{}/assent-{}.{end}", format.directory(), self.name)
    }

    /// What the names of all its keyrings start with.
    pub fn keyring_prefix(&self, format: SourceFormat) -> String {
        format!("{}/assent-{}-", format.keyrings(), self.name)
    }

    /// The keyring, named by what it contains.
    pub fn keyring(&self, format: SourceFormat, key: &OpenPgpKey) -> String {
        format!("{}{}.asc", self.keyring_prefix(format), &key.digest().hex()[..16])
    }

    /// The paths that are its own on hosts of any package manager that it is for.
    pub fn paths(&self) -> Vec<String> {
        use SourceFormat::{Apt, Dnf, Zypper};
        let Some(source) = &self.source else { return [Apt, Dnf, Zypper].map(|f| self.path(f)).into() };
        match &source.kind {
            SourceKind::Deb { .. } => vec![self.keyring(Apt, &source.key), self.path(Apt)],
            SourceKind::Rpm { .. } => vec![self.keyring(Dnf, &source.key), self.path(Dnf), self.path(Zypper)],
        }
    }

    /// The text of the source file, with the keyring at `keyring`; `None` when the source is absent, or of another kind
    /// of package manager.
    pub fn text(&self, format: SourceFormat, keyring: &str) -> Option<String> {
        let source = self.source.as_ref()?;
        match (&source.kind, format) {
            (SourceKind::Deb { .. }, SourceFormat::Apt) => Some(source.deb822(keyring)),
            (SourceKind::Rpm { repo_gpgcheck }, SourceFormat::Dnf | SourceFormat::Zypper) => {
                Some(self.repo_file(source, *repo_gpgcheck, format, keyring))
            }
            _ => None,
        }
    }

    /// See dnf.conf(5), "Repo options", and libzypp's `RepoInfo` for its own keys.
    fn repo_file(&self, source: &PackageSource, lists: bool, format: SourceFormat, keyring: &str) -> String {
        let name = &self.name;
        let uris = source.uris.iter().map(RepositoryUri::as_str).collect::<Vec<_>>().join("\n        ");
        let mut text = format!("[{name}]\nname={name}\nbaseurl={uris}\nenabled=1\n");
        // Writing to a string cannot fail.
        let _always =
            writeln!(text, "gpgcheck=1\nrepo_gpgcheck={}\ngpgkey=file://{keyring}", u8::from(lists));
        if format == SourceFormat::Zypper {
            // By itself zypper believes the packages of signed lists without looking at their own signatures.
            text.push_str("pkg_gpgcheck=1\nautorefresh=1\ntype=rpm-md\n");
        }
        text
    }
}

impl PackageSource {
    fn deb822(&self, signed_by: &str) -> String {
        let list =
            |words: &[RepositoryWord]| words.iter().map(RepositoryWord::as_str).collect::<Vec<_>>().join(" ");
        let uris = self.uris.iter().map(RepositoryUri::as_str).collect::<Vec<_>>().join(" ");
        let mut text = format!("Types: deb\nURIs: {uris}\n");
        if let SourceKind::Deb { suites, components, architectures } = &self.kind {
            for (field, words) in
                [("Suites", suites), ("Components", components), ("Architectures", architectures)]
            {
                if !words.is_empty() {
                    text.push_str(&format!("{field}: {}\n", list(words)));
                }
            }
        }
        format!("{text}Signed-By: {signed_by}\n")
    }
}

resource! {
    /// A source of packages with the key that signs it; `uris` and `key` are required when present, and `suites` for
    /// hosts with apt. Without `suites` it is one for hosts with dnf or zypper. It comes before the packages of the same
    /// manifest.
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
        /// Addresses, such as https://packages.example.org/debian; of rpm repositories the place of `repodata/`, where
        /// dnf and zypper know variables such as $releasever and $basearch.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        uris: Vec<RepositoryUri>,
        /// Suites of apt, such as stable; one that ends with `/` is a directory and has no components.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        suites: Vec<RepositoryWord>,
        /// Components of suites, such as main.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        components: Vec<RepositoryWord>,
        /// Architectures that apt takes; not given: those of the host.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        architectures: Vec<RepositoryWord>,
        /// `false` for rpm repositories that sign their packages only, and not their lists (repomd.xml.asc). Packages
        /// are always checked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repo_gpgcheck: Option<bool>,
        /// The public key in ASCII armor, as `gpg --armor --export` prints it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<OpenPgpKey>,
    }
}

impl TryFrom<RepositoryEntry> for PackageRepository {
    type Error = Contradiction;
    fn try_from(text: RepositoryEntry) -> Result<Self, Contradiction> {
        let named = format!("package_repository {}", text.name);
        let refuse = |why| Contradiction::Keys(named.clone(), why);
        let lists = [&text.suites, &text.components, &text.architectures].map(Vec::len);
        if text.state == Presence::Absent {
            let keys = text.uris.len() + lists.iter().sum::<usize>();
            if keys > 0 || text.key.is_some() || text.repo_gpgcheck.is_some() {
                return Err(refuse("is absent; only name with state: absent"));
            }
            let RepositoryEntry { name, requires, on_change, satisfies, .. } = text;
            return Ok(Self { name, source: None, requires, on_change, satisfies });
        }
        if text.uris.len() > ENTRIES || lists.iter().any(|count| *count > ENTRIES) {
            return Err(refuse("has a list with more than 32 entries; make it several repositories"));
        }
        if text.uris.is_empty() {
            return Err(refuse("has no uris; uris (and suites for apt), or state: absent"));
        }
        let kind = kind(&text).map_err(refuse)?;
        let RepositoryEntry { name, uris, key, requires, on_change, satisfies, .. } = text;
        let Some(key) = key else {
            return Err(refuse("has no key; the key that signs it"));
        };
        let source = Some(PackageSource { uris, kind, key });
        Ok(Self { name, source, requires, on_change, satisfies })
    }
}

/// Which package managers the source is for.
fn kind(text: &RepositoryEntry) -> Result<SourceKind, &'static str> {
    let RepositoryEntry { name, uris, suites, components, architectures, repo_gpgcheck, .. } = text;
    if suites.is_empty() {
        if !components.is_empty() || !architectures.is_empty() {
            return Err(
                "has components or architectures and no suites; suites for apt, or none of the three for dnf and zypper",
            );
        }
        if uris.iter().any(|uri| uri.as_str().contains(',')) {
            return Err("has an address with a comma, which divides addresses for dnf; write it as %2C");
        }
        if name.as_str() == "main" {
            return Err("has the name of dnf's own settings; another name than main");
        }
        return Ok(SourceKind::Rpm { repo_gpgcheck: repo_gpgcheck.unwrap_or(true) });
    }
    if repo_gpgcheck.is_some() {
        return Err(
            "has suites, whose lists are always signed; no repo_gpgcheck, which is for dnf and zypper",
        );
    }
    let directories = suites.iter().filter(|suite| suite.as_str().ends_with('/')).count();
    if (directories > 0 && !components.is_empty()) || (directories < suites.len() && components.is_empty()) {
        return Err("needs components for suites, and none for suites that end with /");
    }
    let (suites, components) = (suites.clone(), components.clone());
    Ok(SourceKind::Deb { suites, components, architectures: architectures.clone() })
}

impl From<PackageRepository> for RepositoryEntry {
    fn from(own: PackageRepository) -> Self {
        let PackageRepository { name, source, requires, on_change, satisfies } = own;
        let state = Presence::of(source.is_some());
        let (mut uris, mut key, mut repo_gpgcheck) = (Vec::new(), None, None);
        let (mut suites, mut components, mut architectures) = (Vec::new(), Vec::new(), Vec::new());
        if let Some(source) = source {
            (uris, key) = (source.uris, Some(source.key));
            match source.kind {
                SourceKind::Deb { suites: s, components: c, architectures: a } => {
                    (suites, components, architectures) = (s, c, a);
                }
                SourceKind::Rpm { repo_gpgcheck: lists } => repo_gpgcheck = (!lists).then_some(false),
            }
        }
        Self {
            name,
            state,
            uris,
            suites,
            components,
            architectures,
            repo_gpgcheck,
            key,
            requires,
            on_change,
            satisfies,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = include_str!("golden/repository.asc");

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

    fn vendor(more: &str) -> PackageRepository {
        let key = serde_json::to_string(KEY).unwrap();
        serde_json::from_str(&format!(
            r#"{{"name":"vendor","uris":["https://a.example.org/el$releasever","file:///srv/b"],"key":{key}{more}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn a_source_is_for_the_package_manager_that_its_keys_are_of() {
        let (rpm, deb) = (vendor(""), vendor(r#","suites":["stable"],"components":["main"]"#));
        let text = |own: &PackageRepository, format| own.text(format, "/k.asc");
        assert_eq!(text(&rpm, SourceFormat::Apt), None);
        assert_eq!(text(&deb, SourceFormat::Dnf), None);
        assert_eq!(text(&deb, SourceFormat::Zypper), None);
        assert_eq!(
            text(&rpm, SourceFormat::Dnf).unwrap(),
            "[vendor]\nname=vendor\nbaseurl=https://a.example.org/el$releasever\n        file:///srv/b\nenabled=1\n\
             gpgcheck=1\nrepo_gpgcheck=1\ngpgkey=file:///k.asc\n"
        );
        let unsigned = vendor(r#","repo_gpgcheck":false"#);
        let zypper = text(&unsigned, SourceFormat::Zypper).unwrap();
        assert!(
            zypper.ends_with(
                "gpgcheck=1\nrepo_gpgcheck=0\ngpgkey=file:///k.asc\npkg_gpgcheck=1\nautorefresh=1\ntype=rpm-md\n"
            ),
            "{zypper}"
        );
        for own in [rpm, deb, unsigned] {
            let json = serde_json::to_string(&own).unwrap();
            assert_eq!(serde_json::from_str::<PackageRepository>(&json).unwrap(), own, "{json}");
        }
        assert_eq!(vendor(r#","repo_gpgcheck":true"#), vendor(""), "what goes without saying is not written");
    }
}
