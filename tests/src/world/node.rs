//! Server processes: start, wait, stop, kill.

use super::{CLOCK, World, ZONES, use_zones};
use crate::http::{Client, Message};
use crate::programs::{self, Said};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// One server process, running or not.
pub struct Node {
    pub number: usize,
    pub config: PathBuf,
    pub people: u16,
    pub agents: u16,
    log: PathBuf,
    /// Where its time zones are, if the world has made some.
    zones: PathBuf,
    process: Option<Child>,
}

impl Node {
    pub fn new(number: usize, config: PathBuf, people: u16, agents: u16, dir: &Path) -> Self {
        let (log, zones) = (dir.join(format!("server-{number}.log")), dir.join(ZONES));
        Self { number, config, people, agents, log, zones, process: None }
    }

    pub fn migrate(&self) {
        let mut migrate = Command::new(programs::own("assent-server"));
        Said::of(migrate.args(["migrate", "--config"]).arg(&self.config)).ok();
    }

    /// What an administrator does after a backup was put back.
    pub fn restored(&self, offset: i64) -> Said {
        let mut restored = Command::new(programs::own("assent-server"));
        restored.args(["restored", "--config"]).arg(&self.config).env(CLOCK, offset.to_string());
        Said::of(&mut restored)
    }

    /// Starts the process and waits until it answers.
    pub fn start(&mut self, offset: i64, ca: &Path) {
        assert!(self.process.is_none(), "server {} runs already", self.number);
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new(programs::own("assent-server"));
        command.args(["run", "--config"]).arg(&self.config).env(CLOCK, offset.to_string());
        use_zones(&mut command, &self.zones);
        command.env("RUST_LOG", "warn,server=info").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.process = Some(command.spawn().unwrap());
        let people = Client::new(SocketAddr::from(([127, 0, 0, 1], self.people)), ca, None);
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = people.try_send(Message::request("GET", "/healthz", b""));
            if answer.is_ok_and(|reply| reply.status() == 200) {
                return;
            }
            let ended = self.process.as_mut().and_then(|p| p.try_wait().unwrap());
            assert!(ended.is_none(), "server {} ended at once:\n{}", self.number, self.last_words());
            assert!(
                Instant::now() < deadline,
                "server {} does not answer:\n{}",
                self.number,
                self.last_words()
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// The process that runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// As a crash: nothing is finished, nothing is flushed.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// As an administrator would; the process must end by itself.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        Said::of(Command::new("kill").args(["-TERM", &process.id().to_string()])).ok();
        let status = process.wait().unwrap();
        assert!(status.success(), "server {} ended with {status}:\n{}", self.number, self.last_words());
    }

    /// True while the process lives; a server that panicked away is not one.
    pub fn is_alive(&mut self) -> bool {
        self.process.as_mut().is_some_and(|p| p.try_wait().unwrap().is_none())
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

impl World {
    /// Starts every node and sends agents to them.
    pub fn start_server(&mut self) {
        let ca = self.site().join("ca.crt");
        for node in &mut self.nodes {
            node.start(self.offset, &ca);
        }
        let backends: Vec<_> =
            self.nodes.iter().map(|n| SocketAddr::from(([127, 0, 0, 1], n.agents))).collect();
        self.proxy.set_backends(&backends);
    }

    pub fn stop_server(&mut self) {
        self.nodes.iter_mut().for_each(Node::stop);
    }

    pub fn kill_server(&mut self) {
        self.nodes.iter_mut().for_each(Node::kill);
    }

    /// From now on server and command have a time zone database in which this zone has the clocks of another one; one that is
    /// another one's itself has its own again.
    pub fn set_zone(&mut self, name: &str, clocks_of: &str) {
        let place = self.path(ZONES).join(name);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        let from = Path::new("/usr/share/zoneinfo").join(clocks_of);
        std::fs::copy(&from, place).unwrap_or_else(|why| panic!("{}: {why}; install tzdata", from.display()));
        self.stop_server();
        self.start_server();
    }

    /// The server may call these networks, once it starts again.
    pub fn reach(&mut self, networks: &str) {
        let text = std::fs::read_to_string(&self.nodes[0].config).unwrap();
        let mut config: toml::Table = text.parse().unwrap();
        let outgoing = config.entry("outgoing").or_insert_with(|| toml::Table::new().into());
        outgoing.as_table_mut().unwrap().insert("networks".into(), networks.into());
        std::fs::write(&self.nodes[0].config, toml::to_string(&config).unwrap()).unwrap();
        self.stop_server();
        self.start_server();
    }

    /// A second server process on the same database and object store; agents go to both in turn.
    pub fn add_node(&mut self) {
        let number = self.nodes.len() + 1;
        let text = std::fs::read_to_string(&self.nodes[0].config).unwrap();
        let mut config: toml::Table = text.parse().unwrap();
        let (people, agents) = (crate::http::free_port(), crate::http::free_port());
        for (section, port) in [("people", people), ("agents", agents)] {
            let section = config.get_mut(section).and_then(toml::Value::as_table_mut).unwrap();
            section.insert("listen".into(), format!("127.0.0.1:{port}").into());
        }
        let file = self.file(&format!("server-{number}.toml"), &toml::to_string(&config).unwrap());
        let mut node = Node::new(number, file, people, agents, &self.path(""));
        node.start(self.offset, &self.site().join("ca.crt"));
        self.nodes.push(node);
        let backends: Vec<_> =
            self.nodes.iter().map(|n| SocketAddr::from(([127, 0, 0, 1], n.agents))).collect();
        self.proxy.set_backends(&backends);
    }
}
