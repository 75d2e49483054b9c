//! Names inside a backup of the server: an age file (X25519) of a tar archive.
//!
//! [`CONFIG`] comes first, then the database, then the files, [`SUMS`] last: a list as `sha256sum` writes it, of every
//! file before it, in their order.

/// The configuration file.
pub const CONFIG: &str = "server.toml";
/// What stands before the path of a file in the data directory.
pub const DATA: &str = "data/";
/// What stands before the name of the setting whose file is outside of the data directory.
pub const OUTSIDE: &str = "outside/";
/// A SQLite database that is outside of the data directory.
pub const SQLITE: &str = "database.sqlite";
/// A PostgreSQL database, as `pg_restore` reads it.
pub const POSTGRESQL: &str = "database.pgdump";
pub const SUMS: &str = "SHA256SUMS";
/// The list is held in memory: about 500,000 files.
pub const SUMS_BYTES: usize = 64 << 20;
