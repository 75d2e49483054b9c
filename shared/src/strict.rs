//! Strict reading of JSON: size caps before parsing, duplicate keys refused everywhere, whole input consumed.

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// Why a document could not be read. `place` says which document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("{what} is {size} bytes; at most {limit} are accepted")]
    TooLarge { what: &'static str, size: usize, limit: usize },
    #[error("{what} is not valid: {why}")]
    Invalid { what: &'static str, why: String },
}

/// Parses `bytes` as one JSON document of type `T`.
///
/// Refuses input above `limit` bytes, trailing bytes, duplicate keys, unknown keys (through the types)
/// and nesting above 128 levels (the parser's own limit).
pub fn from_json<T: DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
    limit: usize,
) -> Result<T, ReadError> {
    if bytes.len() > limit {
        return Err(ReadError::TooLarge { what, size: bytes.len(), limit });
    }
    serde_json::from_slice(bytes).map_err(|e| ReadError::Invalid { what, why: e.to_string() })
}

/// The bytes of one of our own documents. Map keys are ordered, so equal values give equal bytes.
///
/// # Panics
/// Never for the types of this crate: they hold no floats and no maps with non-text keys.
pub fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "serialising our own plain types to memory cannot fail")]
    serde_json::to_vec(value).expect("own types serialise")
}

/// The same as text.
///
/// # Panics
/// As [`to_json`].
pub fn to_text<T: Serialize>(value: &T) -> String {
    #[expect(clippy::expect_used, reason = "serialising our own plain types to memory cannot fail")]
    serde_json::to_string(value).expect("own types serialise")
}

/// A text for messages: control characters escaped, cut after 80 characters.
pub fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}

/// An ordered map that refuses duplicate keys when it is read (a plain `BTreeMap` keeps the last one).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Map<K: Ord, V>(pub BTreeMap<K, V>);

impl<K: Ord, V> Default for Map<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, V> Map<K, V> {
    /// The form that serde calls.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Ord, V> Deref for Map<K, V> {
    type Target = BTreeMap<K, V>;
    fn deref(&self) -> &BTreeMap<K, V> {
        &self.0
    }
}

impl<K: Ord, V> DerefMut for Map<K, V> {
    fn deref_mut(&mut self) -> &mut BTreeMap<K, V> {
        &mut self.0
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Map<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl<K: Ord + Serialize, V: Serialize> Serialize for Map<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, K: Ord + Deserialize<'de> + fmt::Debug, V: Deserialize<'de>> Deserialize<'de> for Map<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<K, V>(PhantomData<(K, V)>);
        impl<'de, K: Ord + Deserialize<'de> + fmt::Debug, V: Deserialize<'de>> Visitor<'de> for Pairs<K, V> {
            type Value = Map<K, V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map without duplicate keys")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut map = BTreeMap::new();
                while let Some(key) = access.next_key::<K>()? {
                    if map.contains_key(&key) {
                        let text = shorten(&format!("{key:?}"));
                        return Err(serde::de::Error::custom(format!("duplicate key {text}")));
                    }
                    map.insert(key, access.next_value()?);
                }
                Ok(Map(map))
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

/// Serde for a type through its `Display` and `FromStr`.
macro_rules! text_serde {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_serde;

/// The JSON Schema of a type that [`text_serde`] writes as text: what it is, and the rules of its text.
macro_rules! text_schema {
    ($type:ident, $about:expr, { $($rules:tt)* }) => {
        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $about.trim(), $($rules)* })
            }
        }
    };
}
pub(crate) use text_schema;

/// Like the map inside it.
#[cfg(feature = "schema")]
impl<K: Ord + schemars::JsonSchema, V: schemars::JsonSchema> schemars::JsonSchema for Map<K, V> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        BTreeMap::<K, V>::schema_name()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        BTreeMap::<K, V>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_keys_size_and_trailing_bytes_are_refused() {
        let read = |text: &str| from_json::<Map<String, u8>>("a test", text.as_bytes(), 40);
        assert_eq!(read(r#"{"b":2,"a":1}"#).unwrap().get("a"), Some(&1));
        assert!(read(r#"{"a":1,"a":2}"#).unwrap_err().to_string().contains("duplicate key"));
        assert!(read(r#"{"a":1}x"#).is_err());
        assert!(read(&format!("{}{}", "[".repeat(500), "]".repeat(500))).is_err());
        assert!(matches!(read(&" ".repeat(41)), Err(ReadError::TooLarge { size: 41, limit: 40, .. })));
    }
}
