//! The audit trail of a server: one record for each administrative action, with a leaf in the ledger.
//!
//! Server and verifier write the same bytes for the same record. Pseudonyms and digests only: never a secret or a person's name.

use crate::digest::Digest;
use crate::ids::PersonId;
use crate::limits;
use crate::strict::{self, ReadError};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

const WHAT: &str = "the audit record";

/// Who did what to what, and when. No signature: it is the server's word, which it cannot take back unnoticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditRecord {
    /// Always [`AuditRecord::SCHEMA`].
    pub schema: String,
    /// Place in the trail, from 1, without gaps.
    pub number: u64,
    pub at: Timestamp,
    /// Absent when it was done on the server itself, by one of its commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonId>,
    /// Such as `people.grant`.
    pub action: String,
    /// What it was done to, such as `person peer` or `CI-7`.
    pub object: String,
    /// Digest of what was asked for, so that whoever has the request can show that it was this one.
    pub request: Digest,
}

impl AuditRecord {
    pub const SCHEMA: &'static str = "assent-audit/1";

    /// The document as it is stored and hashed.
    pub fn to_bytes(&self) -> Vec<u8> {
        strict::to_json(self)
    }

    /// Digest of the document, for which the leaf in the ledger stands.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// Reads a document that [`AuditRecord::to_bytes`] could have written.
    ///
    /// # Errors
    /// Another schema, unknown fields, or another text for the same record.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        let record: Self = strict::from_json(WHAT, bytes, limits::AUDIT_BYTES)?;
        let invalid = |why: &str| Err(ReadError::Invalid { what: WHAT, why: why.to_owned() });
        if record.schema != Self::SCHEMA {
            return invalid("it is of another schema; update the verifier");
        }
        if record.to_bytes() != bytes {
            return invalid("it is not written as the server writes it");
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"schema":"assent-audit/1","number":7,"at":"2027-01-15T08:00:00Z","person":"lead","action":"people.grant","object":"person peer","request":"2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"}"#;

    #[test]
    fn a_record_has_one_text() {
        let record = AuditRecord::parse(TEXT.as_bytes()).unwrap();
        assert_eq!((record.to_bytes(), record.digest()), (TEXT.into(), Digest::of(TEXT.as_bytes())));
        let on_the_server = AuditRecord { person: None, ..record };
        assert_eq!(AuditRecord::parse(&on_the_server.to_bytes()).unwrap(), on_the_server);
        for (what, from, to) in [
            ("another schema", "assent-audit/1", "assent-audit/2"),
            ("an unknown field", "\"number\":7", "\"number\":7,\"secret\":\"x\""),
            ("a field twice", "\"number\":7", "\"number\":7,\"number\":7"),
            ("a blank", "\"number\":7", "\"number\": 7"),
            ("no request", "\"request\"", "\"question\""),
        ] {
            assert!(AuditRecord::parse(TEXT.replace(from, to).as_bytes()).is_err(), "{what}");
        }
    }
}
