//! Key figures of change enablement, each with what it is made of.

use crate::time::Interval;
use serde::{Deserialize, Serialize};

/// All key figures of a period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Kpis {
    /// The edition of the definitions: figures of different editions are not comparable.
    pub definitions: u32,
    pub period: Interval,
    pub kpis: Vec<Kpi>,
}

/// One key figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Kpi {
    /// Such as `change_success`.
    pub id: String,
    pub title: String,
    /// What is counted, in a sentence.
    pub definition: String,
    pub figure: Figure,
    /// What was left out, and how much of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<Excluded>,
}

/// How large something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Figure {
    /// So many of so many; without a share where there is nothing to divide by.
    Share {
        part: u32,
        of: u32,
    },
    Count {
        count: i64,
    },
    /// Seconds: the middle one, and what nine of ten stay within; absent when nothing was measured.
    Time {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        median_s: Option<i64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        p90_s: Option<i64>,
        of: u32,
    },
}

/// What does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Excluded {
    pub what: String,
    pub count: u32,
}
