//! One harness for the whole system: real server, agents and command line as processes, real databases,
//! real apt and dpkg on private roots.
//!
//! Owns: starting and killing the parts, the faults between them (`proxy`, `forge`), what must hold after
//! every step (`check`), and the readable scenarios (`script`). Never: a stand-in for our own code; the only
//! thing that a test makes up is what an attacker would.

#![expect(clippy::unwrap_used, reason = "a harness ends the test at the first surprise, with its place")]

pub mod anyrepo;
pub mod apt;
pub mod check;
pub mod feed;
pub mod forge;
pub mod golden;
pub mod http;
pub mod machine;
pub mod own_ledger;
pub mod pg;
pub mod programs;
pub mod proxy;
pub mod root;
pub mod script;
pub mod terminal;
pub mod world;

pub use programs::Said;
pub use world::{Database, World};
