//! Resources: what a manifest wants of one host. Never says how it is done; that is the agent's.

use super::text::{FileText, PackageText};
use super::values::{
    AbsolutePath, AccountName, Argv, CommandName, EnvName, Mode, PackageName, PackageVersion, ServiceName,
};
use crate::digest::Digest;
use crate::ids::ResourceId;
use crate::strict::Map;
use serde::{Deserialize, Serialize};

/// One resource; in YAML and JSON a map with exactly one key, its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    File(File),
    Directory(Directory),
    Package(Package),
    Service(Service),
    Command(Command),
}

/// The kind of a resource, without its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    File,
    Directory,
    Package,
    Service,
    Command,
}

/// A regular file, or its absence. Owner, group and mode that are not given stay as they are;
/// a new file gets root, root and 0644.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "FileText", into = "FileText")]
pub struct File {
    pub path: AbsolutePath,
    pub want: FileWant,
    pub requires: Vec<ResourceId>,
    pub on_change: Vec<ResourceId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileWant {
    Absent,
    Present {
        source: FileSource,
        owner: Option<AccountName>,
        group: Option<AccountName>,
        mode: Option<Mode>,
        /// Contents never appear in plans, receipts or logs; digests do.
        sensitive: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileSource {
    /// The bytes as written.
    Content(String),
    /// A handlebars template over `params.*` and `facts.*`.
    Template(String),
    Artifact(Artifact),
}

/// A blob in the repository, named by what it contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// SHA-256 of the bytes, 64 lower-case hex digits.
    #[cfg_attr(feature = "authoring", schemars(with = "super::schema::Sha256Text"))]
    pub sha256: Digest,
    /// Length in bytes.
    pub length: u64,
}

/// A directory that exists. Owner, group and mode that are not given stay as they are;
/// a new directory gets root, root and 0755. Its parent must exist or be a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Absolute path of the directory.
    pub path: AbsolutePath,
    /// Name of the owning user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<AccountName>,
    /// Name of the owning group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<AccountName>,
    /// Permission bits in quotes, such as "0755".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Ids of resources that are done first, such as `package:app`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "authoring", schemars(with = "Vec<super::schema::ResourceIdText>"))]
    pub requires: Vec<ResourceId>,
    /// Ids of services that are restarted when this resource was changed, such as `service:app`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "authoring", schemars(with = "Vec<super::schema::ResourceIdText>"))]
    pub on_change: Vec<ResourceId>,
}

/// A package at an exact version, or its absence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "PackageText", into = "PackageText")]
pub struct Package {
    pub name: PackageName,
    pub want: PackageWant,
    pub requires: Vec<ResourceId>,
    pub on_change: Vec<ResourceId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackageWant {
    Absent,
    Present {
        version: PackageVersion,
        /// `None` leaves the hold mark as it is.
        hold: Option<bool>,
    },
}

/// A systemd unit's run state and whether it starts at boot; at least one of the two is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Unit name; `.service` is implied.
    pub name: ServiceName,
    /// Whether it runs; not given: stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ServiceState>,
    /// Whether it starts at boot; not given: stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Ids of resources that are done first, such as `package:app`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "authoring", schemars(with = "Vec<super::schema::ResourceIdText>"))]
    pub requires: Vec<ResourceId>,
    /// Ids of services that are restarted when this resource was changed, such as `service:app`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "authoring", schemars(with = "Vec<super::schema::ResourceIdText>"))]
    pub on_change: Vec<ResourceId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    Running,
    Stopped,
}

/// A program that is run as root when it is needed, directly and never through a shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Its name within the manifest.
    pub name: CommandName,
    /// Absolute path of the program, then its arguments.
    pub run: Argv,
    /// When it is run: `always`, or one of the keys `missing`, `changed`, `unless`.
    pub needed: Needed,
    /// Seconds after which it is ended and counts as failed; 1 to 86400.
    #[serde(default = "Command::default_timeout_s")]
    #[cfg_attr(feature = "authoring", schemars(range(min = 1, max = 86_400)))]
    pub timeout_s: u32,
    /// Program and arguments that undo it; without, the command counts as not reversible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Argv>,
    /// Environment variables; nothing else is inherited but PATH.
    #[serde(default, skip_serializing_if = "no_env")]
    #[cfg_attr(feature = "authoring", schemars(
        with = "std::collections::BTreeMap<EnvName, String>",
        extend("propertyNames" = { "format": EnvName::FORMAT })
    ))]
    pub env: Map<EnvName, String>,
    /// Ids of resources that are done first, such as `package:app`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "authoring", schemars(with = "Vec<super::schema::ResourceIdText>"))]
    pub requires: Vec<ResourceId>,
    /// Ids of services that are restarted when this resource was changed, such as `service:app`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "authoring", schemars(with = "Vec<super::schema::ResourceIdText>"))]
    pub on_change: Vec<ResourceId>,
}

/// When a command is run.
///
/// Planning executes nothing of a manifest: `missing` and `changed` are judged by looking;
/// `unless` is a program and therefore runs only at apply time, after approval. Its plan says
/// that the guard decides at apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Needed {
    /// On every apply.
    Always,
    /// When this path does not exist.
    Missing(AbsolutePath),
    /// When one of these resources was changed in the same apply.
    Changed(
        #[cfg_attr(feature = "authoring", schemars(with = "Vec<super::schema::ResourceIdText>"))]
        Vec<ResourceId>,
    ),
    /// Unless this program exits with 0; it runs at apply time, after approval, never in planning.
    Unless(Argv),
}

/// Whether a resource can be put back, shown before approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    Yes,
    Partly(&'static str),
    No(&'static str),
}

fn no_env(env: &Map<EnvName, String>) -> bool {
    env.is_empty()
}

impl Command {
    pub const MAX_TIMEOUT_S: u32 = 86_400;

    pub fn default_timeout_s() -> u32 {
        300
    }
}

impl Needed {
    /// True when only running the guard tells, which planning must not do.
    pub fn decided_at_apply(&self) -> bool {
        matches!(self, Self::Unless(_))
    }
}

impl Resource {
    pub fn kind(&self) -> ResourceKind {
        match self {
            Self::File(_) => ResourceKind::File,
            Self::Directory(_) => ResourceKind::Directory,
            Self::Package(_) => ResourceKind::Package,
            Self::Service(_) => ResourceKind::Service,
            Self::Command(_) => ResourceKind::Command,
        }
    }

    /// `kind:what`, unique within a valid manifest.
    ///
    /// # Panics
    /// Never: the values' own limits keep every id within the rule of [`ResourceId`].
    pub fn id(&self) -> ResourceId {
        let what = match self {
            Self::File(file) => file.path.as_str(),
            Self::Directory(directory) => directory.path.as_str(),
            Self::Package(package) => package.name.as_str(),
            Self::Service(service) => service.name.as_str(),
            Self::Command(command) => command.name.as_str(),
        };
        #[expect(clippy::expect_used, reason = "paths and names are shorter and stricter than an id")]
        format!("{}:{what}", self.kind().as_str()).parse().expect("a value makes an id")
    }

    /// Ids that are done first.
    pub fn requires(&self) -> &[ResourceId] {
        match self {
            Self::File(File { requires, .. })
            | Self::Directory(Directory { requires, .. })
            | Self::Package(Package { requires, .. })
            | Self::Service(Service { requires, .. })
            | Self::Command(Command { requires, .. }) => requires,
        }
    }

    /// Services that are restarted when this resource was changed.
    pub fn on_change(&self) -> &[ResourceId] {
        match self {
            Self::File(File { on_change, .. })
            | Self::Directory(Directory { on_change, .. })
            | Self::Package(Package { on_change, .. })
            | Self::Service(Service { on_change, .. })
            | Self::Command(Command { on_change, .. }) => on_change,
        }
    }

    /// The path that a file or directory manages.
    pub fn path(&self) -> Option<&AbsolutePath> {
        match self {
            Self::File(file) => Some(&file.path),
            Self::Directory(directory) => Some(&directory.path),
            Self::Package(_) | Self::Service(_) | Self::Command(_) => None,
        }
    }

    /// The undo contract of this resource.
    pub fn undo(&self) -> Undo {
        match self {
            Self::File(_) | Self::Directory(_) | Self::Service(_) => Undo::Yes,
            Self::Package(_) => Undo::Partly("only if the old version is still available"),
            Self::Command(Command { undo: Some(_), .. }) => {
                Undo::Partly("through the undo command that the manifest gives")
            }
            Self::Command(_) => Undo::No("the manifest gives no undo command"),
        }
    }
}

impl ResourceKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Package => "package",
            Self::Service => "service",
            Self::Command => "command",
        }
    }
}
