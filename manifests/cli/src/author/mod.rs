//! The author's and publisher's work: lint, sign, publish, artifacts.

pub mod artifact;
pub mod list;
pub mod publish;
pub mod source;
