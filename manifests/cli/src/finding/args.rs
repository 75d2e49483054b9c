//! Arguments of `assent finding …`.

use crate::args::AsJson;
use clap::{ArgGroup, Args, Subcommand};
use shared::ids::ChangeRef;

#[derive(Debug, Subcommand)]
pub enum FindingCommand {
    /// List findings: those that are there and open, if nothing else is asked for
    #[command(after_help = "Example: assent finding list --host web1")]
    List(Shown),
    /// Show one finding: the host's signed words, the difference, and what was made of it
    #[command(after_help = "Example: assent finding show 17")]
    Show {
        /// Number of the finding
        finding: u64,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// It stays as it is: a change says so afterwards, one that is there or a retroactive one made for it
    #[command(
        group = ArgGroup::new("by").required(true).args(["change", "retroactive"]),
        after_help = "A retroactive change accepts what was found. Hosts never get it; it is decided by its review.\nExample: assent finding accept 17 --like --retroactive --title \"Hotfix of the mail queue\" --reason \"it was full at night\"\n         assent finding accept 17 --change C-120 --reason \"hotfix of last night\""
    )]
    Accept {
        #[command(flatten)]
        judgement: Judgement,
        /// The change that approves it afterwards
        #[arg(long)]
        change: Option<ChangeRef>,
        /// Make a draft of a retroactive change that accepts all these findings
        #[arg(long, requires = "title")]
        retroactive: bool,
        #[command(flatten)]
        draft: Draft,
    },
    /// Somebody brings the approved state back
    #[command(
        after_help = "Example: assent finding revert 17 --change C-121 --reason \"changed by mistake\""
    )]
    Revert {
        #[command(flatten)]
        judgement: Judgement,
        /// The change that brings it back, if one does
        #[arg(long)]
        change: Option<ChangeRef>,
    },
    /// Somebody changed what nobody had approved
    #[command(after_help = "Example: assent finding confirm 17 --reason \"nobody knows who did it\"")]
    Confirm {
        #[command(flatten)]
        judgement: Judgement,
        /// A change that has to do with it
        #[arg(long)]
        change: Option<ChangeRef>,
    },
    /// It does not matter until a time
    #[command(after_help = "Example: assent finding ignore 17 --until 30d --reason \"the vendor writes it\"")]
    Ignore {
        #[command(flatten)]
        judgement: Judgement,
        /// When somebody looks again: a time, or so long from now on (s, m, h, d, w)
        #[arg(long, value_name = "TIME")]
        until: String,
    },
    /// Take back what was made of it
    #[command(after_help = "Example: assent finding reopen 17 --reason \"judged too early\"")]
    Reopen {
        #[command(flatten)]
        judgement: Judgement,
    },
    /// Rules by which findings are ignored
    #[command(subcommand)]
    Rule(RuleCommand),
}

/// Which findings are listed.
#[derive(Debug, Args)]
pub struct Shown {
    /// Of this host (name, CI or agent id)
    #[arg(long)]
    pub host: Option<String>,
    /// About this manifest
    #[arg(long, value_name = "TEAM/NAME")]
    pub manifest: Option<String>,
    /// Equal to this one, on whichever host
    #[arg(long, value_name = "NUMBER")]
    pub like: Option<u64>,
    /// With this word on them
    #[arg(long, value_parser = ["open", "accepted", "reverted", "ignored", "confirmed"])]
    pub disposition: Option<String>,
    /// Also those that are gone, or that somebody has judged
    #[arg(long)]
    pub all: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// What a retroactive change says besides its findings and its reason.
#[derive(Debug, Args)]
pub struct Draft {
    /// One line that says what was done
    #[arg(long, requires = "retroactive")]
    pub title: Option<String>,
    /// How it would be taken back (default: by a change that brings the approved state again)
    #[arg(long, requires = "retroactive")]
    pub undo: Option<String>,
    /// When somebody must have decided, else it expires: a time, or so long from now on (s, m, h, d, w; at most 90d)
    #[arg(long, requires = "retroactive", value_name = "TIME", default_value = "14d")]
    pub review_by: String,
    /// Make the next revision of this retroactive change; it accepts the findings that are named now
    #[arg(long, requires = "retroactive", value_name = "ID")]
    pub revise: Option<ChangeRef>,
}

/// Which findings are judged, and why.
#[derive(Debug, Args)]
pub struct Judgement {
    /// Numbers of the findings
    #[arg(required = true, value_name = "NUMBER")]
    pub findings: Vec<u64>,
    /// Why; kept with the finding
    #[arg(long)]
    pub reason: String,
    /// Also all findings that are equal to one of these, on whichever host: those that are open, or the judged ones to reopen
    #[arg(long)]
    pub like: bool,
    #[command(flatten)]
    pub json: AsJson,
}

#[derive(Debug, Subcommand)]
pub enum RuleCommand {
    /// List the rules that hold now
    #[command(after_help = "Example: assent finding rule list")]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Ignore findings all of whose resources fit, now and later
    #[command(
        after_help = "Example: assent finding rule add 'file:/etc/cron.d/*' --manifest main/base --until 26w --reason \"the backup agent writes there\""
    )]
    Add {
        /// Id of a resource, or its beginning followed by *
        resource: String,
        /// Only findings about this manifest
        #[arg(long, value_name = "TEAM/NAME")]
        manifest: Option<String>,
        /// Why; shown with every finding that it covers
        #[arg(long)]
        reason: String,
        /// When somebody looks again: a time, or so long from now on (s, m, h, d, w)
        #[arg(long, value_name = "TIME")]
        until: String,
        #[command(flatten)]
        json: AsJson,
    },
    /// End a rule; what it covered is open again
    #[command(after_help = "Example: assent finding rule remove 3")]
    Remove {
        /// Number of the rule
        rule: u64,
        #[command(flatten)]
        json: AsJson,
    },
}
