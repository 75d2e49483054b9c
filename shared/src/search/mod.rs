//! Searches of the CMDB: `os:debian-12 package:openssl<3.0.17 label:prod -class:device text`.
//!
//! Owns the language and what fits. Never: where entries are kept. Terms side by side all hold; `OR` and commas are
//! alternatives, `-` negates, brackets group, quotes keep blanks and signs, `*` stands for any text. Letters' case does not
//! count, but in versions.

mod key;
mod parse;
#[cfg(test)]
mod tests;

pub use key::{Details, Key};

use crate::limits;
use crate::version::Order;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// What a search looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// All hold; of none, everything fits.
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Term(Term),
}

/// A key with what its entry must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    pub key: Key,
    pub want: Want,
}

/// A word, and how what belongs to it compares: `openssl`, `<`, `3.0.17`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Empty where only the comparison counts.
    pub word: Pattern,
    pub compared: Option<(Comparison, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

impl Comparison {
    /// Longer signs first, as they are looked for.
    pub const ALL: [Self; 5] = [Self::AtMost, Self::AtLeast, Self::Less, Self::More, Self::Equal];

    pub fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Equal => "=",
            Self::AtLeast => ">=",
            Self::More => ">",
        }
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::AtLeast => order.is_ge(),
            Self::More => order.is_gt(),
        }
    }
}

/// A text in which `*` stands for any text; in small letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    pub fn new(text: &str) -> Self {
        Self(folded(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// What stands before the first `*`.
    pub fn beginning(&self) -> &str {
        self.0.split('*').next().unwrap_or_default()
    }

    /// Whether a text in small letters is meant.
    pub fn fits(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return text == self.0 };
        let Some(mut text) = text.strip_prefix(first) else { return false };
        let mut parts: Vec<&str> = rest.split('*').collect();
        let last = parts.pop().unwrap_or_default();
        for part in parts {
            match text.find(part) {
                Some(at) => text = &text[at + part.len()..],
                None => return false,
            }
        }
        text.ends_with(last)
    }
}

/// As words are compared: in small letters.
pub fn folded(text: &str) -> String {
    text.to_lowercase()
}

/// What is known of an entry under one key: a word in small letters and what belongs to it, as the version of a package.
#[derive(Clone, Copy, Debug)]
pub struct Fact<'a> {
    pub word: &'a str,
    pub detail: &'a str,
    /// How versions of packages are ordered there.
    pub order: Order,
}

impl Term {
    /// Whether a fact under this key is what is wanted.
    pub fn fits(&self, fact: Fact<'_>) -> bool {
        let Want { word, compared } = &self.want;
        let named = word.as_str().is_empty() || word.fits(fact.word);
        match compared {
            None => match self.key.details() {
                Details::Label => named || word.fits(fact.detail),
                // `os:debian-12` says both in one word.
                Details::System => named || word.fits(&format!("{}-{}", fact.word, folded(fact.detail))),
                Details::None
                | Details::Versions
                | Details::Releases
                | Details::Steps(_)
                | Details::Semver => named,
            },
            Some((comparison, wanted)) => named && self.compares(fact, *comparison, wanted),
        }
    }

    fn compares(&self, fact: Fact<'_>, comparison: Comparison, wanted: &str) -> bool {
        let order = match self.key.details() {
            Details::None => None,
            Details::Label => Some(fact.detail.cmp(&folded(wanted))),
            Details::Versions => fact.order.compare(fact.detail, wanted).ok(),
            Details::System => release_order(fact.detail, wanted),
            Details::Releases => release_order(fact.word, wanted),
            Details::Steps(steps) => {
                let step = |text: &str| steps.iter().position(|step| *step == text);
                step(fact.word).zip(step(&folded(wanted))).map(|(has, wanted)| has.cmp(&wanted))
            }
            Details::Semver => {
                let fact = if fact.detail.is_empty() { fact.word } else { fact.detail };
                let version = |text: &str| semver::Version::parse(text).ok();
                version(fact).zip(version(wanted)).map(|(has, wanted)| has.cmp(&wanted))
            }
        };
        order.is_some_and(|order| comparison.holds(order))
    }
}

/// Releases of systems and kernels: number by number and word by word, whatever stands between them. A distribution's
/// own order would take the last hyphen of `6.1.0-9-amd64` for the one before its revision.
fn release_order(has: &str, wanted: &str) -> Option<Ordering> {
    let even = |text: &str| text.replace('-', ".");
    Order::Rpm.compare(&even(has), &even(wanted)).ok()
}

impl Query {
    /// The names of the saved searches that it uses.
    pub fn saved(&self) -> Vec<&str> {
        let mut all = Vec::new();
        self.walk(&mut |term| {
            if term.key == Key::Saved {
                all.push(term.want.word.as_str());
            }
        });
        all
    }

    /// Terms in it.
    pub fn size(&self) -> usize {
        let mut size = 0;
        self.walk(&mut |_| size += 1);
        size
    }

    fn walk<'a>(&'a self, see: &mut impl FnMut(&'a Term)) {
        match self {
            Self::All(all) | Self::Any(all) => all.iter().for_each(|query| query.walk(see)),
            Self::Not(query) => query.walk(see),
            Self::Term(term) => see(term),
        }
    }

    /// Puts what `of` gives for each term in its place.
    ///
    /// # Errors
    /// The first one of `of`.
    pub fn with_terms<E>(self, of: &mut impl FnMut(Term) -> Result<Self, E>) -> Result<Self, E> {
        Ok(match self {
            Self::All(all) => {
                Self::All(all.into_iter().map(|query| query.with_terms(of)).collect::<Result<_, E>>()?)
            }
            Self::Any(all) => {
                Self::Any(all.into_iter().map(|query| query.with_terms(of)).collect::<Result<_, E>>()?)
            }
            Self::Not(query) => Self::Not(Box::new(query.with_terms(of)?)),
            Self::Term(term) => of(term)?,
        })
    }
}

/// Why a text is no search.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {why}")]
pub struct BadQuery {
    /// From 1.
    pub at: usize,
    pub why: String,
}

impl FromStr for Query {
    type Err = BadQuery;
    fn from_str(text: &str) -> Result<Self, BadQuery> {
        parse::query(text)
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(all) => joined(f, all, " "),
            Self::Any(all) => {
                f.write_str("(")?;
                joined(f, all, " OR ")?;
                f.write_str(")")
            }
            Self::Not(query) => match &**query {
                Self::All(_) => write!(f, "-({query})"),
                Self::Any(_) | Self::Not(_) | Self::Term(_) => write!(f, "-{query}"),
            },
            Self::Term(term) => write!(f, "{term}"),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, all: &[Query], between: &str) -> fmt::Result {
    for (place, query) in all.iter().enumerate() {
        if place > 0 {
            f.write_str(between)?;
        }
        match query {
            Query::All(_) => write!(f, "({query})")?,
            Query::Any(_) | Query::Not(_) | Query::Term(_) => write!(f, "{query}")?,
        }
    }
    Ok(())
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key != Key::Text {
            write!(f, "{}:", self.key.as_str())?;
        }
        f.write_str(&quoted(self.want.word.as_str()))?;
        match &self.want.compared {
            Some((comparison, text)) => write!(f, "{}{}", comparison.sign(), quoted(text)),
            None => Ok(()),
        }
    }
}

fn quoted(text: &str) -> String {
    let plain = !text.is_empty()
        && !text.starts_with('-')
        && text != "or"
        && !text.contains(|c: char| c.is_whitespace() || "\"\\:,()<>=".contains(c));
    if plain || text.is_empty() {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether a name can be one of a saved search.
pub fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=limits::SEARCH_NAME_BYTES).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(allowed)
}
