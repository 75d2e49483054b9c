//! From arguments to the one function that does the work, and from its failure to the exit code.

use crate::args::{
    AgentCommand, ArtifactCommand, AuditCommand, BackupCommand, ChangeCommand, CiCommand, Cli, Command,
    GlassCommand, Global, KeyCommand, LocalCommand, LogCommand, ManifestCommand, OnlineCommand,
    ReportCommand, SiteCommand,
};
use crate::author::{artifact, list, publish, source};
use crate::change::approve;
use crate::change::{act, carry, course, new, notes, series, show, template, wait, watch, why};
use crate::error::Done;
use crate::lang::Lang;
use crate::net::api::{Act, Wanted};
use crate::profile::Secrets;
use crate::session::Session;
use crate::{
    alarms, audit, backup, budget, calendar, ci, clock, evidence, finding, governance, inbox, init, key, kpi,
    ledger, person, policy, release, renew, restore, secret, shell, site, term, token, webhook, window,
};
use clap::Parser as _;
use shared::approval::Decision;
use std::process::ExitCode;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let words = match template::expanded(std::env::args_os().collect()) {
        Ok(words) => words,
        Err(failure) => {
            term::note(&format!("{failure}\n"));
            return ExitCode::from(failure.exit_code());
        }
    };
    let cli = match Cli::try_parse_from(words) {
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
            term::note(&format!("{failure}\n"));
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(global: &Global, command: Command) -> Done {
    match command {
        Command::Local(command) => run_local(global, command),
        Command::Online(command) => run_online(&Session::open(global)?, command),
    }
}

fn run_local(global: &Global, command: LocalCommand) -> Done {
    match command {
        LocalCommand::Init(args) => init::run(&args, &Secrets::new(global.passphrase_file.clone())),
        LocalCommand::Lint { files, out, json } => source::lint(&files, out.as_deref(), json),
        LocalCommand::Sign { file, out } => source::sign_file(global, &file, out.as_deref()),
        LocalCommand::Verify { bundle, root_sha256, previous, json } => {
            evidence::verify(global, &bundle, (root_sha256, previous.as_deref()), json)
        }
        LocalCommand::Backup(command) => run_backup(&command),
        LocalCommand::Key(KeyCommand::Restore { out, from }) => key::restore(global, &out, from.as_deref()),
        LocalCommand::Key(KeyCommand::Witness { name, out }) => ledger::witness::new(&name, &out),
        LocalCommand::Key(KeyCommand::New { out }) => key::new(global, &out),
        LocalCommand::Key(KeyCommand::Show { json }) => key::show(&Session::open(global)?, json),
        LocalCommand::Person(command) => person::run(global, &command),
        LocalCommand::Release(command) => release::run(global, &command),
        LocalCommand::Window(args) => {
            window::every::show(&args, global.lang.unwrap_or_else(Lang::from_env), clock::now()?)
        }
        LocalCommand::Completion { shell } => shell::completion(shell),
        LocalCommand::Man { dir } => shell::manual(&dir),
    }
}

fn run_backup(command: &BackupCommand) -> Done {
    match command {
        BackupCommand::Recipient { from } => backup::recipient(from.as_deref()),
        BackupCommand::Check { backup, from } => backup::open(backup, None, from.as_deref()),
        BackupCommand::Open { backup, out, from } => backup::open(backup, Some(out), from.as_deref()),
    }
}

fn run_online(session: &Session, command: OnlineCommand) -> Done {
    use OnlineCommand as Do;
    match command {
        Do::Agent(AgentCommand::Token { host_class, label, minutes, proxy, proxy_ca, json }) => {
            let behind = proxy.then_some(site::Behind { authorities: proxy_ca.as_deref() });
            site::token(session, &host_class, &label, minutes, (behind.as_ref(), json.json))
        }
        Do::Publish { file, older, json } => publish::run(session, &file, older, json.json),
        Do::Artifact(ArtifactCommand::Put { file, json }) => artifact::put(session, &file, json.json),
        Do::Manifest(ManifestCommand::List { team, json }) => list::run(session, team.as_ref(), json),
        Do::Report(ReportCommand::Kpi { period, json }) => kpi::show(session, &period, json),
        Do::Budget(command) => budget::run(session, command),
        Do::Inbox { json } => inbox::show(session, json),
        Do::Webhook(command) => webhook::run(session, command),
        Do::Calendar(command) => calendar::run(session, command),
        Do::Change(command) => run_change(session, command),
        Do::Approve(args) => approve::approve(session, &args),
        Do::Glass(GlassCommand::Prepare { change, out, json }) => {
            carry::prepare(session, &session.change(&change)?, (&out, json.json))
        }
        Do::Glass(GlassCommand::Break(args)) => carry::break_glass(session, &args),
        Do::Reject { change, comment, ssh, json } => {
            let (id, no) = (session.change(&change)?, (Decision::Reject, comment.as_str()));
            approve::refuse(session, &id, no, (ssh.place(), json))
        }
        Do::Withdraw { change, comment, ssh, json } => {
            let (id, no) = (session.change(&change)?, (Decision::Withdraw, comment.as_str()));
            approve::refuse(session, &id, no, (ssh.place(), json))
        }
        Do::Waiting { change, json } => {
            let change = change.map(|change| session.change(&change)).transpose()?;
            why::overview(session, change.as_ref(), json)
        }
        Do::Why { host, change, json } => why::run(session, &host, &session.change(&change)?, json),
        Do::Secret(command) => secret::run(session, &command),
        Do::Ci(CiCommand::List { query, label, facts, json }) if query.is_empty() => {
            ci::list(session, &label, &facts, json)
        }
        Do::Ci(CiCommand::List { query, label, facts, json }) => {
            ci::search::list(session, &query, &label, &facts, json)
        }
        Do::Ci(CiCommand::Search(command)) => ci::search::run(session, &command),
        Do::Ci(CiCommand::Health { host, check, json }) => ci::health::show(session, &host, &check, json),
        Do::Ci(CiCommand::Facts { host, section, json }) => ci::facts::show(session, &host, section, json),
        Do::Ci(CiCommand::Show { host, at, json }) => ci::show(session, &host, at.as_deref(), json),
        Do::Ci(CiCommand::Mismatch(command)) => ci::mismatch::run(session, &command),
        Do::Ci(CiCommand::Compare { left, right, json }) => ci::compare::run(session, (&left, &right), json),
        Do::Ci(CiCommand::Declared(command)) => ci::declared::run(session, command),
        Do::Ci(CiCommand::Label(args)) => ci::label(session, &args),
        Do::Ci(CiCommand::Disable(args)) => ci::set_enabled(session, &args, false),
        Do::Ci(CiCommand::Enable(args)) => ci::set_enabled(session, &args, true),
        Do::Ci(CiCommand::Retire(args)) => ci::retire::retire(session, &args),
        Do::Ci(CiCommand::Succeed(args)) => ci::retire::succeed(session, &args),
        Do::Finding(command) => finding::run(session, &command),
        Do::Export { change, period, out, json } => {
            let change = change.map(|change| session.change(&change)).transpose()?;
            evidence::export(session, (change.as_ref(), period.as_deref()), (&out, json.json))
        }
        Do::Site(SiteCommand::Show { json }) => site::show(session, json),
        Do::Site(SiteCommand::Health) => site::health(session),
        Do::Site(SiteCommand::Api) => site::api(session),
        Do::Site(SiteCommand::Restore(sign)) => restore::run(session, &sign),
        Do::Site(SiteCommand::Authority(command)) => site::authority::run(session, &command),
        Do::Site(SiteCommand::Alarms { json }) => alarms::list(session, json),
        Do::Renew(args) => renew::run(session, &args),
        Do::Governance(command) => governance::run(session, &command),
        Do::Policy(command) => policy::run(session, &command),
        Do::Log(LogCommand::Verify { json }) => ledger::look(session, json),
        Do::Log(LogCommand::Witness { key, json }) => ledger::witness::sign(session, &key, json),
        Do::Token(command) => token::run(session, &command),
        Do::Audit(AuditCommand::List(args)) => audit::list(session, &args),
        Do::Audit(AuditCommand::Exports { json }) => audit::exports(session, json),
    }
}

fn run_change(session: &Session, command: ChangeCommand) -> Done {
    match command {
        ChangeCommand::New(args) => new::run(session, &args),
        ChangeCommand::Show { change, json } => show::show(session, &session.change(&change)?, json),
        ChangeCommand::List { state, series, before, limit, json } => {
            let (state, series) = (state.as_deref(), series.as_ref());
            show::list(session, &Wanted { state, series, before: before.as_ref(), most: limit }, json)
        }
        ChangeCommand::Course { change, json } => course::show(session, &session.change(&change)?, json),
        ChangeCommand::Series { json } => series::list(session, json),
        ChangeCommand::Submit { change, at: Some(at), json } => {
            series::submit_later(session, &change, &at, json.json)
        }
        ChangeCommand::Submit { change, at: None, json } => {
            act::ask(session, &change, (Act::Submit, ""), json.json)
        }
        ChangeCommand::Watch { change, host, after, json } => {
            let (change, host) = (&session.change(&change)?, host.as_deref());
            watch::run(session, &watch::Wanted { change, host, after, json })
        }
        ChangeCommand::Wait { change, until, timeout, json } => {
            wait::run(session, &session.change(&change)?, until, (&timeout, json))
        }
        ChangeCommand::Halt(args) => act::several(session, &args, Act::Halt),
        ChangeCommand::StopCorrecting { change, note, json } => {
            act::ask(session, &[change], (Act::StopCorrecting, &note), json.json)
        }
        ChangeCommand::Resume(args) => act::several(session, &args, Act::Resume),
        ChangeCommand::Withdraw(args) => act::several(session, &args, Act::Withdraw),
        ChangeCommand::Close(args) => act::close(session, &args),
        ChangeCommand::Notes(command) => notes::run(session, &command),
    }
}
