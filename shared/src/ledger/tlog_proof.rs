//! The `.tlog-proof` file: an inclusion proof with its checkpoint as one text, for other people's tools.
//!
//! The entry travels as `extra`, so that the file alone is enough to check it.
//!
//! Source: C2SP tlog-proof.

use super::proof::InclusionProof;
use crate::digest::Digest;
use crate::limits;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use std::fmt;
use std::str::FromStr;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// An inclusion proof and the signed checkpoint that it leads to, neither of them checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    pub proof: InclusionProof,
    /// The signed note, word for word.
    pub checkpoint: String,
}

/// Why a text is not a proof file of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the proof file is malformed: {0}")]
pub struct NotATlogProof(&'static str);

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}\nextra {}\nindex {}", BASE64.encode(&self.proof.leaf), self.proof.index)?;
        for hash in &self.proof.hashes {
            writeln!(f, "{}", BASE64.encode(hash.0))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for TlogProof {
    type Err = NotATlogProof;
    fn from_str(text: &str) -> Result<Self, NotATlogProof> {
        if text.len() > limits::TLOG_PROOF_BYTES {
            return Err(NotATlogProof("it is too large"));
        }
        let (head, checkpoint) = text.split_once("\n\n").ok_or(NotATlogProof("no checkpoint follows"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(NotATlogProof("the first line is not c2sp.org/tlog-proof@v1"));
        }
        let leaf = lines.next().and_then(|line| line.strip_prefix("extra ")).and_then(|extra| {
            let bytes = BASE64.decode(extra).ok()?;
            String::from_utf8(bytes).ok()
        });
        let leaf = leaf.ok_or(NotATlogProof("the second line is not 'extra' with the leaf in base64"))?;
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(|digits| {
            let index: u64 = digits.parse().ok()?;
            (index.to_string() == digits).then_some(index)
        });
        let index = index.ok_or(NotATlogProof("the third line is not 'index' and a number"))?;
        let hashes = lines.map(hash_line).collect::<Result<_, _>>()?;
        let proof = InclusionProof { leaf, index, hashes };
        Ok(Self { proof, checkpoint: checkpoint.to_owned() })
    }
}

fn hash_line(line: &str) -> Result<Digest, NotATlogProof> {
    let bytes = BASE64.decode(line).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(Digest).ok_or(NotATlogProof("a hash line is not base64 of 32 bytes"))
}
