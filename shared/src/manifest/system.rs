//! Kinds with one place on a host: symbolic links, kernel parameters, the host's name and its time zone.

use super::names::SettingValue;
use super::names::{HostName, LinkTarget, SysctlKey, ZoneName};
use super::resource::resource;
use super::rule::RuleId;
use super::text::{Contradiction, Presence};
use super::values::AbsolutePath;
use crate::ids::ResourceId;
use serde::{Deserialize, Serialize};

/// A symbolic link, or its absence. A regular file at its path is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "SymlinkEntry", into = "SymlinkEntry")]
pub struct Symlink {
    pub path: AbsolutePath,
    /// `None`: no link is there.
    pub target: Option<LinkTarget>,
    pub requires: Vec<ResourceId>,
    pub on_change: Vec<ResourceId>,
    pub satisfies: Vec<RuleId>,
}

resource! {
    /// A symbolic link, or its absence; `target` is required when present. A regular file at its path is replaced.
    #[schemars = "Symlink", extend("oneOf" = [
        { "required": ["target"] },
        { "required": ["state"], "properties": { "state": { "const": "absent" } } }
    ])]
    struct SymlinkEntry {
        /// Absolute path of the link itself.
        path: AbsolutePath,
        /// `absent` removes the link; anything else at its path is not touched.
        #[serde(default, skip_serializing_if = "Presence::is_present")]
        state: Presence,
        /// Where it points: absolute, or relative to the directory of the link.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<LinkTarget>,
    }
}

/// A kernel parameter: the running kernel and a file below `/etc/sysctl.d` agree on its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "SysctlEntry", into = "SysctlEntry")]
pub struct Sysctl {
    pub key: SysctlKey,
    /// `None`: the file does not set it; the running kernel stays as it is.
    pub value: Option<SettingValue>,
    pub requires: Vec<ResourceId>,
    pub on_change: Vec<ResourceId>,
    pub satisfies: Vec<RuleId>,
}

impl Sysctl {
    /// The file that holds all kernel parameters of manifests; late in the order of sysctl.d(5).
    pub const PATH: &'static str = "/etc/sysctl.d/99-zz-assent.conf";
}

resource! {
    /// A kernel parameter, in the running kernel and in a file below `/etc/sysctl.d`; `value` is required when
    /// present.
    #[schemars = "Sysctl", extend("oneOf" = [
        { "required": ["value"] },
        { "required": ["state"], "properties": { "state": { "const": "absent" } } }
    ])]
    struct SysctlEntry {
        /// The parameter, such as `net.ipv4.ip_forward`.
        key: SysctlKey,
        /// `absent` removes it from the file; the running kernel keeps its value until the next boot.
        #[serde(default, skip_serializing_if = "Presence::is_present")]
        state: Presence,
        /// The value in quotes, as sysctl prints it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<SettingValue>,
    }
}

resource! {
    /// The host's own name: `/etc/hostname` and the running kernel agree on it.
    #[schemars = "Hostname"]
    #[derive(PartialEq, Eq)]
    struct Hostname {
        /// The name, with or without domain.
        pub name: HostName,
    }
}

resource! {
    /// The host's time zone: `/etc/localtime`, and `/etc/timezone` where the host has that file.
    #[schemars = "Timezone"]
    #[derive(PartialEq, Eq)]
    struct Timezone {
        /// The zone, such as `Europe/Berlin`.
        pub zone: ZoneName,
    }
}

impl Hostname {
    pub const PATH: &'static str = "/etc/hostname";
}

impl Timezone {
    pub const PATH: &'static str = "/etc/localtime";
}

impl TryFrom<SymlinkEntry> for Symlink {
    type Error = Contradiction;
    fn try_from(text: SymlinkEntry) -> Result<Self, Contradiction> {
        let SymlinkEntry { path, state, target, requires, on_change, satisfies } = text;
        match (state, &target) {
            (Presence::Present, Some(_)) | (Presence::Absent, None) => {
                Ok(Self { path, target, requires, on_change, satisfies })
            }
            (Presence::Present, None) => Err(Contradiction::Keys(
                format!("symlink {path}"),
                "has no target; a target, or state: absent",
            )),
            (Presence::Absent, Some(_)) => Err(Contradiction::Keys(
                format!("symlink {path}"),
                "is absent, so target says nothing; only path with state: absent",
            )),
        }
    }
}

impl From<Symlink> for SymlinkEntry {
    fn from(own: Symlink) -> Self {
        let Symlink { path, target, requires, on_change, satisfies } = own;
        Self { path, state: Presence::of(target.is_some()), target, requires, on_change, satisfies }
    }
}

impl TryFrom<SysctlEntry> for Sysctl {
    type Error = Contradiction;
    fn try_from(text: SysctlEntry) -> Result<Self, Contradiction> {
        let SysctlEntry { key, state, value, requires, on_change, satisfies } = text;
        let refuse = |why| Err(Contradiction::Keys(format!("sysctl {key}"), why));
        match (state, &value) {
            (Presence::Present, Some(value)) if value.as_str().is_empty() => {
                refuse("has an empty value; the kernel takes none, use state: absent")
            }
            (Presence::Present, Some(_)) | (Presence::Absent, None) => {
                Ok(Self { key, value, requires, on_change, satisfies })
            }
            (Presence::Present, None) => refuse("has no value; a value, or state: absent"),
            (Presence::Absent, Some(_)) => {
                refuse("is absent, so value says nothing; only key with state: absent")
            }
        }
    }
}

impl From<Sysctl> for SysctlEntry {
    fn from(own: Sysctl) -> Self {
        let Sysctl { key, value, requires, on_change, satisfies } = own;
        Self { key, state: Presence::of(value.is_some()), value, requires, on_change, satisfies }
    }
}
