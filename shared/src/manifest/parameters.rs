//! Parameters: the typed values by which one manifest serves several groups of hosts.

use super::Problem;
use super::values::ParamName;
use crate::limits;
use crate::secret::{Hidden, Secret};
use crate::strict::{Map, shorten};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ParamValue {
    Boolean(bool),
    Integer(i64),
    Text(String),
    /// Encrypted for hosts; written as `{secret: …}`.
    Secret(Secret),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ParameterType {
    String,
    Integer,
    Boolean,
    // Encrypted; only templates of files may use it.
    Secret,
}

/// The declaration of one parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Type of the value.
    #[serde(rename = "type")]
    pub value_type: ParameterType,
    /// The value when a change gives none; without, every change must give one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<ParamValue>,
    /// Smallest integer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// Largest integer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    /// The only values that are accepted.
    #[serde(rename = "enum", default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<ParamValue>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl<'de> Deserialize<'de> for ParamValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl<'de> Visitor<'de> for Scalar {
            type Value = ParamValue;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, an integer or a boolean")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ParamValue, A::Error> {
                let Hidden { secret } = Hidden::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ParamValue::Secret(secret))
            }
            fn visit_bool<E>(self, value: bool) -> Result<ParamValue, E> {
                Ok(ParamValue::Boolean(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<ParamValue, E> {
                Ok(ParamValue::Integer(value))
            }
            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<ParamValue, E> {
                i64::try_from(value)
                    .map(ParamValue::Integer)
                    .map_err(|_| E::custom("the integer is too large"))
            }
            fn visit_str<E>(self, value: &str) -> Result<ParamValue, E> {
                Ok(ParamValue::Text(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

impl Serialize for ParamValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_i64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Secret(secret) => Hidden { secret: secret.clone() }.serialize(serializer),
        }
    }
}

impl fmt::Display for ParamValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Text(value) => write!(f, "{:?}", shorten(value)),
            Self::Secret(secret) => write!(f, "a secret (sha256 {})", secret.digest()),
        }
    }
}

impl ParameterType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Secret => "secret",
        }
    }
}

impl ParamValue {
    pub fn value_type(&self) -> ParameterType {
        match self {
            Self::Boolean(_) => ParameterType::Boolean,
            Self::Integer(_) => ParameterType::Integer,
            Self::Text(_) => ParameterType::String,
            Self::Secret(_) => ParameterType::Secret,
        }
    }
}

impl Parameter {
    /// What is wrong with `value` for this parameter: message and remedy.
    pub fn refuse(&self, value: &ParamValue) -> Option<(String, String)> {
        if value.value_type() != self.value_type {
            let (is, wants) = (value.value_type().as_str(), self.value_type.as_str());
            let remedy = match (self.value_type, value) {
                (ParameterType::Secret, _) => "give what assent secret encrypt wrote".to_owned(),
                (_, ParamValue::Secret(_)) => {
                    format!("declare the parameter with type: secret, or give a {wants}")
                }
                (ParameterType::String, _) => "put it in quotes".to_owned(),
                _ => format!("give a value of type {wants}, without quotes"),
            };
            return Some((format!("{value} is of type {is}, the parameter is of type {wants}"), remedy));
        }
        if !self.choices.is_empty() && !self.choices.contains(value) {
            let choices: Vec<String> = self.choices.iter().map(ToString::to_string).collect();
            return Some((
                format!("{value} is not one of the choices"),
                format!("use {}", choices.join(" or ")),
            ));
        }
        match value {
            ParamValue::Integer(n) => {
                let (min, max) = (self.min.unwrap_or(i64::MIN), self.max.unwrap_or(i64::MAX));
                (!(min..=max).contains(n))
                    .then(|| (format!("{n} is out of range"), format!("use {min} to {max}")))
            }
            ParamValue::Text(text) if text.len() > limits::TEXT_BYTES => Some((
                format!("the text has {} bytes", text.len()),
                format!("use at most {} bytes", limits::TEXT_BYTES),
            )),
            ParamValue::Text(text) if text.contains('\0') => {
                Some(("the text contains a NUL character".to_owned(), "remove it".to_owned()))
            }
            ParamValue::Text(_) | ParamValue::Boolean(_) | ParamValue::Secret(_) => None,
        }
    }
}

/// The values for one apply: defaults, replaced by `overrides`. Every parameter has a value afterwards.
///
/// # Errors
/// All problems at once; places are `parameters.<name>`.
pub fn resolve_params(
    declared: &Map<ParamName, Parameter>,
    overrides: &Map<String, ParamValue>,
) -> Result<Map<String, ParamValue>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut values = Map::default();
    for given in overrides.keys() {
        if !declared.keys().any(|name| name.as_str() == given) {
            let known = declared.keys().map(ParamName::as_str);
            let place = format!("parameters.{}", shorten(given));
            problems.push(Problem::new(
                place,
                "the manifest has no such parameter",
                super::suggest(given, known),
            ));
        }
    }
    for (name, parameter) in declared.iter() {
        let place = format!("parameters.{name}");
        let Some(value) = overrides.get(name.as_str()).or(parameter.default.as_ref()) else {
            let remedy = format!("give a value of type {}", parameter.value_type.as_str());
            problems.push(Problem::new(place, "the parameter has no default and no value was given", remedy));
            continue;
        };
        match parameter.refuse(value) {
            Some((message, remedy)) => problems.push(Problem::new(place, message, remedy)),
            None => {
                values.insert(name.to_string(), value.clone());
            }
        }
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}
