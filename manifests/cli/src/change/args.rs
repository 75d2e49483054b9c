//! Options of `assent change …`.

use crate::args::{AsJson, SshArgs};
pub use crate::change::notes::args::NoteCommand;
use clap::{Args, Subcommand, ValueEnum};
use shared::change::rollout::Preset;
use shared::change::{ChangeType, Missed, PlanBinding, Reboot};
use shared::ids::{ChangeRef, ModelName, SeriesName};
use shared::risk::ActionClass;
use shared::windows::CalendarName;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum ChangeCommand {
    /// Write and sign a change; the server keeps it as a draft
    New(Box<NewArgs>),
    /// Ask hosts for plans and approvers for their word
    #[command(
        after_help = "Example: assent change submit C-114\n         assent change submit C-115 --at 2026-12-05"
    )]
    Submit {
        /// The changes, such as C-114 or N-2026-0014
        #[arg(required = true)]
        change: Vec<ChangeRef>,
        /// Not now but by itself at this time; "never" takes that back
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        #[command(flatten)]
        json: AsJson,
    },
    /// List changes that come again: what is open of each series, and until when there are occurrences
    #[command(after_help = "Example: assent change series")]
    Series {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what a change does, from statements verified here
    #[command(after_help = "Example: assent change show C-114\n         assent change show C-114 --json")]
    Show {
        /// The change, such as C-114 or N-2026-0014
        change: ChangeRef,
        /// As JSON: what is signed and was verified here; under "server" its line, assessment and conflicts
        #[arg(long)]
        json: bool,
    },
    /// Show the steps of a change so far: who did what, when, and which state it had then
    #[command(after_help = "Example: assent change course C-114")]
    Course {
        /// The change, such as C-114 or N-2026-0014
        change: ChangeRef,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List changes
    #[command(
        after_help = "Example: assent change list --state in_review\n         assent change list --limit 20 --before C-114"
    )]
    List {
        /// Only those in this state: draft, in_review, approved, running, halted, review or closed
        #[arg(long)]
        state: Option<String>,
        /// Only occurrences of this series
        #[arg(long, value_name = "NAME")]
        series: Option<SeriesName>,
        /// Only those made before this change
        #[arg(long, value_name = "CHANGE")]
        before: Option<ChangeRef>,
        /// Only so many, the newest ones (default: all)
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Wait until all hosts have planned, or have reported
    #[command(after_help = "Example: assent change wait C-114 --for plans --timeout 5m")]
    Wait {
        /// The change, such as C-114 or N-2026-0014
        change: ChangeRef,
        /// What to wait for
        #[arg(long = "for", value_enum, value_name = "WHAT", default_value = "receipts")]
        until: Until,
        /// Give up after this time, with exit code 1
        #[arg(long, default_value = "10m", value_name = "TIME")]
        timeout: String,
        /// As JSON: the change, as `assent change list` shows it
        #[arg(long)]
        json: bool,
    },
    /// Watch a change while it runs: what each host does, verified as its own words
    #[command(
        after_help = "Ends when all hosts have reported, or when nothing more can come: exit code 0 if all succeeded, else 1.\nExample: assent change watch C-114\n         assent change watch C-114 --host web1 --json"
    )]
    Watch {
        /// The change, such as C-114 or N-2026-0014
        change: ChangeRef,
        /// Only this host: name, CI or agent id
        #[arg(long, value_name = "HOST")]
        host: Option<String>,
        /// Go on behind this place, as --json tells them
        #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "PLACE")]
        after: u64,
        /// One line of JSON for each message
        #[arg(long)]
        json: bool,
    },
    /// Stop a change: nothing starts, and hosts stop before their next step
    #[command(after_help = "Example: assent change halt C-114 --note \"the shop is down\"")]
    Halt(Several),
    /// Let a halted change go on
    #[command(after_help = "Example: assent change resume C-114")]
    Resume(Several),
    /// End that hosts put back by themselves what a change has brought
    #[command(
        after_help = "Example: assent change stop-correcting C-114 --note \"the vendor changes it now\""
    )]
    StopCorrecting {
        /// The change, such as C-114 or N-2026-0014
        change: ChangeRef,
        /// Why; kept with the step, for the evidence
        #[arg(long, default_value = "", hide_default_value = true)]
        note: String,
        #[command(flatten)]
        json: AsJson,
    },
    /// Give changes up before they run; each is tried, whatever becomes of the others
    #[command(after_help = "Example: assent change withdraw C-114 C-115 --note \"the vendor took it back\"")]
    Withdraw(Several),
    /// Close a change after its review
    #[command(
        after_help = "After an emergency, a failure or a broken glass a note is needed.\nExample: assent change close C-114 --outcome successful --note \"all sites answer\"\n         assent change close C-115 --outcome failed --note \"the shop was down\" --lessons \"test it first\" --follow-up C-116"
    )]
    Close(Box<CloseArgs>),
    #[command(flatten)]
    Notes(NoteCommand),
}

/// Changes of which the same is asked; each is tried, whatever becomes of the others.
#[derive(Debug, Args)]
pub struct Several {
    /// The changes, such as C-114 or N-2026-0014
    #[arg(required = true)]
    pub change: Vec<ChangeRef>,
    /// Why; kept with the step, for the evidence
    #[arg(long, default_value = "", hide_default_value = true)]
    pub note: String,
    #[command(flatten)]
    pub json: AsJson,
}

#[derive(Debug, Args)]
pub struct CloseArgs {
    /// The change, such as C-114 or N-2026-0014
    pub change: ChangeRef,
    /// How it ended, as people judge it
    #[arg(long, value_enum)]
    pub outcome: CloseOutcome,
    /// What the review found
    #[arg(long, default_value = "", hide_default_value = true)]
    pub note: String,
    /// What went otherwise than planned
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub deviation: String,
    /// What is done differently the next time
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub lessons: String,
    /// What is to be done because of it: a change, or what names a record elsewhere; may be repeated
    #[arg(long, value_name = "C-ID|RECORD")]
    pub follow_up: Vec<String>,
    /// A host that did not succeed, and why the change is successful all the same; may be repeated
    #[arg(long, num_args = 2, value_names = ["HOST", "WHY"])]
    pub waive: Vec<String>,
    #[command(flatten)]
    pub json: AsJson,
}

#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// The change, such as C-114 or N-2026-0014
    pub change: ChangeRef,
    /// The approval is good for this long, or until the last window ends (s, m, h, d, w)
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
    /// Approve for these hosts only, and for those that you have approved it for before
    #[arg(long, value_name = "HOST")]
    pub only: Vec<String>,
    /// Approve for the hosts of this plan class only, by its number on the page, and for those that you have approved it
    /// for before; the others wait. May be repeated
    #[arg(long, value_name = "NUMBER")]
    pub class: Vec<usize>,
    /// Approve for these hosts in place of those before: hosts that are not named now and have not begun wait
    #[arg(long)]
    pub instead: bool,
    /// Leave this host out and say why with --comment: it does not change, and later waves do not wait for it once
    /// everybody who approved has left it out. May be repeated
    #[arg(long, value_name = "HOST")]
    pub skip: Vec<String>,
    /// One line for the record, signed with the approval
    #[arg(long, default_value = "")]
    pub comment: String,
    /// Do not ask; for scripts that have looked themselves
    #[arg(long)]
    pub yes: bool,
    /// Write contents that are too long for the plans to this new file instead of showing them
    #[arg(long, value_name = "FILE")]
    pub diff_to: Option<PathBuf>,
    /// Approve even where contents can be shown to nobody here; each is named
    #[arg(long)]
    pub accept_unseen: bool,
    /// Cover also hosts that planned after somebody had approved; who did has to approve again
    #[arg(long)]
    pub all_plans: bool,
    /// Let hosts start now on your word alone, outside of windows and without the quorum, for at most 4 hours; a review follows
    #[arg(long, requires = "reason")]
    pub break_glass: bool,
    /// Why the glass is broken; signed and kept
    #[arg(long, requires = "break_glass")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub ssh: SshArgs,
    #[command(flatten)]
    pub json: AsJson,
}

impl ApproveArgs {
    /// Why the glass is broken, if it is.
    pub fn glass(&self) -> Option<&str> {
        self.reason.as_deref().filter(|_| self.break_glass)
    }
}

#[derive(Debug, Subcommand)]
pub enum GlassCommand {
    /// While the server is there: put a change that hosts have planned into a file, for the day on which it is not
    #[command(
        after_help = "The file is good as long as the change, and lets nothing start by itself. Nothing in it is secret.\nExample: assent glass prepare C-114 --out c-114.prepared"
    )]
    Prepare {
        /// The change, such as C-114 or N-2026-0014, with plans of its hosts
        change: ChangeRef,
        /// New file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        json: AsJson,
    },
    /// Without the server: break the glass for a prepared change and these hosts, in a file that you carry to them
    #[command(
        after_help = "On each host, as root: assent-agent glass FILE\nExample: assent glass break c-114.prepared --host web1 --reason \"the shop and the server are down\" --out c-114.glass"
    )]
    Break(Box<BreakArgs>),
}

#[derive(Debug, Args)]
pub struct BreakArgs {
    /// Made by `assent glass prepare`
    pub file: PathBuf,
    /// Host that may start by it: name or agent id; may be repeated, up to 32 times
    #[arg(long, value_name = "HOST", required = true)]
    pub host: Vec<String>,
    /// Why the glass is broken; signed and kept
    #[arg(long)]
    pub reason: String,
    /// New file, to be carried to the hosts
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// For how long it is good, at most 4 hours (s, m, h)
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
    /// Do not ask; for scripts that have looked themselves
    #[arg(long)]
    pub yes: bool,
    /// Write contents that are too long for the plans to this new file instead of showing them
    #[arg(long, value_name = "FILE")]
    pub diff_to: Option<PathBuf>,
    /// Sign even where contents can be shown to nobody here; each is named
    #[arg(long)]
    pub accept_unseen: bool,
    #[command(flatten)]
    pub ssh: SshArgs,
    #[command(flatten)]
    pub json: AsJson,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  assent change new --manifest web-base@1.2.0 --param web-base.port=8080 --label role=web \\\n    --window \"2026-11-21 02:00..+2h\" --zone Europe/Berlin \\\n    --title \"Base of the web servers\" --reason \"security update\" --undo \"put the old files back\"\n  assent change new --template patch-day.toml --window \"every 2nd tuesday 22:00..+4h\"\n  assent change new --like C-114 --window-from nights --times 2"
)]
pub struct NewArgs {
    #[command(flatten)]
    pub json: AsJson,
    /// name[@version] or team/name[@version]; the newest release when no version is given
    #[arg(long, value_name = "NAME[@VERSION]")]
    pub manifest: Vec<String>,
    /// Value of a manifest's parameter; of one of type secret the file with the output of `assent secret encrypt`
    #[arg(long, value_name = "NAME.KEY=VALUE")]
    pub param: Vec<String>,
    /// Value for the targets with a label, or for one host; of several rules for a host the last one counts
    #[arg(long, num_args = 2, value_names = ["KEY=VALUE|HOST", "NAME.KEY=VALUE"])]
    pub param_for: Vec<String>,
    /// Host name, CI or agent id
    #[arg(long, value_name = "HOST")]
    pub target: Vec<String>,
    /// Every host that has all these labels
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// Every enabled host that this search finds now, and that has the labels; see `assent ci list --help`
    #[arg(long, value_name = "QUERY")]
    pub search: Option<String>,
    /// Every enabled host
    #[arg(long, conflicts_with_all = ["target", "label", "search"])]
    pub all: bool,
    /// These hosts go first; the others wait until they have succeeded
    #[arg(long, value_name = "HOST")]
    pub canary: Vec<String>,
    /// How hosts follow each other: once, canary (one host, then the others), careful (one host, 10 %, 50 %, the rest) or
    /// percent:1,10,50,100 (these shares of all hosts, counted from the beginning). What comes of it is shown and signed
    #[arg(long, value_name = "PRESET", conflicts_with = "canary")]
    pub waves: Option<Preset>,
    /// What runs on or depends on another host goes in an earlier wave than that one, as the CMDB declares it
    #[arg(long, conflicts_with = "canary")]
    pub order: bool,
    /// So many hosts of earlier waves may fail before a wave starts nothing any more; all others must have succeeded
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "canary")]
    pub max_fail: u32,
    /// The server halts the change by itself when more than so many hosts have failed, in whatever wave
    #[arg(long, value_name = "N")]
    pub halt_above: Option<u32>,
    /// How long canaries and earlier waves are watched before the others start
    #[arg(long, default_value = "10m", value_name = "TIME")]
    pub soak: String,
    /// FROM..UNTIL: RFC 3339, local "YYYY-MM-DD HH:MM" (see --zone), now, now+5m; UNTIL also +2h. Or rules, such as
    /// "every 2nd tuesday 22:00..+4h": see `assent window`
    #[arg(long, value_name = "FROM..UNTIL", group = "when")]
    pub window: Vec<String>,
    /// The next windows of this calendar of maintenance windows; they are shown, and signed as any others
    #[arg(long, value_name = "CALENDAR", group = "when")]
    pub window_from: Option<CalendarName>,
    /// With --window-from: all its windows that end until then: a time, or so long from now on
    #[arg(long, value_name = "TIME", requires = "window_from", conflicts_with = "times")]
    pub window_until: Option<String>,
    /// With --revise: the windows that the rules of the last revision give by now, where the time zone database has changed;
    /// what differs is shown
    #[arg(long, requires = "revise", group = "when", conflicts_with_all = ["times", "first"])]
    pub window_anew: bool,
    /// So many of the next windows of the rules or of the calendar are signed (default: 1; with --series those of the next
    /// 90 days)
    #[arg(long, value_name = "N", requires = "when", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub times: Option<u8>,
    /// Only windows of the rules or of the calendar from this day on; weeks and days of rules are counted from it (default: now)
    #[arg(long, value_name = "DATE", requires = "when")]
    pub first: Option<String>,
    /// Make a change of its own for each of the windows, as occurrences of this series; those that are there already are
    /// not made again
    #[arg(long, value_name = "NAME", requires = "when", conflicts_with_all = ["revise", "not_after", "missed"])]
    pub series: Option<SeriesName>,
    /// With --series: each is submitted by itself so long before its window; hosts plan then
    #[arg(long, value_name = "TIME", requires = "series", default_value = "3d")]
    pub lead: String,
    /// Time zone of local times, such as Europe/Berlin (default: this machine's)
    #[arg(long)]
    pub zone: Option<String>,
    /// Nothing starts after this time (default: the end of the last window)
    #[arg(long, value_name = "TIME")]
    pub not_after: Option<String>,
    /// Hosts may put back what the change brings until then, where its manifests say on_drift: correct: a time, or so
    /// long from now on (s, m, h, d, w); at most 90 days
    #[arg(long, value_name = "TIME")]
    pub correct_until: Option<String>,
    /// One line that says what the change is
    #[arg(long)]
    pub title: Option<String>,
    /// Why it is made
    #[arg(long)]
    pub reason: Option<String>,
    /// How the change is taken back
    #[arg(long)]
    pub undo: Option<String>,
    /// Hosts do not undo by themselves when a step or a health check fails
    #[arg(long)]
    pub no_auto_undo: bool,
    /// An emergency may need fewer approvals, if the policy has a rule for it
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    pub change_type: Option<TypeArg>,
    /// A standard change that this model of the policy allows; it needs no approval
    #[arg(long, value_name = "NAME", conflicts_with = "change_type")]
    pub model: Option<ModelName>,
    /// What a host does that was away during a window
    #[arg(long, value_enum)]
    pub missed: Option<MissedArg>,
    /// How closely the plan at run time must match the approved one
    #[arg(long, value_enum)]
    pub binding: Option<BindingArg>,
    /// Whether hosts reboot as the last step, within the window; else as the patches among the manifests wish
    #[arg(long, value_enum)]
    pub reboot: Option<RebootArg>,
    /// Allow an effect beyond those that the manifests show, such as sensitive_file or service
    #[arg(long, value_name = "CLASS", value_parser = action_class)]
    pub allow: Vec<ActionClass>,
    /// Allow a manifest version below the one that a host had
    #[arg(long)]
    pub downgrade: bool,
    /// Hosts may do again what failed on them and was undone; never taken over from an earlier revision
    #[arg(long)]
    pub lift_quarantine: bool,
    /// Make the next revision of this change; what is not given stays as it was
    #[arg(long, value_name = "ID")]
    pub revise: Option<ChangeRef>,
    /// With --revise: what is not given is as in this earlier revision, so that the change goes back to it
    #[arg(long, value_name = "N", requires = "revise")]
    pub from_revision: Option<u32>,
    /// Make a new change like this one; what is not given is as there, but for the windows
    #[arg(long, value_name = "ID", conflicts_with = "revise")]
    pub like: Option<ChangeRef>,
    /// Options that are not given here are as in this file: TOML with a key for each long option, such as title = "Patches",
    /// manifest = ["base@1.2.0"], label = ["role=web"], order = true
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,
}

pub fn action_class(text: &str) -> Result<ActionClass, String> {
    const ALL: [ActionClass; 8] = [
        ActionClass::File,
        ActionClass::Service,
        ActionClass::Package,
        ActionClass::Reboot,
        ActionClass::SensitiveFile,
        ActionClass::Command,
        ActionClass::External,
        ActionClass::Trust,
    ];
    let names = ALL.map(ActionClass::as_str).join(", ");
    ALL.into_iter().find(|class| class.as_str() == text).ok_or(format!("write one of {names}"))
}

macro_rules! choices {
    ($($arg:ident => $type:ident { $($variant:ident),+ })+) => {$(
        #[derive(Clone, Copy, Debug, ValueEnum)]
        #[value(rename_all = "snake_case")]
        pub enum $arg { $($variant),+ }

        impl From<$arg> for $type {
            fn from(arg: $arg) -> Self {
                match arg { $($arg::$variant => Self::$variant),+ }
            }
        }
    )+};
}

choices! {
    TypeArg => ChangeType { Normal, Emergency }
    MissedArg => Missed { Skip, Next, UntilExpiry }
    BindingArg => PlanBinding { Within, Exact }
    RebootArg => Reboot { Never, IfNeeded, Always }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Until {
    Plans,
    Receipts,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum CloseOutcome {
    Successful,
    SuccessfulWithIssues,
    Failed,
    RolledBack,
}

impl CloseOutcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Successful => "successful",
            Self::SuccessfulWithIssues => "successful_with_issues",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
        }
    }
}
