//! A throw-away PostgreSQL cluster for each test process, a new database for each world.
//!
//! The cluster ends with the process however that ended: a watcher looks for it.

use crate::programs::Said;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A running cluster; only its own account and this machine can reach it.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    port: u16,
}

static WAITS_FOR_DISK: AtomicBool = AtomicBool::new(false);

/// The cluster of this process, once started, answers only what is on disk, as an installed one does. For
/// measurements; tests do not survive a power failure anyway.
pub fn wait_for_disk() {
    WAITS_FOR_DISK.store(true, Ordering::Relaxed);
}

/// The cluster of this process, or why there is none.
pub fn cluster() -> Result<&'static Cluster, String> {
    static CLUSTER: OnceLock<Result<Cluster, String>> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start).as_ref().map_err(Clone::clone)
}

impl Cluster {
    /// The address of a new, empty database.
    pub fn new_database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("world_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        psql(&self.url("postgres"), &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    fn start() -> Result<Self, String> {
        let bin = newest_installation().ok_or("PostgreSQL is not installed")?;
        let dir = tempfile::Builder::new().prefix("assent-pg-").tempdir().map_err(|e| e.to_string())?.keep();
        let data = dir.join("data");
        let root = Said::of(Command::new("id").arg("-u")).out.trim() == "0";
        if root {
            check(Command::new("chown").arg("postgres:postgres").arg(&dir))?;
        }
        let mut initdb = as_postgres(root, &bin.join("initdb"));
        check(initdb.args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync", "-D"]).arg(&data))?;
        let port = crate::http::free_port();
        let mut server = as_postgres(root, &bin.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(&dir).args(["-p", &port.to_string()]);
        let fsync = if WAITS_FOR_DISK.load(Ordering::Relaxed) { "fsync=on" } else { "fsync=off" };
        for setting in ["listen_addresses=127.0.0.1", fsync, "max_connections=400"] {
            server.args(["-c", setting]);
        }
        let child = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|e| e.to_string())?;
        end_with_this_process(child.id(), &dir);
        let cluster = Self { dir, port };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    fn wait_until_ready(&self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let said = Said::of(Command::new("psql").args(["-qAtc", "SELECT 1", &self.url("postgres")]));
            if said.code == 0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("PostgreSQL in {} does not answer: {said}", self.dir.display()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Runs SQL by hand, as somebody with full rights on the database would; rows as `a|b` lines.
pub fn psql(url: &str, sql: &str) -> String {
    Said::of(Command::new("psql").args(["-qAt", "-v", "ON_ERROR_STOP=1", "-c", sql, url])).ok().out
}

fn newest_installation() -> Option<PathBuf> {
    let dirs = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let mut found: Vec<(u32, PathBuf)> = dirs
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

/// PostgreSQL refuses to run as root.
fn as_postgres(root: bool, program: &Path) -> Command {
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
    command.current_dir("/");
    command
}

fn check(command: &mut Command) -> Result<(), String> {
    let said = Said::of(command);
    if said.code == 0 { Ok(()) } else { Err(said.to_string()) }
}

#[expect(clippy::zombie_processes, reason = "the watcher outlives this process, which is what it watches")]
fn end_with_this_process(server: u32, dir: &Path) {
    let script = format!(
        "while kill -0 {} 2>/dev/null; do sleep 1; done; kill -INT {server}; sleep 1; rm -rf '{}'",
        std::process::id(),
        dir.display()
    );
    let mut watcher = Command::new("setsid");
    watcher.args(["sh", "-c", &script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    watcher.spawn().unwrap();
}
