//! The `assent` command: everything that is done with a person's own key.
//!
//! Owns: the key ceremony, linting and publishing, changes and approvals with local verification of all that
//! is shown, evidence checks. Never: trusts the server's word for what a signature can show.

mod alarms;
mod archive;
pub mod args;
mod audit;
mod author;
mod backup;
mod budget;
mod calendar;
mod change;
mod ci;
mod clock;
mod error;
mod evidence;
mod files;
mod finding;
mod governance;
mod inbox;
mod init;
mod key;
mod kpi;
mod lang;
mod ledger;
mod net;
mod paper;
mod person;
mod policy;
mod profile;
mod release;
mod renew;
mod restore;
mod run;
mod secret;
mod session;
mod shell;
mod site;
mod ssh;
mod term;
mod text;
mod token;
mod trust;
mod webhook;
mod window;
mod written;

pub use run::main;
