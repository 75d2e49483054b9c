//! `assent-server`: runs the server, prepares its database, explains its configuration.

use clap::{Parser, Subcommand};
use server::app::{self, Kernel};
use server::kernel::clock::Clock;
use server::kernel::config::Config;
use server::kernel::db::{Connect, Db};
use server::kernel::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Serves agents and people of one site. Can stop changes, never start one.
#[derive(Parser)]
#[command(name = "assent-server", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs until SIGTERM; SIGHUP reads the certificates again
    Run {
        #[arg(long, default_value = "/etc/assent/server.toml")]
        config: PathBuf,
    },
    /// Creates the database if it is SQLite and missing, and brings its tables up to date
    Migrate {
        #[arg(long, default_value = "/etc/assent/server.toml")]
        config: PathBuf,
    },
    /// Works on the configuration file
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Prints every setting with its value and where it comes from
    Explain {
        #[arg(default_value = "/etc/assent/server.toml")]
        file: PathBuf,
    },
}

/// Usage or configuration is wrong.
const USAGE: u8 = 2;
/// The world is broken.
const FAULT: u8 = 3;

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run { config } => with_config(&config, run),
        Command::Migrate { config } => with_config(&config, migrate),
        Command::Config { command: ConfigCommand::Explain { file } } => with_config(&file, explain),
    }
}

fn with_config(file: &Path, work: fn(Config) -> Result<(), Error>) -> ExitCode {
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

fn explain(config: Config) -> Result<(), Error> {
    let name = config.settings.iter().map(|setting| setting.name.len()).max().unwrap_or_default();
    let value = config.settings.iter().map(|setting| setting.value.len()).max().unwrap_or_default();
    for setting in &config.settings {
        println!("{:name$}  {:value$}  {}", setting.name, setting.value, setting.origin);
    }
    Ok(())
}
