//! Hosts: a private root with an agent that is run one tick at a time.

use super::{CLOCK, World};
use crate::apt::Repository;
use crate::programs::{self, Said};
use crate::{check, root};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::finding::Finding;
use shared::ids::{AgentId, SiteId};
use shared::receipt::{Chained, Receipt, Refusal, open_chained};
use shared::statement::{self, Predicate, Statement};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One managed host.
#[derive(Clone, Debug)]
pub struct Host {
    pub name: String,
    pub root: PathBuf,
    pub site: SiteId,
}

/// The host's own statements by their place in its chain, as its state directory holds them.
#[derive(Debug, Default)]
pub struct Statements {
    pub receipts: BTreeMap<u64, Statement<Receipt>>,
    pub refusals: BTreeMap<u64, Statement<Refusal>>,
    pub findings: BTreeMap<u64, Statement<Finding>>,
}

impl Host {
    pub fn state(&self) -> PathBuf {
        self.root.join("var/lib/assent")
    }

    /// A path on the host, as the host names it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.path(path)).ok()
    }

    /// Lines of a file; 0 when it does not exist.
    pub fn lines(&self, path: &str) -> usize {
        self.read(path).map_or(0, |text| text.lines().count())
    }

    pub fn agent(&self) -> AgentId {
        let text = std::fs::read_to_string(self.state().join("site.json")).unwrap();
        let site: serde_json::Value = serde_json::from_str(&text).unwrap();
        site["agent"].as_str().unwrap().parse().unwrap()
    }

    pub fn key(&self) -> shared::keys::SigningKey {
        let pem = std::fs::read_to_string(self.state().join("identity.pem")).unwrap();
        shared::keys::SigningKey::from_pem(&pem, None).unwrap()
    }

    /// Statements that wait for their proof.
    pub fn spooled(&self) -> usize {
        envelopes(&self.state().join("spool")).len()
    }

    /// Everything that this host has signed into its chain and still holds.
    pub fn statements(&self) -> Statements {
        let mut all = Statements::default();
        for dir in ["spool", "sent"] {
            for bytes in envelopes(&self.state().join(dir)) {
                let envelope = Envelope::parse(&bytes).unwrap();
                match statement::type_of(&envelope).unwrap().as_str() {
                    Receipt::TYPE => insert(&mut all.receipts, &bytes, &self.site),
                    Refusal::TYPE => insert(&mut all.refusals, &bytes, &self.site),
                    Finding::TYPE => insert(&mut all.findings, &bytes, &self.site),
                    _ => {}
                }
            }
        }
        all
    }

    /// Everything in the host's chain that it still holds, by place: digest, and that of the statement before.
    pub fn chained(&self) -> BTreeMap<u64, (Digest, Option<Digest>)> {
        let Statements { receipts, refusals, findings } = self.statements();
        let mut all = BTreeMap::new();
        all.extend(receipts.into_iter().map(|(seq, s)| (seq, (s.digest, s.body.header.prev))));
        all.extend(refusals.into_iter().map(|(seq, s)| (seq, (s.digest, s.body.header.prev))));
        all.extend(findings.into_iter().map(|(seq, s)| (seq, (s.digest, s.body.header.prev))));
        all
    }

    /// The newest receipt for a change.
    pub fn receipt(&self, change: &str) -> Option<Statement<Receipt>> {
        self.statements().receipts.into_values().rfind(|r| r.body.change_id.as_str() == change)
    }

    /// Codes of all refusals for a change, oldest first.
    pub fn refusal_codes(&self, change: &str) -> Vec<String> {
        let about =
            |r: &Statement<Refusal>| r.body.change_id.as_ref().is_some_and(|id| id.as_str() == change);
        let refusals = self.statements().refusals.into_values().filter(about);
        refusals.map(|r| r.body.reason.code.to_string()).collect()
    }
}

fn envelopes(dir: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let files = entries.map(|e| e.unwrap().path());
    let whole = files.filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().ends_with(".json")));
    let read = |path| match std::fs::read(path) {
        // The agent of a real machine has moved it in the meantime.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        other => Some(other.unwrap()),
    };
    whole.filter_map(read).collect()
}

fn insert<P: Chained>(map: &mut BTreeMap<u64, Statement<P>>, bytes: &[u8], site: &SiteId) {
    let statement = open_chained::<P>(bytes, site).unwrap();
    map.insert(statement.body.header().seq, statement);
}

impl World {
    /// Joins a host with an empty package database.
    pub fn join(&mut self, name: &str, host_class: &str) {
        self.prepare(name);
        self.enrol(name, host_class);
    }

    /// Joins a host that uses a package repository.
    pub fn join_with_packages(&mut self, name: &str, repository: &Repository, packages: &[&str]) {
        self.prepare(name);
        root::install(&self.hosts[name].root, repository, packages);
        self.enrol(name, "production");
    }

    /// Joins a host that lives on when this world is gone.
    pub fn join_at(&mut self, name: &str, host_class: &str, root: &Path) {
        root::prepare(root, name);
        self.add_host(name, root.to_owned());
        self.enrol(name, host_class);
    }

    /// The words of a fresh join command for a host that exists already, without its subcommand.
    pub fn join_words(&mut self, name: &str, host_class: &str, root: &Path) -> Vec<String> {
        self.add_host(name, root.to_owned());
        let said = self.assent(&["agent", "token", "--host-class", host_class]);
        let mut words = join_order(&said.ok(), &self.path("join-token")).split_off(1);
        words.extend(["--hostname".to_owned(), name.to_owned()]);
        words
    }

    fn prepare(&mut self, name: &str) {
        let root = self.path(&format!("hosts/{name}"));
        root::prepare(&root, name);
        self.add_host(name, root);
    }

    fn add_host(&mut self, name: &str, root: PathBuf) {
        let profile = std::fs::read_to_string(self.site().join("cli.toml")).unwrap();
        let profile: toml::Table = profile.parse().unwrap();
        let site = profile["site"].as_str().unwrap().parse().unwrap();
        self.hosts.insert(name.into(), Host { name: name.into(), root, site });
    }

    /// The same with further options of `assent agent token`.
    pub fn join_with(&mut self, name: &str, host_class: &str, more: &[&str]) {
        self.prepare(name);
        self.enrol_with(name, host_class, more);
    }

    /// Makes a token with the command line and runs the command that it prints.
    pub fn enrol(&mut self, name: &str, host_class: &str) {
        self.enrol_with(name, host_class, &[]);
    }

    /// A host that does not get in; nothing is left of it.
    pub fn try_enrol(&mut self, name: &str, host_class: &str, more: &[&str]) -> Said {
        self.prepare(name);
        let said = self.ask_in(name, host_class, more);
        self.hosts.remove(name);
        said
    }

    fn ask_in(&self, name: &str, host_class: &str, more: &[&str]) -> Said {
        let label = format!("name={name}");
        let token = ["agent", "token", "--host-class", host_class, "--label", &label];
        let order = join_order(&self.assent(&[&token, more].concat()).ok(), &self.path("join-token"));
        let words = order.iter().map(String::as_str).collect::<Vec<_>>();
        Said::of(self.agent(&self.hosts[name], &words).args(["--hostname", name]))
    }

    fn enrol_with(&mut self, name: &str, host_class: &str, more: &[&str]) {
        self.ask_in(name, host_class, more).ok();
        self.has_joined(name);
    }

    /// A host has joined: the proxy speaks for it, and its chain begins.
    pub fn has_joined(&mut self, name: &str) {
        let host = &self.hosts[name];
        let state = host.state();
        self.proxy.add_identity(state.join("tls.crt"), state.join("tls.key"));
        let snapshot = root::snapshot(&host.root);
        self.memory.hosts.insert(name.into(), check::Seen { snapshot, last_seq: 1 });
    }

    /// The agent of a host with this subcommand and options.
    pub fn agent(&self, host: &Host, args: &[&str]) -> Command {
        let mut command = Command::new(programs::own("assent-agent"));
        command.env(CLOCK, self.offset.to_string()).env("LC_ALL", "C.UTF-8");
        command.args(args).arg("--root").arg(&host.root);
        command
    }

    /// One tick of one host's agent, then every invariant.
    pub fn tick(&mut self, name: &str) -> Said {
        self.settle();
        let said = self.tick_unchecked(name);
        check::host(self, name);
        self.check();
        said
    }

    /// One tick without checks, for hosts that are in the middle of something.
    pub fn tick_unchecked(&self, name: &str) -> Said {
        Said::of(&mut self.agent(&self.hosts[name], &["once"]))
    }

    /// One tick of every host, at the same time.
    pub fn tick_all(&mut self) {
        self.settle();
        let children: Vec<_> = self
            .hosts
            .values()
            .map(|host| {
                let mut command = self.agent(host, &["once"]);
                command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
                (host.name.clone(), command.stderr(std::process::Stdio::piped()).spawn().unwrap())
            })
            .collect();
        for (name, child) in children {
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.signal(), None, "the agent of {name} was killed");
            let said = Said::from(&format!("tick {name}"), &output);
            assert!(!said.err.contains("panicked"), "{said}");
            self.memory.said.entry(name).or_default().push(said);
        }
        for name in self.hosts.keys().cloned().collect::<Vec<_>>() {
            check::host(self, &name);
        }
        self.check();
    }

    /// Ticks a host until what it has said is proven in the ledger; five times at most.
    pub fn settle_spool(&mut self, name: &str) {
        for _ in 0..5 {
            if self.hosts[name].spooled() > 0 {
                self.tick(name);
            }
        }
    }

    /// Ticks a host until it has signed a receipt for the change.
    ///
    /// # Panics
    /// It has none after ten ticks.
    pub fn tick_until_receipt(&mut self, name: &str, change: &str) -> Statement<Receipt> {
        let mut last = None;
        for _ in 0..10 {
            last = Some(self.tick(name));
            if let Some(receipt) = self.hosts[name].receipt(change) {
                return receipt;
            }
        }
        panic!(
            "{name} has no receipt for {change}; refusals {:?}; {}",
            self.hosts[name].refusal_codes(change),
            last.unwrap()
        );
    }
}

/// The words of the join command that `assent agent token` prints, after the program's name; the secret goes into
/// `file`.
///
/// # Panics
/// It prints something else.
pub fn join_order(said: &Said, file: &Path) -> Vec<String> {
    let text = said.out.replace("\\\n", " ");
    let line =
        text.lines().find(|line| line.contains("assent-agent join")).unwrap_or_else(|| panic!("{said}"));
    let words = line.split_whitespace().skip_while(|word| !word.ends_with("assent-agent")).skip(1);
    let words = words.map(|word| word.trim_matches('\'').to_owned());
    let secret = line.split_whitespace().nth(2).unwrap();
    std::fs::write(file, secret).unwrap();
    words.map(|word| if word == "-" { file.display().to_string() } else { word }).collect()
}
