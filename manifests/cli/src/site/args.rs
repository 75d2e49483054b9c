//! Options of `assent site …`.

use crate::governance::SignArgs;
use clap::{Args, Subcommand};
use shared::digest::Digest;

#[derive(Debug, Subcommand)]
pub enum SiteCommand {
    /// Identity of the site and the table of everything that expires
    #[command(after_help = "Example: assent site show")]
    Show {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Ask whether the server and its database answer: exit code 0 if they do, else 3
    #[command(after_help = "Example: assent site health")]
    Health,
    /// Print what programs can ask of the server, as OpenAPI 3.1
    #[command(after_help = "Example: assent site api > openapi.json")]
    Api,
    /// Let the site go on after a backup of the server was put back: its new keys into root and policy
    ///
    /// On the machine on which governance signed last, after `assent-server restored` on the server.
    #[command(after_help = "Example: assent site restore")]
    Restore(SignArgs),
    /// TLS authorities that hosts believe, by the policy: a new one beside the old one, then without it
    ///
    /// On the server `assent-server authority new` makes one. Hosts get certificates of the one that was added last, within minutes;
    /// one that was off meanwhile gets its own when it comes back.
    #[command(subcommand)]
    Authority(AuthorityCommand),
    /// What contradicts a host's chain or the ledger: clones, restored databases, forged statements
    #[command(after_help = "Example: assent site alarms")]
    Alarms {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum AuthorityCommand {
    /// Name another authority in the policy; hosts believe both
    #[command(
        after_help = "Example: assent site authority add DIGEST   # as `assent-server authority new` printed it"
    )]
    Add(AuthorityArgs),
    /// Name one no longer: the server lets nobody in by it, and gives itself certificates of the other one
    #[command(after_help = "Example: assent site authority retire DIGEST")]
    Retire(AuthorityArgs),
}

#[derive(Debug, Args)]
pub struct AuthorityArgs {
    /// SHA-256 of the authority's public key; `assent site show` lists those of the policy
    pub spki: Digest,
    #[command(flatten)]
    pub sign: SignArgs,
}
