//! The machine-changing half of the agent, from outside: private roots with real apt and dpkg, and a machine in
//! memory whose power goes at every single write.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests prepare files and run the tools they compare with"
)]

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod acls;
mod archives;
mod below;
mod clock;
mod crash;
mod edits;
mod external;
mod files;
mod health;
mod killed;
mod kinds;
mod messages;
mod packages;
mod programs;
mod random;
mod random_packages;
#[macro_use]
mod rpm;
mod rpm_sources;
mod secrets;
mod system;
mod upkeep;
