//! Releases: what the vendor says of a program of the agent, signed by several of its keys.
//!
//! Owns: the statement, the mark by which a program names its own version, and the checks before a host runs another
//! program in its own place. A release alone starts nothing: the change that brings it is approved like any other.

use crate::digest::Digest;
use crate::keys::PublicKey;
use crate::limits;
use crate::refusal::{Code, Refused};
use crate::statement::{Predicate, Statement, Subject};
use crate::strict::{self, ReadError};
use semver::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The only product that is released by statements.
pub const PRODUCT: &str = "assent-agent";

/// Processor, system and C library that a program was built for, such as `x86_64-linux-gnu`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target(String);

/// Why a text is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not what programs are built for, such as x86_64-linux-gnu")]
pub struct NotATarget(String);

impl FromStr for Target {
    type Err = NotATarget;
    fn from_str(text: &str) -> Result<Self, NotATarget> {
        let word = |w: &str| {
            !w.is_empty() && w.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
        };
        let words: Vec<&str> = text.split('-').collect();
        match (2..=4).contains(&words.len()) && text.len() <= 60 && words.into_iter().all(word) {
            true => Ok(Self(text.to_owned())),
            false => Err(NotATarget(strict::shorten(text))),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

strict::text_serde!(Target);

/// What the vendor says of one program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Always [`PRODUCT`].
    pub product: String,
    pub version: Version,
    pub target: Target,
    /// The oldest version that may be followed by this one directly: it understands the state that it finds.
    pub min_from: Version,
    pub sha256: Digest,
    /// Bytes of the program.
    pub length: u64,
}

impl Predicate for Release {
    const TYPE: &'static str = "urn:assent:release:v1";

    fn subjects(&self) -> Vec<Subject> {
        vec![Subject::new(format!("{}-{}-{}", self.product, self.version, self.target), self.sha256)]
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} for {}", self.product, self.version, self.target)
    }
}

/// A release statement as it stands in manifests and files: readable, and well-formed; nothing is said yet about who
/// signed it.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedRelease {
    text: String,
    statement: Statement<Release>,
}

impl SignedRelease {
    /// The `format` keyword of this value in the JSON Schema.
    pub const FORMAT: &'static str = "release-statement";

    /// # Errors
    /// It is longer than [`limits::RELEASE_BYTES`], or says what no release can be.
    pub fn new(statement: Statement<Release>) -> Result<Self, ReadError> {
        let text = String::from_utf8_lossy(&statement.to_bytes()).into_owned();
        let body = &statement.body;
        let invalid = |why: String| Err(ReadError::Invalid { what: "the release statement", why });
        if text.len() > limits::RELEASE_BYTES {
            return invalid(format!(
                "it has {} bytes, at most {} are accepted",
                text.len(),
                limits::RELEASE_BYTES
            ));
        }
        if statement.envelope.signatures.len() > limits::ENVELOPE_SIGNATURES {
            return invalid(format!("it has more than {} signatures", limits::ENVELOPE_SIGNATURES));
        }
        if body.product != PRODUCT {
            return invalid(format!("it is about {:?}, not {PRODUCT}", strict::shorten(&body.product)));
        }
        if body.length == 0 || body.length > limits::ARTIFACT_BYTES {
            return invalid(format!(
                "its program has {} bytes, 1 to {} are accepted",
                body.length,
                limits::ARTIFACT_BYTES
            ));
        }
        if body.min_from > body.version {
            return invalid(format!("min_from {} is above its version {}", body.min_from, body.version));
        }
        Ok(Self { text, statement })
    }

    pub fn body(&self) -> &Release {
        &self.statement.body
    }

    pub fn statement(&self) -> &Statement<Release> {
        &self.statement
    }

    /// The JSON of the envelope, in one line.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for SignedRelease {
    type Err = ReadError;
    fn from_str(text: &str) -> Result<Self, ReadError> {
        let what = "the release statement";
        let size = text.len();
        if size > limits::RELEASE_BYTES {
            return Err(ReadError::TooLarge { what, size, limit: limits::RELEASE_BYTES });
        }
        Self::new(Statement::parse(text.trim().as_bytes())?)
    }
}

impl fmt::Display for SignedRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SignedRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "release {} sha256 {}", self.body(), self.body().sha256)
    }
}

strict::text_serde!(SignedRelease);

/// Whose releases a site runs: a part of the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vendor {
    /// Distinct keys that must have signed a release.
    pub threshold: u32,
    pub keys: Vec<PublicKey>,
}

impl Vendor {
    /// What is wrong with it by itself.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut keys = self.keys.clone();
        keys.sort();
        keys.dedup();
        if keys.len() != self.keys.len() {
            problems.push("vendor.keys names a key twice".into());
        }
        if keys.len() > limits::TUF_KEYS {
            problems.push(format!("vendor.keys has {} keys; at most {}", keys.len(), limits::TUF_KEYS));
        }
        if self.threshold == 0 || self.threshold as usize > keys.len() {
            problems.push(format!(
                "vendor.threshold is {} with {} keys; use 1 to the number of keys",
                self.threshold,
                keys.len()
            ));
        }
        problems
    }
}

/// A program that may follow the running one: signed by enough vendor keys, for this host, and no silent step back.
/// Made only by [`admit`]; putting a program in the agent's place takes it.
#[derive(Debug)]
pub struct Released<'a> {
    release: &'a Release,
    signers: usize,
}

impl<'a> Released<'a> {
    pub fn get(&self) -> &'a Release {
        self.release
    }

    /// How many vendor keys have signed it.
    pub fn signers(&self) -> usize {
        self.signers
    }
}

/// The program that runs and would be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predecessor {
    pub version: Version,
    pub target: Target,
}

/// How many distinct keys of the vendor have signed.
///
/// # Errors
/// `release.unsigned` when the policy names no vendor, or fewer than it demands have signed.
pub fn signers(release: &SignedRelease, vendor: Option<&Vendor>) -> Result<usize, Refused> {
    let no = |message: String| Err(Refused::new(Code::ReleaseUnsigned, message));
    let Some(vendor) = vendor.filter(|vendor| vendor.threshold > 0) else {
        return no(format!(
            "{} cannot replace the agent: the policy names no vendor keys (\"vendor\": {{\"threshold\": 2, \"keys\": […]}})",
            release.body()
        ));
    };
    let found = release.statement.envelope.signers(&vendor.keys).len();
    if found < vendor.threshold as usize {
        return no(format!(
            "{} is signed by {found} of the vendor's keys in the policy, which demands {}",
            release.body(),
            vendor.threshold
        ));
    }
    Ok(found)
}

/// Judges whether the release may follow the program that runs.
///
/// # Errors
/// As [`signers`]; `release.unfit` for another target, too large a step, or a step back that the change does not
/// ask for.
pub fn admit<'a>(
    release: &'a SignedRelease,
    vendor: Option<&Vendor>,
    running: &Predecessor,
    downgrade: bool,
) -> Result<Released<'a>, Refused> {
    let signers = signers(release, vendor)?;
    let body = release.body();
    let no = |message: String| Err(Refused::new(Code::ReleaseUnfit, message));
    if body.target != running.target {
        return no(format!("{body} was built for another machine; this host runs {}", running.target));
    }
    if running.version < body.min_from {
        return no(format!(
            "{body} may only follow {} or newer, and this host runs {}; bring a version between them first",
            body.min_from, running.version
        ));
    }
    if body.version == running.version {
        return no(format!(
            "{body} has the version that runs, but other bytes; releases are told apart by it"
        ));
    }
    if body.version < running.version && !downgrade {
        return no(format!(
            "{body} is older than {}, which runs; only a change that says so brings an older version",
            running.version
        ));
    }
    Ok(Released { release: body, signers })
}

/// How the mark of a program begins; in two parts, so that a program that looks for it has no second one.
pub const MARK: [&str; 2] = ["assent-agent-", "program-mark "];
/// Bytes of a mark with its end.
pub const MARK_BYTES: usize = 128;

/// The mark that a program carries: its version and target, so that nobody has to type them when it is signed.
pub fn mark(version: &str, target: &str) -> String {
    format!("{}{}{version} {target}\n", MARK[0], MARK[1])
}

/// What a program says of itself by its mark; `None` when it has none that is whole.
pub fn marked(program: &[u8]) -> Option<(Version, Target)> {
    let begin = MARK.concat().into_bytes();
    let mut rest = program;
    while let Some(at) = rest.windows(begin.len()).position(|window| window == begin) {
        rest = &rest[at + begin.len()..];
        let text = rest.get(..MARK_BYTES.min(rest.len())).unwrap_or_default();
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let words = std::str::from_utf8(line).ok().and_then(|line| line.split_once(' '));
        if let Some((version, target)) = words
            && let (Ok(version), Ok(target)) = (version.parse(), target.parse())
        {
            return Some((version, target));
        }
    }
    None
}

#[cfg(test)]
mod tests;
