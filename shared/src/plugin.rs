//! What a monitoring plugin says: its first line, further lines, and performance data.
//!
//! Source: Monitoring Plugins Development Guidelines, "Plugin Output for Nagios" (`TEXT | PERFDATA`, then long text and
//! more performance data) and "Performance data" (`'label'=value[UOM];[warn];[crit];[min];[max]`). Numbers stay the
//! decimal texts that the plugin wrote: what is signed has no floats.

use crate::limits;
use crate::strict;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Why a text is no part of performance data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {kind}")]
pub struct NotPerformance {
    kind: &'static str,
    text: String,
}

macro_rules! text_of_plugins {
    ($(#[doc = $doc:literal])* $type:ident, $kind:literal, $schema:tt, $valid:expr) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $type(String);

        impl $type {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $type {
            type Err = NotPerformance;
            fn from_str(text: &str) -> Result<Self, NotPerformance> {
                let valid: fn(&str) -> bool = $valid;
                match valid(text) {
                    true => Ok(Self(text.to_owned())),
                    false => Err(NotPerformance { kind: $kind, text: strict::shorten(text) }),
                }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        strict::text_serde!($type);
        strict::text_schema!($type, concat!($($doc),*), $schema);
    };
}

text_of_plugins!(
    /// What a number is of: any characters but `=` and control characters.
    Label, "label of a number", { "minLength": 1, "maxLength": 128 },
    |t| (1..=limits::METRIC_LABEL_BYTES).contains(&t.len()) && !t.chars().any(|c| c == '=' || c.is_control())
);
text_of_plugins!(
    /// A decimal number such as `-0.5` or `1e3`.
    Decimal, "decimal number", { "maxLength": 40 },
    |t| t.len() <= limits::METRIC_NUMBER_BYTES && number(t) == Some(t.len())
);
text_of_plugins!(
    /// A threshold range such as `10`, `10:`, `~:10`, `10:20` or `@10:20`.
    Range, "threshold range", { "maxLength": 82 },
    is_range
);
text_of_plugins!(
    /// A unit of measurement, such as `s`, `%`, `B`, `MB` or `c`.
    Unit, "unit of measurement", { "minLength": 1, "maxLength": 16 },
    |t| (1..=16).contains(&t.len())
        && !t.chars().any(|c| c.is_ascii_digit() || c.is_control() || c.is_whitespace() || ";'\"=-+.".contains(c))
);

/// Bytes of the number that the text begins with; none when it begins with something else.
fn number(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        bytes.get(from..).map_or(0, |rest| rest.iter().take_while(|b| b.is_ascii_digit()).count())
    };
    let sign = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let whole = digits(sign);
    let mut end = sign + whole;
    let mut part = 0;
    if bytes.get(end) == Some(&b'.') {
        part = digits(end + 1);
        end += 1 + part;
    }
    if whole + part == 0 {
        return None;
    }
    // Some plugins write small numbers like 1e-05; a unit may begin with the same letter.
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        let power = digits(end + 1 + sign);
        end += if power > 0 { 1 + sign + power } else { 0 };
    }
    Some(end)
}

fn is_range(text: &str) -> bool {
    let decimal = |text: &str| text.parse::<Decimal>().is_ok();
    let range = text.strip_prefix('@').unwrap_or(text);
    match range.split_once(':') {
        None => decimal(range),
        Some((from, to)) => {
            (from == "~" || from.is_empty() || decimal(from))
                && (to.is_empty() || decimal(to))
                && range != ":"
        }
    }
}

/// One number with what it is judged by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Metric {
    pub label: Label,
    /// Absent when the plugin could not tell (`U`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Decimal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Outside of it the plugin warns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn: Option<Range>,
    /// Outside of it the plugin calls it critical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crit: Option<Range>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Decimal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Decimal>,
}

impl Metric {
    /// Value and unit as plugins write them; `U` where there is no value.
    pub fn amount(&self) -> String {
        let value = self.value.as_ref().map_or("U", Decimal::as_str);
        format!("{value}{}", self.unit.as_ref().map_or("", Unit::as_str))
    }
}

impl fmt::Display for Metric {
    /// As plugins write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = self.label.0.contains([' ', '\'']);
        let label = self.label.0.replace('\'', "''");
        if quoted {
            write!(f, "'{label}'=")?
        } else {
            write!(f, "{label}=")?
        }
        f.write_str(&self.amount())?;
        let text = |of: Option<&str>| of.unwrap_or_default().to_owned();
        let limits = [
            text(self.warn.as_ref().map(Range::as_str)),
            text(self.crit.as_ref().map(Range::as_str)),
            text(self.min.as_ref().map(Decimal::as_str)),
            text(self.max.as_ref().map(Decimal::as_str)),
        ];
        let told = limits.iter().rposition(|limit| !limit.is_empty()).map_or(0, |last| last + 1);
        limits[..told].iter().try_for_each(|limit| write!(f, ";{limit}"))
    }
}

/// Everything that one run of a plugin said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The first line without performance data.
    pub text: String,
    /// Further lines, separated by line breaks.
    pub long: String,
    pub metrics: Vec<Metric>,
    /// Why some performance data could not be read; empty when all could.
    pub unread: String,
}

/// Takes apart what a plugin wrote to standard output. Never fails: what is of no known form is left out and told.
pub fn read(output: &str) -> Said {
    let mut lines = output.lines();
    let (text, first) = split(lines.next().unwrap_or_default());
    let mut said = Said { text: clean(text, limits::PLUGIN_TEXT_CHARS), ..Said::default() };
    let mut performance = first.map(str::to_owned).unwrap_or_default();
    let mut long: Vec<&str> = Vec::new();
    for line in lines.by_ref() {
        let (text, data) = split(line);
        long.push(text);
        if let Some(data) = data {
            performance.push(' ');
            performance.push_str(data);
            break;
        }
    }
    // Behind the second bar everything is performance data.
    for line in lines {
        performance.push(' ');
        performance.push_str(line);
    }
    let long: Vec<String> = long.into_iter().map(|line| clean(line, limits::PLUGIN_TEXT_CHARS)).collect();
    said.long = long.join("\n").trim_end().chars().take(limits::PLUGIN_LONG_CHARS).collect();
    measure(&performance, &mut said);
    said
}

fn split(line: &str) -> (&str, Option<&str>) {
    line.split_once('|').map_or((line, None), |(text, data)| (text, Some(data)))
}

fn clean(text: &str, chars: usize) -> String {
    text.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).take(chars).collect()
}

fn measure(performance: &str, said: &mut Said) {
    let mut rest = performance.trim_start();
    while !rest.is_empty() {
        let (label, after) = label(rest);
        let end = after.find(char::is_whitespace).unwrap_or(after.len());
        let (item, next) = after.split_at(end);
        let read = label.ok_or_else(|| strict::shorten(rest)).and_then(|label| {
            let known = said.metrics.iter().any(|metric| metric.label.0 == label);
            match metric(&label, item) {
                Ok(_) if known => Err(format!("{:?} is there twice", strict::shorten(&label))),
                Ok(_) if said.metrics.len() >= limits::METRICS => {
                    Err(format!("there are more than {}", limits::METRICS))
                }
                Ok(metric) => Ok(metric),
                Err(error) => Err(error.to_string()),
            }
        });
        match read {
            Ok(metric) => said.metrics.push(metric),
            Err(why) if said.unread.is_empty() => said.unread = why,
            Err(_) => {}
        }
        rest = next.trim_start();
    }
}

/// The label that the text begins with, and what comes behind its `=`; a quote in a quoted label is written twice.
fn label(text: &str) -> (Option<String>, &str) {
    let Some(quoted) = text.strip_prefix('\'') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        return match text[..end].split_once('=') {
            Some((label, _)) => (Some(label.to_owned()), &text[label.len() + 1..]),
            None => (None, text),
        };
    };
    let (mut label, mut chars) = (String::new(), quoted.char_indices().peekable());
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' if chars.next_if(|(_, next)| *next == '\'').is_some() => label.push('\''),
            '\'' => {
                let behind = &quoted[at + 1..];
                return behind.strip_prefix('=').map_or((None, behind), |value| (Some(label), value));
            }
            _ => label.push(c),
        }
    }
    (None, "")
}

fn metric(label: &str, item: &str) -> Result<Metric, NotPerformance> {
    let wrong = || NotPerformance { kind: "number with thresholds", text: strict::shorten(item) };
    let parts: Vec<&str> = item.split(';').collect();
    let &[value, ref limits @ ..] = parts.as_slice() else { return Err(wrong()) };
    if limits.len() > 4 {
        return Err(wrong());
    }
    let (number, unit) = match value.strip_prefix('U') {
        Some(unit) => (None, unit),
        None => {
            let end = number(value).ok_or_else(wrong)?;
            (Some(value[..end].parse()?), &value[end..])
        }
    };
    fn optional<T: FromStr>(text: Option<&&str>) -> Result<Option<T>, T::Err> {
        text.filter(|text| !text.is_empty()).map(|text| text.parse()).transpose()
    }
    Ok(Metric {
        label: label.parse()?,
        value: number,
        unit: optional(Some(&unit))?,
        warn: optional(limits.first())?,
        crit: optional(limits.get(1))?,
        min: optional(limits.get(2))?,
        max: optional(limits.get(3))?,
    })
}

#[cfg(test)]
mod tests;
