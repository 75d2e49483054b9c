//! Options of `assent token …`.

use crate::args::AsJson;
use clap::Subcommand;
use shared::digest::Digest;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Your tokens that are good
    #[command(after_help = "Example: assent token list")]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a token for a program, with some of what you may do
    #[command(
        after_help = "The secret is made here, and shown or written once. A token gives access to the server; it approves nothing.\nExample: assent token new ci --scope read --scope propose --days 90 --out ci.token"
    )]
    New {
        /// What it is for
        name: String,
        /// What it may be used for: read, comment, export, propose, publish, approve (hand in approvals), operate, manage-hosts,
        /// manage-people, manage-webhooks or own-tokens; may be repeated
        #[arg(long, value_name = "SCOPE", required = true)]
        scope: Vec<String>,
        /// It ends after so many days (at most 400)
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=400))]
        days: u32,
        /// New file for the secret, for you alone (default: it is printed)
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        json: AsJson,
    },
    /// End a token of yours at once
    #[command(
        after_help = "Example: assent token end 5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
    )]
    End {
        /// Its digest, as `assent token list` shows it
        sha256: Digest,
        #[command(flatten)]
        json: AsJson,
    },
}
