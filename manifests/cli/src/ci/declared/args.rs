//! Arguments of what is declared: `assent ci declare|relate|impact|import|export`.

use crate::args::AsJson;
use clap::{Args, Subcommand, ValueEnum};
use shared::wire::{CiRef, Criticality, Lifecycle, Need};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum DeclaredCommand {
    /// Say what an entry is: owner, criticality, protection need; a new one is made, but for hosts
    #[command(
        after_help = "Example: assent ci declare service:shop --owner shop --criticality high --availability very-high --depends-on software:database --reason \"first survey\""
    )]
    Declare(Box<DeclareArgs>),
    /// Show what an outage of an entry reaches, and what it needs
    #[command(after_help = "Example: assent ci impact web1")]
    Impact {
        /// Name or CI
        entry: String,
        /// How many steps are walked, at most 20
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=20))]
        depth: u8,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Declare what a table (CSV) or a JSON file says; the same file again changes nothing
    #[command(
        after_help = "Columns: class, name, owner, criticality, environment, confidentiality, integrity, availability, scopes, lifecycle,\ndescription, labels (a=b c=d), depends_on, runs_on, part_of (service:a data:b). Others need --map, or --ignore leaves them out.\n\nExample: assent ci import cmdb.csv --dry-run --reason \"first survey\"\n         # the table of devices that NetBox exports\n         assent ci import netbox.csv --reason \"from NetBox\" --ignore --class device --map Tenant=owner --map Status=lifecycle \\\n           --map-value Status.Active=in_use --map-value Status.Decommissioning=retired\n         # a report of i-doit\n         assent ci import i-doit.csv --reason \"from i-doit\" --ignore --map Titel=name --map Objekttyp=class \\\n           --map-value Objekttyp.Anwendung=software --map-value Objekttyp.Person=- --map-value \"Objekttyp.*=device\""
    )]
    Import(ImportArgs),
    /// Write everything that is declared, as a table (CSV) or as JSON
    #[command(after_help = "Example: assent ci export > cmdb.csv")]
    Export {
        /// As JSON; `assent ci import` reads it as well
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub struct DeclareArgs {
    /// CLASS:NAME; classes are service, host, software, device and data
    pub entry: CiRef,
    /// Why; kept in its history
    #[arg(long)]
    pub reason: String,
    /// The team that answers for it
    #[arg(long)]
    pub owner: Option<String>,
    /// How much depends on it
    #[arg(long, value_enum, value_name = "STEP")]
    pub criticality: Option<Step>,
    /// Such as production
    #[arg(long)]
    pub environment: Option<String>,
    /// Protection need
    #[arg(long, value_enum, value_name = "NEED")]
    pub confidentiality: Option<NeedArg>,
    /// Protection need
    #[arg(long, value_enum, value_name = "NEED")]
    pub integrity: Option<NeedArg>,
    /// Protection need
    #[arg(long, value_enum, value_name = "NEED")]
    pub availability: Option<NeedArg>,
    /// A rule that it is under, such as nis2; SCOPE- takes one away
    #[arg(long, value_name = "SCOPE")]
    pub scope: Vec<String>,
    /// Where it is in its life
    #[arg(long, value_enum)]
    pub lifecycle: Option<LifecycleArg>,
    /// What it is, for people
    #[arg(long)]
    pub description: Option<String>,
    /// A label; KEY= takes it away
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// Without that it does not work as promised
    #[arg(long, value_name = "CLASS:NAME")]
    pub depends_on: Vec<CiRef>,
    /// That carries it
    #[arg(long, value_name = "CLASS:NAME")]
    pub runs_on: Vec<CiRef>,
    /// It is a piece of that
    #[arg(long, value_name = "CLASS:NAME")]
    pub part_of: Vec<CiRef>,
    /// Take the relations to this entry away
    #[arg(long, value_name = "CLASS:NAME")]
    pub unrelate: Vec<CiRef>,
    /// Only say what would change
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub json: AsJson,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file, or - for standard input; JSON when it begins with [
    pub file: PathBuf,
    /// Why; kept in the history of each entry that changes
    #[arg(long)]
    pub reason: String,
    /// Only say what would change
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub json: AsJson,
    #[command(flatten)]
    pub table: TableArgs,
}

/// How a table of another program is read.
#[derive(Debug, Default, Args)]
pub struct TableArgs {
    /// A column of the file and ours that it fills; THEIRS=- leaves it out
    #[arg(long, value_name = "THEIRS=OURS")]
    pub map: Vec<String>,
    /// What a value of one of their columns is here, such as Status.Active=in_use; COLUMN.* is every other value. OURS - says
    /// nothing, and of a class leaves the row out
    #[arg(long, value_name = "COLUMN.VALUE=OURS")]
    pub map_value: Vec<String>,
    /// Leave out columns that are neither ours nor mapped
    #[arg(long)]
    pub ignore: bool,
    /// Class of rows that name none
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// What separates columns (default: the one of , ; and tab that the first line has most of)
    #[arg(long, value_name = "CHAR")]
    pub separator: Option<char>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Step {
    Low,
    Medium,
    High,
    Critical,
}

impl From<Step> for Criticality {
    fn from(step: Step) -> Self {
        match step {
            Step::Low => Self::Low,
            Step::Medium => Self::Medium,
            Step::High => Self::High,
            Step::Critical => Self::Critical,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum NeedArg {
    Normal,
    High,
    VeryHigh,
}

impl From<NeedArg> for Need {
    fn from(need: NeedArg) -> Self {
        match need {
            NeedArg::Normal => Self::Normal,
            NeedArg::High => Self::High,
            NeedArg::VeryHigh => Self::VeryHigh,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LifecycleArg {
    Planned,
    InUse,
    Retired,
}

impl From<LifecycleArg> for Lifecycle {
    fn from(lifecycle: LifecycleArg) -> Self {
        match lifecycle {
            LifecycleArg::Planned => Self::Planned,
            LifecycleArg::InUse => Self::InUse,
            LifecycleArg::Retired => Self::Retired,
        }
    }
}
