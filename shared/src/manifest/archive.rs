//! Archives: a tar file of the repository, unpacked into a directory.

use super::resource::{Artifact, resource};
use super::rule::RuleId;
use super::text::{Contradiction, Presence};
use super::values::{AbsolutePath, AccountName};
use crate::ids::ResourceId;
use serde::{Deserialize, Serialize};

/// What an archive holds lies in a directory, or nothing of it does any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "ArchiveEntry", into = "ArchiveEntry")]
pub struct Archive {
    pub path: AbsolutePath,
    /// `None`: what was unpacked here is removed.
    pub want: Option<Unpacked>,
    pub requires: Vec<ResourceId>,
    pub on_change: Vec<ResourceId>,
    pub satisfies: Vec<RuleId>,
}

/// How an archive is unpacked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unpacked {
    pub artifact: Artifact,
    /// `None`: stays, root for new files.
    pub owner: Option<AccountName>,
    /// As for the owner.
    pub group: Option<AccountName>,
    /// Leading names that are taken off each path.
    pub strip: u32,
}

impl Archive {
    /// Leading names that can be taken off.
    pub const STRIP: u32 = 8;
}

resource! {
    /// A tar archive of the repository (plain, gzip or zstd), unpacked into a directory; `artifact` is required when
    /// present. Files that only the version before had are removed; files of others stay. Links out of the
    /// directory, hard links, devices and set-id bits are refused.
    #[schemars = "Archive", extend("oneOf" = [
        { "required": ["artifact"] },
        { "required": ["state"], "properties": { "state": { "const": "absent" } } }
    ])]
    struct ArchiveEntry {
        /// Absolute path of the directory; it is made when it is missing.
        path: AbsolutePath,
        /// `absent` removes all files that an archive has brought here.
        #[serde(default, skip_serializing_if = "Presence::is_present")]
        state: Presence,
        /// The archive as a blob of the repository.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        artifact: Option<Artifact>,
        /// Name of the owning user of everything in it; not given: stays, root for new files.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<AccountName>,
        /// Name of the owning group of everything in it; not given: stays, root for new files.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<AccountName>,
        /// How many leading names are taken off each path, such as 1 for `app-1.0/…`; 0 to 8.
        #[serde(default, skip_serializing_if = "is_zero")]
        #[cfg_attr(feature = "authoring", schemars(range(min = 0, max = 8)))]
        strip: u32,
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl TryFrom<ArchiveEntry> for Archive {
    type Error = Contradiction;
    fn try_from(text: ArchiveEntry) -> Result<Self, Contradiction> {
        let ArchiveEntry { path, state, artifact, owner, group, strip, requires, on_change, satisfies } =
            text;
        let refuse = |why| Err(Contradiction::Keys(format!("archive {path}"), why));
        let want = match (state, artifact) {
            (Presence::Present, Some(artifact)) => Some(Unpacked { artifact, owner, group, strip }),
            (Presence::Absent, None) if owner.is_none() && group.is_none() && strip == 0 => None,
            (Presence::Present, None) => return refuse("has no artifact; an artifact, or state: absent"),
            (Presence::Absent, _) => {
                return refuse("is absent, so nothing else says anything; only path with state: absent");
            }
        };
        Ok(Self { path, want, requires, on_change, satisfies })
    }
}

impl From<Archive> for ArchiveEntry {
    fn from(own: Archive) -> Self {
        let Archive { path, want, requires, on_change, satisfies } = own;
        let state = Presence::of(want.is_some());
        let (artifact, owner, group, strip) = match want {
            Some(Unpacked { artifact, owner, group, strip }) => (Some(artifact), owner, group, strip),
            None => (None, None, None, 0),
        };
        Self { path, state, artifact, owner, group, strip, requires, on_change, satisfies }
    }
}
