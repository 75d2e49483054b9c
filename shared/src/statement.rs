//! in-toto Statements v1 inside DSSE envelopes: one generic frame, one predicate type per document.
//!
//! A statement's subjects are derived from its predicate and must be equal to the ones in the document,
//! so that generic in-toto tools and this crate can never disagree about what was signed.
//! Source: in-toto attestation framework, `spec/v1/statement.md`.

use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::keys::{PublicKey, SigningKey};
use crate::limits;
use crate::signature::Verifier;
use crate::strict::{self, ReadError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// What a statement is about: a name and the digest that identifies it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    pub name: String,
    pub digest: SubjectDigest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectDigest {
    pub sha256: Digest,
}

impl Subject {
    pub fn new(name: impl Into<String>, sha256: Digest) -> Self {
        Self { name: name.into(), digest: SubjectDigest { sha256 } }
    }
}

/// A document that can be signed: its type URI and the subjects that follow from it.
pub trait Predicate: Serialize + DeserializeOwned {
    const TYPE: &'static str;

    fn subjects(&self) -> Vec<Subject>;
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame<P> {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: P,
}

/// A statement that was read; nothing is said yet about who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<P> {
    pub body: P,
    pub envelope: Envelope,
    pub digest: Digest,
}

impl<P: Predicate> Statement<P> {
    /// Signs `body` with one key.
    pub fn sign(body: P, key: &SigningKey) -> Self {
        let mut statement = Self::unsigned(body);
        statement.envelope.add_signature(key);
        statement
    }

    /// The statement without a signature, for keys that are not at hand: theirs is added to the envelope.
    pub fn unsigned(body: P) -> Self {
        let frame = Frame {
            kind: STATEMENT.into(),
            subject: body.subjects(),
            predicate_type: P::TYPE.into(),
            predicate: body,
        };
        let envelope = Envelope { payload: strict::to_json(&frame), signatures: Vec::new() };
        Self { digest: envelope.digest(), body: frame.predicate, envelope }
    }

    /// Reads the statement in an envelope; refuses another type, unknown keys and subjects that differ.
    pub fn open(envelope: Envelope) -> Result<Self, ReadError> {
        let what = P::TYPE;
        let frame: Frame<P> = strict::from_json(what, &envelope.payload, limits::ENVELOPE_BYTES)?;
        let invalid = |why: &str| ReadError::Invalid { what, why: why.into() };
        if frame.kind != STATEMENT {
            return Err(invalid("_type is not an in-toto statement v1"));
        }
        if frame.predicate_type != P::TYPE {
            return Err(invalid(&format!("predicateType is {:?}", strict::shorten(&frame.predicate_type))));
        }
        if frame.subject != frame.predicate.subjects() {
            return Err(invalid("the subjects differ from what the predicate names"));
        }
        Ok(Self { digest: envelope.digest(), body: frame.predicate, envelope })
    }

    /// Reads an envelope's JSON and the statement in it.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        Self::open(Envelope::parse(bytes)?)
    }

    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.envelope.is_signed_by(key)
    }

    /// Whether a person's key signed it, in the form of that key's kind.
    pub fn is_signed_with(&self, verifier: Verifier<'_>) -> bool {
        self.envelope.is_signed_with(verifier, P::TYPE)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.envelope.to_bytes()
    }
}

/// The type URI of whatever statement the envelope holds, for choosing how to read it.
pub fn type_of(envelope: &Envelope) -> Result<String, ReadError> {
    #[derive(Deserialize)]
    struct Peek {
        #[serde(rename = "predicateType")]
        predicate_type: String,
    }
    let peek: Peek = strict::from_json("the statement", &envelope.payload, limits::ENVELOPE_BYTES)?;
    Ok(peek.predicate_type)
}
