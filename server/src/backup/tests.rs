//! Backups are read with the tools of others: `age`, `tar`, `sha256sum`, SQLite.

use super::*;
use crate::kernel::db::{Connect, Db};
use age::secrecy::ExposeSecret as _;
use std::process::{Command, Stdio};

struct Site {
    dir: tempfile::TempDir,
    key: age::x25519::Identity,
}

impl Site {
    fn new() -> Self {
        let site = Self { dir: tempfile::tempdir().unwrap(), key: age::x25519::Identity::generate() };
        for dir in ["data/tls", "data/keys", "data/objects/ab", "elsewhere", "backups"] {
            fs::create_dir_all(site.path(dir)).unwrap();
        }
        for file in ["people.crt", "people.key", "agents.crt", "agents.key", "ca.crt", "ca.key"] {
            fs::write(site.path("data/tls").join(file), file).unwrap();
        }
        fs::write(site.path("elsewhere/online.key"), "online").unwrap();
        fs::write(site.path("data/keys/log.key"), "log").unwrap();
        fs::write(site.path("data/objects/ab/cd"), vec![7; 100_000]).unwrap();
        Db::connect(&site.config().database_url, Connect { create: true }).unwrap();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self) -> String {
        format!(
            "site_id = \"0011223344556677\"\ndata_dir = \"{0}/data\"\n[people]\nurl = \"https://a.example\"\n[agents]\n\
             url = \"https://a.example:8444\"\n[keys]\nonline = \"{0}/elsewhere/online.key\"\n[backup]\nrecipient = \"{1}\"\n",
            self.dir.path().display(),
            self.key.to_public(),
        )
    }

    fn config(&self) -> Config {
        Config::parse("test", &self.text(), None).unwrap()
    }

    fn run(&self, out: &str) -> Result<Backup, Error> {
        let file = self.path("server.toml");
        fs::write(&file, self.text()).unwrap();
        run(&self.config(), &file, &self.path(out))
    }

    /// Names in a directory.
    fn names(&self, dir: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(dir))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// As the timer makes them: `keep` stay, and one that fails removes nothing.
#[test]
fn the_newest_backups_stay_and_one_that_fails_costs_none_of_them() {
    let site = Site::new();
    let file = site.path("server.toml");
    fs::write(&file, site.text()).unwrap();
    let now = |hour: i64| Timestamp(1_893_456_000 + 3_600 * hour);
    let keep = std::num::NonZeroU32::new(2).unwrap();
    let make = |hour| run_in(&site.config(), &file, &site.path("backups"), keep, now(hour));
    assert_eq!(last(&site.config()), None);
    for hour in 0..3 {
        let (made, removed) = make(hour).unwrap();
        note(&site.config(), &made, now(hour)).unwrap();
        assert_eq!(removed.len(), usize::from(hour == 2), "{removed:?}");
        let noted = last(&site.config()).unwrap();
        assert_eq!((noted.at, noted.files, noted.bytes), (now(hour), made.files as u64, made.bytes));
    }
    let two = ["assent-2030-01-01T010000Z.age", "assent-2030-01-01T020000Z.age"];
    let backups =
        || site.names("backups").into_iter().filter(|name| !name.starts_with('.')).collect::<Vec<_>>();
    assert_eq!(backups(), two);

    // What it needs is missing, there is one of this second, another one is under way: nothing goes.
    fs::rename(site.path("data/keys/log.key"), site.path("log.key")).unwrap();
    make(3).unwrap_err();
    fs::rename(site.path("log.key"), site.path("data/keys/log.key")).unwrap();
    assert!(make(2).unwrap_err().chain().contains("exists already"));
    let lock = File::open(site.path("backups/.assent-backup.lock")).unwrap();
    lock.lock().unwrap();
    assert!(make(4).unwrap_err().chain().contains("another backup is being made"));
    drop(lock);
    assert_eq!(backups(), two);
    assert_eq!(last(&site.config()).unwrap().at, now(2));

    // The power went in the middle of one: what it left goes with the next.
    fs::create_dir(site.path("backups/assent-2030-01-01T050000Z.age.part-77")).unwrap();
    make(6).unwrap();
    assert_eq!(backups(), [two[1], "assent-2030-01-01T060000Z.age"]);
    fs::write(site.path("data/last-backup.json"), "{\"at\":").unwrap();
    assert_eq!(last(&site.config()), None, "a damaged note is none");
}

fn shell(dir: &Path, line: &str) -> String {
    let out = Command::new("sh").args(["-ec", line]).current_dir(dir).stdin(Stdio::null()).output().unwrap();
    assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn a_backup_made_while_the_database_is_open_is_whole_for_tools_of_others() {
    let site = Site::new();
    let open = Db::connect(&site.config().database_url, Connect { create: false }).unwrap();
    fs::create_dir(site.path("data/.backup-1")).unwrap();
    fs::write(site.path("data/.backup-1/database"), "left behind by a power cut").unwrap();
    let made = site.run("backups/one.age").unwrap();
    assert_eq!(site.names("backups"), ["one.age"], "nothing else is left");
    fs::write(site.path("key"), site.key.to_string().expose_secret()).unwrap();
    fs::write(site.path("other"), age::x25519::Identity::generate().to_string().expose_secret()).unwrap();
    fs::create_dir(site.path("opened")).unwrap();
    shell(site.dir.path(), "! age -d -i other backups/one.age 2>/dev/null");
    shell(site.dir.path(), "age -d -i key backups/one.age | tar -C opened -xf -");
    let summed = shell(&site.path("opened"), "sha256sum --strict -c SHA256SUMS");
    assert_eq!(summed.lines().filter(|line| line.ends_with(": OK")).count(), made.files);
    let listed = shell(&site.path("opened"), "find . -type f | sort");
    let expected = [
        "./SHA256SUMS",
        "./data/assent.sqlite",
        "./data/keys/log.key",
        "./data/objects/ab/cd",
        "./data/tls/agents.crt",
        "./data/tls/agents.key",
        "./data/tls/ca.crt",
        "./data/tls/ca.key",
        "./data/tls/people.crt",
        "./data/tls/people.key",
        "./outside/keys.online",
        "./server.toml",
    ];
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
    let copy = format!("sqlite://{}", site.path("opened/data/assent.sqlite").display());
    Db::connect(&copy, Connect { create: false }).unwrap();
    drop(open);
}

#[test]
fn what_cannot_be_a_backup_is_refused_and_nothing_is_left() {
    let site = Site::new();
    let said = |out: &str| site.run(out).unwrap_err().chain();
    assert!(said("data/one.age").contains("a part of the next one"));
    fs::write(site.path("backups/there"), "x").unwrap();
    assert!(said("backups/there").contains("exists already"));
    std::os::unix::fs::symlink("nowhere", site.path("backups/link")).unwrap();
    assert!(said("backups/link").contains("exists already"));
    assert!(said("missing/one.age").contains("No such file"));
    fs::remove_file(site.path("elsewhere/online.key")).unwrap();
    assert!(said("backups/one.age").contains("online.key"));
    fs::write(site.path("elsewhere/online.key"), "online").unwrap();
    fs::remove_file(site.path("data/keys/log.key")).unwrap();
    assert!(said("backups/one.age").contains("log.key"), "a missing key is told before it is needed");
    assert_eq!(site.names("data"), ["assent.sqlite", "keys", "objects", "tls"]);
    assert_eq!(site.names("backups"), ["link", "there"]);

    let file = site.path("server.toml");
    let config = Config { backup: None, ..site.config() };
    let none = run(&config, &file, &site.path("backups/one.age")).unwrap_err().chain();
    assert!(none.contains("assent backup recipient"), "{none}");
    let broken = site.text().replace("age1", "age2");
    let error = Config::parse("test", &broken, None).unwrap_err();
    assert!(error.to_string().contains("backup.recipient"), "{error}");
}
