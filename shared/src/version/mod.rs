//! Versions of packages, ordered as the distribution's own tools order them.
//!
//! Owns the orderings. Never: versions of manifests and agents, which are semver.

pub mod deb;
pub mod rpm;

pub use deb::{DebVersion, NotADebVersion};
pub use rpm::{NotAnRpmVersion, RpmVersion};

use std::cmp::Ordering;

/// The order of versions that a host's package manager has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// dpkg's, see [`DebVersion`].
    Deb,
    /// rpm's, see [`RpmVersion`].
    Rpm,
}

/// Why two texts cannot be ordered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAVersion {
    #[error(transparent)]
    Deb(#[from] NotADebVersion),
    #[error(transparent)]
    Rpm(#[from] NotAnRpmVersion),
}

impl Order {
    /// # Errors
    /// One of the two is no version of this order.
    pub fn compare(self, a: &str, b: &str) -> Result<Ordering, NotAVersion> {
        match self {
            Self::Deb => Ok(a.parse::<DebVersion>()?.cmp(&b.parse::<DebVersion>()?)),
            Self::Rpm => Ok(a.parse::<RpmVersion>()?.cmp(&b.parse::<RpmVersion>()?)),
        }
    }

    /// Whether `a` comes after `b`; texts that are no versions come after nothing.
    pub fn is_newer(self, a: &str, b: &str) -> bool {
        self.compare(a, b) == Ok(Ordering::Greater)
    }
}

/// The same cases for every order: less, equal, greater, from both sides, with equality that agrees.
#[cfg(test)]
fn check_order<V: Ord + std::fmt::Debug + std::str::FromStr>(cases: &[(&str, char, &str)]) {
    let version = |text: &str| text.parse::<V>().unwrap_or_else(|_| panic!("{text:?} is no version"));
    for (left, sign, right) in cases {
        let expected = match sign {
            '<' => Ordering::Less,
            '>' => Ordering::Greater,
            _ => Ordering::Equal,
        };
        let (a, b) = (version(left), version(right));
        assert_eq!(a.cmp(&b), expected, "{left} {sign} {right}");
        assert_eq!(b.cmp(&a), expected.reverse(), "{right} against {left}");
        assert_eq!(a == b, expected.is_eq(), "equality agrees with the order: {left} {right}");
    }
}
