//! The machine-changing half of the agent, from outside: private roots with real apt and dpkg, and a machine in
//! memory whose power goes at every single write.

#[path = "../support/mod.rs"]
mod support;

mod crash;
mod files;
mod packages;
mod random;
