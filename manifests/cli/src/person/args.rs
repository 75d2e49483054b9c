//! Options of `assent person …`.

use crate::governance::SignArgs;
use clap::{ArgGroup, Args, Subcommand};
use shared::ids::{PersonId, Team};
use shared::keys::AnyKey;
use shared::policy::Role;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum PersonCommand {
    /// Persons of the policy, what their keys may do, and what access the server gives them
    #[command(after_help = "Example: assent person list")]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Write an invitation for a new person; nothing in it is secret
    #[command(
        after_help = "Example: assent person invite peer --name \"Second Approver\" --role author --role approver\n         assent person invite auditor --name \"Auditor\" --role auditor"
    )]
    Invite {
        /// Short name in the policy
        person: PersonId,
        /// Full name
        #[arg(long, value_name = "FULL NAME")]
        name: String,
        /// What the person shall do: author, publisher, approver, break_glass or auditor; may be repeated
        #[arg(long, value_name = "ROLE", required = true, value_parser = crate::policy::args::role)]
        role: Vec<Role>,
        /// The team that a publisher publishes for (default: yours)
        #[arg(long)]
        team: Option<Team>,
        /// Where to write (default: PERSON.invitation.json here)
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// On the new person's machine: make keys and a directory for the site, and say who you are
    #[command(after_help = "Example: assent person join peer.invitation.json ~/assent")]
    Join {
        /// What `assent person invite` wrote
        invitation: PathBuf,
        /// New directory for keys and settings
        dir: PathBuf,
        /// Where to write what goes back (default: PERSON.introduction.json here)
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Compare six words with the new person, put their keys into the policy, and give them access
    #[command(after_help = "Example: assent person add peer.introduction.json")]
    Add(Box<AddArgs>),
    /// Take a person out of the policy and off the server; approvals of theirs count no more
    #[command(
        after_help = "What they have approved and no host has begun does not run.\nExample: assent person remove peer\n         assent person remove peer --one-person"
    )]
    Remove(RemoveArgs),
    /// Where reminders for a person go by mail; without a person, all addresses and why a letter did not go
    #[command(
        after_help = "The server sends at most one letter a day to each person, with everything that waits for that person, and one at once for an emergency.\nExample: assent person mail peer peer@example.org --language de\n         assent person mail peer --end"
    )]
    Mail {
        /// Short name in the policy
        person: Option<PersonId>,
        /// The address, without a name
        #[arg(conflicts_with = "end", requires = "person")]
        address: Option<String>,
        /// Language of the letters
        #[arg(long, default_value = "de", value_parser = ["de", "en"])]
        language: String,
        /// No mail any more
        #[arg(long, requires = "person")]
        end: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Put a person's new key in the place of an old one
    #[command(
        after_help = "Example: assent key new --out approver-2.pem   # on the person's machine\n         assent person rotate-key peer OLD-KEY --public NEW-KEY"
    )]
    RotateKey(Box<RotateArgs>),
}

#[derive(Debug, Args)]
pub struct AddArgs {
    /// What `assent person join` wrote
    pub introduction: PathBuf,
    /// reader, member or admin (default: member, or reader for who only audits)
    #[arg(long, value_parser = ["reader", "member", "admin"])]
    pub access: Option<String>,
    /// The person's access to the server ends after so many days (at most 400)
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=400))]
    pub days: u32,
    /// The team that a publisher publishes for (default: yours)
    #[arg(long)]
    pub team: Option<Team>,
    /// Leave the rules as they are, also where a second person approves from now on
    #[arg(long)]
    pub keep_rules: bool,
    #[command(flatten)]
    pub sign: SignArgs,
}

#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Short name in the policy
    pub person: PersonId,
    /// One person is left and approves alone: rules ask for nobody else, and every receipt says so
    #[arg(long)]
    pub one_person: bool,
    /// Public keys that publish for a team, in place of those it had; may be repeated
    #[arg(long, value_name = "TEAM=KEY,KEY")]
    pub team: Vec<String>,
    #[command(flatten)]
    pub sign: SignArgs,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("new_key").required(true).args(["ssh", "public"]))]
pub struct RotateArgs {
    /// Short name in the policy
    pub person: PersonId,
    /// The key that goes, as `assent person list` prints it
    pub old: AnyKey,
    /// Public key file of OpenSSH (ed25519, also on a security key)
    #[arg(long, value_name = "FILE.pub")]
    pub ssh: Option<PathBuf>,
    /// Public key of a key file, as `assent key new` prints it
    #[arg(long, value_name = "KEY")]
    pub public: Option<AnyKey>,
    #[command(flatten)]
    pub sign: SignArgs,
}
