//! Arguments of `assent budget …`.

use crate::args::AsJson;
use clap::{Args, Subcommand};
use shared::ids::BudgetName;

#[derive(Debug, Subcommand)]
pub enum BudgetCommand {
    /// List the budgets: how many hosts of a group may be changing at once, and how many are
    #[command(after_help = "Example: assent budget list")]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a budget, who has a slot of it, and who changed it when
    #[command(after_help = "Example: assent budget show databases")]
    Show {
        /// Name of the budget
        name: BudgetName,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a budget, or replace what it says
    #[command(
        after_help = "Whoever has a slot keeps it; with fewer slots nobody else begins until enough are free.\nExample: assent budget set databases --title \"One database at a time\" --slots 1 --label role=db --reason \"agreed with operations\""
    )]
    Set(SetArgs),
    /// End a budget: it holds nobody any more, and stays on record
    #[command(after_help = "Example: assent budget end databases --reason \"one machine is left\"")]
    End {
        /// Name of the budget
        name: BudgetName,
        /// Why; kept with the budget
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        json: AsJson,
    },
    /// Make an address under which machines without an agent take slots (FleetLock: Fedora CoreOS with Zincati)
    #[command(
        after_help = "Whoever has the address can take slots of this budget: treat it like a password.\nExample: assent budget address coreos   # prints what goes into the machine's zincati configuration"
    )]
    Address {
        /// Name of the budget
        name: BudgetName,
        /// End all addresses of this budget instead
        #[arg(long)]
        end: bool,
        #[command(flatten)]
        json: AsJson,
    },
}

#[derive(Debug, Args)]
pub struct SetArgs {
    /// Name of the budget: lower-case letters, digits and hyphens
    pub name: BudgetName,
    /// Why no more of them at once, in one line
    #[arg(long)]
    pub title: Option<String>,
    /// How many of its hosts may be changing at once; with 0 none may begin
    #[arg(long, value_name = "N")]
    pub slots: u32,
    /// It covers hosts with this label; repeat for hosts that have all of them (default: all hosts)
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// It covers this host as well
    #[arg(long, value_name = "HOST")]
    pub target: Vec<String>,
    /// It covers the hosts that this search finds as well, such as serves:shop; see `assent ci list --help`. Saved searches are
    /// put in as they are now
    #[arg(long, value_name = "QUERY")]
    pub search: Option<String>,
    /// After this time the slot of a host that is not heard of any more is free again, 5m to 24h
    #[arg(long, value_name = "TIME", default_value = "30m")]
    pub lease: String,
    /// Why it is made or changed; kept with the budget
    #[arg(long)]
    pub reason: String,
    #[command(flatten)]
    pub json: AsJson,
}
