//! Arguments of `assent calendar …`.

use crate::args::AsJson;
use clap::{Args, Subcommand, ValueEnum};
use shared::change::ChangeType;
use shared::windows::CalendarName;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum CalendarCommand {
    /// List the calendars: when hosts start nothing, people are warned, or hosts are meant to be changed
    #[command(after_help = "Example: assent calendar list")]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a calendar, the times that come of it, and who changed it when
    #[command(after_help = "Example: assent calendar show year-end")]
    Show {
        /// Name of the calendar
        name: CalendarName,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a calendar, or replace what it says
    #[command(
        after_help = "Example: assent calendar set year-end --title \"Closing of the books\" --day 2026-12-24..2027-01-02 --reason \"asked for by accounting\"\n         assent calendar set shop-hours --title \"The shop is open\" --rule \"every weekday 08:00..18:00\" --label role=shop --reason \"agreed with the shop\"\n         assent calendar set nights --maintenance --title \"Maintenance of the web servers\" --rule \"every tuesday 22:00..+4h\" --label role=web --reason \"agreed with sales\""
    )]
    Set(SetArgs),
    /// End a calendar: it holds nothing any more, and stays on record
    #[command(after_help = "Example: assent calendar end year-end --reason \"the books are closed\"")]
    End {
        /// Name of the calendar
        name: CalendarName,
        /// Why; kept with the calendar
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        json: AsJson,
    },
    /// Find the first times that are free: no blackout, no other change on these hosts, and within the windows of calendars
    #[command(
        after_help = "Example: assent calendar free 2h --label role=web --within \"every day 22:00..06:00\" --until 14d --zone Europe/Berlin"
    )]
    Free(FreeArgs),
    /// Make an address under which a calendar program shows windows of changes and blackouts
    #[command(
        after_help = "Whoever has the address can read the schedule: treat it like a password. It ends with your access.\nExample: assent calendar feed"
    )]
    Feed {
        /// End all your addresses instead
        #[arg(long)]
        end: bool,
        #[command(flatten)]
        json: AsJson,
    },
    /// Take the times of an iCalendar file, such as holidays; the same file again changes nothing
    #[command(
        after_help = "Example: assent calendar import holidays holidays.ics --title \"Public holidays\" --reason \"times of 2027\""
    )]
    Import(ImportArgs),
    /// Have the server read a calendar from an address, again and again; the same again has it read at once
    #[command(
        after_help = "What is read replaces the times of the calendar as an import does. What cannot be read changes nothing, and what would open more than half of the times that are closed now, or one that has begun, waits for `assent calendar accept`. Addresses inside of the server's network must be in outgoing.networks of its server.toml.\nExample: assent calendar subscribe freeze https://calendar.example.org/freeze.ics --title \"Office freeze\" --reason \"kept by the office\""
    )]
    Subscribe(SubscribeArgs),
    /// End a subscription: the calendar stays as it was last read
    #[command(after_help = "Example: assent calendar unsubscribe freeze")]
    Unsubscribe {
        /// Name of the calendar
        name: CalendarName,
        #[command(flatten)]
        json: AsJson,
    },
    /// Take what was read from the address and waits, because it would leave closed times open
    #[command(after_help = "Example: assent calendar accept freeze --reason \"the freeze was called off\"")]
    Accept {
        /// Name of the calendar
        name: CalendarName,
        /// Why; kept with the calendar
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        json: AsJson,
    },
}

/// Whom a calendar holds, and how.
#[derive(Debug, Args)]
pub struct Scope {
    /// Name of the calendar: lower-case letters, digits and hyphens
    pub name: CalendarName,
    /// Why nothing starts then, or what the times are for, in one line
    #[arg(long)]
    pub title: Option<String>,
    /// Why it is made or changed; kept with the calendar
    #[arg(long)]
    pub reason: String,
    #[command(flatten)]
    pub json: AsJson,
    /// Only warn people; hosts are not held
    #[arg(long)]
    pub warn: bool,
    /// The times are maintenance windows: changes of these hosts that lie elsewhere are conflicts, `assent calendar free` looks
    /// within them, and `assent change new --window-from` takes windows from them. Hosts are not held
    #[arg(long, conflicts_with = "warn")]
    pub maintenance: bool,
    /// It holds hosts with this label; repeat for hosts that have all of them (default: all hosts)
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// It holds this host as well
    #[arg(long, value_name = "HOST")]
    pub target: Vec<String>,
    /// It holds the hosts that this search finds as well, such as serves:shop; see `assent ci list --help`. Saved searches are
    /// put in as they are now
    #[arg(long, value_name = "QUERY")]
    pub search: Option<String>,
    /// Changes of this type are held (default: standard and normal)
    #[arg(long, value_enum, value_name = "TYPE")]
    pub hold: Vec<Held>,
    /// Time zone of local times and days, such as Europe/Berlin (default: this machine's)
    #[arg(long)]
    pub zone: Option<String>,
}

#[derive(Debug, Args)]
pub struct SetArgs {
    #[command(flatten)]
    pub scope: Scope,
    /// A rule, such as "every weekday 08:00..18:00": see `assent window`
    #[arg(long, value_name = "RULE")]
    pub rule: Vec<String>,
    /// Weeks and days of rules are counted from this day (default: today)
    #[arg(long, value_name = "DATE")]
    pub first: Option<String>,
    /// A single time, such as "2026-12-24 12:00..+4h"
    #[arg(long, value_name = "FROM..UNTIL")]
    pub time: Vec<String>,
    /// A whole day, or several with the last one: 2026-12-24..2027-01-02
    #[arg(long, value_name = "DATE[..DATE]")]
    pub day: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    #[command(flatten)]
    pub scope: Scope,
    /// The file, or - for standard input
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct SubscribeArgs {
    #[command(flatten)]
    pub scope: Scope,
    /// Address of an iCalendar file (https://, with user:password@ before the host where it needs that), or - to read the
    /// address from standard input; only its host is shown to others
    pub url: String,
    /// Time between two readings, from 15m to 1w
    #[arg(long, value_name = "TIME", default_value = "6h")]
    pub every: String,
}

#[derive(Debug, Args)]
pub struct FreeArgs {
    /// How long it takes, such as 2h or 90m
    pub length: String,
    /// Free on hosts with this label; repeat for hosts that have all of them (default: on all hosts)
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// Free on this host
    #[arg(long, value_name = "HOST")]
    pub target: Vec<String>,
    /// Free on the hosts that this search finds
    #[arg(long, value_name = "QUERY")]
    pub search: Option<String>,
    /// Only within the windows of this rule: see `assent window`
    #[arg(long, value_name = "RULE")]
    pub within: Vec<String>,
    /// Also outside of the windows of calendars that these hosts are in
    #[arg(long)]
    pub anywhere: bool,
    /// Look until then: a time, or so long from now on (s, m, h, d, w)
    #[arg(long, value_name = "TIME", default_value = "14d")]
    pub until: String,
    /// Time zone of local times, such as Europe/Berlin (default: this machine's)
    #[arg(long)]
    pub zone: Option<String>,
    /// How many to show
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub times: u16,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Held {
    Standard,
    Normal,
    Emergency,
}

impl From<Held> for ChangeType {
    fn from(held: Held) -> Self {
        match held {
            Held::Standard => Self::Standard,
            Held::Normal => Self::Normal,
            Held::Emergency => Self::Emergency,
        }
    }
}
