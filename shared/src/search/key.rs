//! What can be looked for.

use super::folded;
use crate::wire::{CiClass, Criticality, Disposition, Lifecycle, Need};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// A text without a key: a part of the name or the description.
    Text,
    Name,
    Class,
    /// What policies know a host by.
    HostClass,
    Os,
    Kernel,
    Arch,
    Agent,
    Package,
    Source,
    /// A unit of systemd.
    Service,
    Label,
    /// A fact from the host's own files.
    Local,
    Owner,
    Env,
    Criticality,
    /// The highest of the three needs.
    Protection,
    Confidentiality,
    Integrity,
    Availability,
    Scope,
    Lifecycle,
    Manifest,
    Change,
    Finding,
    /// What the entry of this name stands on: it, and all that it runs on, depends on or consists of.
    Serves,
    /// What an outage of the entry of this name reaches, and it.
    Relies,
    Saved,
}

/// What belongs to the words of a key, and how it compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Details {
    None,
    /// A value, or the name, as of a label.
    Label,
    /// Versions of packages, in the order of the host's own package manager.
    Versions,
    /// A system and its version.
    System,
    /// The word itself is a release.
    Releases,
    /// Words in their own order, the lowest first.
    Steps(&'static [&'static str]),
    Semver,
}

const CRITICALITY: &[&str] = &[
    Criticality::Low.as_str(),
    Criticality::Medium.as_str(),
    Criticality::High.as_str(),
    Criticality::Critical.as_str(),
];
const NEED: &[&str] = &[Need::Normal.as_str(), Need::High.as_str(), Need::VeryHigh.as_str()];
const LIFECYCLE: &[&str] =
    &[Lifecycle::Planned.as_str(), Lifecycle::InUse.as_str(), Lifecycle::Retired.as_str()];

impl Key {
    pub const ALL: [Self; 27] = [
        Self::Name,
        Self::Class,
        Self::HostClass,
        Self::Os,
        Self::Kernel,
        Self::Arch,
        Self::Agent,
        Self::Package,
        Self::Source,
        Self::Service,
        Self::Label,
        Self::Local,
        Self::Owner,
        Self::Env,
        Self::Criticality,
        Self::Protection,
        Self::Confidentiality,
        Self::Integrity,
        Self::Availability,
        Self::Scope,
        Self::Lifecycle,
        Self::Manifest,
        Self::Change,
        Self::Finding,
        Self::Serves,
        Self::Relies,
        Self::Saved,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "",
            Self::Name => "name",
            Self::Class => "class",
            Self::HostClass => "host-class",
            Self::Os => "os",
            Self::Kernel => "kernel",
            Self::Arch => "arch",
            Self::Agent => "agent",
            Self::Package => "package",
            Self::Source => "source",
            Self::Service => "service",
            Self::Label => "label",
            Self::Local => "local",
            Self::Owner => "owner",
            Self::Env => "env",
            Self::Criticality => "criticality",
            Self::Protection => "protection",
            Self::Confidentiality => "confidentiality",
            Self::Integrity => "integrity",
            Self::Availability => "availability",
            Self::Scope => "scope",
            Self::Lifecycle => "lifecycle",
            Self::Manifest => "manifest",
            Self::Change => "change",
            Self::Finding => "finding",
            Self::Serves => "serves",
            Self::Relies => "relies",
            Self::Saved => "saved",
        }
    }

    /// Also by words that other lists and tables have for the same.
    pub fn parse(text: &str) -> Option<Self> {
        match folded(text).as_str() {
            "kind" => Some(Self::Class),
            "environment" => Some(Self::Env),
            "hostname" => Some(Self::Name),
            other => Self::ALL.into_iter().find(|key| key.as_str() == other),
        }
    }

    pub fn details(self) -> Details {
        match self {
            Self::Label | Self::Local => Details::Label,
            Self::Package | Self::Source => Details::Versions,
            Self::Os => Details::System,
            Self::Kernel => Details::Releases,
            Self::Criticality => Details::Steps(CRITICALITY),
            Self::Protection | Self::Confidentiality | Self::Integrity | Self::Availability => {
                Details::Steps(NEED)
            }
            Self::Lifecycle => Details::Steps(LIFECYCLE),
            Self::Agent | Self::Manifest => Details::Semver,
            Self::Text
            | Self::Name
            | Self::Class
            | Self::HostClass
            | Self::Arch
            | Self::Service
            | Self::Owner
            | Self::Env
            | Self::Scope
            | Self::Change
            | Self::Finding
            | Self::Serves
            | Self::Relies
            | Self::Saved => Details::None,
        }
    }

    /// All words that it can have, where those are few.
    pub fn words(self) -> Option<Vec<&'static str>> {
        match self {
            Self::Class => Some(CiClass::ALL.iter().map(|class| class.as_str()).collect()),
            Self::Finding => Some(Disposition::ALL.iter().map(|said| said.as_str()).collect()),
            other => match other.details() {
                Details::Steps(steps) => Some(steps.to_vec()),
                _ => None,
            },
        }
    }
}
