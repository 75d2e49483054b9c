//! All system tests in one binary: scenarios, attacks, a hand in the database, crashes, bad input, evidence.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise, with its place")]

/// Runs each body on SQLite and on PostgreSQL, with a world of its own.
macro_rules! on_both {
    ($(#[doc = $doc:literal])* fn $name:ident($world:ident) $body:block) => {
        $(#[doc = $doc])*
        fn $name($world: &mut tests::World) $body

        mod $name {
            #[test]
            fn on_sqlite() {
                tests::World::with(module_path!(), tests::Database::Sqlite, super::$name);
            }

            #[test]
            fn on_postgresql() {
                tests::World::with(module_path!(), tests::Database::Postgresql, super::$name);
            }
        }
    };
}

mod attacks;
mod crashes;
mod database;
mod evidence;
mod input;
mod joining;
mod packages;
mod rig;
mod scenarios;
