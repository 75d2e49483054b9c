//! Options of `assent governance …`, and with which governance keys any edition is signed.

use crate::args::AsJson;
use clap::{Args, Subcommand};
use shared::governance::{Holder, Keeper};
use shared::keys::PublicKey;
use std::path::PathBuf;

/// With which keys governance signs, and whether others sign as well.
#[derive(Debug, Default, Args)]
pub struct Signers {
    /// Governance key file to sign with (default: that of the profile); may be repeated
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,
    /// Write a proposal for further holders of governance keys to sign, and publish nothing yet
    #[arg(long, value_name = "FILE")]
    pub propose: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct SignArgs {
    #[command(flatten)]
    pub by: Signers,
    /// Do not ask; for scripts that have looked themselves
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub json: AsJson,
}

#[derive(Debug, Subcommand)]
pub enum GovernanceCommand {
    /// Who governs: keys, their holders, how many must sign, and when the recovery key was last rehearsed
    #[command(after_help = "Example: assent governance show")]
    Show {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Change who governs: add, remove or replace keys, and how many of them must sign
    #[command(
        after_help = "Those who govern now sign, and those who govern afterwards. A new holder makes a key with `assent key new`.\nExample: assent governance change --add peer=KEY --threshold 2 --propose growth.json\n         assent governance change --remove KEY --add lead=KEY --propose new-key.json   # a key is lost or replaced\n         assent governance change --new-recovery"
    )]
    Change(Box<ChangeArgs>),
    /// Look at a proposal, verified here, and sign it with your own governance key
    #[command(after_help = "Example: assent governance sign growth.json --key governance.pem")]
    Sign {
        /// The proposal; it is replaced by the one with your signature
        file: PathBuf,
        /// Governance key file to sign with (default: that of the profile); may be repeated
        #[arg(long, value_name = "FILE")]
        key: Vec<PathBuf>,
        /// Do not ask; for scripts that have looked themselves
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        json: AsJson,
    },
    /// Publish a proposal that has enough signatures
    #[command(after_help = "Example: assent governance publish growth.json")]
    Publish {
        /// The proposal
        file: PathBuf,
        #[command(flatten)]
        json: AsJson,
    },
    /// Type the recovery key in from its print-out, and have it on record that it works; changes nothing
    #[command(after_help = "Example: assent governance rehearse")]
    Rehearse {
        /// Text file with the typed print-out instead of asking
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct ChangeArgs {
    /// A person of the policy and the public key of the new governance key; may be repeated
    #[arg(long, value_name = "PERSON=KEY", value_parser = holder)]
    pub add: Vec<Holder>,
    /// Governance key that goes, as `assent governance show` prints it; may be repeated
    #[arg(long, value_name = "KEY")]
    pub remove: Vec<PublicKey>,
    /// So many signatures are needed from then on
    #[arg(long, value_name = "NUMBER")]
    pub threshold: Option<u32>,
    /// Make a new recovery key, shown once, in the place of that on paper
    #[arg(long)]
    pub new_recovery: bool,
    /// Write the new recovery key to a file instead of showing it (for scripts)
    #[arg(long, value_name = "FILE", requires = "new_recovery")]
    pub recovery_out: Option<PathBuf>,
    /// Give up the way back: no key on paper, or every single key is needed
    #[arg(long)]
    pub without_recovery: bool,
    #[command(flatten)]
    pub sign: SignArgs,
}

fn holder(text: &str) -> Result<Holder, String> {
    let bad = |_| "write PERSON=KEY with a public key as `assent key new` prints it".to_owned();
    let (person, public) = text.split_once('=').ok_or(()).map_err(bad)?;
    let person = person.parse().map_err(|_| ()).map_err(bad)?;
    Ok(Holder { public: public.parse().map_err(|_| ()).map_err(bad)?, keeper: Keeper::Person(person) })
}
