//! Manifests: what an author wants of hosts, as compiled and signed.
//!
//! Owns: the types, their strict JSON form, validation with all problems at once, the order of resources,
//! parameters, and (feature `authoring`) the YAML form and its JSON Schema. The agent reads JSON only.
//! Never: signatures, I/O, or how a resource is brought about.
//!
//! Planning executes nothing of a manifest on a host: before an approval a manifest is only read and compared.
//! A guard program (`needed: {unless: …}`) therefore runs at apply time; its plan says so.

mod account;
mod acl;
mod agent;
mod archive;
mod back;
mod edit;
mod external;
mod firewall;
mod health;
mod hooks;
mod kernel;
mod names;
mod openpgp;
mod order;
mod package;
mod parameters;
mod repository;
mod resource;
mod restart;
mod rule;
#[cfg(feature = "authoring")]
pub mod schema;
mod suggest;
mod system;
mod text;
mod trust;
mod unit;
mod validate;
mod values;
#[cfg(test)]
mod work;
#[cfg(feature = "authoring")]
pub mod yaml;

pub use account::{AuthorizedKeys, Group, GroupWant, KeysWant, Sudoers, User, UserFields, UserWant};
pub use acl::{Acl, AclEntry, AclTag};
pub use agent::AgentProgram;
pub use archive::{Archive, Unpacked};
pub use edit::{Block, BlockWant, Line, LineWant, Place, Separator, Setting, SettingWant, TextSource};
pub use external::{DscType, External, Properties, Property};
pub use firewall::Firewall;
pub use health::{CommandProbe, HealthCheck, HttpProbe, Probe, ServiceProbe, TcpProbe};
pub use hooks::{Hook, HookPoint, Hooks};
pub use kernel::{
    FsType, KernelModule, ModuleName, ModuleOption, ModuleWant, Mount, MountOption, MountSource, MountWant,
};
pub use names::{
    AuthorizedKey, Checker, CommentMark, HostName, LinePattern, LineText, LinkTarget, PartName, SectionName,
    SettingKey, SettingValue, SudoersName, SysctlKey, UserComment, ZoneName,
};
pub use openpgp::OpenPgpKey;
pub use order::{Cycle, in_the_way, order};
pub use package::{
    Conffiles, NamePattern, NotAPattern, Package, PackageRange, PackageWant, Patch, Patterns, Select,
    WantedVersion,
};
pub use parameters::{ParamValue, Parameter, ParameterType, resolve_params};
pub use repository::{
    PackageRepository, PackageSource, RepositoryName, RepositoryUri, RepositoryWord, SourceFormat, SourceKind,
};
pub use resource::{
    Artifact, Command, Directory, File, FileSource, FileWant, Needed, Recurse, Resource, ResourceKind,
    Service, ServiceState, Undo,
};
pub use restart::{Reboot, Restart, RestartServices};
pub use rule::RuleId;
pub(crate) use suggest::suggest;
pub use system::{Hostname, Symlink, Sysctl, Timezone};
pub use trust::{Authority, CaCertificate, Certificate, CertificateName};
pub use unit::{CalendarText, Dropin, DropinName, Timer, TimerJob, TimerName};
pub use validate::{PROBLEMS, validate};
pub use values::{
    AbsolutePath, AccountName, Argv, CommandName, EnvName, Mode, NameGlob, NotAValue, PackageName,
    PackageVersion, ParamName, ServiceName, UnitGlob,
};

use crate::ids::{ManifestName, Team};
use crate::limits;
use crate::risk::ActionClass;
use crate::strict::{self, Map, ReadError};
use semver::Version;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// A manifest, compiled. Values from [`Manifest::from_json`] and `compile` are also validated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "ManifestText", into = "ManifestText")]
pub struct Manifest {
    pub name: ManifestName,
    pub version: Version,
    pub team: Team,
    pub title: String,
    pub parameters: Map<ParamName, Parameter>,
    pub body: Body,
    pub hooks: Hooks,
    pub health: Vec<HealthCheck>,
    pub on_drift: OnDrift,
}

/// What a manifest brings: state or package updates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Resources(Vec<Resource>),
    Patch(Patch),
}

/// What happens when a host differs from the approved state. `correct` needs a change that asks for it until a time,
/// and a policy that allows it; without them the difference is only told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnDrift {
    #[default]
    Report,
    Correct,
}

/// The written form of a manifest; exactly one of `resources` and `patch`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "authoring", schemars(rename = "Manifest", extend("oneOf" = [
    { "required": ["resources"] }, { "required": ["patch"] }
])))]
#[serde(deny_unknown_fields)]
struct ManifestText {
    /// Name of the manifest within its team.
    #[cfg_attr(feature = "authoring", schemars(with = "schema::ManifestNameText"))]
    manifest: ManifestName,
    /// Semantic version in quotes, such as "1.2.0".
    #[cfg_attr(feature = "authoring", schemars(with = "schema::VersionText"))]
    version: Version,
    /// The publishing team.
    #[serde(default = "default_team")]
    #[cfg_attr(feature = "authoring", schemars(with = "schema::TeamText"))]
    team: Team,
    /// One line for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    title: String,
    /// Typed values by which one manifest serves several groups of hosts.
    #[serde(default, skip_serializing_if = "no_parameters")]
    #[cfg_attr(feature = "authoring", schemars(
        with = "std::collections::BTreeMap<ParamName, Parameter>",
        extend("propertyNames" = { "format": ParamName::FORMAT })
    ))]
    parameters: Map<ParamName, Parameter>,
    /// The state that is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resources: Option<Vec<Resource>>,
    /// The package updates that are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    patch: Option<Patch>,
    /// Programs that run at fixed points of each run that changes something.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    hooks: Hooks,
    /// How a host proves after an apply that it still does its work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    health: Vec<HealthCheck>,
    /// What happens when a host differs from the approved state: it is reported, or put back as far as that is safe
    /// and the change and the policy allow it.
    #[serde(default)]
    on_drift: OnDrift,
}

#[expect(clippy::expect_used, reason = "a constant that is a team name")]
fn default_team() -> Team {
    "main".parse().expect("main is a team name")
}

fn no_parameters(parameters: &Map<ParamName, Parameter>) -> bool {
    parameters.is_empty()
}

/// Why a document is no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a manifest has exactly one of resources and patch")]
pub struct NotOneBody;

impl TryFrom<ManifestText> for Manifest {
    type Error = NotOneBody;
    fn try_from(text: ManifestText) -> Result<Self, NotOneBody> {
        let ManifestText {
            manifest,
            version,
            team,
            title,
            parameters,
            resources,
            patch,
            hooks,
            health,
            on_drift,
        } = text;
        let body = match (resources, patch) {
            (Some(resources), None) => Body::Resources(resources),
            (None, Some(patch)) => Body::Patch(patch),
            _ => return Err(NotOneBody),
        };
        Ok(Self { name: manifest, version, team, title, parameters, body, hooks, health, on_drift })
    }
}

impl From<Manifest> for ManifestText {
    fn from(manifest: Manifest) -> Self {
        let Manifest { name, version, team, title, parameters, body, hooks, health, on_drift } = manifest;
        let (resources, patch) = match body {
            Body::Resources(resources) => (Some(resources), None),
            Body::Patch(patch) => (None, Some(patch)),
        };
        Self { manifest: name, version, team, title, parameters, resources, patch, hooks, health, on_drift }
    }
}

impl Manifest {
    /// `name@version`, such as `web-base@1.2.0`.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// The resources; empty for a patch.
    pub fn resources(&self) -> &[Resource] {
        match &self.body {
            Body::Resources(resources) => resources,
            Body::Patch(_) => &[],
        }
    }

    /// Every class that an action of this manifest can have; a reboot is the change's matter.
    pub fn classes(&self) -> BTreeSet<ActionClass> {
        let mut classes: BTreeSet<ActionClass> = match &self.body {
            Body::Resources(resources) => resources.iter().flat_map(Resource::classes).collect(),
            Body::Patch(patch) if patch.restart.services == RestartServices::Never => {
                [ActionClass::Package].into()
            }
            Body::Patch(_) => [ActionClass::Package, ActionClass::Service].into(),
        };
        classes.extend(self.health.iter().filter_map(HealthCheck::class));
        classes.extend((!self.hooks.is_empty()).then_some(ActionClass::Command));
        classes
    }

    /// The blobs of the repository that this manifest needs.
    pub fn artifacts(&self) -> impl Iterator<Item = Artifact> + '_ {
        let scripts = self.hooks.all().filter_map(|hook| hook.script);
        self.resources().iter().flat_map(Resource::artifacts).chain(scripts)
    }

    /// Whether it has contents that nobody but the hosts may see.
    pub fn has_secrets(&self) -> bool {
        let hidden = |resource: &Resource| match resource {
            Resource::File(File { want: FileWant::Present { source, sensitive, .. }, .. }) => {
                *sensitive || matches!(source, FileSource::Secret(_))
            }
            _ => false,
        };
        let secret = |parameter: &Parameter| parameter.value_type == ParameterType::Secret;
        self.parameters.values().any(secret) || self.resources().iter().any(hidden)
    }

    pub fn patch(&self) -> Option<&Patch> {
        match &self.body {
            Body::Resources(_) => None,
            Body::Patch(patch) => Some(patch),
        }
    }

    /// Reads the compiled form and validates it: an agent trusts no author's tools.
    ///
    /// # Errors
    /// Not strict JSON of this shape within `MANIFEST_BYTES`, or all problems that validation finds.
    pub fn from_json(bytes: impl AsRef<[u8]>) -> Result<Self, BadManifest> {
        let manifest: Self = strict::from_json("the manifest", bytes.as_ref(), limits::MANIFEST_BYTES)?;
        // Whoever gives the text away makes room for what validation keeps in mind.
        drop(bytes);
        let problems = validate(&manifest);
        if problems.is_empty() { Ok(manifest) } else { Err(BadManifest::Problems(problems)) }
    }

    /// The compiled form: the bytes that are signed. Equal manifests give equal bytes.
    pub fn to_json(&self) -> Vec<u8> {
        strict::to_json(self)
    }
}

/// Why a compiled manifest is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadManifest {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the manifest is not valid: {}", list(.0))]
    Problems(Vec<Problem>),
}

/// The first problems in one line.
fn list(problems: &[Problem]) -> String {
    const SHOWN: usize = 5;
    let mut text: Vec<String> = problems.iter().take(SHOWN).map(ToString::to_string).collect();
    if problems.len() > SHOWN {
        text.push(format!("and {} more", problems.len() - SHOWN));
    }
    text.join(" | ")
}

/// One thing that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where, such as `resources[3].file.mode`; empty for the whole document.
    pub place: String,
    /// Line of the YAML text from 1, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    pub message: String,
    pub remedy: String,
}

impl Problem {
    pub(crate) fn new(
        place: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { place: place.into(), line: None, message: message.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        write!(f, "{}; {}", self.message, self.remedy)
    }
}

#[cfg(test)]
mod tests;
