//! `assent-server`: runs the server, prepares its database, explains its configuration.

use clap::{Parser, Subcommand};
use server::app::{self, Kernel};
use server::kernel::clock::Clock;
use server::kernel::config::Config;
use server::kernel::db::{Connect, Db};
use server::kernel::error::Error;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Serves agents and people of one site. Can stop changes, never start one.
#[derive(Parser)]
#[command(
    name = "assent-server",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 2 usage or configuration, 3 fault.\nExample: assent-server run --config /var/lib/assent-server/server.toml"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs until SIGTERM; SIGHUP reads the certificates again
    #[command(after_help = "Example: assent-server run --config /var/lib/assent-server/server.toml")]
    Run(ConfigArg),
    /// Creates the database if it is SQLite and missing, and brings its tables up to date
    #[command(after_help = "Example: assent-server migrate --config /var/lib/assent-server/server.toml")]
    Migrate(ConfigArg),
    /// After a backup was put back: makes new keys for repository and ledger, and holds every approved change
    ///
    /// The server must not run meanwhile. Start it again afterwards; then `assent site restore`, on the machine with the
    /// governance key, lets it go on. Until then hosts start nothing, and keep what they have to say.
    #[command(after_help = "Example: assent-server restored --config /var/lib/assent-server/server.toml")]
    Restored {
        #[command(flatten)]
        config: ConfigArg,
        /// Numbers of changes that are left out, because they may have been given away since the backup
        #[arg(long, default_value_t = 100, value_name = "COUNT")]
        skip_numbers: u32,
    },
    /// Writes everything that the server keeps into one file, encrypted for the printed recovery key
    ///
    /// The server may run meanwhile. `assent backup open` opens the file, on the machine of who has the recovery key.
    #[command(
        after_help = "Examples:\n  assent-server backup --config FILE --out /mnt/backup/assent.age\n  assent-server backup --config FILE --dir /mnt/backup --keep 14"
    )]
    Backup {
        #[command(flatten)]
        config: ConfigArg,
        #[command(flatten)]
        place: BackupPlace,
    },
    /// Works on the authority that issues TLS certificates of hosts
    Authority {
        #[command(subcommand)]
        command: AuthorityCommand,
    },
    /// Works on the configuration file
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(clap::Args)]
struct ConfigArg {
    /// The configuration; `assent init` writes one, `assent-server config sample` prints all settings
    #[arg(long, default_value = "/etc/assent/server.toml", value_name = "FILE")]
    config: PathBuf,
}

#[derive(Subcommand)]
enum AuthorityCommand {
    /// Makes the authority that is to follow, and prints the digest by which governance names it
    ///
    /// The server may run meanwhile, and lets hosts in by both. `assent site authority add` names the new one in the policy, and
    /// hosts get certificates of it; `assent site authority retire` lets the old one go. With several nodes, copy both new
    /// files (`.next`) to the others before that.
    #[command(
        after_help = "Example: assent-server authority new --config /var/lib/assent-server/server.toml"
    )]
    New(ConfigArg),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Prints every setting with its value and where it comes from
    #[command(after_help = "Example: assent-server config explain /var/lib/assent-server/server.toml")]
    Explain {
        /// The configuration
        #[arg(default_value = "/etc/assent/server.toml")]
        file: PathBuf,
    },
    /// Prints a sample with every setting, its default and what it means
    #[command(after_help = "Example: assent-server config sample > server.toml")]
    Sample,
}

/// Usage or configuration is wrong.
const USAGE: u8 = 2;
/// The world is broken.
const FAULT: u8 = 3;

#[derive(clap::Args)]
#[group(required = true, multiple = true)]
struct BackupPlace {
    /// New file; copy it to another machine
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dir", "keep"])]
    out: Option<PathBuf>,
    /// Directory for a new file that is named by the time; for a timer
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How many backups stay in the directory, the new one among them; older ones go when it is whole
    #[arg(long, value_name = "COUNT", requires = "dir", default_value = "14")]
    keep: NonZeroU32,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(ConfigArg { config }) => with_config(&config, run),
        Command::Migrate(ConfigArg { config }) => with_config(&config, migrate),
        Command::Restored { config, skip_numbers } => {
            with_config(&config.config, |config| restored(&config, skip_numbers))
        }
        Command::Backup { config, place } => {
            with_config(&config.config, |read| backup(&read, &config.config, &place))
        }
        Command::Authority { command: AuthorityCommand::New(ConfigArg { config }) } => {
            with_config(&config, |config| new_authority(&config))
        }
        Command::Config { command: ConfigCommand::Explain { file } } => with_config(&file, explain),
        Command::Config { command: ConfigCommand::Sample } => {
            print!("{}", server::kernel::config::SAMPLE);
            ExitCode::SUCCESS
        }
    }
}

fn with_config(file: &Path, work: impl FnOnce(Config) -> Result<(), Error>) -> ExitCode {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(error) => {
            for line in error.0 {
                eprintln!("error: {line}");
            }
            return ExitCode::from(USAGE);
        }
    };
    match work(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.chain());
            ExitCode::from(FAULT)
        }
    }
}

fn run(config: Config) -> Result<(), Error> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
    let clock = Clock::from_env().map_err(|error| Error::fault("reading the clock setting", error))?;
    let kernel = Kernel::open(config, clock)?;
    actix_web::rt::System::new().block_on(app::run(kernel))
}

fn migrate(config: Config) -> Result<(), Error> {
    Db::connect(&config.database_url, Connect { create: true })?;
    println!("the database is up to date");
    Ok(())
}

fn restored(config: &Config, skip_numbers: u32) -> Result<(), Error> {
    let clock = Clock::from_env().map_err(|error| Error::fault("reading the clock setting", error))?;
    let db = Db::connect(&config.database_url, Connect { create: false })?;
    let work = server::restored::run(config, &db, clock.now(), skip_numbers);
    let done = actix_web::rt::System::new().block_on(work)?;
    println!("{done}");
    Ok(())
}

fn backup(config: &Config, file: &Path, place: &BackupPlace) -> Result<(), Error> {
    let clock = Clock::from_env().map_err(|error| Error::fault("reading the clock setting", error))?;
    let now = clock.now();
    let (made, removed) = match (&place.out, &place.dir) {
        (Some(out), _) => (server::backup::run(config, file, out)?, Vec::new()),
        (None, dir) => {
            let dir = dir.as_deref().unwrap_or(Path::new("."));
            server::backup::run_in(config, file, dir, place.keep, now)?
        }
    };
    server::backup::note(config, &made, now)?;
    println!("{made}");
    for old in removed {
        println!("removed {}", old.display());
    }
    Ok(())
}

fn new_authority(config: &Config) -> Result<(), Error> {
    let clock = Clock::from_env().map_err(|error| Error::fault("reading the clock setting", error))?;
    let spki = server::fleet::make_next_authority(config, clock.machine())?;
    println!("{spki}\ntry: assent site authority add {spki}");
    Ok(())
}

fn explain(config: Config) -> Result<(), Error> {
    let name = config.settings.iter().map(|setting| setting.name.len()).max().unwrap_or_default();
    let value = config.settings.iter().map(|setting| setting.value.len()).max().unwrap_or_default();
    for setting in &config.settings {
        println!("{:name$}  {:value$}  {}", setting.name, setting.value, setting.origin);
    }
    Ok(())
}
