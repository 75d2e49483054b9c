//! Resources: what a manifest wants of one host. Never says how it is done; that is the agent's.

use super::account::{AuthorizedKeys, Group, Sudoers, User};
use super::acl::Acl;
use super::agent::AgentProgram;
use super::archive::Archive;
use super::edit::{Block, Line, Setting};
use super::external::External;
use super::firewall::Firewall;
use super::kernel::{KernelModule, ModuleWant, Mount};
use super::names::Checker;
use super::package::Package;
use super::repository::PackageRepository;
use super::rule::RuleId;
use super::system::{Hostname, Symlink, Sysctl, Timezone};
use super::text::FileText;
use super::trust::Certificate;
use super::unit::{Dropin, Timer};
use super::values::{AbsolutePath, AccountName, Argv, CommandName, EnvName, Mode, ServiceName};
use crate::digest::Digest;
use crate::ids::ResourceId;
use crate::risk::ActionClass;
use crate::secret::Secret;
use crate::strict::Map;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The written form of a kind: its own keys, then those that every kind has.
macro_rules! resource {
    (
        $(#[doc = $doc:literal])*
        #[schemars = $name:tt $(, $($extra:tt)*)?]
        $(#[$meta:meta])*
        struct $type:ident { $($fields:tt)* }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
        #[cfg_attr(feature = "authoring", schemars(rename = $name $(, $($extra)*)?))]
        #[serde(deny_unknown_fields)]
        $(#[$meta])*
        pub struct $type {
            $($fields)*
            /// Ids of resources that are done first, such as `package:app`.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            #[cfg_attr(feature = "authoring", schemars(with = "Vec<super::schema::ResourceIdText>"))]
            pub requires: Vec<crate::ids::ResourceId>,
            /// Ids of services that are restarted when this resource was changed, such as `service:app`.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            #[cfg_attr(feature = "authoring", schemars(with = "Vec<super::schema::ResourceIdText>"))]
            pub on_change: Vec<crate::ids::ResourceId>,
            /// Identifiers of the XCCDF rules that a host follows by it, for plans and evidence.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub satisfies: Vec<crate::manifest::RuleId>,
        }
    };
}
pub(super) use resource;

/// One resource; in YAML and JSON a map with exactly one key, its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    // A manifest may have ten thousand of these: what is large and rare lies elsewhere.
    File(File),
    Directory(Directory),
    Package(Package),
    Service(Service),
    Command(Command),
    Symlink(Symlink),
    Line(Box<Line>),
    Block(Box<Block>),
    Setting(Setting),
    Sysctl(Sysctl),
    Sudoers(Sudoers),
    AuthorizedKeys(AuthorizedKeys),
    Group(Group),
    User(User),
    Hostname(Hostname),
    Timezone(Timezone),
    Dropin(Dropin),
    Timer(Timer),
    Certificate(Certificate),
    PackageRepository(PackageRepository),
    Archive(Archive),
    Firewall(Firewall),
    Mount(Mount),
    KernelModule(KernelModule),
    External(External),
    Acl(Acl),
    Agent(Box<AgentProgram>),
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
    Symlink,
    Line,
    Block,
    Setting,
    Sysctl,
    Sudoers,
    AuthorizedKeys,
    Group,
    User,
    Hostname,
    Timezone,
    Dropin,
    Timer,
    Certificate,
    PackageRepository,
    Archive,
    Firewall,
    Mount,
    KernelModule,
    External,
    Acl,
    Agent,
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
    pub satisfies: Vec<RuleId>,
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
        /// Must accept the file before it goes live.
        validate: Option<Checker>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileSource {
    /// The bytes as written.
    Content(String),
    /// Bytes that only the hosts can read for which they were encrypted.
    Secret(Secret),
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
    /// Owner, group and modes of everything below it that is no resource itself; at most 1000 entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurse: Option<Recurse>,
    /// True removes everything below it that is no resource of the change; each entry is shown in the plan, at most
    /// 1000.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub purge: bool,
    /// Ids of resources that are done first, such as `package:app`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "authoring", schemars(with = "Vec<super::schema::ResourceIdText>"))]
    pub requires: Vec<ResourceId>,
    /// Ids of services that are restarted when this resource was changed, such as `service:app`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "authoring", schemars(with = "Vec<super::schema::ResourceIdText>"))]
    pub on_change: Vec<ResourceId>,
    /// Identifiers of the XCCDF rules that a host follows by it, for plans and evidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub satisfies: Vec<RuleId>,
}

/// What is wanted of everything below a directory; at least one of the four is given. Links stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Recurse {
    /// Name of the owning user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<AccountName>,
    /// Name of the owning group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<AccountName>,
    /// Permission bits of files, in quotes, such as "0644".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_mode: Option<Mode>,
    /// Permission bits of directories, in quotes, such as "0755".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory_mode: Option<Mode>,
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
    /// Identifiers of the XCCDF rules that a host follows by it, for plans and evidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub satisfies: Vec<RuleId>,
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
    /// Identifiers of the XCCDF rules that a host follows by it, for plans and evidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub satisfies: Vec<RuleId>,
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

pub(super) fn no_env(env: &Map<EnvName, String>) -> bool {
    env.is_empty()
}

impl Command {
    pub const MAX_TIMEOUT_S: u32 = 86_400;

    pub fn default_timeout_s() -> u32 {
        300
    }
}

impl Directory {
    /// Entries below a directory that are looked at; more are no matter of one resource.
    pub const ENTRIES: usize = 1_000;

    /// Whether it says something about what lies below it.
    pub fn reaches_below(&self) -> bool {
        self.purge || self.recurse.is_some()
    }

    /// A directory that exists, however it is.
    pub fn at(path: AbsolutePath) -> Self {
        Self {
            path,
            owner: None,
            group: None,
            mode: None,
            recurse: None,
            purge: false,
            requires: Vec::new(),
            on_change: Vec::new(),
            satisfies: Vec::new(),
        }
    }
}

impl Needed {
    /// True when only running the guard tells, which planning must not do.
    pub fn decided_at_apply(&self) -> bool {
        matches!(self, Self::Unless(_))
    }
}

/// The same for whatever kind a resource is.
macro_rules! of_any {
    ($resource:expr, $own:ident => $what:expr) => {
        match $resource {
            Resource::File($own) => $what,
            Resource::Directory($own) => $what,
            Resource::Package($own) => $what,
            Resource::Service($own) => $what,
            Resource::Command($own) => $what,
            Resource::Symlink($own) => $what,
            Resource::Line($own) => $what,
            Resource::Block($own) => $what,
            Resource::Setting($own) => $what,
            Resource::Sysctl($own) => $what,
            Resource::Sudoers($own) => $what,
            Resource::AuthorizedKeys($own) => $what,
            Resource::Group($own) => $what,
            Resource::User($own) => $what,
            Resource::Hostname($own) => $what,
            Resource::Timezone($own) => $what,
            Resource::Dropin($own) => $what,
            Resource::Timer($own) => $what,
            Resource::Certificate($own) => $what,
            Resource::PackageRepository($own) => $what,
            Resource::Archive($own) => $what,
            Resource::Firewall($own) => $what,
            Resource::Mount($own) => $what,
            Resource::KernelModule($own) => $what,
            Resource::External($own) => $what,
            Resource::Acl($own) => $what,
            Resource::Agent($own) => $what,
        }
    };
}

/// Bytes of what follows the kind in a resource id.
const ID_BYTES: usize = 280;

impl Resource {
    pub fn kind(&self) -> ResourceKind {
        match self {
            Self::File(_) => ResourceKind::File,
            Self::Directory(_) => ResourceKind::Directory,
            Self::Package(_) => ResourceKind::Package,
            Self::Service(_) => ResourceKind::Service,
            Self::Command(_) => ResourceKind::Command,
            Self::Symlink(_) => ResourceKind::Symlink,
            Self::Line(_) => ResourceKind::Line,
            Self::Block(_) => ResourceKind::Block,
            Self::Setting(_) => ResourceKind::Setting,
            Self::Sysctl(_) => ResourceKind::Sysctl,
            Self::Sudoers(_) => ResourceKind::Sudoers,
            Self::AuthorizedKeys(_) => ResourceKind::AuthorizedKeys,
            Self::Group(_) => ResourceKind::Group,
            Self::User(_) => ResourceKind::User,
            Self::Hostname(_) => ResourceKind::Hostname,
            Self::Timezone(_) => ResourceKind::Timezone,
            Self::Dropin(_) => ResourceKind::Dropin,
            Self::Timer(_) => ResourceKind::Timer,
            Self::Certificate(_) => ResourceKind::Certificate,
            Self::PackageRepository(_) => ResourceKind::PackageRepository,
            Self::Archive(_) => ResourceKind::Archive,
            Self::Firewall(_) => ResourceKind::Firewall,
            Self::Mount(_) => ResourceKind::Mount,
            Self::KernelModule(_) => ResourceKind::KernelModule,
            Self::External(_) => ResourceKind::External,
            Self::Acl(_) => ResourceKind::Acl,
            Self::Agent(_) => ResourceKind::Agent,
        }
    }

    /// `kind:what`, unique within a valid manifest. What lies in a file is `kind:path:name`; a long path
    /// gives way to its digest there.
    ///
    /// # Panics
    /// Never: the values' own limits keep every id within the rule of [`ResourceId`].
    pub fn id(&self) -> ResourceId {
        #[cfg(test)]
        super::work::one();
        let what: Cow<'_, str> = match self {
            Self::File(file) => file.path.as_str().into(),
            Self::Directory(directory) => directory.path.as_str().into(),
            Self::Package(package) => package.name.as_str().into(),
            Self::Service(service) => service.name.as_str().into(),
            Self::Command(command) => command.name.as_str().into(),
            Self::External(own) => own.name.as_str().into(),
            Self::Acl(acl) => acl.path.as_str().into(),
            Self::Agent(_) => AgentProgram::NAME.into(),
            Self::Symlink(link) => link.path.as_str().into(),
            Self::Line(line) => format!("{}:{}", line.path, line.name).into(),
            Self::Block(block) => format!("{}:{}", block.path, block.name).into(),
            Self::Setting(Setting { path, section: Some(section), key, .. }) => {
                format!("{path}:[{section}]{key}").into()
            }
            Self::Setting(setting) => format!("{}:{}", setting.path, setting.key).into(),
            Self::Sysctl(sysctl) => sysctl.key.as_str().into(),
            Self::Sudoers(sudoers) => sudoers.name.as_str().into(),
            Self::AuthorizedKeys(keys) => keys.user.as_str().into(),
            Self::Group(group) => group.name.as_str().into(),
            Self::User(user) => user.name.as_str().into(),
            Self::Hostname(hostname) => hostname.name.as_str().into(),
            Self::Timezone(timezone) => timezone.zone.as_str().into(),
            Self::Dropin(dropin) => format!("{}:{}", dropin.unit, dropin.name).into(),
            Self::Timer(timer) => timer.name.as_str().into(),
            Self::Certificate(certificate) => certificate.name.as_str().into(),
            Self::PackageRepository(repository) => repository.name.as_str().into(),
            Self::Archive(archive) => archive.path.as_str().into(),
            Self::Firewall(_) => "nftables".into(),
            Self::Mount(mount) => mount.path.as_str().into(),
            Self::KernelModule(module) => module.name.as_str().into(),
        };
        // Tabs may stand within keys of settings, but not within ids.
        let what = if what.len() > ID_BYTES || what.contains('\t') {
            Cow::Owned(Digest::of(what.as_bytes()).hex())
        } else {
            what
        };
        #[expect(clippy::expect_used, reason = "paths and names are shorter and stricter than an id")]
        ResourceId::of(self.kind().as_str(), &what).expect("a value makes an id")
    }

    /// Ids that are done first.
    pub fn requires(&self) -> &[ResourceId] {
        of_any!(self, own => &own.requires)
    }

    /// Services that are restarted when this resource was changed.
    pub fn on_change(&self) -> &[ResourceId] {
        of_any!(self, own => &own.on_change)
    }

    /// Rules of benchmarks that a host follows by it.
    pub fn satisfies(&self) -> &[RuleId] {
        of_any!(self, own => &own.satisfies)
    }

    /// The paths that belong to this resource as a whole: no other one may name them.
    pub fn paths(&self) -> impl Iterator<Item = Cow<'_, str>> + Clone {
        // Nearly all have one: that needs no list.
        let (one, more): (Option<Cow<'_, str>>, Vec<String>) = match self {
            Self::File(file) => (Some(file.path.as_str().into()), Vec::new()),
            Self::Directory(directory) => (Some(directory.path.as_str().into()), Vec::new()),
            Self::Symlink(link) => (Some(link.path.as_str().into()), Vec::new()),
            Self::Sudoers(sudoers) => (Some(sudoers.path().into()), Vec::new()),
            Self::Hostname(_) => (Some(Hostname::PATH.into()), Vec::new()),
            Self::Timezone(_) => (Some(Timezone::PATH.into()), Vec::new()),
            Self::Dropin(dropin) => (Some(dropin.path().into()), Vec::new()),
            Self::Certificate(certificate) => (Some(certificate.path().into()), Vec::new()),
            Self::Firewall(_) => (Some(Firewall::PATH.into()), Vec::new()),
            Self::KernelModule(own) => (None, vec![own.load_file(), own.settings_file()]),
            Self::PackageRepository(repository) => (None, repository.paths()),
            Self::Timer(timer) => (None, vec![timer.path(".service"), timer.path(".timer"), timer.wants()]),
            _ => (None, Vec::new()),
        };
        one.into_iter().chain(more.into_iter().map(Cow::from))
    }

    /// Paths that are no directory once this is brought about: a file, a link, or nothing.
    pub fn leaves(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let paths = Some(self).filter(|own| !matches!(own, Self::Directory(_))).map(Self::paths);
        paths.into_iter().flatten().chain(self.edits().map(Cow::from))
    }

    /// Paths that are directories once this is brought about.
    pub fn directories(&self) -> Option<&str> {
        match self {
            Self::Directory(directory) => Some(directory.path.as_str()),
            Self::Mount(Mount { path, want: Some(_), .. })
            | Self::Archive(Archive { path, want: Some(_), .. }) => Some(path.as_str()),
            _ => None,
        }
    }

    /// The file of which a part belongs to this resource; others may own other parts.
    pub fn edits(&self) -> Option<&str> {
        match self {
            Self::Line(line) => Some(line.path.as_str()),
            Self::Block(block) => Some(block.path.as_str()),
            Self::Setting(setting) => Some(setting.path.as_str()),
            Self::Sysctl(_) => Some(Sysctl::PATH),
            Self::Mount(_) => Some(Mount::TABLE),
            _ => None,
        }
    }

    /// Users and groups that something of this resource is to belong to.
    pub fn accounts(&self) -> (Vec<&AccountName>, Vec<&AccountName>) {
        let (users, groups) = match self {
            Self::File(File { want: FileWant::Present { owner, group, .. }, .. }) => {
                ([owner.as_ref(), None], [group.as_ref(), None])
            }
            Self::Directory(own) => {
                let below = own.recurse.as_ref();
                (
                    [own.owner.as_ref(), below.and_then(|below| below.owner.as_ref())],
                    [own.group.as_ref(), below.and_then(|below| below.group.as_ref())],
                )
            }
            Self::Archive(Archive { want: Some(want), .. }) => {
                ([want.owner.as_ref(), None], [want.group.as_ref(), None])
            }
            _ => ([None; 2], [None; 2]),
        };
        (users.into_iter().flatten().collect(), groups.into_iter().flatten().collect())
    }

    /// The program that must accept a file of this resource before it goes live.
    pub fn checker(&self) -> Option<Cow<'_, Checker>> {
        match self {
            Self::File(File { want: FileWant::Present { validate, .. }, .. }) => {
                validate.as_ref().map(Cow::Borrowed)
            }
            Self::Setting(Setting { validate, .. }) => validate.as_ref().map(Cow::Borrowed),
            Self::Line(line) => line.validate.as_ref().map(Cow::Borrowed),
            Self::Block(block) => block.validate.as_ref().map(Cow::Borrowed),
            Self::Sudoers(Sudoers { content: Some(_), .. }) => Some(Cow::Owned(Checker::visudo())),
            _ => None,
        }
    }

    /// The blobs of the repository that this resource needs.
    pub fn artifacts(&self) -> Vec<Artifact> {
        match self {
            Self::File(File {
                want: FileWant::Present { source: FileSource::Artifact(artifact), .. },
                ..
            }) => vec![*artifact],
            Self::Archive(Archive { want: Some(want), .. }) => vec![want.artifact],
            Self::External(own) => own.artifacts().into(),
            Self::Agent(own) => vec![own.program()],
            _ => Vec::new(),
        }
    }

    /// Every class that an action of this resource can have, as far as the manifest alone tells.
    pub fn classes(&self) -> BTreeSet<ActionClass> {
        let own = match self {
            Self::File(file) => {
                let mode = match &file.want {
                    FileWant::Present { mode, .. } => *mode,
                    FileWant::Absent => None,
                };
                ActionClass::of_file(file.path.as_str(), mode.map(|mode| mode.bits()))
            }
            // Sticky and set-group-id bits of a directory grant nobody anything; hosts judge it the same way.
            Self::Directory(own) => {
                ActionClass::of_file(own.path.as_str(), own.mode.map(|mode| mode.bits() & 0o777))
            }
            Self::Package(_) => ActionClass::Package,
            Self::Service(_) => ActionClass::Service,
            Self::Command(_) => ActionClass::Command,
            Self::External(_) => ActionClass::External,
            Self::Agent(_) => ActionClass::Trust,
            Self::Symlink(link) => ActionClass::of_file(link.path.as_str(), None),
            Self::Line(line) => ActionClass::of_file(line.path.as_str(), None),
            Self::Block(block) => ActionClass::of_file(block.path.as_str(), None),
            Self::Setting(setting) => ActionClass::of_file(setting.path.as_str(), None),
            Self::Hostname(_) => ActionClass::of_file(Hostname::PATH, None),
            Self::Timezone(_) => ActionClass::of_file(Timezone::PATH, None),
            Self::Archive(archive) => ActionClass::of_file(archive.path.as_str(), None),
            Self::Acl(acl) => ActionClass::of_file(acl.path.as_str(), None).max(ActionClass::SensitiveFile),
            // What runs, and who may do what.
            Self::Sysctl(_)
            | Self::Sudoers(_)
            | Self::AuthorizedKeys(_)
            | Self::Group(_)
            | Self::User(_)
            | Self::Dropin(_)
            | Self::Timer(_)
            | Self::Certificate(_)
            | Self::Firewall(_)
            | Self::Mount(_)
            | Self::KernelModule(_)
            | Self::PackageRepository(_) => ActionClass::SensitiveFile,
        };
        let mut classes = BTreeSet::from([own]);
        if matches!(self, Self::Directory(directory) if directory.reaches_below()) {
            // What lies below is only known to the host.
            classes.insert(ActionClass::SensitiveFile);
        }
        if self.checker().is_some_and(|checker| !checker.only_reads()) {
            classes.insert(ActionClass::Command);
        }
        if !self.on_change().is_empty() {
            classes.insert(ActionClass::Service);
        }
        classes
    }

    /// The undo contract of this resource.
    pub fn undo(&self) -> Undo {
        match self {
            Self::Package(_) => Undo::Partly("only if the old version is still available"),
            Self::Command(Command { undo: Some(_), .. }) => {
                Undo::Partly("through the undo command that the manifest gives")
            }
            Self::Command(_) => Undo::No("the manifest gives no undo command"),
            Self::Mount(Mount { want, .. }) if want.as_ref().is_none_or(|want| want.mounted) => {
                Undo::Partly("a file system that is in use by then cannot be unmounted")
            }
            Self::KernelModule(KernelModule { want: ModuleWant::Loaded { .. }, .. }) => {
                Undo::Partly("a module that is in use by then stays loaded")
            }
            Self::KernelModule(KernelModule { want: ModuleWant::Blocked, .. }) => {
                Undo::Partly("an unloaded module is loaded again with the parameters that files give it")
            }
            Self::External(External { restore: true, .. }) => {
                Undo::Partly("its program is asked to set what it told before; what else it did stays")
            }
            Self::External(_) => Undo::No("the manifest does not say that its program can restore"),
            _ => Undo::Yes,
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
            Self::Symlink => "symlink",
            Self::Line => "line",
            Self::Block => "block",
            Self::Setting => "setting",
            Self::Sysctl => "sysctl",
            Self::Sudoers => "sudoers",
            Self::AuthorizedKeys => "authorized_keys",
            Self::Group => "group",
            Self::User => "user",
            Self::Hostname => "hostname",
            Self::Timezone => "timezone",
            Self::Dropin => "dropin",
            Self::Timer => "timer",
            Self::Certificate => "certificate",
            Self::PackageRepository => "package_repository",
            Self::Archive => "archive",
            Self::Firewall => "firewall",
            Self::Mount => "mount",
            Self::KernelModule => "kernel_module",
            Self::External => "external",
            Self::Acl => "acl",
            Self::Agent => "agent",
        }
    }
}
