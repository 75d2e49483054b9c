//! From arguments to the one function that does the work, and from its failure to the exit code.

use crate::args::{
    AgentCommand, ArtifactCommand, ChangeCommand, CiCommand, Cli, Command, Global, KeyCommand, LogCommand,
    ManifestCommand, SiteCommand,
};
use crate::author::{artifact, list, publish, source};
use crate::change::approve::{self, Wish};
use crate::change::{act, new, show, why};
use crate::error::Done;
use crate::profile::Secrets;
use crate::session::Session;
use crate::{ci, evidence, init, key, ledger, site};
use clap::Parser as _;
use shared::approval::Decision;
use std::process::ExitCode;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(problem) => {
            // Help and version are answers; everything else is a usage error (2). Nothing can be done
            // about a terminal that cannot be written to.
            let _unwritable = problem.print();
            return ExitCode::from(if problem.use_stderr() { 2 } else { 0 });
        }
    };
    match run(&cli.global, cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(global: &Global, command: Command) -> Done {
    match command {
        Command::Init(args) => init::run(&args, &Secrets::new(global.passphrase_file.clone())),
        Command::Lint { files } => source::lint(&files),
        Command::Sign { file, out } => source::sign_file(global, &file, out.as_deref()),
        Command::Verify { bundle, root_sha256 } => evidence::verify(global, &bundle, root_sha256),
        Command::Key(KeyCommand::Restore { out, from }) => key::restore(global, &out, from.as_deref()),
        online => run_online(&Session::open(global)?, online),
    }
}

/// Commands that need the server.
fn run_online(session: &Session, command: Command) -> Done {
    match command {
        Command::Agent(AgentCommand::Token { host_class, label, minutes }) => {
            site::token(session, &host_class, &label, minutes)
        }
        Command::Publish { file, older } => publish::run(session, &file, older),
        Command::Artifact(ArtifactCommand::Put { file }) => artifact::put(session, &file),
        Command::Manifest(ManifestCommand::List { team, json }) => list::run(session, team.as_ref(), json),
        Command::Change(command) => run_change(session, command),
        Command::Approve { change, expires, only, comment, yes } => {
            let (expires, comment) = (expires.as_deref(), comment.as_str());
            approve::approve(session, &Wish { change: &change, expires, only: &only, comment, yes })
        }
        Command::Reject { change, comment } => approve::refuse(session, &change, Decision::Reject, &comment),
        Command::Withdraw { change, comment } => {
            approve::refuse(session, &change, Decision::Withdraw, &comment)
        }
        Command::Why { host, change } => why::run(session, &host, &change),
        Command::Ci(CiCommand::List { label, json }) => ci::list(session, &label, json),
        Command::Ci(CiCommand::Show { host, json }) => ci::show(session, &host, json),
        Command::Ci(CiCommand::Label { host, labels }) => ci::label(session, &host, &labels),
        Command::Export { change, period, out } => {
            evidence::export(session, change.as_ref(), period.as_deref(), &out)
        }
        Command::Site(SiteCommand::Show { json }) => site::show(session, json),
        Command::Key(KeyCommand::Show { json }) => key::show(session, json),
        Command::Log(LogCommand::Verify) => ledger::verify(session),
        Command::Init(_)
        | Command::Lint { .. }
        | Command::Sign { .. }
        | Command::Verify { .. }
        | Command::Key(KeyCommand::Restore { .. }) => Ok(()),
    }
}

fn run_change(session: &Session, command: ChangeCommand) -> Done {
    match command {
        ChangeCommand::New(args) => new::run(session, &args),
        ChangeCommand::Show { change } => show::show(session, &change),
        ChangeCommand::List { state, json } => show::list(session, state.as_deref(), json),
        ChangeCommand::Submit { change } => act::act(session, &change, "submit"),
        ChangeCommand::Halt { change } => act::act(session, &change, "halt"),
        ChangeCommand::Resume { change } => act::act(session, &change, "resume"),
        ChangeCommand::Withdraw { change } => act::act(session, &change, "withdraw"),
        ChangeCommand::Close { change, outcome, note } => act::close(session, &change, outcome, &note),
    }
}
