//! Versions of packages, ordered as the distribution's own tools order them.
//!
//! Owns the orderings. Never: versions of manifests and agents, which are semver.

pub mod deb;

pub use deb::{DebVersion, NotADebVersion};
