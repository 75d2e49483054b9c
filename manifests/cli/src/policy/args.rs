//! Options of `assent policy …`.

use crate::governance::SignArgs;
use clap::{ArgAction, ArgGroup, Args, Subcommand};
use shared::ids::{GroupName, HostClass, ModelName, PersonId, Team};
use shared::keys::AnyKey;
use shared::ledger::{KeyName, WitnessKey};
use shared::policy::Role;
use shared::risk::ActionClass;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Show the policy in force as JSON, ready to be edited
    #[command(after_help = "Example: assent policy show > policy.json")]
    Show,
    /// Open the policy in $EDITOR; then check, show the difference, sign and publish it
    #[command(after_help = "Example: assent policy edit")]
    Edit(PublishArgs),
    /// Check an edited policy, show the difference, sign it with governance and publish it
    #[command(
        after_help = "Example: assent policy publish policy.json\n         assent policy publish policy.json --team web=KEY1,KEY2   # who may publish for a team"
    )]
    Publish {
        /// The edited policy; version and time of issue are set by this command
        file: PathBuf,
        #[command(flatten)]
        publish: PublishArgs,
    },
    /// Add a key to a person, or a person with a key
    #[command(
        after_help = "Example: assent policy add-key peer --name \"Second Approver\" --ssh id_ed25519.pub --role approver\n         assent policy add-key peer --public KEY --role approver --role author"
    )]
    AddKey(Box<KeyArgs>),
    /// Take a key away from a person; what it has signed counts no more
    #[command(after_help = "Example: assent policy remove-key peer KEY")]
    RemoveKey {
        /// Short name in the policy
        person: PersonId,
        /// The public key, as `assent policy show` prints it
        public: AnyKey,
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Let a person approve in an approver's place for a while, or end that
    #[command(
        after_help = "What the delegate approved counts until the delegation ends, once, and never for a change of either person.\nExample: assent policy delegate lead deputy --until 2w\n         assent policy delegate lead deputy --end"
    )]
    Delegate {
        /// The approver
        by: PersonId,
        /// Who stands in; needs an own key in the policy
        to: PersonId,
        /// When it begins: a time, or so long from now on (default: now)
        #[arg(long, value_name = "TIME", conflicts_with = "end")]
        from: Option<String>,
        /// When it ends: a time, or so long from now on; at most 90 days after it begins
        #[arg(long, value_name = "TIME", required_unless_present = "end", conflicts_with = "end")]
        until: Option<String>,
        /// Take all delegations between the two out of the policy
        #[arg(long)]
        end: bool,
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Persons whom rules name together (`from` in `assent policy edit`)
    #[command(subcommand)]
    Group(GroupCommand),
    /// Allow standard changes of a kind without an approval of their own
    #[command(subcommand)]
    Model(ModelCommand),
    /// Say what hosts demand of the ledger before they begin a change
    #[command(
        after_help = "With proofs a server cannot let a host begin something that the ledger, and so everybody who looks at it, will not show. With witnesses it cannot even show two stories.\nExample: assent policy ledger --proof-before-start yes\n         assent policy ledger --add-witness audit.example.org+1a2b3c4d+... --quorum 1"
    )]
    Ledger(LedgerArgs),
}

#[derive(Debug, Args)]
#[group(id = "ledger", required = true, multiple = true)]
pub struct LedgerWishes {
    /// Whether hosts begin a change only when the ledger is proven to hold it and the approvals that count
    #[arg(long, value_name = "yes|no", action = ArgAction::Set, value_parser = yes_or_no)]
    pub proof_before_start: Option<bool>,
    /// Add a witness: its key as `assent key witness` prints it (C2SP signed-note, type 4)
    #[arg(long, value_name = "KEY")]
    pub add_witness: Vec<WitnessKey>,
    /// Take a witness out, by name
    #[arg(long, value_name = "NAME")]
    pub remove_witness: Vec<KeyName>,
    /// How many witnesses must have seen what is to count as proven to be in the ledger; 0 asks for none
    #[arg(long, value_name = "COUNT")]
    pub quorum: Option<u32>,
}

#[derive(Debug, Args)]
pub struct LedgerArgs {
    #[command(flatten)]
    pub wishes: LedgerWishes,
    #[command(flatten)]
    pub sign: SignArgs,
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("write yes or no".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Make a group, or put other persons into it
    #[command(
        after_help = "A rule of the policy then asks for it: \"require\": {\"approvals\": 1, \"from\": \"shop-owners\", ...}; with \"everyone\": true for each\nof them, and with \"after\": [\"NAME\"] only when the rule NAME is satisfied.\nExample: assent policy group set shop-owners lead peer"
    )]
    Set {
        /// Its name in the policy
        name: GroupName,
        /// Short names of persons in the policy
        #[arg(required = true)]
        persons: Vec<PersonId>,
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Take a group out of the policy; no rule may ask for it any more
    #[command(after_help = "Example: assent policy group remove shop-owners")]
    Remove {
        /// Its name in the policy
        name: GroupName,
        #[command(flatten)]
        sign: SignArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Add a model, or put another one in the place of that with the same name
    #[command(
        after_help = "Example: assent policy model set web-patches --team web --manifests \"web-*\" --versions \"~1.4\" \\\n           --allow file --allow service --host-class production --hosts-per-day 20 --expires 60d\n         assent change new --model web-patches --manifest web-base@1.4.7 ..."
    )]
    Set(Box<ModelArgs>),
    /// Take a model out of the policy
    #[command(after_help = "Example: assent policy model remove web-patches")]
    Remove {
        /// Its name in the policy
        name: ModelName,
        #[command(flatten)]
        sign: SignArgs,
    },
}

#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Short name, which changes give
    pub name: ModelName,
    /// Team that publishes the manifests
    #[arg(long)]
    pub team: Team,
    /// A manifest's name, or its beginning followed by *
    #[arg(long, value_name = "PATTERN")]
    pub manifests: String,
    /// Versions, as Cargo writes them: ~1.4 (1.4.0 up to but not 1.5.0), or ">=2.1, <2.4"
    #[arg(long, value_name = "RANGE")]
    pub versions: semver::VersionReq,
    /// Effect that hosts may run, such as file or service; may be repeated
    #[arg(long, value_name = "CLASS", required = true, value_parser = crate::change::args::action_class)]
    pub allow: Vec<ActionClass>,
    /// Class of the hosts; may be repeated
    #[arg(long, value_name = "CLASS", required = true)]
    pub host_class: Vec<HostClass>,
    /// Hosts of one change, and of all changes of the model whose starts lie within 24 hours
    #[arg(long, value_name = "NUMBER")]
    pub hosts_per_day: u32,
    /// When it ends: a time, or so long from now on; at most 90 days from now
    #[arg(long, value_name = "TIME")]
    pub expires: String,
    #[command(flatten)]
    pub sign: SignArgs,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("key_source").required(true).args(["ssh", "public"]))]
pub struct KeyArgs {
    /// Short name in the policy
    pub person: PersonId,
    /// Full name; needed for a person who is not in the policy yet
    #[arg(long, value_name = "FULL NAME")]
    pub name: Option<String>,
    /// Public key file of OpenSSH (ed25519, also on a security key)
    #[arg(long, value_name = "FILE.pub")]
    pub ssh: Option<PathBuf>,
    /// Public key of a key file, as `assent key new` prints it
    #[arg(long, value_name = "KEY")]
    pub public: Option<AnyKey>,
    /// What it may be used for: author, publisher, approver, break_glass or auditor; may be repeated
    #[arg(long, value_name = "ROLE", required = true, value_parser = role)]
    pub role: Vec<Role>,
    #[command(flatten)]
    pub sign: SignArgs,
}

pub fn role(text: &str) -> Result<Role, String> {
    serde_json::from_value(text.into())
        .map_err(|_| "write author, publisher, approver, break_glass or auditor".to_owned())
}

#[derive(Debug, Args)]
pub struct PublishArgs {
    #[command(flatten)]
    pub sign: SignArgs,
    /// Public keys that publish for a team, in place of those it had (see `assent key show`); may be repeated
    #[arg(long, value_name = "TEAM=KEY,KEY")]
    pub team: Vec<String>,
}
