//! Debian package versions: `[epoch:]upstream[-revision]` and their order.
//!
//! Stricter than `dpkg` in two ways: characters that the policy manual does not allow are an error, where
//! dpkg only warns, and an epoch has no sign. As lenient as dpkg in another: the upstream part need not start with a digit, since
//! such packages exist on hosts.
//!
//! Source: Debian Policy Manual §5.6.12, deb-version(7).

use crate::limits;
use crate::strict;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A well-formed Debian version. `Display` gives the text as it came, without surrounding blanks.
///
/// Equality is that of the order, not of the text: `1.0`, `0:1.0` and `1.0-0` are equal. That is why
/// there is no `Hash`.
#[derive(Clone)]
pub struct DebVersion {
    text: String,
    epoch: u32,
    /// Where the upstream part starts in `text`.
    upstream: usize,
    /// Where the hyphen before the revision is, if there is one.
    hyphen: Option<usize>,
}

/// Why a text is not a Debian version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a Debian version: {rule}")]
pub struct NotADebVersion {
    text: String,
    rule: &'static str,
}

impl DebVersion {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// 0 when the text has none.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    pub fn upstream(&self) -> &str {
        &self.text[self.upstream..self.hyphen.unwrap_or(self.text.len())]
    }

    /// The part after the last hyphen.
    pub fn revision(&self) -> Option<&str> {
        self.hyphen.map(|hyphen| &self.text[hyphen + 1..])
    }
}

impl FromStr for DebVersion {
    type Err = NotADebVersion;
    fn from_str(text: &str) -> Result<Self, NotADebVersion> {
        parse(text.trim_matches([' ', '\t']))
            .map_err(|rule| NotADebVersion { text: strict::shorten(text), rule })
    }
}

fn parse(text: &str) -> Result<DebVersion, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > limits::PACKAGE_VERSION_BYTES {
        return Err("it is too long");
    }
    let (epoch, upstream) = match text.find(':') {
        Some(colon) => (parse_epoch(&text[..colon])?, colon + 1),
        None => (0, 0),
    };
    let hyphen = text[upstream..].rfind('-').map(|at| upstream + at);
    let version = DebVersion { text: text.to_owned(), epoch, upstream, hyphen };
    if version.upstream().is_empty() {
        return Err("the upstream part is empty");
    }
    if version.revision() == Some("") {
        return Err("nothing follows the last hyphen");
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+.~:-".contains(c);
    if !version.upstream().chars().all(allowed) {
        return Err("the upstream part may hold only letters, digits and + . ~ : -");
    }
    // A hyphen cannot be here, the revision follows the last one.
    if !version.revision().unwrap_or_default().chars().all(|c| allowed(c) && c != ':') {
        return Err("the revision may hold only letters, digits and + . ~");
    }
    Ok(version)
}

/// dpkg keeps the epoch in a C `int`, so larger ones exist nowhere.
fn parse_epoch(digits: &str) -> Result<u32, &'static str> {
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err("the epoch (before the colon) is not a number");
    }
    digits.parse::<i32>().map(i32::unsigned_abs).map_err(|_| "the epoch is above 2147483647")
}

impl Ord for DebVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| compare_part(self.upstream(), other.upstream()))
            // No revision is as revision 0, because the empty number is 0.
            .then_with(|| {
                compare_part(self.revision().unwrap_or_default(), other.revision().unwrap_or_default())
            })
    }
}

/// Text and number in turn, until one of them differs or both parts are used up.
fn compare_part(mut left: &str, mut right: &str) -> Ordering {
    while !(left.is_empty() && right.is_empty()) {
        let (left_text, left_rest) = split_where(left, |c| c.is_ascii_digit());
        let (right_text, right_rest) = split_where(right, |c| c.is_ascii_digit());
        let (left_number, left_rest) = split_where(left_rest, |c| !c.is_ascii_digit());
        let (right_number, right_rest) = split_where(right_rest, |c| !c.is_ascii_digit());
        let order =
            compare_text(left_text, right_text).then_with(|| compare_number(left_number, right_number));
        if order.is_ne() {
            return order;
        }
        (left, right) = (left_rest, right_rest);
    }
    Ordering::Equal
}

fn split_where(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

/// Tilde before the end, the end before letters, letters before everything else.
fn compare_text(left: &str, right: &str) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => (0, 0),
        None => (1, 0),
        Some(letter) if letter.is_ascii_alphabetic() => (2, *letter),
        Some(other) => (3, *other),
    };
    let (left, right) = (left.as_bytes(), right.as_bytes());
    (0..left.len().max(right.len()))
        .map(|at| weight(left.get(at)).cmp(&weight(right.get(at))))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// By value, without a limit on the number of digits; no digits are 0.
fn compare_number(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

impl PartialOrd for DebVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for DebVersion {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for DebVersion {}

impl fmt::Display for DebVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for DebVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

strict::text_serde!(DebVersion);

#[cfg(test)]
#[path = "deb_tests.rs"]
mod tests;
