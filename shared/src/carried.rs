//! What a person carries to hosts when the server is away: a change, a word that breaks the glass for it, and everything
//! else that a host needs of it. Nothing in it is verified yet, and nothing in it is secret.
//!
//! It brings no metadata and no policy: a host judges it by what it has verified itself.

use crate::bundle::{Bundle, Wire as BundleWire};
use crate::envelope::Envelope;
use crate::limits;
use crate::strict::{self, ReadError};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

const SCHEMA: &str = "assent-carried-v1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    schema: String,
    bundle: BundleWire,
    #[serde(default)]
    ends: Vec<Envelope>,
    manifests: Vec<String>,
    #[serde(default)]
    plans: Vec<Envelope>,
    /// base64.
    #[serde(default)]
    artifacts: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    pub bundle: Bundle,
    /// How hosts ended, for the gates of later waves.
    pub ends: Vec<Envelope>,
    /// Signed publications, byte for byte as the repository serves them.
    pub manifests: Vec<String>,
    /// Signed by the hosts, for one that lost its own.
    pub plans: Vec<Envelope>,
    /// Contents of artifacts; small ones, since all of them are in one file.
    pub artifacts: Vec<Vec<u8>>,
}

impl Carried {
    /// # Errors
    /// Too large, too many parts, or not of this form.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        let what = "the carried file";
        let invalid = |why: String| ReadError::Invalid { what, why };
        let wire: Wire = strict::from_json(what, bytes, limits::CARRIED_BYTES)?;
        if wire.schema != SCHEMA {
            return Err(invalid(format!("its schema is {}, not {SCHEMA}", strict::shorten(&wire.schema))));
        }
        for (parts, count, most) in [
            ("manifests", wire.manifests.len(), limits::CHANGE_MANIFESTS),
            ("plans", wire.plans.len(), limits::CARRIED_HOSTS),
            ("artifacts", wire.artifacts.len(), limits::CARRIED_ARTIFACTS),
            ("ends", wire.ends.len(), limits::GATE_ENDS),
        ] {
            if count > most {
                return Err(invalid(format!("it has {count} {parts}; at most {most}")));
            }
        }
        let decode = |text: &String| BASE64.decode(text);
        let artifacts = wire.artifacts.iter().map(decode).collect::<Result<_, _>>();
        let artifacts = artifacts.map_err(|_| invalid("an artifact is not base64".into()))?;
        let (ends, manifests, plans) = (wire.ends, wire.manifests, wire.plans);
        Ok(Self { bundle: Bundle::opened(wire.bundle)?, ends, manifests, plans, artifacts })
    }

    /// Above [`limits::CARRIED_BYTES`] nobody reads it.
    pub fn to_bytes(&self) -> Vec<u8> {
        strict::to_json(&Wire {
            schema: SCHEMA.into(),
            bundle: self.bundle.wire(),
            ends: self.ends.clone(),
            manifests: self.manifests.clone(),
            plans: self.plans.clone(),
            artifacts: self.artifacts.iter().map(|bytes| BASE64.encode(bytes)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures as fix;
    use crate::statement::Statement;

    fn carried() -> Carried {
        let change = Statement::sign(fix::change_body(), &fix::key(1));
        let bundle =
            Bundle { plan_set: crate::plan::PlanSet::empty(change.digest), change, approvals: Vec::new() };
        Carried {
            ends: vec![bundle.change.envelope.clone()],
            bundle,
            manifests: vec!["{}".into()],
            plans: Vec::new(),
            artifacts: vec![b"\0bytes".to_vec()],
        }
    }

    #[test]
    fn it_is_read_as_it_was_written_and_bad_files_say_what_is_wrong() {
        let whole = carried();
        let bytes = whole.to_bytes();
        assert_eq!(Carried::parse(&bytes).unwrap(), whole);
        let text = String::from_utf8(bytes.clone()).unwrap();
        let many = Carried { manifests: vec![String::new(); limits::CHANGE_MANIFESTS + 1], ..carried() };
        for (bad, why) in [
            (text.replace(SCHEMA, "assent-carried-v2"), "its schema is assent-carried-v2"),
            (text.replace("\"manifests\"", "\"manifest\""), "unknown field"),
            (text.replace("\"AGJ5dGVz\"", "\"AGJ5dGVz=\""), "an artifact is not base64"),
            (text.replacen("\"bundle\"", "\"schema\":\"x\",\"bundle\"", 1), "duplicate field"),
            (String::from_utf8(many.to_bytes()).unwrap(), "it has 33 manifests; at most 32"),
            (text[..text.len() - 1].to_owned(), "EOF"),
        ] {
            let said = Carried::parse(bad.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
        let large = vec![b' '; limits::CARRIED_BYTES + 1];
        assert!(matches!(Carried::parse(&large), Err(ReadError::TooLarge { .. })));
    }
}
