//! The command line: names, options and examples of every command. Never: what a command does.

use crate::governance::GovernanceCommand;
use crate::lang::Lang;
use crate::person::PersonCommand;
use crate::policy::PolicyCommand;
use crate::renew::RenewArgs;
use crate::ssh::Place;
use crate::term;
use crate::window::every::WindowArgs;
use clap::{Args, Parser, Subcommand};
use shared::ids::{ChangeRef, HostClass, PersonId, Team};
use shared::ledger::KeyName;
use shared::windows::FORMS;
use std::path::PathBuf;

pub use crate::budget::args::BudgetCommand;
pub use crate::calendar::args::CalendarCommand;
pub use crate::change::args::{ApproveArgs, BreakArgs, ChangeCommand, GlassCommand, NewArgs};
pub use crate::ci::args::CiCommand;
pub use crate::finding::args::FindingCommand;
pub use crate::release::args::ReleaseCommand;
pub use crate::site::args::{AuthorityArgs, AuthorityCommand, SiteCommand};
pub use crate::token::args::TokenCommand;
pub use crate::webhook::args::WebhookCommand;

/// Everything that is done with a person's own key: publish, request, approve, prove.
#[derive(Debug, Parser)]
#[command(name = "assent", version, arg_required_else_help = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 refused, 2 usage, 3 fault.\n\nWith --json, commands that write print one document: {\"written\": [{\"kind\", \"id\", \"version\", \"now\"}], \"refused\": [{\"id\", \"why\"}]}.\n\"now\" is what was written, as the commands that list it show it; \"version\" is its ETag, for If-Match, where the server has one.\n\nExample: assent --site ~/assent change list"
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub struct Global {
    /// Directory of the site, made by `assent init`
    #[arg(long, global = true, env = "ASSENT_SITE", value_name = "DIR")]
    pub site: Option<PathBuf>,
    /// File whose first line is the passphrase of your keys (for scripts)
    #[arg(long, global = true, env = "ASSENT_PASSPHRASE_FILE", value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Language of the main outputs: en or de (default: from LANG)
    #[arg(long, global = true, value_name = "LANG")]
    pub lang: Option<Lang>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(flatten)]
    Local(LocalCommand),
    #[command(flatten)]
    Online(OnlineCommand),
}

/// What works without a server (but for showing the keys).
#[derive(Debug, Subcommand)]
pub enum LocalCommand {
    /// Make a site for one person: keys, policy, repository, server directory
    Init(InitArgs),
    /// Check manifests and list every problem with its line and remedy
    #[command(
        after_help = "Example: assent lint web-base.yaml\n         assent lint web-base.yaml --out web-base.json   # then on a host: assent-agent plan web-base.json"
    )]
    Lint {
        /// Manifests in YAML
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Write the one manifest compiled (JSON), for `assent-agent plan` on a host
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// As JSON: each file with what it is, or its problems
        #[arg(long)]
        json: bool,
    },
    /// Compile a manifest and sign it with your publisher key
    #[command(after_help = "Example: assent sign web-base.yaml   # writes web-base-1.2.0.manifest.json")]
    Sign {
        /// Manifest in YAML
        file: PathBuf,
        /// Where to write (default: NAME-VERSION.manifest.json beside the manifest)
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Verify an evidence bundle (a .tar file or a directory), or what a host kept of a site that it left, offline
    #[command(after_help = "Example: assent verify c-114.tar --root-sha256 HEX")]
    Verify {
        /// The bundle, as `assent export` wrote it or unpacked; or the file of `assent-agent former export`
        bundle: PathBuf,
        /// The digest of the site's first root, from a source that you trust (default: that of --site)
        #[arg(long, value_name = "HEX")]
        root_sha256: Option<shared::digest::Digest>,
        /// An earlier bundle of the site: the ledger must go on from there
        #[arg(long, value_name = "BUNDLE")]
        previous: Option<PathBuf>,
        /// As JSON: whether it holds, what was checked, remarks and flaws
        #[arg(long)]
        json: bool,
    },
    /// Your keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Backups of the server: for whom they are encrypted, whether they are whole, what is in them
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Persons: invite, join, add, remove, new keys
    #[command(subcommand)]
    Person(PersonCommand),
    /// Releases of the agent's program: signed by its vendor, judged by the policy
    #[command(subcommand)]
    Release(ReleaseCommand),
    /// Show the windows that come of a rule, in local time and UTC, with what the change of clocks does to them
    #[command(
        after_help = format!("After \"every\" stands one of: {FORMS}; instead of it, FREQ=... of RFC 5545.\nExample: assent window \"every 2nd tuesday 22:00..+4h\" --zone Europe/Berlin --times 12")
    )]
    Window(WindowArgs),
    /// Print completions of this command for your shell
    #[command(
        after_help = "Example: assent completion bash > /etc/bash_completion.d/assent\n         assent completion zsh > ~/.zfunc/_assent\n         assent completion fish > ~/.config/fish/completions/assent.fish"
    )]
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages of this command and its subcommands
    #[command(after_help = "Example: assent man /usr/local/share/man/man1")]
    Man {
        /// Existing directory for the pages
        dir: PathBuf,
    },
}

/// What talks to the server.
#[derive(Debug, Subcommand)]
pub enum OnlineCommand {
    /// Hosts that join the site
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Publish a signed manifest, or sign a YAML file and publish it
    #[command(after_help = "Example: assent publish web-base.yaml")]
    Publish {
        /// Manifest in YAML, or one that `assent sign` wrote
        file: PathBuf,
        /// Publish a version below the highest one that is published
        #[arg(long)]
        older: bool,
        #[command(flatten)]
        json: AsJson,
    },
    /// Large files that manifests name by digest
    #[command(subcommand)]
    Artifact(ArtifactCommand),
    /// Published manifests
    #[command(subcommand)]
    Manifest(ManifestCommand),
    /// Figures of a period
    #[command(subcommand)]
    Report(ReportCommand),
    /// Disruption budgets: how many hosts of a group may be changing at once
    #[command(subcommand)]
    Budget(BudgetCommand),
    /// What waits for you: approvals that the policy asks you for, and reviews
    #[command(after_help = "Example: assent inbox")]
    Inbox {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Webhooks: news of the site for other programs
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// Calendars: when hosts start nothing, people are warned, or hosts are meant to be changed
    #[command(subcommand)]
    Calendar(CalendarCommand),
    /// Changes: what is brought to which hosts, when
    #[command(subcommand)]
    Change(ChangeCommand),
    /// See what a change will do on every host, verified here, and approve it with your own key
    #[command(
        after_help = "Example: assent approve C-114 --expires 24h\n         assent approve C-114 --break-glass --reason \"the shop is down\""
    )]
    Approve(Box<ApproveArgs>),
    /// Break the glass for hosts that cannot reach the server: what is needed is carried to them by hand
    #[command(subcommand)]
    Glass(GlassCommand),
    /// Say no to a change, with your own key
    #[command(after_help = "Example: assent reject C-114 --comment \"not before the audit\"")]
    Reject {
        /// The change, such as C-114 or N-2026-0014
        change: ChangeRef,
        /// Why; signed and kept
        #[arg(long)]
        comment: String,
        #[command(flatten)]
        ssh: SshArgs,
        #[command(flatten)]
        json: AsJson,
    },
    /// Take your approval back
    #[command(after_help = "Example: assent withdraw C-114 --comment \"wrong window\"")]
    Withdraw {
        /// The change, such as C-114 or N-2026-0014
        change: ChangeRef,
        /// Why; signed and kept
        #[arg(long, default_value = "")]
        comment: String,
        #[command(flatten)]
        ssh: SshArgs,
        #[command(flatten)]
        json: AsJson,
    },
    /// Why is a host not changing yet?
    #[command(after_help = "Example: assent why web1 C-114")]
    Why {
        /// Host name, CI or agent id
        host: String,
        /// The change, such as C-114 or N-2026-0014
        change: ChangeRef,
        /// As JSON: the server's answer, and "signed", the host's own refusal, verified here
        #[arg(long)]
        json: bool,
    },
    /// What do hosts wait for? Counted, of one change or of all that are open
    #[command(after_help = "Example: assent waiting\n         assent waiting C-114")]
    Waiting {
        /// The change, such as C-114 or N-2026-0014 (default: all open ones)
        change: Option<ChangeRef>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Values that only chosen hosts can read, for manifests and parameters
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Configuration items: hosts, their state and their history
    #[command(subcommand)]
    Ci(CiCommand),
    /// Findings: where hosts differ from what was approved for them
    #[command(subcommand)]
    Finding(FindingCommand),
    /// Fetch an evidence bundle
    #[command(
        after_help = "Example: assent export --change C-114 -o c-114.tar\n         assent export --period 2026-01-01..2026-04-01 -o q1.tar"
    )]
    Export {
        /// Everything about this change
        #[arg(long, value_name = "ID", required_unless_present = "period", conflicts_with = "period")]
        change: Option<ChangeRef>,
        /// FROM..TO, each a date or RFC 3339 time
        #[arg(long, value_name = "FROM..TO")]
        period: Option<String>,
        /// Where to write the bundle (tar)
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        json: AsJson,
    },
    /// The site: its identity and when everything expires
    #[command(subcommand)]
    Site(SiteCommand),
    /// Sign everything again that ends: root, policy, your team's manifests; shows when what ends
    #[command(
        after_help = "Example: assent renew --dry-run\n         assent renew\n         assent renew --key recovered.pem --replace-lost governance-new.pem   # the governance key is lost\n         assent renew --propose renewal.json   # where several governance keys sign"
    )]
    Renew(RenewArgs),
    /// Governance: who signs root and policy, proposals that several persons sign, the recovery key
    #[command(subcommand)]
    Governance(GovernanceCommand),
    /// The policy: persons, keys, rules
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// The ledger
    #[command(subcommand)]
    Log(LogCommand),
    /// Tokens for programs that work for you
    #[command(subcommand)]
    Token(TokenCommand),
    /// The audit trail: who did what on the server
    #[command(subcommand)]
    Audit(AuditCommand),
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List administrative actions, newest first
    #[command(
        after_help = "What is signed (changes, approvals, manifests, the policy) and the steps of changes are documents of their own: see `assent change show` and `assent export`.\nExample: assent audit list --verify\n         assent audit list --person lead --action people.grant"
    )]
    List(AuditArgs),
    /// List the evidence bundles that were taken: by whom, and when
    #[command(after_help = "Example: assent audit exports")]
    Exports {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Only what this person did
    #[arg(long)]
    pub person: Option<PersonId>,
    /// Only actions of this name, such as people.grant
    #[arg(long, value_name = "NAME", value_parser = action)]
    pub action: Option<String>,
    /// Only records with a smaller number
    #[arg(long, value_name = "NUMBER")]
    pub before: Option<u64>,
    /// At most so many records
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    /// Have each record proven to be in the ledger, and look for gaps in their numbers
    #[arg(long)]
    pub verify: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

fn action(text: &str) -> Result<String, String> {
    let fits = text.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte));
    if fits { Ok(text.to_owned()) } else { Err("write a name such as people.grant".to_owned()) }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  assent init ~/assent --person lead --name \"First Approver\" \\\n    --people-url https://assent.example.org:8443 --agent-address assent.example.org:8444"
)]
pub struct InitArgs {
    /// New directory for everything
    pub dir: PathBuf,
    /// Your short name in the policy
    #[arg(long)]
    pub person: PersonId,
    /// Your full name
    #[arg(long, value_name = "FULL NAME")]
    pub name: String,
    /// Where people and the command reach the server
    #[arg(long, value_name = "URL")]
    pub people_url: String,
    /// Where agents reach the server
    #[arg(long, value_name = "HOST:PORT")]
    pub agent_address: String,
    /// Where the server listens for people
    #[arg(long, default_value = "0.0.0.0:8443", value_name = "ADDRESS")]
    pub listen_people: std::net::SocketAddr,
    /// Where the server listens for agents
    #[arg(long, default_value = "0.0.0.0:8444", value_name = "ADDRESS")]
    pub listen_agents: std::net::SocketAddr,
    /// Database of the server (default: SQLite in its directory)
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// Write the recovery key to a file instead of showing it (for scripts)
    #[arg(long, value_name = "FILE")]
    pub recovery_out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Make a one-time token and print the command that joins a host
    #[command(after_help = "Example: assent agent token --host-class production --label role=web")]
    Token {
        /// Class of the host, by which rules of the policy apply; the host pins it
        #[arg(long, default_value = "production", value_name = "CLASS")]
        host_class: HostClass,
        /// Label that the host gets; may be repeated
        #[arg(long, value_name = "KEY=VALUE")]
        label: Vec<String>,
        /// The token is good for so many minutes (at most 60)
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=60))]
        minutes: u32,
        /// For a host that reaches the server only through its proxy, which ends TLS
        #[arg(long)]
        proxy: bool,
        /// File on the host with the authorities that the proxy's certificate may be of (default: those of the host)
        #[arg(long, value_name = "FILE", requires = "proxy")]
        proxy_ca: Option<String>,
        #[command(flatten)]
        json: AsJson,
    },
}

#[derive(Debug, Subcommand)]
pub enum ArtifactCommand {
    /// Upload a file and print the lines to paste into a manifest; goes on after an interruption
    #[command(after_help = "Example: assent artifact put app.tar.gz")]
    Put {
        /// The file; manifests name it by its digest and length
        file: PathBuf,
        #[command(flatten)]
        json: AsJson,
    },
}

#[derive(Debug, Subcommand)]
pub enum ManifestCommand {
    /// List published manifests, as the repository's signatures vouch for them
    #[command(after_help = "Example: assent manifest list --team main")]
    List {
        /// Only those of this team
        #[arg(long)]
        team: Option<Team>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Encrypt a value from standard input, a file or the terminal; prints what goes into the manifest
    #[command(
        after_help = "Example: assent secret encrypt --manifest web-base --label role=web --trim < password.txt\n\nPaste the output below `content: {secret: …}` of a file, below `default: {secret: …}` of a parameter of\ntype secret, or keep it in a file for `assent change new --param web-base.password=FILE`."
    )]
    Encrypt {
        /// The manifest that may use the value; hosts refuse it in any other one
        #[arg(long, value_name = "[TEAM/]NAME")]
        manifest: String,
        /// Read the value from this file
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Take one line break off the end of the value
        #[arg(long)]
        trim: bool,
        #[command(flatten)]
        args: SecretArgs,
    },
    /// Encrypt the value of an older secret again, for other hosts
    #[command(after_help = "Example: assent secret rekey password.age --label role=web > new.age")]
    Rekey {
        /// What `assent secret encrypt` printed
        file: PathBuf,
        #[command(flatten)]
        args: SecretArgs,
    },
    /// Show your own public key for secrets; it is made when there is none
    #[command(after_help = "Example: assent secret key")]
    Key,
}

/// Who shall be able to read a value.
#[derive(Debug, Args)]
pub struct SecretArgs {
    /// Host name, CI or agent id
    #[arg(long, value_name = "HOST")]
    pub host: Vec<String>,
    /// Every enabled host that has all these labels
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// Every enabled host
    #[arg(long, conflicts_with_all = ["host", "label"])]
    pub all: bool,
    /// Further age key, such as that of a colleague
    #[arg(long, value_name = "AGE1…")]
    pub recipient: Vec<shared::secret::Recipient>,
    /// Not for yourself; `rekey` is not possible then
    #[arg(long)]
    pub hosts_only: bool,
    /// Do not ask about new hosts; for scripts that have compared their agent ids
    #[arg(long)]
    pub yes: bool,
}

/// Backups of the server; nothing but the print-out of the recovery key is needed.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Print for whom the server encrypts its backups: the age recipient of the recovery key
    #[command(after_help = "Example: assent backup recipient")]
    Recipient {
        /// File with the print-out instead of typing it
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Read a backup to its end and compare every file with the list in it; writes nothing
    #[command(after_help = "Example: assent backup check assent.age")]
    Check {
        /// What `assent-server backup` wrote
        backup: PathBuf,
        /// File with the print-out instead of typing it
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Open a backup into a new directory, and say what to do next
    #[command(after_help = "Example: assent backup open assent.age --out restored")]
    Open {
        /// What `assent-server backup` wrote
        backup: PathBuf,
        /// New directory for what is in it
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// File with the print-out instead of typing it
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
}

/// For programs.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct AsJson {
    /// As JSON; what was written has the form that `assent --help` shows
    #[arg(long)]
    pub json: bool,
}

impl AsJson {
    /// Whether a program reads standard output. What people read goes to standard error then.
    pub fn begin(self) -> bool {
        term::for_programs(self.json);
        self.json
    }
}

/// With which key a person signs.
#[derive(Debug, Args)]
pub struct SshArgs {
    /// Sign with an OpenSSH key that the policy names: one of the ssh-agent, or of this file
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub ssh: Option<Option<PathBuf>>,
}

impl SshArgs {
    pub fn place(&self) -> Option<Place<'_>> {
        self.ssh.as_ref().map(|file| file.as_deref().map_or(Place::Agent, Place::File))
    }
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Public keys of this profile and what the policy says about them
    #[command(after_help = "Example: assent key show")]
    Show {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a key for a person and print its public part, to be put into the policy
    #[command(after_help = "Example: assent key new --out approver.pem")]
    New {
        /// New file for the sealed key
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Make the key of a witness of the ledger, and print what the policy needs
    #[command(
        after_help = "Example: assent key witness audit.example.org --out witness.key\n         assent policy ledger --add-witness audit.example.org+1a2b3c4d+... --quorum 1"
    )]
    Witness {
        /// Name of the witness, such as a host name
        name: KeyName,
        /// New file; it is not sealed, so that a timer can use it
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Read a recovery key from its print-out and seal it into a key file
    #[command(after_help = "Example: assent key restore --out governance-2.pem")]
    Restore {
        /// New file for the sealed key
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Text file with the typed print-out instead of asking
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Check that the ledger has only grown since this directory last looked
    ///
    /// Looks at the tree alone. What it holds is compared elsewhere: `assent audit list --verify` compares the records of
    /// the audit trail, `assent verify` the documents of a bundle.
    #[command(after_help = "Example: assent log verify")]
    Verify {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Do the same, and sign for others that you have: as a witness of the ledger
    #[command(
        after_help = "Run it from a timer, in a directory of its own on a machine that is not the server's; who may read may be a witness.\nExample: assent log witness --key witness.key"
    )]
    Witness {
        /// File of `assent key witness`
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        #[command(flatten)]
        json: AsJson,
    },
}

#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// Key figures of change enablement, each with its definition and what was left out
    #[command(after_help = "Example: assent report kpi 2026-10-01..2027-01-01")]
    Kpi {
        /// Days or times in UTC; the end is not included
        #[arg(value_name = "FROM..TO")]
        period: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}
