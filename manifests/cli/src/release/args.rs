//! Options of `assent release …`.

use clap::Subcommand;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum ReleaseCommand {
    /// Make the statement for a program and sign it with a vendor key
    #[command(
        after_help = "Example: assent release sign target/release/assent-agent --min-from 0.1.0 --key vendor-1.pem"
    )]
    Sign {
        /// The program, as it was built; it tells its version and target itself
        program: PathBuf,
        /// The oldest version that this one may follow directly
        #[arg(long, value_name = "VERSION")]
        min_from: semver::Version,
        /// Vendor key file, such as one from `assent key new`
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Where to write (default: assent-agent-VERSION-TARGET.release.json here)
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Add another vendor key's signature, after comparing the statement with the program
    #[command(
        after_help = "Example: assent release cosign assent-agent-0.2.0-x86_64-linux-gnu.release.json assent-agent --key vendor-2.pem"
    )]
    Cosign {
        /// The statement; it is replaced by the one with the further signature
        file: PathBuf,
        /// The program, from a source that you trust
        program: PathBuf,
        /// Vendor key file
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Show what a statement says; judges no signature
    #[command(after_help = "Example: assent release show assent-agent-0.2.0-x86_64-linux-gnu.release.json")]
    Show {
        /// The statement
        file: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Judge a statement by the policy of your site, as its hosts do
    #[command(
        after_help = "Example: assent release verify assent-agent-0.2.0-x86_64-linux-gnu.release.json assent-agent"
    )]
    Verify {
        /// The statement
        file: PathBuf,
        /// Compare it with this program as well
        program: Option<PathBuf>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a manifest that brings the program to hosts
    #[command(
        after_help = "Example: assent release manifest assent-agent-0.2.0-x86_64-linux-gnu.release.json > agent.yaml\n         assent artifact put assent-agent && assent publish agent.yaml"
    )]
    Manifest {
        /// The statement
        file: PathBuf,
    },
}
