//! Hooks: programs at fixed points of a run that changes something. They prepare and follow up; they are no
//! state, and only their own `undo` takes back what they did.

use super::resource::{Artifact, Command, Needed, no_env};
use super::values::{Argv, CommandName, EnvName};
use crate::strict::Map;
use serde::{Deserialize, Serialize};

/// The hooks of a manifest, each list in the order in which it runs. A run that changes nothing runs none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Hooks {
    /// Before the first step; one that fails ends the run with nothing changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Hook>,
    /// After the last step, before the health checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Hook>,
    /// Right before the machine is rebooted, if it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before_reboot: Vec<Hook>,
}

/// A program that is run as root, directly and never through a shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// Its name within the hooks of the manifest.
    pub name: CommandName,
    /// Absolute path of the program, then its arguments; the argument `{script}` stands for the path of the script.
    pub run: Argv,
    /// A script of the repository that the program runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Artifact>,
    /// Seconds after which it is ended and counts as failed; 1 to 86400.
    #[serde(default = "Command::default_timeout_s")]
    #[cfg_attr(feature = "authoring", schemars(range(min = 1, max = 86_400)))]
    pub timeout_s: u32,
    /// Program and arguments that take it back when the run fails; `{script}` as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Argv>,
    /// Environment variables; nothing else is inherited but PATH.
    #[serde(default, skip_serializing_if = "no_env")]
    #[cfg_attr(feature = "authoring", schemars(
        with = "std::collections::BTreeMap<EnvName, String>",
        extend("propertyNames" = { "format": EnvName::FORMAT })
    ))]
    pub env: Map<EnvName, String>,
}

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookPoint {
    Before,
    After,
    BeforeReboot,
}

impl HookPoint {
    pub const ALL: [Self; 3] = [Self::Before, Self::After, Self::BeforeReboot];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::BeforeReboot => "before_reboot",
        }
    }
}

impl Hooks {
    pub fn is_empty(&self) -> bool {
        HookPoint::ALL.iter().all(|point| self.at(*point).is_empty())
    }

    pub fn at(&self, point: HookPoint) -> &[Hook] {
        match point {
            HookPoint::Before => &self.before,
            HookPoint::After => &self.after,
            HookPoint::BeforeReboot => &self.before_reboot,
        }
    }

    pub fn all(&self) -> impl Iterator<Item = &Hook> {
        self.before.iter().chain(&self.after).chain(&self.before_reboot)
    }
}

impl Hook {
    /// The argument that stands for the script.
    pub const SCRIPT: &str = "{script}";

    /// Whether script and `{script}` are both there, or neither.
    pub(super) fn names_its_script(&self) -> bool {
        let named = |argv: &Argv| argv.arguments().iter().any(|word| word == Self::SCRIPT);
        let undo_fits = self.script.is_some() || !self.undo.as_ref().is_some_and(named);
        undo_fits && self.script.is_some() == named(&self.run)
    }

    /// The same as a command that always runs.
    pub fn command(&self) -> Command {
        Command {
            name: self.name.clone(),
            run: self.run.clone(),
            needed: Needed::Always,
            timeout_s: self.timeout_s,
            undo: self.undo.clone(),
            env: self.env.clone(),
            requires: Vec::new(),
            on_change: Vec::new(),
            satisfies: Vec::new(),
        }
    }
}
