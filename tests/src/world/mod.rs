//! A whole site on this machine: database, server processes, hosts on private roots, one person with keys.
//!
//! Every step of a test goes through here, so that `check` runs after each of them.

mod host;
mod node;
mod persons;
mod saved;
mod vendor;

pub use host::{Host, Statements, join_order};
pub use node::Node;
pub use persons::{NewChange, Second};
pub use saved::Saved;

use crate::check::Memory;
use crate::http::{Client, Message};
use crate::programs::{self, Said};
use crate::proxy::Proxy;
use crate::{http, pg};
use shared::time::Timestamp;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Condvar, Mutex};
use tempfile::TempDir;

/// Shifts the clock of all our programs, in seconds.
pub const CLOCK: &str = "ASSENT_TEST_CLOCK_OFFSET_SECS";
/// In the directory of a world: its own database of time zones.
const ZONES: &str = "zoneinfo";

/// A program looks there for zones, where there are some.
fn use_zones(command: &mut Command, zones: &Path) {
    if zones.is_dir() {
        command.env("TZDIR", zones);
    }
}
const PASSPHRASE: &str = "correct horse battery";

/// Which database a world has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgresql,
}

/// Worlds at the same time; more only makes each slower and timeouts likelier on two cores.
const WORLDS: usize = 4;
static RUNNING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

struct Permit;

impl Permit {
    fn take() -> Self {
        let mut running = RUNNING.0.lock().unwrap();
        while *running >= WORLDS {
            running = RUNNING.1.wait(running).unwrap();
        }
        *running += 1;
        Self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *RUNNING.0.lock().unwrap() -= 1;
        RUNNING.1.notify_one();
    }
}

pub struct World {
    pub database: Database,
    pub url: String,
    dir: TempDir,
    pub nodes: Vec<Node>,
    pub hosts: BTreeMap<String, Host>,
    pub proxy: Proxy,
    /// Seconds by which every clock of this world is ahead.
    pub offset: i64,
    pub memory: Memory,
    _permit: Permit,
}

impl World {
    /// A new site with a running server and no host; `None` when this machine lacks the database (the test
    /// is then recorded as skipped).
    pub fn new(name: &str, database: Database) -> Option<Self> {
        let permit = Permit::take();
        let dir = tempfile::Builder::new().prefix("assent-world-").tempdir().unwrap();
        let url = match database {
            Database::Sqlite => format!("sqlite://{}/site/server/assent.sqlite", dir.path().display()),
            Database::Postgresql => match pg::cluster() {
                Ok(cluster) => cluster.new_database(),
                Err(why) => {
                    programs::skip(name, &why);
                    return None;
                }
            },
        };
        let agents = TcpListener::bind("127.0.0.1:0").unwrap();
        let site = dir.path().join("site");
        let (people, behind) = (http::free_port(), http::free_port());
        std::fs::write(dir.path().join("passphrase"), format!("{PASSPHRASE}\n")).unwrap();
        let mut init = Command::new(programs::own("assent"));
        init.arg("--passphrase-file").arg(dir.path().join("passphrase")).arg("init").arg(&site);
        init.args(["--person", "lead", "--name", "First Approver"]);
        init.args(["--people-url", &format!("https://127.0.0.1:{people}")]);
        init.args(["--agent-address", &agents.local_addr().unwrap().to_string()]);
        init.args(["--listen-people", &format!("127.0.0.1:{people}")]);
        init.args(["--listen-agents", &format!("127.0.0.1:{behind}")]);
        init.arg("--recovery-out").arg(dir.path().join("recovery.txt"));
        if database == Database::Postgresql {
            init.args(["--database", &url]);
        }
        Said::of(&mut init).ok();
        let proxy = Proxy::start(agents, &site.join("ca.crt"));
        let node = Node::new(1, site.join("server/server.toml"), people, behind, dir.path());
        let mut world = Self {
            database,
            url,
            nodes: vec![node],
            hosts: BTreeMap::new(),
            proxy,
            offset: 0,
            memory: Memory::default(),
            dir,
            _permit: permit,
        };
        world.nodes[0].migrate();
        world.start_server();
        Some(world)
    }

    /// Plays a test on a new site of each database at the same time.
    ///
    /// # Panics
    /// It fails on one of them; the message says on which.
    pub fn with_each(name: &str, test: impl Fn(&mut Self) + Sync) {
        let failed: Vec<Database> = std::thread::scope(|scope| {
            let play = |database| {
                let (name, test) = (format!("{name} on {database:?}"), &test);
                let run = move || Self::new(&name, database).iter_mut().for_each(test);
                (database, scope.spawn(run))
            };
            let runs = [Database::Sqlite, Database::Postgresql].map(play);
            runs.into_iter().filter_map(|(database, run)| run.join().err().map(|_| database)).collect()
        });
        assert!(failed.is_empty(), "failed on {failed:?}");
    }

    pub fn site(&self) -> PathBuf {
        self.dir.path().join("site")
    }

    /// A place for a test's own files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file of the person and gives its path.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The clock of this world.
    #[expect(clippy::disallowed_methods, reason = "a test has its own edge where time enters")]
    pub fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp(i64::try_from(since.as_secs()).unwrap() + self.offset)
    }

    /// Moves every clock forward (or back) and starts the server anew.
    pub fn shift_clock(&mut self, seconds: i64) {
        self.offset += seconds;
        self.stop_server();
        self.start_server();
    }

    /// Runs the command line as the site's first person.
    pub fn assent(&self, args: &[&str]) -> Said {
        self.assent_at(&self.site(), args)
    }

    /// Runs the command line with another person's directory.
    pub fn assent_at(&self, site: &Path, args: &[&str]) -> Said {
        Said::of(&mut self.command(site, args))
    }

    /// The command line, not started yet.
    pub fn command(&self, site: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(programs::own("assent"));
        command.env(CLOCK, self.offset.to_string()).env("LC_ALL", "C.UTF-8").current_dir(self.dir.path());
        use_zones(&mut command, &self.path(ZONES));
        command.arg("--site").arg(site).arg("--passphrase-file").arg(self.path("passphrase"));
        command.args(["--lang", "en"]).args(args);
        command
    }

    pub fn token(&self) -> String {
        std::fs::read_to_string(self.site().join("keys/api-token")).unwrap().trim().to_owned()
    }

    /// Talks to the people port of the first node.
    pub fn people(&self) -> Client {
        self.people_of(0)
    }

    pub fn people_of(&self, node: usize) -> Client {
        Client::new(
            SocketAddr::from(([127, 0, 0, 1], self.nodes[node].people)),
            &self.site().join("ca.crt"),
            None,
        )
    }

    /// Talks to the agent port as one of the hosts would.
    pub fn as_host(&self, name: &str) -> Client {
        self.agent_door(&self.hosts[name], self.nodes[0].agents)
    }

    fn agent_door(&self, host: &Host, port: u16) -> Client {
        let identity = (host.state().join("tls.crt"), host.state().join("tls.key"));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Client::new(address, &self.site().join("ca.crt"), Some((&identity.0, &identity.1)))
    }

    /// One call with the first person's token.
    pub fn api(&self, method: &str, path: &str, body: &[u8]) -> Message {
        let request = Message::request(method, path, body);
        self.people().send(request.with("authorization", &format!("Bearer {}", self.token())))
    }

    /// A successful GET.
    pub fn get(&self, path: &str) -> Message {
        let reply = self.api("GET", path, b"");
        assert_eq!(reply.status(), 200, "GET {path}: {}", reply.text());
        reply
    }

    /// Runs SQL by hand, as somebody who got at the database would.
    pub fn sql(&self, sql: &str) -> String {
        match self.database {
            Database::Postgresql => pg::psql(&self.url, sql),
            Database::Sqlite => {
                let file = self.site().join("server/assent.sqlite");
                let mut command = Command::new("sqlite3");
                Said::of(command.args(["-bail", "-cmd", ".timeout 10000"]).arg(file).arg(sql)).ok().out
            }
        }
    }

    /// Waits until the server has carried out what it wrote down for later (bundles, outbox).
    ///
    /// # Panics
    /// It has not after 30 seconds.
    pub fn settle(&self) {
        if !self.nodes.iter().any(Node::is_running) {
            return;
        }
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        let left = "SELECT (SELECT count(*) FROM change WHERE unpublished) + (SELECT count(*) FROM outbox)";
        while self.sql(left).trim() != "0" {
            assert!(
                std::time::Instant::now() < deadline,
                "the server does not finish: {}",
                self.sql("SELECT * FROM outbox")
            );
            std::thread::sleep(std::time::Duration::from_millis(150));
        }
        let newest = self.sql("SELECT max(version) FROM site_file WHERE role = 'timestamp'");
        let newest: u64 = newest.trim().parse().unwrap();
        let running = self.nodes.iter().filter(|node| node.is_running());
        for door in running
            .filter_map(|node| self.hosts.values().next().map(|host| self.agent_door(host, node.agents)))
        {
            // A host that is not let in learns nothing from any node; there is nothing to wait for.
            while let Some(known) = offered(&door)
                && known < newest
            {
                assert!(std::time::Instant::now() < deadline, "a node does not learn of version {newest}");
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        }
    }

    /// Everything that must hold at any moment; see [`crate::check`].
    pub fn check(&mut self) {
        crate::check::ledger(self);
    }
}

/// The version of the repository that a host is told of and can fetch from this node, whichever is older.
fn offered(door: &Client) -> Option<u64> {
    let get =
        |path: &str| door.try_send(Message::request("GET", path, b"")).ok().filter(|r| r.status() == 200);
    let told = get("/agent/v1/work")?.json()["timestamp_version"].as_u64()?;
    let served = get("/agent/v1/tuf/timestamp.json")?.json()["signed"]["version"].as_u64()?;
    Some(told.min(served))
}

impl Drop for World {
    /// A failing test shows what the servers had to say.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in &self.nodes {
                eprintln!("--- server {} says:\n{}", node.number, node.last_words());
            }
            for said in self.memory.said.values().flat_map(|all| all.iter().rev().take(6).rev()) {
                eprintln!("--- {said}");
            }
            if std::env::var_os("ASSENT_TEST_KEEP").is_some() {
                let kept = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap()).keep();
                eprintln!("--- kept in {}", kept.display());
            }
        }
    }
}
