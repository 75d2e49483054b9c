//! All system tests in one binary: scenarios, attacks, a hand in the database, crashes, bad input, evidence.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise, with its place")]

/// Runs each body on SQLite and on PostgreSQL side by side, with a world of its own.
macro_rules! on_both {
    ($(#[doc = $doc:literal])* fn $name:ident($world:ident) $body:block) => {
        $(#[doc = $doc])*
        #[test]
        fn $name() {
            tests::World::with_each(concat!(module_path!(), "::", stringify!($name)), |$world| $body);
        }
    };
}

mod artifacts;
mod attacks;
mod audit;
mod authority;
mod behind_proxy;
mod break_glass;
mod commands;
mod conformance;
mod copies;
mod courier;
mod crashes;
mod database;
mod disks;
mod evidence;
mod facts;
mod floods;
mod governance;
mod guarantees;
mod help;
mod independent;
mod input;
mod joining;
mod killed;
mod leaving;
mod ledger;
mod liar;
mod packages;
mod parameters;
mod progress;
mod relay;
mod renewal;
mod reset_trust;
mod rig;
mod rotation;
mod rpm_hosts;
mod scenarios;
mod secrets;
mod slots;
mod stage;
mod sweep;
mod takeover;
mod touched;
mod votes;
