//! `assent-agent`: the command line of the agent. Exit codes: 0 done, 1 refused, 2 usage, 3 fault.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod by_hand;
mod former;
mod reset_trust;

use agent::clock::Clock;
use agent::config::{self, Config, Paths};
use agent::courier;
use agent::disk::{Disk, Overlay, RealDisk};
use agent::ear::Ear;
use agent::engine::Engine;
use agent::enrol::{self, EnrolError, Order, Way};
use agent::host::watch::Watched;
use agent::host::{Host, Machine};
use agent::idle::{self, Idle};
use agent::launch::{self, Standing};
use agent::net::{Address, NetError};
use agent::program;
use agent::run::{Agent, Report, Woken, open_state};
use agent::say;
use agent::server::Remote;
use agent::state::{Proxy, State, StateError};
use agent::status::Status;
use agent::vault::{self, Vault};
use clap::{Parser, Subcommand};
use former::FormerArgs;
use reset_trust::{ResetArgs, settle};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::ids::{AgentId, HostClass, SiteId};
use shared::limits;
use shared::manifest::Manifest;
use shared::policy::Policy;
use shared::publication::Publication;
use shared::statement::Statement;
use shared::time::Timestamp;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

#[derive(Parser)]
#[command(
    name = "assent-agent",
    version = version(),
    about = "Changes this host only with approvals that it has checked itself",
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 refused, 2 usage, 3 fault.\nExample: assent-agent status"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Between two looks of a program on trial whether the server is there.
const TRIAL_PAUSE: Duration = Duration::from_secs(2);
/// One-time secrets are far shorter.
const SECRET_BYTES: u64 = 4_096;

#[derive(Subcommand)]
enum Command {
    /// Join a site with the command line that the server gave
    #[command(
        after_help = "Example: the line that `assent agent token` prints, as root:\n  assent-agent join --site SITE --root-sha256 HEX --server https://assent.example.org:8443 --pin HEX --token-file FILE"
    )]
    Join(JoinArgs),
    /// Run as a daemon
    #[command(after_help = "Example: assent-agent run   # as assent-agent.service does")]
    Run(RootArg),
    /// One tick: report, plan, apply what is due; then end
    #[command(after_help = "Example: assent-agent once")]
    Once(RootArg),
    /// Show what a manifest would do on this host; changes nothing
    #[command(
        after_help = "Example: assent-agent plan web-base.json                  # from `assent lint web-base.yaml --out web-base.json`\n         assent-agent plan web-base-1.2.0.manifest.json   # from `assent sign web-base.yaml`"
    )]
    Plan {
        /// Compiled by `assent lint --out FILE`, or signed by `assent sign`; not YAML
        file: PathBuf,
        #[command(flatten)]
        root: RootArg,
    },
    /// Show on one screen how this host stands: what runs, why not yet, what is approved, what is wrong
    #[command(after_help = "Example: assent-agent status --json")]
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        root: RootArg,
    },
    /// Let this host run what a person brings by hand while the server is away: a word that breaks the glass
    #[command(
        after_help = "`assent glass break` makes the file. The host verifies it as it would from the server, runs it once, and tells the server when it is back.\nExample: assent-agent glass c-7.glass"
    )]
    Glass {
        /// Made by `assent glass break`, with a word for this host
        file: PathBuf,
        #[command(flatten)]
        root: RootArg,
    },
    /// Change this host to another site, when all keys that govern its own are lost; asks for the words of the new one
    #[command(
        name = "reset-trust",
        after_help = "Takes the words of the join command that the new site's `assent agent token` prints. The host keeps its key, what was applied stays, and what it kept of the old site goes aside. Stop the agent first.\nExample: assent-agent reset-trust --site SITE --first-root HEX --server https://assent.example.org:8443 --pin HEX --token-file FILE"
    )]
    ResetTrust(Box<ResetArgs>),
    /// Sites that this host has left: hand in or export what was never delivered there
    #[command(after_help = "Example: assent-agent former list")]
    Former(FormerArgs),
    /// Show everything that this host reports of itself, as JSON; sends nothing
    #[command(after_help = "Example: assent-agent facts   # facts_omit in agent.toml keeps parts of it back")]
    Facts(RootArg),
    /// The process that talks to the network; the others start it themselves
    #[command(hide = true)]
    Courier,
    /// Report whether this program could do the work; the one that does it starts this one beside itself
    #[command(hide = true)]
    Trial(RootArg),
    /// The process that becomes a program on trial
    #[command(hide = true)]
    TryOut {
        #[arg(long)]
        program: PathBuf,
        /// Process id of the program that does the work
        #[arg(long)]
        parent: i32,
        #[command(flatten)]
        root: RootArg,
    },
    /// Show the version
    #[command(after_help = "Example: assent-agent version")]
    Version,
}

#[derive(clap::Args)]
struct RootArg {
    /// Everything that is managed is below this directory
    #[arg(long, default_value = "/")]
    root: PathBuf,
}

#[derive(clap::Args)]
struct JoinArgs {
    /// Site id
    #[arg(long)]
    site: SiteId,
    /// SHA-256 of the site's first root
    #[arg(long, alias = "first-root")]
    root_sha256: Digest,
    /// Address of the server's people port, such as https://assent.example.org
    #[arg(long)]
    server: Address,
    /// SHA-256 of the server's public key (SubjectPublicKeyInfo)
    #[arg(long, required_unless_present = "proxy", conflicts_with = "proxy")]
    pin: Option<Digest>,
    /// TLS ends in a proxy at that address; this host then signs each request with its own key
    #[arg(long)]
    proxy: bool,
    /// Certificate authorities that the proxy's certificate may be of, PEM; those of this machine when not given
    #[arg(long, value_name = "FILE", requires = "proxy")]
    proxy_ca: Option<PathBuf>,
    /// File with the one-time secret, or - for standard input: a secret on a command line is seen by every user
    #[arg(long, value_name = "FILE|-")]
    token_file: PathBuf,
    /// Host class; pinned on this host by joining
    #[arg(long)]
    host_class: Option<HostClass>,
    /// Name of this host; found out when not given
    #[arg(long)]
    hostname: Option<String>,
    #[command(flatten)]
    root: RootArg,
}

/// How a command ended without success, and its exit code.
enum Failure {
    Refused(String),
    Fault(String),
}

impl Failure {
    fn fault(error: impl std::fmt::Display) -> Self {
        Self::Fault(error.to_string())
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = vault::keep_memory_private() {
        say::err(&format!("note: core files of this process cannot be forbidden: {error}"));
    }
    let done = match cli.command {
        Command::Join(args) => join(&args),
        Command::Run(args) => settle(&args.root).and_then(|()| work(&args.root, Log::Kept, run)),
        Command::Once(args) => settle(&args.root).and_then(|()| work(&args.root, Log::None, once)),
        // The state is the matter of the program that does the work: it alone knows how to read it.
        Command::Plan { file, root } => chosen(&root.root, false).and_then(|_| plan(&file, &root.root)),
        Command::Status { json, root } => chosen(&root.root, false).and_then(|_| status(json, &root.root)),
        Command::Glass { file, root } => settle(&root.root).and_then(|()| by_hand::run(&file, &root.root)),
        Command::ResetTrust(args) => reset_trust::run(&args),
        Command::Former(args) => former::run(&args),
        Command::Facts(args) => chosen(&args.root, false).and_then(|_| facts(&args.root)),
        Command::Trial(args) => trial(&args.root),
        Command::TryOut { program, parent, root } => launch::become_trial(&program, parent, &root.root)
            .map(|never| match never {})
            .map_err(Failure::Fault),
        Command::Courier => courier::serve(say::err).map_err(Failure::fault),
        Command::Version => {
            say::out(&format!("assent-agent {}", program::version()));
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Refused(why)) => {
            say::err(&format!("error: {why}"));
            ExitCode::from(1)
        }
        Err(Failure::Fault(why)) => {
            say::err(&format!("error: {why}"));
            ExitCode::from(3)
        }
    }
}

/// The one-time secret without the white space around it.
fn secret(file: &Path) -> Result<String, Failure> {
    let name = if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
    let mut text = String::new();
    let read = match name.as_str() {
        "standard input" => std::io::stdin().lock().take(SECRET_BYTES).read_to_string(&mut text),
        _ => File::open(file).and_then(|file| file.take(SECRET_BYTES).read_to_string(&mut text)),
    };
    read.map_err(|e| Failure::Fault(format!("cannot read the secret from {name}: {e}")))?;
    match text.trim() {
        "" => Err(Failure::Refused(format!(
            "{name} holds no secret; it is in what `assent agent token` prints"
        ))),
        secret => Ok(secret.to_owned()),
    }
}

/// The file is read again whenever the agent connects, so its whole path is noted.
fn way(args: &JoinArgs) -> Result<Way, Failure> {
    if let Some(pin) = args.pin {
        return Ok(Way::Server(pin));
    }
    let authorities = args.proxy_ca.as_ref().map(std::path::absolute).transpose();
    Ok(Way::Proxy(Proxy { authorities: authorities.map_err(Failure::fault)? }))
}

fn join(args: &JoinArgs) -> Result<(), Failure> {
    let paths = Paths::new(&args.root.root);
    settle(paths.root())?;
    let config = Config::load(&paths).map_err(Failure::fault)?;
    let clock = Clock::from_env().map_err(Failure::Fault)?;
    let order = ordered(args, &paths)?;
    let joined = enrol::join(&paths, &mut RealDisk, &order, &clock, (config.limits(), courier::open));
    let site = joined.map_err(failed_to_join)?;
    say::out(&format!("joined site {} as agent {}", site.site, site.agent));
    say::out(&format!("try: assent-agent once --root {}", paths.root().display()));
    Ok(())
}

/// What the join command says, with the secret from its file.
fn ordered(args: &JoinArgs, paths: &Paths) -> Result<Order, Failure> {
    let machine = machine(paths)?;
    let hostname = match &args.hostname {
        Some(name) => name.clone(),
        None => hostname(&machine, args.host_class.as_ref())?,
    };
    Ok(Order {
        site: args.site.clone(),
        root_sha256: args.root_sha256,
        server: args.server.clone(),
        way: way(args)?,
        token: secret(&args.token_file)?,
        host_class: args.host_class.clone(),
        hostname,
        boot_id: machine.boot_id().unwrap_or_else(|_| "unknown".into()),
    })
}

fn failed_to_join(error: EnrolError) -> Failure {
    match error {
        EnrolError::Net(NetError::Refused { .. })
        | EnrolError::AlreadyJoined { .. }
        | EnrolError::NoHostClass { .. }
        | EnrolError::OtherHostClass { .. }
        | EnrolError::Answer(_) => Failure::Refused(error.to_string()),
        EnrolError::Key(_) | EnrolError::Config(_) | EnrolError::State(_) | EnrolError::Net(_) => {
            Failure::fault(error)
        }
    }
}

fn hostname(machine: &Machine, class: Option<&HostClass>) -> Result<String, Failure> {
    let Some(class) = class.cloned().or_else(|| "none".parse().ok()) else { return Ok(String::new()) };
    let facts = agent::facts::basic(machine, &class, program::version());
    facts.map(|facts| facts.hostname).map_err(|e| Failure::Fault(e.text()))
}

fn machine(paths: &Paths) -> Result<Machine, Failure> {
    let wait = Config::load(paths).map_err(Failure::fault)?.package_lock();
    let machine = Machine::open(paths.root(), &paths.state()).map_err(|e| Failure::Fault(e.text()))?;
    Ok(machine.waiting_for_packages(wait).looking_through(courier::Prober::own()))
}

/// Only one agent may write a state directory; the lock goes with the process.
fn lock(paths: &Paths) -> Result<File, Failure> {
    lock_file(&paths.state().join("lock"))
}

fn lock_file(path: &Path) -> Result<File, Failure> {
    // On a file system that cannot be written any more the file of earlier times will do: the host must be heard.
    let file = File::options().create(true).append(true).open(path).or_else(|e| match e.kind() {
        std::io::ErrorKind::ReadOnlyFilesystem => File::open(path),
        _ => Err(e),
    });
    let file = file.map_err(|e| Failure::Fault(format!("cannot open {}: {e}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(e) => Err(Failure::Refused(format!(
            "another agent works in {}: {e}",
            path.parent().unwrap_or(path).display()
        ))),
    }
}

/// How a command that does the work ended.
enum Ended {
    Done,
    /// Another program has to go on.
    Leaving,
}

/// Whether standard error is a log.
#[derive(PartialEq)]
enum Log {
    Kept,
    None,
}

fn version() -> &'static str {
    program::version().to_string().leak()
}

/// How the work begins.
#[derive(Default)]
struct Start {
    /// Why another program of the agent should run.
    trouble: Option<String>,
    /// Why a trial cannot go on now.
    stuck: Option<String>,
}

/// Gives this process to the program that does the work, unless it is this one.
fn chosen(root: &Path, works: bool) -> Result<Option<Standing>, Failure> {
    let paths = Paths::new(root);
    // Without a root there is no slot; whoever needs one says so.
    let Ok(mut machine) = Machine::open(paths.root(), &paths.state()) else { return Ok(None) };
    // Whoever comes while another agent works starts nothing, and so counts as no start of a new program.
    let alone = works.then(|| lock(&paths));
    if let Some(Err(Failure::Refused(why))) = alone {
        return Err(Failure::Refused(why));
    }
    launch::choose(&mut machine, works).map(Some).map_err(Failure::Refused)
}

/// Does the work in the program that is to do it, from the trial of another one on to giving it the process.
fn work(root: &Path, log: Log, how: fn(&Path, Start) -> Result<Ended, Failure>) -> Result<(), Failure> {
    let Some(standing) = chosen(root, true)? else { return how(root, Start::default()).map(drop) };
    let paths = Paths::new(root);
    let config = Config::load(&paths).map_err(Failure::fault)?;
    if log == Log::Kept {
        start_log(&config.log);
    }
    let now = Clock::from_env().map_err(Failure::Fault)?.now();
    let mut machine = machine(&paths)?;
    let mut start = Start { trouble: standing.trouble.clone(), stuck: None };
    if launch::is_on_trial(&machine) {
        // For the program on trial as well: it works under the eyes of this one.
        let _alone = lock(&paths)?;
        let brought = launch::bring_forward(&standing, root, now, config.trial(), &mut machine);
        start.stuck = brought.err().map(|fault| fault.text());
    }
    match how(root, start)? {
        Ended::Done => Ok(()),
        Ended::Leaving => Err(Failure::Fault(launch::hand_over(&standing).text())),
    }
}

type RealAgent<D> = Agent<Engine<Machine, D>, Remote>;

fn open<D: Disk + Clone + 'static, L>(
    paths: &Paths,
    disk: D,
    lock: impl FnOnce(&Paths) -> Result<L, Failure>,
) -> Result<(RealAgent<D>, L), Failure> {
    // Before the lock, because its directory is made by joining.
    let state = open_state(paths, Box::new(disk.clone())).map_err(not_joined)?;
    let lock = lock(paths)?;
    let clock = Clock::from_env().map_err(Failure::Fault)?;
    let class = config::host_class(paths).map_err(Failure::fault)?;
    let class = class.ok_or_else(|| {
        let path = paths.host_class_file();
        Failure::Fault(format!(
            "{0} does not exist, so this host has no class and no rule applies to it\n  try: write the class that \
             it joined with (such as production) into {0}, or join again with --host-class",
            path.display()
        ))
    })?;
    let vault = vault(&state).map_err(Failure::fault)?;
    let engine = Engine::open(machine(paths)?, disk.clone(), state.dir(), vault, class);
    let engine = engine.map_err(|e| Failure::Fault(e.to_string()))?;
    let engine = engine.reporting(Config::load(paths).map_err(Failure::fault)?.facts());
    let agent = Agent::open(paths, clock, Box::new(disk), engine, courier::open).map_err(Failure::fault)?;
    Ok((agent, lock))
}

/// What this host can open.
fn vault(state: &State) -> Result<Vault, StateError> {
    Vault::load(state.dir(), &RealDisk, &state.site().site, state.site().agent)
}

fn not_joined(error: StateError) -> Failure {
    match error {
        StateError::NotJoined { .. } => Failure::Refused(error.to_string()),
        StateError::Io { .. } | StateError::Damaged { .. } | StateError::Unusable { .. } => {
            Failure::fault(error)
        }
    }
}

fn start_log(filter: &str) {
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let built = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| say::Log(std::io::stderr()))
        .with_ansi(false)
        .without_time();
    // Set once in a process; a second time there is one already.
    drop(built.try_init());
}

fn run(root: &Path, start: Start) -> Result<Ended, Failure> {
    let (agent, _lock) = open(&Paths::new(root), RealDisk, lock)?;
    let is_stuck = start.stuck.is_some();
    let mut agent = agent.troubled(start.trouble).stuck(start.stuck);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::fault)?;
    let (mut term, mut int) = runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let both =
            signal(SignalKind::terminate()).and_then(|t| signal(SignalKind::interrupt()).map(|i| (t, i)));
        both.map_err(Failure::fault)
    })?;
    let mut ear = {
        let _within = runtime.enter();
        Ear::new(root)
    };
    // A signal during a tick waits for its end: a run is never torn by a stop of the service.
    let (is_leaving, is_told_to_stop) = (Cell::new(is_stuck), Cell::new(false));
    let idle = Idle::of_this_process();
    let mut sleep = |time: Duration, watched: &BTreeSet<Watched>| {
        if time >= idle::LONG {
            idle.give_back();
        }
        let woken = runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(time) => Woken::InTime,
                () = ear.hears(watched) => Woken::Touched,
                _ = term.recv() => Woken::Stopped,
                _ = int.recv() => Woken::Stopped,
            }
        });
        match woken {
            Woken::Stopped => is_told_to_stop.set(true),
            // The trial is begun anew by the next process, not by this one.
            _ if is_stuck => return Woken::Stopped,
            Woken::InTime | Woken::Touched => {}
        }
        woken
    };
    agent.run(&mut sleep, |report| is_leaving.set(is_leaving.get() || report.leaving));
    // Who was told to stop in the last tick gives its process to nobody: that one would not know of it.
    sleep(Duration::from_millis(1), &BTreeSet::new());
    Ok(if is_leaving.get() && !is_told_to_stop.get() { Ended::Leaving } else { Ended::Done })
}

/// Ticks of a program on trial until one is good. Whoever has started it ends it when that takes too long.
fn trial(root: &Path) -> Result<(), Failure> {
    // The program that has started this one holds the lock.
    let (mut agent, ()) = open(&Paths::new(root), Overlay::new(RealDisk), |_| Ok(()))?;
    let mut said = String::new();
    while let Err(why) = agent.trial() {
        if why != said {
            say::err(&why);
            said = why;
        }
        std::thread::sleep(TRIAL_PAUSE);
    }
    say::out(&launch::report(&program::version()));
    Ok(())
}

fn once(root: &Path, start: Start) -> Result<Ended, Failure> {
    let (agent, _lock) = open(&Paths::new(root), RealDisk, lock)?;
    let report = agent.troubled(start.trouble).stuck(start.stuck).once();
    print(&report);
    if report.leaving {
        return Ok(Ended::Leaving);
    }
    match report.went_through() {
        true => Ok(Ended::Done),
        false => {
            let why: Vec<_> = report.faults.iter().chain(&report.troubles).map(String::as_str).collect();
            Err(Failure::Fault(why.join("; ")))
        }
    }
}

fn print(report: &Report) {
    for line in &report.lines {
        say::line(line);
    }
    for told in report.standings.values() {
        let code = told.code.map(|code| format!(" ({code}: {})", told.message)).unwrap_or_default();
        say::line(&format!("{} revision {}: {}{code}", told.change_id, told.revision, told.standing));
    }
    say::out(&format!("next: {}", report.next));
}

fn plan(file: &Path, root: &Path) -> Result<(), Failure> {
    let paths = Paths::new(root);
    let unreadable = |e: std::io::Error| Failure::Refused(format!("cannot read {}: {e}", file.display()));
    let size = std::fs::metadata(file).map_err(unreadable)?.len();
    if size > limits::ENVELOPE_BYTES as u64 {
        return Err(Failure::Refused(format!("{} is larger than a manifest may be", file.display())));
    }
    let bytes = std::fs::read(file).map_err(unreadable)?;
    let manifest = read_manifest(file, bytes)?;
    let class = config::host_class(&paths).map_err(Failure::fault)?;
    let Some(class) = class.or_else(|| "none".parse().ok()) else { return Ok(()) };
    // A host that has not joined has no id yet; templates then see the id of no host.
    let (vault, policy) = match open_state(&paths, Box::new(RealDisk)) {
        Ok(state) => {
            let policy = state.policy().map_err(Failure::fault)?.and_then(|bytes| Policy::parse(&bytes).ok());
            (vault(&state).map_err(Failure::fault)?, policy)
        }
        Err(_) => (Vault::without_key(AgentId::of_key(&[0; 32])), None),
    };
    let vendor = policy.as_ref().and_then(|policy| policy.vendor.as_ref());
    let planned = agent::engine::plan_locally(&mut machine(&paths)?, &manifest, &vault, class, vendor);
    let planned = planned.map_err(|e| Failure::Refused(e.to_string()))?;
    for action in &planned.actions {
        say::line(&format!("{} ({}, undo {})", action.summary, action.class, action.undo.undo.as_str()));
        for line in action.diff.iter().flat_map(|diff| diff.split_terminator('\n')) {
            say::out(&format!("    {line}"));
        }
    }
    for note in &planned.notes {
        say::line(&format!("note: {note}"));
    }
    say::out(&format!("{}: {} actions; nothing was changed", manifest.id(), planned.actions.len()));
    Ok(())
}

/// A compiled manifest, or the signed publication of one; whoever tries a manifest here vouches for it alone.
fn read_manifest(file: &Path, bytes: Vec<u8>) -> Result<Manifest, Failure> {
    // The text of a manifest is no envelope from its first word on.
    let why = match Envelope::parse(&bytes).map(Statement::<Publication>::open) {
        Ok(Ok(statement)) => {
            let manifest = Manifest::from_json(statement.body.manifest.to_json());
            return manifest.map_err(|why| Failure::Refused(format!("{}: {why}", file.display())));
        }
        Ok(Err(why)) => why.to_string(),
        Err(_) => match Manifest::from_json(bytes) {
            Ok(manifest) => return Ok(manifest),
            Err(why) => why.to_string(),
        },
    };
    Err(Failure::Refused(format!(
        "{} is neither a compiled nor a signed manifest: {why}\n  try: compile the YAML on your own machine with \
         `assent lint FILE.yaml --out FILE.json` and plan that",
        file.display()
    )))
}

fn facts(root: &Path) -> Result<(), Failure> {
    let paths = Paths::new(root);
    let config = Config::load(&paths).map_err(Failure::fault)?;
    let class = config::host_class(&paths).map_err(Failure::fault)?;
    let Some(class) = class.or_else(|| "none".parse().ok()) else { return Ok(()) };
    let (settings, mut memory) = (config.facts(), agent::facts::Memory::default());
    let facts = agent::facts::collect(&machine(&paths)?, &class, program::version(), &settings, &mut memory);
    let facts = facts.map_err(|e| Failure::Fault(e.text()))?;
    say::json(&serde_json::to_vec_pretty(&facts).map_err(Failure::fault)?);
    Ok(())
}

/// Looks at the files of the agent only; it may be at work.
fn status(json: bool, root: &Path) -> Result<(), Failure> {
    let dir = Paths::new(root).state();
    let (site, disk) = (dir.join("site.json"), RealDisk);
    match disk.read(&site, limits::ENVELOPE_BYTES as u64) {
        Ok(Some(_)) => {}
        Ok(None) => return Err(not_joined(StateError::NotJoined { path: site })),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            return Err(Failure::Refused(format!(
                "only root may read what the agent keeps in {}\n  try: sudo assent-agent status",
                dir.display()
            )));
        }
        Err(e) => return Err(Failure::Fault(format!("cannot read {}: {e}", site.display()))),
    }
    let status = Status::load(&disk, &dir).map_err(Failure::fault)?;
    let Some(status) = status else {
        return Err(Failure::Refused("there was no tick yet; run assent-agent once".into()));
    };
    let now: Timestamp = Clock::from_env().map_err(Failure::Fault)?.now();
    match json {
        true => say::json(&status.to_bytes()),
        false => say::out(status.text(now).trim_end()),
    }
    Ok(())
}
