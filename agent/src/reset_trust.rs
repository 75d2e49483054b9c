//! `assent-agent reset-trust`: shows from which site to which this host would change, has it said back, and changes.
//!
//! Never: without the six words of the new first root, or beside an agent that works.

use super::{Failure, JoinArgs, chosen, failed_to_join, lock, machine, not_joined, ordered};
use agent::clock::Clock;
use agent::config::{self, Config, Paths};
use agent::courier;
use agent::disk::RealDisk;
use agent::launch;
use agent::program;
use agent::receipt::Voice;
use agent::reset::{self, FORMER, ResetError};
use agent::run::open_state;
use agent::say;
use agent::state::Site;
use shared::words;
use std::io::{BufRead as _, Read as _};
use std::path::Path;

/// Six words are far shorter.
const ANSWER_BYTES: u64 = 1_024;

#[derive(clap::Args)]
pub struct ResetArgs {
    #[command(flatten)]
    join: JoinArgs,
    /// The six words of the new first root, as `assent site show` says them over there; asked for when not given
    #[arg(long, value_name = "WORDS")]
    words: Option<String>,
}

pub fn run(args: &ResetArgs) -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::Refused("only root may change the site of this host".into()));
    }
    let paths = Paths::new(&args.join.root.root);
    settle(paths.root())?;
    chosen(paths.root(), false)?;
    let state = open_state(&paths, Box::new(RealDisk)).map_err(not_joined)?;
    let _alone = lock(&paths).map_err(|failure| match failure {
        Failure::Refused(why) => Failure::Refused(format!("{why}\n  try: systemctl stop assent-agent")),
        fault @ Failure::Fault(_) => fault,
    })?;
    reset::check(&state, &args.join.root_sha256).map_err(failed)?;
    if launch::is_on_trial(&machine(&paths)?) {
        let trial = "a new program of the agent is on trial".to_owned();
        return Err(failed(ResetError::HalfDone(trial)));
    }
    show(state.site(), &args.join);
    confirm(args)?;
    drop(state);

    let order = ordered(&args.join, &paths)?;
    let class = config::host_class(&paths).map_err(Failure::fault)?;
    let host_class = class.ok_or_else(|| {
        Failure::Fault(format!(
            "{} does not exist, so this host has no class",
            paths.host_class_file().display()
        ))
    })?;
    let voice = Voice { host_class, boot_id: order.boot_id.clone(), agent_version: program::version() };
    let limits = Config::load(&paths).map_err(Failure::fault)?.limits();
    let clock = Clock::from_env().map_err(Failure::Fault)?;
    let moved = reset::change(&paths, &mut RealDisk, &order, &voice, &clock, (limits, courier::open));
    let moved = moved.map_err(failed)?;
    say::out(&format!("this host belongs to site {} now, as agent {}", moved.site.site, moved.site.agent));
    let former = paths.state().join(FORMER).join(moved.former);
    say::out(&format!("what it was before is kept in {}", former.display()));
    say::out("what was applied stays as it is; the new site plans and approves anew");
    say::out("try: systemctl start assent-agent");
    Ok(())
}

/// A change of sites that a crash has interrupted comes to its end before anything else works here.
pub fn settle(root: &Path) -> Result<(), Failure> {
    let paths = Paths::new(root);
    if !reset::is_unfinished(&paths.state(), &RealDisk).map_err(Failure::fault)? {
        return Ok(());
    }
    let _alone = lock(&paths)?;
    if reset::finish(&paths.state(), &mut RealDisk).map_err(Failure::fault)? {
        say::err("note: an interrupted change of sites has come to its end");
    }
    Ok(())
}

fn failed(error: ResetError) -> Failure {
    match error {
        ResetError::SameRoot(_) | ResetError::HalfDone(_) => Failure::Refused(error.to_string()),
        ResetError::Enrol(error) => failed_to_join(error),
        ResetError::State(error) => Failure::fault(error),
    }
}

fn show(old: &Site, new: &JoinArgs) {
    say::out(&format!("this host belongs to site {}", old.site));
    say::out(&format!("  first root {}", old.root_sha256));
    say::out(&format!("  in words:  {}", words::of_first_root(&old.root_sha256)));
    say::out(&format!("and would change to site {}", new.site));
    say::out(&format!("  first root {}", new.root_sha256));
    say::out(&format!("  in words:  {}", words::of_first_root(&new.root_sha256)));
    say::out(
        "Whoever governs the new site decides about this host from then on. Nothing that the old one has approved",
    );
    say::out("counts any more.");
}

/// The words must come from somewhere else than from this command's own lines.
fn confirm(args: &ResetArgs) -> Result<(), Failure> {
    let expected = words::of_first_root(&args.join.root_sha256);
    let said = match &args.words {
        Some(words) => words.clone(),
        None if args.join.token_file == Path::new("-") => {
            return Err(Failure::Refused(
                "standard input holds the secret, so nobody can answer there\n  try: give --token-file FILE, or \
                 --words with the six words of the new first root"
                    .into(),
            ));
        }
        None => {
            say::out("To go on, type the six words of the new first root, as that site shows them:");
            let mut line = String::new();
            let read = std::io::stdin().lock().take(ANSWER_BYTES).read_line(&mut line);
            read.map_err(|e| Failure::Fault(format!("cannot read the answer: {e}")))?;
            line
        }
    };
    match said.split_whitespace().eq(expected.split(' ')) {
        true => Ok(()),
        false => {
            Err(Failure::Refused("these are not the words of the new first root; nothing was changed".into()))
        }
    }
}
