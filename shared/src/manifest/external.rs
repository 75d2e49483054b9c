//! External kinds: programs that speak the resource protocol of Microsoft DSC v3, brought by the change itself.

use super::resource::{Artifact, resource};
use super::values::{CommandName, NotAValue, as_written, made_of, text_value};
use crate::strict::{self, Map};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

text_value!(
    /// A fully qualified type name of DSC, such as `Contoso.Web/Site`.
    DscType, "dsc-type", "a DSC resource type",
    "write Owner[.Group][.Area]/Name of letters, digits and '_', such as Contoso.Web/Site",
    |t| t.len() <= 128 && t.split_once('/').is_some_and(|(owner, name)| {
        let word = |w: &str| made_of(w, 128, |c| c.is_ascii_alphanumeric(), b"_");
        owner.split('.').count() <= 4 && owner.split('.').all(word) && word(name)
    })
);
as_written!(DscType);

/// A value of a property: what JSON and strict YAML have in common, without null and fractions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Property {
    Boolean(bool),
    Integer(i64),
    Text(String),
    List(Vec<Property>),
    Map(Map<String, Property>),
}

/// The state that is wanted of an external resource; its meaning is the program's matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Properties(pub Map<String, Property>);

impl Properties {
    /// The `format` keyword of this value in the JSON Schema.
    pub const FORMAT: &'static str = "dsc-properties";
    /// Bytes of the JSON that is given to the program.
    pub const BYTES: usize = 64 << 10;

    /// The JSON that is given to the program.
    pub fn to_json(&self) -> Vec<u8> {
        strict::to_json(self)
    }
}

resource! {
    /// Something that a program brings about which speaks the resource protocol of Microsoft DSC v3. The program is run
    /// as root after the approval; no plan can tell what it will change.
    #[schemars = "External"]
    #[derive(PartialEq, Eq)]
    struct External {
        /// Its name within the manifest.
        pub name: CommandName,
        /// Type that the resource manifest must be of, such as `Contoso.Web/Site`.
        #[serde(rename = "type")]
        pub dsc_type: DscType,
        /// The DSC resource manifest (JSON) as a blob of the repository.
        pub manifest: Artifact,
        /// The one program that it names, as a blob of the repository.
        pub program: Artifact,
        /// The desired state, handed to the program as JSON.
        #[serde(default)]
        pub properties: Properties,
        /// True undoes by setting what `get` told before; without, it counts as not reversible.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pub restore: bool,
        /// Seconds after which one run of the program is ended and counts as failed; 1 to 86400.
        #[serde(default = "super::Command::default_timeout_s")]
        #[cfg_attr(feature = "authoring", schemars(range(min = 1, max = 86_400)))]
        pub timeout_s: u32,
    }
}

impl<'de> Deserialize<'de> for Property {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Property;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, an integer, a boolean, a list or a map")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Property, E> {
                Ok(Property::Boolean(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Property, E> {
                Ok(Property::Integer(value))
            }
            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Property, E> {
                i64::try_from(value).map(Property::Integer).map_err(|_| E::custom("the integer is too large"))
            }
            fn visit_str<E>(self, value: &str) -> Result<Property, E> {
                Ok(Property::Text(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Property, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Property::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Property, A::Error> {
                Map::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Property::Map)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl External {
    /// Blobs of the repository that it needs.
    pub fn artifacts(&self) -> [Artifact; 2] {
        [self.manifest, self.program]
    }
}
