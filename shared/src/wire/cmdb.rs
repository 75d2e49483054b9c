//! What people declare in the CMDB, between server and command line. What hosts report of themselves is facts, and never
//! overwrites this, nor the other way round.

use crate::ids::PersonId;
use crate::strict::Map;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// What a configuration item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum CiClass {
    /// What users are promised.
    Service,
    /// A machine with an agent; it becomes one by joining.
    Host,
    Software,
    /// A machine without an agent.
    Device,
    /// Data that is worth protecting.
    Data,
}

impl CiClass {
    pub const ALL: [Self; 5] = [Self::Service, Self::Host, Self::Software, Self::Device, Self::Data];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Host => "host",
            Self::Software => "software",
            Self::Device => "device",
            Self::Data => "data",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == text)
    }
}

/// How two configuration items belong together; read `from depends on to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum RelationKind {
    /// Without the other it does not work as promised. May go in circles.
    DependsOn,
    /// The other carries it. Never in circles.
    RunsOn,
    /// It is a piece of the other. Never in circles.
    PartOf,
}

impl RelationKind {
    pub const ALL: [Self; 3] = [Self::DependsOn, Self::RunsOn, Self::PartOf];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::DependsOn => "depends_on",
            Self::RunsOn => "runs_on",
            Self::PartOf => "part_of",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    pub fn is_acyclic(self) -> bool {
        self != Self::DependsOn
    }
}

/// A configuration item by class and name, `service:shop`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CiRef {
    pub class: CiClass,
    pub name: String,
}

/// Why a text does not name a configuration item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not CLASS:NAME with the class service, host, software, device or data and a name of 1 to 120 characters"
)]
pub struct NotACiRef(String);

impl CiRef {
    /// Bytes of a name.
    pub const LONGEST: usize = 120;
}

impl fmt::Display for CiRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.class.as_str(), self.name)
    }
}

impl FromStr for CiRef {
    type Err = NotACiRef;
    fn from_str(text: &str) -> Result<Self, NotACiRef> {
        let bad = || NotACiRef(crate::strict::shorten(text));
        let (class, name) = text.split_once(':').ok_or_else(bad)?;
        let fits = (1..=Self::LONGEST).contains(&name.len())
            && name.trim() == name
            && !name.chars().any(char::is_control);
        match CiClass::parse(class).filter(|_| fits) {
            Some(class) => Ok(Self { class, name: name.to_owned() }),
            None => Err(bad()),
        }
    }
}

impl Serialize for CiRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CiRef {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for CiRef {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CiRef".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "`CLASS:NAME`, such as `service:shop`.", "pattern": "^(service|host|software|device|data):.{1,120}$" })
    }
}

/// Four steps, for criticality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Criticality {
    Low,
    Medium,
    High,
    Critical,
}

impl Criticality {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Protection need (BSI Standard 200-2, 8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Need {
    Normal,
    High,
    VeryHigh,
}

impl Need {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::High => "high",
            Self::VeryHigh => "very_high",
        }
    }
}

/// Where an item is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Lifecycle {
    Planned,
    #[default]
    InUse,
    Retired,
}

impl Lifecycle {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::InUse => "in_use",
            Self::Retired => "retired",
        }
    }
}

/// What people say of a configuration item.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Declared {
    /// The team that answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub criticality: Option<Criticality>,
    /// Such as `production`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidentiality: Option<Need>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integrity: Option<Need>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability: Option<Need>,
    /// Which rules it is under, such as `nis2`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub scopes: BTreeSet<String>,
    pub lifecycle: Lifecycle,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Of everything but hosts: those have labels that choose targets, and are changed on their own.
    pub labels: Map<String, String>,
}

/// One item of a declaration: all that is said of it, as it is meant to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Item {
    pub item: CiRef,
    #[serde(default)]
    pub declared: Declared,
    /// All relations that begin at it; absent: they stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relations: Option<BTreeSet<Relation>>,
}

/// A relation that begins at an item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Relation {
    pub kind: RelationKind,
    pub to: CiRef,
}

/// Brings items to what is said of them, all or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Declare {
    /// Why; kept in the history of each item that changes.
    pub reason: String,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
    /// The number of the newest record that was seen: if one of these items was changed since, nothing is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    pub items: Vec<Item>,
}

/// Brings one item to what is said of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeclareItem {
    /// Why; kept in its history.
    pub reason: String,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
    #[serde(default)]
    pub declared: Declared,
    /// All relations that begin at it; absent: they stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relations: Option<BTreeSet<Relation>>,
}

/// What a declaration does to one item. Items that stay as they are have no line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ItemDiff {
    pub item: CiRef,
    /// It was not there before.
    pub new: bool,
    /// Such as `owner: web -> shop`, `+ runs_on host:web1`.
    pub lines: Vec<String>,
}

/// The outcome of a declaration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeclareDone {
    pub changed: Vec<ItemDiff>,
    /// How many were like that already.
    pub same: u32,
}

/// All that is declared, a page at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeclaredPage {
    pub items: Vec<Item>,
    /// The number of the newest record, for `after` of a declaration.
    pub newest: u64,
    /// Where the next page begins, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// What is declared of one item, with when and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeclaredFile {
    pub declared: Declared,
    pub at: Timestamp,
    pub by: PersonId,
    pub reason: String,
}

/// A relation of one item, from its side.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RelationLine {
    pub kind: RelationKind,
    /// It begins at the other item.
    pub inward: bool,
    pub other: CiRef,
}

/// One item that another one affects or needs, with the way there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ImpactLine {
    pub item: CiRef,
    /// Steps from the beginning.
    pub distance: u32,
    /// The item one step nearer, and how they belong together.
    pub via: CiRef,
    pub kind: RelationKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criticality: Option<Criticality>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// What an outage of one item reaches, and what it needs itself. For people to look at: nothing is decided by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Impact {
    pub of: CiRef,
    /// The nearest first.
    pub affects: Vec<ImpactLine>,
    pub needs: Vec<ImpactLine>,
    /// There is more than what is shown.
    pub cut: bool,
}

/// A search that is kept under a name, for `saved:NAME` in others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SavedSearch {
    pub name: String,
    pub query: String,
    /// What it is for; may be empty.
    pub about: String,
    /// Who saved it as it is now.
    pub by: PersonId,
    pub at: Timestamp,
}

/// Saves a search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PutSearch {
    pub query: String,
    #[serde(default)]
    pub about: String,
}

/// What was known of an entry at a time by what its host reported, and its labels; words in small letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CiThen {
    pub at: Timestamp,
    pub packages: Vec<CiPackage>,
    /// Units of systemd, without `.service`.
    pub services: Vec<String>,
    pub labels: Map<String, String>,
}

/// A package that was installed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CiPackage {
    pub name: String,
    pub version: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_named_by_class_and_name() {
        for good in ["service:shop", "host:web1.example", "data:Kundendaten 2026", "device:sw:1"] {
            assert_eq!(good.parse::<CiRef>().unwrap().to_string(), good);
        }
        let long = format!("service:{}", "a".repeat(121));
        for bad in ["shop", "servers:shop", "service:", "service: shop", "service:a\nb", ":shop", &long] {
            assert!(bad.parse::<CiRef>().is_err(), "{bad}");
        }
    }
}
