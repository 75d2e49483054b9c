//! Versions of rpm packages: `[epoch:]version[-release]` and their order.
//!
//! Stricter than `rpm`, which compares any text: only characters that rpmbuild accepts, and one epoch that is a
//! number. A version without a release comes before the same version with one, as `rpm.vercmp` has it.
//!
//! Source: rpm-version(7); RPM reference manual, "Dependencies", on `~` and `^`.

use crate::limits;
use crate::strict;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A well-formed rpm version. `Display` gives the text as it came, without surrounding blanks.
///
/// Equality is that of the order, not of the text: `1.0-1`, `0:1.0-1` and `1_0-01` are equal. That is why there is
/// no `Hash`.
#[derive(Clone)]
pub struct RpmVersion {
    text: String,
    epoch: u32,
    /// Where the version starts in `text`.
    version: usize,
    /// Where the hyphen before the release is, if there is one.
    hyphen: Option<usize>,
}

/// Why a text is not an rpm version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an rpm version: {rule}")]
pub struct NotAnRpmVersion {
    text: String,
    rule: &'static str,
}

impl RpmVersion {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// 0 when the text has none.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    pub fn version(&self) -> &str {
        &self.text[self.version..self.hyphen.unwrap_or(self.text.len())]
    }

    /// The part after the last hyphen.
    pub fn release(&self) -> Option<&str> {
        self.hyphen.map(|hyphen| &self.text[hyphen + 1..])
    }
}

impl FromStr for RpmVersion {
    type Err = NotAnRpmVersion;
    fn from_str(text: &str) -> Result<Self, NotAnRpmVersion> {
        parse(text.trim_matches([' ', '\t']))
            .map_err(|rule| NotAnRpmVersion { text: strict::shorten(text), rule })
    }
}

fn parse(text: &str) -> Result<RpmVersion, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > limits::PACKAGE_VERSION_BYTES {
        return Err("it is too long");
    }
    let (epoch, start) = match text.find(':') {
        Some(colon) => (parse_epoch(&text[..colon])?, colon + 1),
        None => (0, 0),
    };
    let hyphen = text[start..].rfind('-').map(|at| start + at);
    let version = RpmVersion { text: text.to_owned(), epoch, version: start, hyphen };
    if version.version().is_empty() {
        return Err("the version part is empty");
    }
    if version.release() == Some("") {
        return Err("nothing follows the last hyphen");
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._+~^".contains(c);
    // A hyphen in the version cannot be told from the one before the release, so rpmbuild takes none.
    if !version.version().chars().chain(version.release().unwrap_or_default().chars()).all(allowed) {
        return Err("version and release may hold only letters, digits and . _ + ~ ^");
    }
    Ok(version)
}

/// rpm keeps the epoch in 32 bits.
fn parse_epoch(digits: &str) -> Result<u32, &'static str> {
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err("the epoch (before the colon) is not a number");
    }
    digits.parse().map_err(|_| "the epoch is above 4294967295")
}

impl Ord for RpmVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        let release = || match (self.release(), other.release()) {
            (Some(left), Some(right)) => compare_part(left, right),
            (left, right) => left.is_some().cmp(&right.is_some()),
        };
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| compare_part(self.version(), other.version()))
            .then_with(release)
    }
}

/// A part of a version is a row of these; what stands between them only separates.
#[derive(Clone, Copy)]
enum Piece<'a> {
    Tilde,
    End,
    Caret,
    Letters(&'a str),
    Digits(&'a str),
}

/// The next piece and what follows it.
fn next(text: &str) -> (Piece<'_>, &str) {
    let text = text.trim_start_matches(|c: char| !c.is_ascii_alphanumeric() && c != '~' && c != '^');
    let of = |same: fn(&char) -> bool| text.split_at(text.find(|c| !same(&c)).unwrap_or(text.len()));
    match text.chars().next() {
        None => (Piece::End, ""),
        Some('~') => (Piece::Tilde, &text[1..]),
        Some('^') => (Piece::Caret, &text[1..]),
        Some(c) if c.is_ascii_digit() => {
            let (digits, rest) = of(char::is_ascii_digit);
            (Piece::Digits(digits), rest)
        }
        Some(_) => {
            let (letters, rest) = of(char::is_ascii_alphabetic);
            (Piece::Letters(letters), rest)
        }
    }
}

/// Piece by piece: a tilde before the end, the end before a caret, a caret before letters, letters before numbers.
fn compare_part(mut left: &str, mut right: &str) -> Ordering {
    loop {
        let ((a, left_rest), (b, right_rest)) = (next(left), next(right));
        let order = match (a, b) {
            (Piece::End, Piece::End) => return Ordering::Equal,
            (Piece::Letters(a), Piece::Letters(b)) => a.cmp(b),
            (Piece::Digits(a), Piece::Digits(b)) => compare_number(a, b),
            (a, b) => rank(a).cmp(&rank(b)),
        };
        if order.is_ne() {
            return order;
        }
        (left, right) = (left_rest, right_rest);
    }
}

fn rank(piece: Piece<'_>) -> u8 {
    match piece {
        Piece::Tilde => 0,
        Piece::End => 1,
        Piece::Caret => 2,
        Piece::Letters(_) => 3,
        Piece::Digits(_) => 4,
    }
}

/// By value, without a limit on the number of digits.
fn compare_number(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

impl PartialOrd for RpmVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for RpmVersion {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for RpmVersion {}

impl fmt::Display for RpmVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RpmVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

strict::text_serde!(RpmVersion);

#[cfg(test)]
#[path = "rpm_tests.rs"]
mod tests;
