//! Real databases for tests: a fresh SQLite file and a fresh PostgreSQL database each time.
//!
//! PostgreSQL comes from `ASSENT_TEST_PG_URL` (a server where databases may be created), else from a throw-away
//! cluster that lives as long as the test process. Without both the test says so and does SQLite only;
//! with `CI=true` that is a failure.

use super::db::{Connect, Db};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A database that nobody has connected to yet, and what must outlive it.
pub struct Fresh {
    pub engine: &'static str,
    pub url: String,
    _dir: Option<TempDir>,
}

/// A connected, migrated database.
pub struct TestDb {
    pub engine: &'static str,
    pub url: String,
    pub db: Db,
    _fresh: Fresh,
}

/// One fresh, migrated database per engine that is there. Blocks: call it outside of async code.
pub fn each_engine() -> Vec<TestDb> {
    let connected = |fresh: Fresh| {
        let db = Db::connect(&fresh.url, Connect { create: true }).unwrap();
        TestDb { engine: fresh.engine, url: fresh.url.clone(), db, _fresh: fresh }
    };
    each_fresh().into_iter().map(connected).collect()
}

/// As [`each_engine`], without connecting.
pub fn each_fresh() -> Vec<Fresh> {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", dir.path().join("assent.sqlite").display());
    let mut all = vec![Fresh { engine: "sqlite", url, _dir: Some(dir) }];
    all.extend(fresh_postgres());
    all
}

fn fresh_postgres() -> Option<Fresh> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let server = server()?;
    let name = format!("assent_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    admin(server, &format!("CREATE DATABASE {name}"));
    Some(Fresh { engine: "postgresql", url: server.replace("/postgres?", &format!("/{name}?")), _dir: None })
}

/// Runs one statement as the administrator of the cluster.
pub fn admin(url: &str, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        let driver = tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap();
        drop(client);
        driver.await.unwrap().unwrap();
    });
}

/// Records in the file named by `ASSENT_TEST_SKIPS` that a test could not run here.
///
/// # Panics
/// When CI=true: what CI skips is not tested anywhere.
pub fn skip(name: &str, why: &str) {
    use std::io::Write as _;
    assert!(!std::env::var("CI").is_ok_and(|value| value == "true"), "{name}: {why}");
    eprintln!("skipping {name}: {why}");
    let Some(file) = std::env::var_os("ASSENT_TEST_SKIPS") else { return };
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
    file.write_all(format!("{name}: {why}\n").as_bytes()).unwrap();
}

/// Address of the `postgres` database of the server to use.
pub fn server() -> Option<&'static str> {
    static SERVER: OnceLock<Option<String>> = OnceLock::new();
    let found = SERVER.get_or_init(|| {
        if let Ok(url) = std::env::var("ASSENT_TEST_PG_URL") {
            let (base, query) = url.split_once('?').unwrap_or((&url, ""));
            let (host, _) = base.rsplit_once('/').expect("postgresql://user@host/postgres");
            return Some(format!("{host}/postgres?{query}"));
        }
        throw_away_cluster().inspect_err(|why| skip("the server's tests on PostgreSQL", why)).ok()
    });
    found.as_deref()
}

/// `postgresql://postgres@localhost:port` of a cluster with TLS and its root certificate, in a directory
/// that must be kept; `None` where no cluster can be started.
pub fn with_tls() -> Option<(String, PathBuf)> {
    server()?;
    TLS.get().cloned()
}

static TLS: OnceLock<(String, PathBuf)> = OnceLock::new();

/// A certificate for `localhost` that is its own root.
fn certificate(dir: &Path) -> Result<(), String> {
    let key = rcgen::KeyPair::generate().map_err(|error| error.to_string())?;
    let params =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).map_err(|error| error.to_string())?;
    let cert = params.self_signed(&key).map_err(|error| error.to_string())?;
    for (name, text) in [("server.crt", cert.pem()), ("server.key", key.serialize_pem())] {
        std::fs::write(dir.join(name), text).map_err(|error| error.to_string())?;
    }
    check(Command::new("chmod").arg("600").arg(dir.join("server.key")))
}

fn free_port() -> Result<u16, String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

fn throw_away_cluster() -> Result<String, String> {
    let bin = newest_installation().ok_or("no /usr/lib/postgresql/*/bin/initdb")?;
    let dir = tempfile::Builder::new().prefix("assent-pg-").tempdir().map_err(|e| e.to_string())?.keep();
    let data = dir.join("data");
    let root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
    certificate(&dir)?;
    if root {
        check(Command::new("chown").args(["-R", "postgres:postgres"]).arg(&dir))?;
    }
    let mut initdb = as_postgres(root, &bin.join("initdb"));
    check(initdb.args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync", "-D"]).arg(&data))?;
    let mut postgres = as_postgres(root, &bin.join("postgres"));
    postgres.arg("-D").arg(&data).arg("-k").arg(&dir);
    let port = free_port()?;
    postgres.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "ssl=on"]);
    for (name, file) in [("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key")] {
        postgres.arg("-c").arg(format!("{name}={}", dir.join(file).display()));
    }
    postgres.args(["-c", "fsync=off", "-c", "max_connections=300"]);
    let child = postgres.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|e| e.to_string())?;
    stop_with_this_process(&child, &dir)?;
    wait_for(&dir.join(format!(".s.PGSQL.{port}")))?;
    TLS.get_or_init(|| (format!("postgresql://postgres@localhost:{port}"), dir.join("server.crt")));
    let host = dir.display().to_string().replace('/', "%2F");
    Ok(format!("postgresql://postgres@{host}:{port}/postgres?sslmode=disable"))
}

/// The cluster is a child of the test process only in name: a watcher ends it when the process is gone,
/// however it ended.
fn stop_with_this_process(child: &Child, dir: &Path) -> Result<(), String> {
    let script = format!(
        "while kill -0 {} 2>/dev/null; do sleep 1; done; kill -INT {}; sleep 1; rm -rf '{}'",
        std::process::id(),
        child.id(),
        dir.display()
    );
    let mut watcher = Command::new("setsid");
    watcher.args(["sh", "-c", &script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    watcher.spawn().map(drop).map_err(|error| error.to_string())
}

fn newest_installation() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
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
    command
        .args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"])
        .arg(program)
        .current_dir("/");
    command
}

fn check(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {stderr}")) }
}

fn wait_for(socket: &Path) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let ready = || std::os::unix::net::UnixStream::connect(socket).is_ok();
    while !ready() {
        if Instant::now() > deadline {
            return Err(format!("PostgreSQL did not open {}", socket.display()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // The socket answers a moment before the server accepts logins.
    std::thread::sleep(Duration::from_millis(300));
    Ok(())
}
