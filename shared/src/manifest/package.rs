//! Packages: single ones, and selections of pending updates. Plans pin exact versions of both.

use super::parameters::ParamValue;
use super::resource::resource;
use super::restart::{Reboot, Restart};
use super::rule::RuleId;
use super::text::Contradiction;
use super::values::{NameGlob, NotAValue, PackageName, PackageVersion, ParamName, text_value};
use crate::ids::ResourceId;
use crate::strict::{self, Map};
use crate::version::{NotAVersion, Order};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A package in a version, or its absence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "PackageText", into = "PackageText")]
pub struct Package {
    pub name: PackageName,
    pub want: PackageWant,
    pub requires: Vec<ResourceId>,
    pub on_change: Vec<ResourceId>,
    pub satisfies: Vec<RuleId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackageWant {
    Absent,
    Present {
        version: WantedVersion,
        /// `None` leaves the hold mark as it is.
        hold: Option<bool>,
        conffiles: Conffiles,
    },
}

/// Which version a package has; hosts turn each of them into an exact one when they plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedVersion {
    Exact(PackageVersion),
    /// What is installed stays when it is within; otherwise the best offer within is taken.
    Range(PackageRange),
    /// The version that the host's sources prefer.
    Latest,
}

text_value!(
    /// Bounds of a version, such as `>= 2.4, < 3`, in the order of the host's package manager.
    PackageRange, "package-range", "a range of versions",
    "1 to 8 bounds separated by commas, each one of >= > <= < and a version, such as \">= 2.4, < 3\"",
    |t| t.split(',').count() <= 8 && t.split(',').all(|part| bound(part).is_some())
);

/// A comparison and the version that it compares with.
fn bound(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let operator = [">=", "<=", ">", "<"].into_iter().find(|operator| text.starts_with(operator))?;
    let version = text.strip_prefix(operator)?.trim_start();
    version.parse::<PackageVersion>().is_ok().then_some((operator, version))
}

impl PackageRange {
    fn canonical(text: &str) -> &str {
        text.trim()
    }

    /// Whether the version is within all bounds.
    ///
    /// # Errors
    /// It, or a bound, is no version of that order.
    pub fn contains(&self, version: &str, order: Order) -> Result<bool, NotAVersion> {
        for (operator, limit) in self.as_str().split(',').filter_map(bound) {
            let found = order.compare(version, limit)?;
            let holds = match operator {
                ">=" => found != Ordering::Less,
                "<=" => found != Ordering::Greater,
                ">" => found == Ordering::Greater,
                _ => found == Ordering::Less,
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Which configuration files win when a person and a new package version both have changed one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Conffiles {
    /// Those of the host; the package's are put beside them.
    #[default]
    Old,
    /// Those of the package; the host's are put beside them.
    New,
}

impl Conffiles {
    pub fn is_old(&self) -> bool {
        *self == Self::Old
    }
}

/// How a package is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum PackageState {
    #[default]
    Present,
    Latest,
    Absent,
}

impl PackageState {
    fn is_present(&self) -> bool {
        *self == Self::Present
    }
}

resource! {
    /// A package: `version`, `range`, `state: latest` or `state: absent`; exactly one of them.
    #[schemars = "Package", extend("oneOf" = [
        { "required": ["version"] },
        { "required": ["range"] },
        { "required": ["state"], "properties": { "state": { "const": "latest" } } },
        { "required": ["state"], "properties": { "state": { "const": "absent" } } }
    ])]
    struct PackageText {
        /// Name of the package, without version or architecture.
        name: PackageName,
        /// `latest` is what the host's sources prefer when it plans; `absent` removes the package.
        #[serde(default, skip_serializing_if = "PackageState::is_present")]
        state: PackageState,
        /// The exact version in quotes, as the package manager prints it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<PackageVersion>,
        /// Bounds in the package manager's own order, such as ">= 2.4, < 3"; an installed version within stays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        range: Option<PackageRange>,
        /// Whether upgrades by others are held back; not given: stays as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold: Option<bool>,
        /// Which configuration files win where people and the new version have changed one: `old` or `new`.
        #[serde(default, skip_serializing_if = "Conffiles::is_old")]
        conffiles: Conffiles,
    }
}

impl TryFrom<PackageText> for Package {
    type Error = Contradiction;
    fn try_from(text: PackageText) -> Result<Self, Contradiction> {
        let PackageText { name, state, version, range, hold, conffiles, requires, on_change, satisfies } =
            text;
        let refuse = |why| Err(Contradiction::Keys(format!("package {name}"), why));
        let version = match (state, version, range) {
            (PackageState::Present, Some(version), None) => WantedVersion::Exact(version),
            (PackageState::Present, None, Some(range)) => WantedVersion::Range(range),
            (PackageState::Latest, None, None) => WantedVersion::Latest,
            (PackageState::Absent, None, None) if hold.is_none() && conffiles.is_old() => {
                return Ok(Self { name, want: PackageWant::Absent, requires, on_change, satisfies });
            }
            (PackageState::Absent, ..) => {
                return refuse(
                    "is absent, so version, range, hold and conffiles say nothing; only name, requires and on_change with state: absent",
                );
            }
            (PackageState::Latest, ..) => {
                return refuse(
                    "is wanted as the latest, so version and range say nothing; only one of the three",
                );
            }
            (PackageState::Present, None, None) => {
                return refuse("has no version; an exact version, a range, state: latest or state: absent");
            }
            (PackageState::Present, Some(_), Some(_)) => {
                return refuse("has a version and a range; only one of the two");
            }
        };
        Ok(Self {
            name,
            want: PackageWant::Present { version, hold, conffiles },
            requires,
            on_change,
            satisfies,
        })
    }
}

impl From<Package> for PackageText {
    fn from(package: Package) -> Self {
        let Package { name, want, requires, on_change, satisfies } = package;
        let mut text = Self {
            name,
            state: PackageState::Absent,
            version: None,
            range: None,
            hold: None,
            conffiles: Conffiles::Old,
            requires,
            on_change,
            satisfies,
        };
        let PackageWant::Present { version, hold, conffiles } = want else { return text };
        text.state = PackageState::Present;
        match version {
            WantedVersion::Exact(version) => text.version = Some(version),
            WantedVersion::Range(range) => text.range = Some(range),
            WantedVersion::Latest => text.state = PackageState::Latest,
        }
        Self { hold, conffiles, ..text }
    }
}

/// Which pending package updates are installed; the plan pins the exact versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// All pending updates, those of security sources, or those named.
    pub select: Select,
    /// Package name patterns (`*`, `?`), or "{{params.NAME}}"; required for and only allowed with `select: named`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<NamePattern>,
    /// Package name patterns that are left out, or "{{params.NAME}}" for those of a group of hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<NamePattern>,
    /// Which configuration files win where people and the new version have changed one: `old` or `new`.
    #[serde(default, skip_serializing_if = "Conffiles::is_old")]
    pub conffiles: Conffiles,
    /// Whether the host is to be rebooted afterwards: what a change takes unless its author says otherwise.
    #[serde(default)]
    pub reboot: Reboot,
    /// Which services are restarted because they still use replaced files.
    #[serde(default, skip_serializing_if = "Restart::is_default")]
    pub restart: Restart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Select {
    All,
    Security,
    Named,
}

/// A pattern for package names, or the text parameter that holds such patterns, separated by blanks or commas.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum NamePattern {
    Glob(NameGlob),
    Param(ParamName),
}

impl NamePattern {
    pub const FORMAT: &'static str = "name-pattern";
}

/// Why a text is no [`NamePattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a package name pattern: letters, digits, '+._-', '*' and '?', or \"{{{{params.NAME}}}}\" alone"
)]
pub struct NotAPattern(String);

impl FromStr for NamePattern {
    type Err = NotAPattern;
    fn from_str(text: &str) -> Result<Self, NotAPattern> {
        let bad = || NotAPattern(strict::shorten(text));
        let Some(inner) = text.strip_prefix("{{") else {
            return text.parse().map(Self::Glob).map_err(|_| bad());
        };
        let inner = inner.strip_suffix("}}").map(str::trim).and_then(|inner| inner.strip_prefix("params."));
        inner.and_then(|name| name.parse().ok()).map(Self::Param).ok_or_else(bad)
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glob(glob) => write!(f, "{glob}"),
            Self::Param(name) => write!(f, "{{{{params.{name}}}}}"),
        }
    }
}

impl fmt::Debug for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

strict::text_serde!(NamePattern);

#[cfg(feature = "authoring")]
impl schemars::JsonSchema for NamePattern {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NamePattern".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": Self::FORMAT })
    }
}

/// The patterns of a patch for one group of hosts, with its parameters filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patterns {
    select: Select,
    names: Vec<NameGlob>,
    exclude: Vec<NameGlob>,
}

impl Patch {
    /// # Errors
    /// A parameter has no value, or one that is no list of patterns; the text names it.
    pub fn patterns(&self, params: &Map<String, ParamValue>) -> Result<Patterns, String> {
        let all = |patterns: &[NamePattern]| -> Result<Vec<NameGlob>, String> {
            let lists: Result<Vec<_>, _> = patterns.iter().map(|pattern| globs(pattern, params)).collect();
            Ok(lists?.concat())
        };
        Ok(Patterns { select: self.select, names: all(&self.names)?, exclude: all(&self.exclude)? })
    }
}

fn globs(pattern: &NamePattern, params: &Map<String, ParamValue>) -> Result<Vec<NameGlob>, String> {
    let name = match pattern {
        NamePattern::Glob(glob) => return Ok(vec![glob.clone()]),
        NamePattern::Param(name) => name,
    };
    let Some(ParamValue::Text(text)) = params.get(name.as_str()) else {
        return Err(format!("parameter {name} has no text with package name patterns"));
    };
    let parts = text.split([' ', ',']).filter(|part| !part.is_empty());
    parts.map(|part| part.parse().map_err(|e| format!("parameter {name}: {e}"))).collect()
}

impl Patterns {
    /// Whether an update of this package belongs to the selection; `security` says if its source is one.
    pub fn selects(&self, package: &str, security: bool) -> bool {
        let wanted = match self.select {
            Select::All => true,
            Select::Security => security,
            Select::Named => self.names.iter().any(|glob| glob.matches(package)),
        };
        wanted && !self.excludes(package)
    }

    /// Whether the package is left out by name.
    pub fn excludes(&self, package: &str) -> bool {
        self.exclude.iter().any(|glob| glob.matches(package))
    }
}
