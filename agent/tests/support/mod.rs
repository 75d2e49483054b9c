//! What the tests of the machine-changing half share: real approvals, private roots, package repositories.

pub mod aptrepo;
pub mod secret;
pub mod site;
pub mod tree;
