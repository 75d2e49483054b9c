//! What follows new software: restarts of services that still use replaced files, and of the machine.

use super::values::UnitGlob;
use serde::{Deserialize, Serialize};

/// Whether the machine is rebooted, within the window and as the last step. `if_needed`: a newer kernel than the
/// running one is installed, or a package asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reboot {
    #[default]
    Never,
    IfNeeded,
    Always,
}

impl Reboot {
    /// The one that does more.
    pub fn stronger(self, other: Self) -> Self {
        match (self, other) {
            (Self::Always, _) | (_, Self::Always) => Self::Always,
            (Self::IfNeeded, _) | (_, Self::IfNeeded) => Self::IfNeeded,
            (Self::Never, Self::Never) => Self::Never,
        }
    }
}

/// Which services are restarted because they still use files that packages have replaced. Some never are, whatever
/// is said here: the message bus, logins, consoles, displays, networks, virtual machines and the agent itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// All of them, none, or those named.
    #[serde(default)]
    pub services: RestartServices,
    /// Patterns of unit names (`*`, `?`); required for and only allowed with `services: named`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<UnitGlob>,
    /// Patterns of unit names that are left running.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<UnitGlob>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RestartServices {
    #[default]
    Auto,
    Never,
    Named,
}

impl Restart {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether this unit may be restarted, as far as the manifest says.
    pub fn selects(&self, unit: &str) -> bool {
        let wanted = match self.services {
            RestartServices::Auto => true,
            RestartServices::Never => false,
            RestartServices::Named => self.names.iter().any(|glob| glob.matches(unit)),
        };
        wanted && !self.except.iter().any(|glob| glob.matches(unit))
    }
}
