//! `assent-agent former`: sites that this host has left, and what it never delivered there.

use super::{Failure, RootArg};
use agent::clock::Clock;
use agent::config::{Config, Paths};
use agent::courier;
use agent::disk::RealDisk;
use agent::left;
use agent::say;
use agent::server::Remote;
use agent::state::State;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct FormerArgs {
    #[command(subcommand)]
    command: FormerCommand,
}

#[derive(clap::Subcommand)]
enum FormerCommand {
    /// List the sites that this host has left, with how many statements were never delivered there
    #[command(after_help = "Example: assent-agent former list")]
    List(RootArg),
    /// Hand in at the old site's server what it does not have yet
    #[command(after_help = "Example: assent-agent former send 2026-11-29-00112233aabbccdd")]
    Send {
        /// As `assent-agent former list` names it
        name: String,
        #[command(flatten)]
        root: RootArg,
    },
    /// Write this host's chain at the old site into a file, which `assent verify` checks without any server
    #[command(
        after_help = "Example: assent-agent former export 2026-11-29-00112233aabbccdd --out web1.former"
    )]
    Export {
        /// As `assent-agent former list` names it
        name: String,
        /// New file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        root: RootArg,
    },
}

pub fn run(args: &FormerArgs) -> Result<(), Failure> {
    match &args.command {
        FormerCommand::List(root) => list(&Paths::new(&root.root)),
        FormerCommand::Send { name, root } => send(&Paths::new(&root.root), name),
        FormerCommand::Export { name, out, root } => export(&Paths::new(&root.root), name, out),
    }
}

fn list(paths: &Paths) -> Result<(), Failure> {
    let all = left::list(&paths.state(), &RealDisk).map_err(Failure::fault)?;
    if all.is_empty() {
        say::out("this host has left no site");
    }
    for left in all {
        let undelivered = left.undelivered;
        say::line(&format!("{}: site {}, {undelivered} statements not delivered", left.name, left.site));
    }
    Ok(())
}

fn open(paths: &Paths, name: &str) -> Result<State, Failure> {
    let state = left::open(&paths.state(), &RealDisk, name).map_err(Failure::fault)?;
    state.ok_or_else(|| {
        Failure::Refused(format!(
            "this host has left no site of that name: {name}\n  try: assent-agent former list"
        ))
    })
}

fn send(paths: &Paths, name: &str) -> Result<(), Failure> {
    let mut state = open(paths, name)?;
    let alone = super::lock_file(&state.dir().join("lock"))?;
    let clock = Clock::from_env().map_err(Failure::Fault)?;
    let limits = Config::load(paths).map_err(Failure::fault)?.limits();
    let mut server = Remote::new(&state, &clock, limits, &[], courier::open).map_err(Failure::fault)?;
    let sent = left::send(&mut state, &mut server);
    drop(alone);
    let undelivered = state.spooled().map_err(Failure::fault)?.len();
    match sent {
        Ok(proven) if undelivered == 0 => {
            say::out(&format!("{proven} statements are proven in the ledger of site {}", state.site().site));
            Ok(())
        }
        Ok(_) => Err(Failure::Refused(format!("{undelivered} statements are still not delivered"))),
        Err(error) if left::is_the_servers(&error) => Err(Failure::Refused(error.to_string())),
        Err(error) => Err(Failure::fault(format!(
            "{error}\n  try: when that server is gone for good, assent-agent former export {name} --out FILE"
        ))),
    }
}

fn export(paths: &Paths, name: &str, out: &Path) -> Result<(), Failure> {
    let state = open(paths, name)?;
    let former = left::export(&state).map_err(Failure::fault)?;
    let failed = |e: std::io::Error| Failure::Refused(format!("cannot write {}: {e}", out.display()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(out).map_err(failed)?;
    file.write_all(&former.to_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    let (all, undelivered) = (former.statements.len(), former.undelivered.len());
    say::line(&format!("{}: {all} statements, {undelivered} of them not delivered", out.display()));
    say::line(&format!("try: assent verify {}", out.display()));
    Ok(())
}
