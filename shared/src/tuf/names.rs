//! Roles, target names and file names of a site repository. All names are flat printable ASCII.
//!
//! Every name is parsed into one of these types before it is used, so no path can be smuggled in.

use super::error::TufError;
use super::metadata::TargetFile;
use crate::ids::{ChangeId, ManifestName, Team};
use crate::limits;
use crate::strict;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Longest name of a target; file systems and URLs take it with the 65 characters of the digest.
const NAME_BYTES: usize = 180;

/// A role of the site repository. Delegation depth is one, so these are all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Root,
    Timestamp,
    Snapshot,
    Targets,
    /// The online role: active change bundles and stop orders.
    Changes,
    /// The manifests of one team.
    Content(Team),
    /// A delegated role of a repository that is not a site's; never made from what a site's repository says.
    Other(String),
}

impl Role {
    /// The name that the repository serves this role's metadata under (consistent snapshots).
    pub fn file(&self, version: u64) -> String {
        match self {
            Self::Timestamp => "timestamp.json".into(),
            role => format!("{version}.{}", role.stored_file()),
        }
    }

    /// The name for the trusted copy on disk, without a version.
    pub fn stored_file(&self) -> String {
        match self {
            Self::Other(name) => format!("{}.json", quoted(name)),
            role => format!("{role}.json"),
        }
    }

    /// The glob patterns that the top-level targets must delegate to this role, in this order.
    pub fn paths(&self) -> Vec<String> {
        match self {
            Self::Content(team) => vec![format!("manifest.{team}.*")],
            Self::Changes => vec!["change.*".into(), "control.json".into()],
            Self::Root | Self::Timestamp | Self::Snapshot | Self::Targets | Self::Other(_) => Vec::new(),
        }
    }

    pub fn is_delegated(&self) -> bool {
        matches!(self, Self::Changes | Self::Content(_))
    }

    /// Most bytes accepted for this role's metadata.
    pub fn max_bytes(&self) -> usize {
        match self {
            Self::Root => limits::TUF_ROOT_BYTES,
            Self::Timestamp => limits::TUF_TIMESTAMP_BYTES,
            Self::Snapshot => limits::TUF_SNAPSHOT_BYTES,
            Self::Targets => limits::TUF_TARGETS_BYTES,
            Self::Changes | Self::Content(_) | Self::Other(_) => limits::TUF_DELEGATED_BYTES,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Snapshot => f.write_str("snapshot"),
            Self::Targets => f.write_str("targets"),
            Self::Changes => f.write_str("changes"),
            Self::Content(team) => write!(f, "content.{team}"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

impl FromStr for Role {
    type Err = TufError;
    fn from_str(text: &str) -> Result<Self, TufError> {
        Ok(match text {
            "root" => Self::Root,
            "timestamp" => Self::Timestamp,
            "snapshot" => Self::Snapshot,
            "targets" => Self::Targets,
            "changes" => Self::Changes,
            _ => Self::Content(
                text.strip_prefix("content.").and_then(|t| t.parse().ok()).ok_or_else(bad(text))?,
            ),
        })
    }
}

strict::text_serde!(Role);

/// Percent-encoding of everything but letters, digits and `-._~` (RFC 3986, section 2.3), so that no name is a path.
pub(super) fn quoted(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// A role's key in the snapshot: `<role>.json`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetaName(pub Role);

impl fmt::Display for MetaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.json", self.0)
    }
}

impl FromStr for MetaName {
    type Err = TufError;
    fn from_str(text: &str) -> Result<Self, TufError> {
        text.strip_suffix(".json").ok_or_else(bad(text))?.parse().map(Self)
    }
}

strict::text_serde!(MetaName);

/// A target of the site repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TargetName {
    /// `policy.json`
    Policy,
    /// `manifest.<team>.<name>.<version>.json`; the version has no build part.
    Manifest { team: Team, name: ManifestName, version: semver::Version },
    /// `change.<id>.<revision>.json`
    Change { id: ChangeId, revision: u32 },
    /// `gate.<id>.<revision>.<wave>.json`; waves count from 0.
    Gate { id: ChangeId, revision: u32, wave: u32 },
    /// `change.index.json`
    ChangeIndex,
    /// `control.json`
    Control,
}

impl TargetName {
    /// The manifest of a team.
    pub fn manifest(team: &Team, name: &ManifestName, version: &semver::Version) -> Self {
        Self::Manifest { team: team.clone(), name: name.clone(), version: version.clone() }
    }

    /// The change that this target belongs to.
    pub fn change(&self) -> Option<&ChangeId> {
        match self {
            Self::Change { id, .. } | Self::Gate { id, .. } => Some(id),
            Self::Policy | Self::Manifest { .. } | Self::ChangeIndex | Self::Control => None,
        }
    }

    /// The only role that may list this target.
    pub fn role(&self) -> Role {
        match self {
            Self::Policy => Role::Targets,
            Self::Manifest { team, .. } => Role::Content(team.clone()),
            Self::Change { .. } | Self::Gate { .. } | Self::ChangeIndex | Self::Control => Role::Changes,
        }
    }

    /// The name that the repository serves this target under: `<sha256>.<name>`.
    pub fn served_as(&self, file: &TargetFile) -> String {
        format!("{}.{self}", file.hashes.sha256)
    }

    /// Most bytes accepted for a target of this kind.
    pub fn max_bytes(&self) -> u64 {
        let bytes = match self {
            Self::Policy => limits::POLICY_BYTES,
            Self::Manifest { .. } => limits::MANIFEST_BYTES,
            Self::Change { .. } | Self::ChangeIndex | Self::Control => limits::BUNDLE_BYTES,
            Self::Gate { .. } => limits::GATE_BYTES,
        };
        bytes as u64
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy => f.write_str("policy.json"),
            Self::Manifest { team, name, version } => write!(f, "manifest.{team}.{name}.{version}.json"),
            Self::Change { id, revision } => write!(f, "change.{id}.{revision}.json"),
            Self::Gate { id, revision, wave } => write!(f, "gate.{id}.{revision}.{wave}.json"),
            Self::ChangeIndex => f.write_str("change.index.json"),
            Self::Control => f.write_str("control.json"),
        }
    }
}

impl FromStr for TargetName {
    type Err = TufError;
    fn from_str(text: &str) -> Result<Self, TufError> {
        let name = match text {
            "policy.json" => Some(Self::Policy),
            "change.index.json" => Some(Self::ChangeIndex),
            "control.json" => Some(Self::Control),
            _ => parse_parts(text),
        };
        // Writing it again catches second spellings of one name, such as a revision with a leading zero.
        name.filter(|name| text.len() <= NAME_BYTES && name.to_string() == text).ok_or_else(bad(text))
    }
}

fn parse_parts(text: &str) -> Option<TargetName> {
    let stem = text.strip_suffix(".json")?;
    let (kind, rest) = stem.split_once('.')?;
    let (first, rest) = rest.split_once('.')?;
    match kind {
        "manifest" => {
            let (name, version) = rest.split_once('.')?;
            let version = semver::Version::parse(version).ok()?;
            // Build parts are not ordered, so 1.0.0+a and 1.0.0+b would be one version with two contents.
            let (team, name) = (first.parse().ok()?, name.parse().ok()?);
            version.build.is_empty().then_some(TargetName::Manifest { team, name, version })
        }
        "gate" => {
            let (revision, wave) = rest.split_once('.')?;
            let (id, revision, wave) = (first.parse().ok()?, revision.parse().ok()?, wave.parse().ok()?);
            Some(TargetName::Gate { id, revision, wave })
        }
        "change" => Some(TargetName::Change { id: first.parse().ok()?, revision: rest.parse().ok()? }),
        _ => None,
    }
}

fn bad(text: &str) -> impl Fn() -> TufError {
    move || TufError::Name(strict::shorten(text))
}

strict::text_serde!(TargetName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_names_are_flat_and_have_one_spelling() {
        for (good, role) in [
            ("policy.json", "targets"),
            ("manifest.web.web-base.1.2.0.json", "content.web"),
            ("manifest.web.web-base.1.2.0-rc.1.json", "content.web"),
            ("change.C-114.2.json", "changes"),
            ("gate.C-114.2.1.json", "changes"),
            ("change.index.json", "changes"),
            ("control.json", "changes"),
        ] {
            let name: TargetName = good.parse().unwrap();
            assert_eq!((name.to_string().as_str(), name.role().to_string().as_str()), (good, role));
        }
        for bad in [
            "",
            "policy",
            "Policy.json",
            "../policy.json",
            "/policy.json",
            "policy.json\0",
            "con",
            "a?b.json",
            "manifest.web.web-base.json",
            "manifest.web.web-base.1.2.json",
            "manifest.web.web-base.01.2.0.json",
            "manifest.web.web-base.1.2.0+x.json",
            "manifest.web/../db.x.1.0.0.json",
            "manifest.wéb.x.1.0.0.json",
            "change.C-114.02.json",
            "change.C-114.+2.json",
            "change.c-114.2.json",
            "change.C-114.json",
            "control.json.json",
            &format!("manifest.web.x.1.0.0-{}.json", "a".repeat(200)),
        ] {
            assert_eq!(bad.parse::<TargetName>().unwrap_err().code(), "tuf.name", "{bad}");
        }
    }

    #[test]
    fn role_names_are_exactly_those_of_the_profile() {
        for good in ["root", "timestamp", "snapshot", "targets", "changes", "content.web"] {
            assert_eq!(good.parse::<Role>().unwrap().to_string(), good);
        }
        for bad in
            ["", "Root", "content.", "content.a.b", "content.../x", "content.root/", "mirrors", "1.root"]
        {
            assert!(bad.parse::<Role>().is_err(), "{bad}");
        }
        let team = Role::Content("web".parse().unwrap());
        assert_eq!(
            (team.file(7).as_str(), Role::Timestamp.file(7).as_str()),
            ("7.content.web.json", "timestamp.json")
        );
        assert_eq!(team.paths(), ["manifest.web.*"]);
    }
}
