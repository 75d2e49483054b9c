//! The JSON Schema (draft 2020-12) of the YAML form, for editors and for the authoring checks.
//!
//! Generated from the types, so that a key exists in one place only. Newtypes appear as `format`.

use super::external::Properties;
use super::names::{Checker, LinePattern};
use super::openpgp::OpenPgpKey;
use super::text::ContentText;
use super::trust::CaCertificate;
use super::values::{Argv, Mode};
use super::{Manifest, ParamValue};
use crate::release::SignedRelease;
use crate::secret::Secret;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;
use std::borrow::Cow;

/// The schema of a manifest in YAML.
pub fn schema() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.untagged_enum_variant_titles = false;
    let mut schema = settings.into_generator().into_root_schema_for::<Manifest>();
    schema.insert("title".to_owned(), Value::from("Manifest"));
    let mut schema = schema.into();
    without_null(&mut schema);
    schema
}

/// Optional keys are left out, never null: an empty value in YAML is mostly a slip.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(keys) => {
            if let Some(Value::Array(types)) = keys.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    keys.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = keys.get("anyOf")
                && let [Value::Object(inner), null] = choices.as_slice()
                && null.get("type") == Some(&Value::from("null"))
            {
                let inner = inner.clone();
                keys.remove("anyOf");
                keys.extend(inner);
            }
            keys.values_mut().for_each(without_null);
        }
        _ => {}
    }
}

macro_rules! value_schema {
    ($($type:ident $name:literal { $($body:tt)* })*) => {$(
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ $($body)* })
            }
        }
    )*};
}

value_schema! {
    Mode "Mode" { "type": "string", "format": Mode::FORMAT, "pattern": "^[0-7]{3,4}$" }
    Argv "Argv" { "type": "array", "format": Argv::FORMAT, "minItems": 1, "items": { "type": "string" } }
    Checker "Checker" { "type": "array", "format": Argv::FORMAT, "minItems": 2, "items": { "type": "string" } }
    LinePattern "LinePattern" { "type": "string", "format": LinePattern::FORMAT }
    CaCertificate "CaCertificate" { "type": "string", "format": CaCertificate::FORMAT }
    SignedRelease "SignedRelease" { "type": "string", "format": SignedRelease::FORMAT }
    OpenPgpKey "OpenPgpKey" { "type": "string", "format": OpenPgpKey::FORMAT }
    Properties "Properties" { "type": "object", "format": Properties::FORMAT }
    ParamValue "ParamValue" {
        "type": ["string", "integer", "boolean", "object"],
        "properties": { "secret": { "type": "string", "format": Secret::FORMAT } },
        "required": ["secret"],
        "additionalProperties": false
    }
    ContentText "Content" {
        "type": ["string", "object"],
        "properties": { "secret": { "type": "string", "format": Secret::FORMAT } },
        "required": ["secret"],
        "additionalProperties": false
    }
}

macro_rules! text_schema {
    ($($type:ident $format:literal)*) => {$(
        pub(super) struct $type;
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format })
            }
        }
    )*};
}

text_schema! {
    ManifestNameText "manifest-name"
    TeamText "team-name"
    VersionText "semver"
    ResourceIdText "resource-id"
    Sha256Text "sha256"
}
