//! zypper, by its XML answers and the metadata that it has verified.
//!
//! Never: a key that nobody has imported on the host, nor an answer to a question; what zypper would ask is refused.

pub(crate) mod answer;
pub(crate) mod history;
pub(crate) mod locks;
pub(crate) mod metadata;

use super::packages::{Mark, PackageChange};
use super::process::{Exec, Ran};
use super::rpm::Wish;
use super::rpm::database::{Row, split};
use super::rpm::offers::{Catalogue, Item};
use super::rpm::place::{LISTING_BYTES, LOOK, NAMES, Place, TRANSACTION};
use super::rpm::transact::Work;
use super::settings;
use super::{Fault, lock};
use answer::Answer;
use std::fs;
use std::path::{Path, PathBuf};

const CONF: &str = "/etc/zypp/zypp.conf";
const LOCKS: &str = "/etc/zypp/locks";

/// How it ends where no repository is defined.
const NONE: i32 = 6;

#[derive(Debug, Default)]
pub struct Zypper;

/// Which of the host's own settings a run has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    /// All of them, without touching its lock and log.
    Look,
    /// No repository, and no locks of packages: what happens was compared before.
    Sealed,
    /// As [`Run::Sealed`], with its lock and log.
    Change,
}

impl Zypper {
    fn dir(place: &Place) -> PathBuf {
        place.dir().join("zypp")
    }

    /// `free` are packages whose locks do not count.
    fn exec(place: &Place, run: Run, free: &[String]) -> Result<Exec, Fault> {
        let dir = Self::dir(place);
        let locks = match run {
            Run::Look => locks::without(&settings::read(&place.outside(LOCKS))?, free),
            Run::Sealed | Run::Change => String::new(),
        };
        let conf = dir.join("zypp.conf");
        let write = || {
            fs::create_dir_all(dir.join("no-repositories"))?;
            fs::write(dir.join("locks"), &locks)?;
            let own = fs::read_to_string(place.outside(CONF)).unwrap_or_default();
            fs::write(&conf, Self::settings(place, &own))
        };
        write().map_err(Fault::io(format!("prepare {}", dir.display())))?;
        let mut arguments: Vec<String> = Vec::new();
        if !place.is_whole() {
            arguments.extend(["--root".to_owned(), place.root().display().to_string()]);
        }
        let cache = dir.join(if run == Run::Look { "cache" } else { "sealed" });
        arguments.extend(["--cache-dir".to_owned(), cache.display().to_string()]);
        if run != Run::Look {
            let none = dir.join("no-repositories").display().to_string();
            arguments.extend(["--reposd-dir".to_owned(), none, "--no-gpg-checks".into()]);
        }
        arguments.extend(["--non-interactive", "--xmlout"].map(str::to_owned));
        let exec = Exec::new("zypper", arguments).output_bytes(LISTING_BYTES).timeout(LOOK);
        let exec = exec.env("ZYPP_CONF", conf.display().to_string());
        Ok(if run == Run::Change {
            exec
        } else {
            let dir = dir.display().to_string();
            exec.env("ZYPP_LOCKFILE_ROOT", dir.clone()).env("ZYPP_LOGFILE", format!("{dir}/log"))
        })
    }

    /// The host's settings with the agent's own file of locks, which zypper takes to be below the root.
    fn settings(place: &Place, own: &str) -> String {
        let locks = Self::dir(place).join("locks");
        let below = locks.strip_prefix(place.root()).unwrap_or(&locks).display().to_string();
        let kept: String = own
            .lines()
            .filter(|line| !line.trim_start().starts_with("locksfile.path"))
            .map(|l| format!("{l}\n"))
            .collect();
        let head = if kept.contains("[main]") { "" } else { "[main]\n" };
        format!("{head}{kept}locksfile.path = /{}\n", below.trim_start_matches('/'))
    }

    fn answer(place: &Place, exec: Exec, doing: &str) -> Result<(Ran, Answer), Fault> {
        let log = Self::dir(place).join("log");
        let ran = place.exec(exec)?;
        // It grows with each run, and what it says was told.
        if let Err(error) = fs::remove_file(&log) {
            tracing::debug!(%error, "zypper wrote no log");
        }
        let answer = answer::parse(&ran.stdout).map_err(|why| {
            Fault::Refused(format!("zypper {doing} gave an answer that cannot be read: {why}"))
        })?;
        Ok((ran, answer))
    }

    pub fn refresh(&self, place: &Place) -> Result<(), Fault> {
        let mut exec = Self::exec(place, Run::Look, &[])?.timeout(TRANSACTION);
        // By itself zypper looks at times and sizes only; lists that are here by their digest are not fetched again.
        exec.arguments.extend(["refresh", "--force-download"].map(str::to_owned));
        let (ran, answer) = Self::answer(place, exec, "refresh")?;
        if ran.code == Some(NONE) {
            return Ok(());
        }
        answer.success(ran, "zypper refresh").map(drop)
    }

    fn repositories(place: &Place) -> Result<Vec<answer::Repository>, Fault> {
        let mut exec = Self::exec(place, Run::Look, &[])?;
        exec.arguments.extend(["--no-refresh", "repos", "--details"].map(str::to_owned));
        let (ran, answer) = Self::answer(place, exec, "repos")?;
        if ran.code == Some(NONE) {
            return Ok(Vec::new());
        }
        Ok(answer.success(ran, "zypper repos")?.repositories)
    }

    pub fn listed(&self, place: &Place, names: &[&str]) -> Result<Catalogue, Fault> {
        let mut catalogue = Catalogue::default();
        for repository in Self::repositories(place)?.iter().filter(|repository| repository.enabled) {
            let raw = Self::dir(place).join("cache/raw").join(&repository.alias);
            metadata::read(&raw, repository, names, &mut catalogue)?;
        }
        Ok(catalogue)
    }

    pub fn solve(&self, place: &Place, wish: &Wish) -> Result<Vec<Item>, Fault> {
        let mut exec = Self::exec(place, Run::Look, &wish.free)?;
        exec.arguments.push("--no-refresh".into());
        exec.arguments.extend(Self::install(wish.again));
        exec.arguments.push("--dry-run".into());
        for one in &wish.install {
            // The first of the architectures goes without saying, also for packages of none.
            let arch = if one.archs.len() == 1 { format!(".{}", one.archs[0]) } else { String::new() };
            exec.arguments.push(format!("{}{arch}={}", one.name, one.evr));
        }
        exec.arguments.extend(removals(&wish.remove));
        let (ran, answer) = Self::answer(place, exec, "install --dry-run")?;
        Ok(answer.success(ran, "zypper install --dry-run")?.items)
    }

    fn install(again: bool) -> Vec<String> {
        let flags = ["install", "--details", "--no-recommends", "--oldpackage", "--auto-agree-with-licenses"];
        let again = again.then_some("--force");
        flags.into_iter().chain(again).map(str::to_owned).collect()
    }

    fn sealed(place: &Place, run: Run, work: &Work) -> Result<Exec, Fault> {
        let mut exec = Self::exec(place, run, &[])?;
        exec.arguments.push("--no-refresh".into());
        exec.arguments.extend(Self::install(work.again));
        if run == Run::Sealed {
            exec.arguments.push("--dry-run".into());
        } else {
            exec.arguments.push("--allow-unsigned-rpm".into());
        }
        exec.arguments.extend(work.files.iter().map(|file| file.display().to_string()));
        exec.arguments.extend(removals(&work.remove));
        if work.files.is_empty() {
            // Without a package to install its words for removals are another command.
            let at = exec.arguments.iter().position(|argument| argument == "install");
            exec.arguments.truncate(at.unwrap_or_default());
            exec.arguments.push("remove".into());
            exec.arguments.extend((run == Run::Sealed).then(|| "--dry-run".to_owned()));
            exec.arguments.push("--details".into());
            exec.arguments.extend(removals(&work.remove).map(|name| name.trim_start_matches('!').to_owned()));
        }
        Ok(exec)
    }

    pub fn rehearse(&self, place: &Place, work: &Work) -> Result<Vec<Item>, Fault> {
        let (ran, answer) =
            Self::answer(place, Self::sealed(place, Run::Sealed, work)?, "install --dry-run")?;
        Ok(answer.success(ran, "zypper install --dry-run")?.items)
    }

    pub fn commit(&self, place: &Place, work: &Work) -> Result<(), Fault> {
        let exec = Self::sealed(place, Run::Change, work)?.timeout(TRANSACTION);
        let ran = place.carry_out(exec)?;
        // Cut off when it was killed; then its exit code says so.
        let mut answer = answer::parse(&ran.stdout).unwrap_or_default();
        answer.troubles.extend(answer.scripts.clone());
        answer.success(ran, "zypper install").map(drop)
    }

    pub fn download(&self, place: &Place, wanted: &[&PackageChange], into: &Path) -> Result<(), Fault> {
        for wanted in wanted.chunks(NAMES) {
            let names: Vec<String> = wanted.iter().map(|c| split(&c.name).0.to_owned()).collect();
            let mut exec = Self::exec(place, Run::Look, &names)?.timeout(TRANSACTION);
            let options = ["--no-refresh".to_owned(), "--pkg-cache-dir".into(), into.display().to_string()];
            exec.arguments.extend(options);
            exec.arguments.push("download".into());
            let one =
                |c: &&PackageChange| Some(format!("{}.{}={}", split(&c.name).0, c.arch, c.to.as_ref()?));
            exec.arguments.extend(wanted.iter().filter_map(one));
            let (ran, answer) = Self::answer(place, exec, "download")?;
            answer.success(ran, "zypper download")?;
        }
        Ok(())
    }

    pub fn holds(&self, place: &Place) -> Result<Vec<String>, Fault> {
        Ok(locks::names(&settings::read(&place.outside(LOCKS))?))
    }

    pub fn mark(&self, place: &Place, mark: Mark, names: &[&str]) -> Result<(), Fault> {
        match mark {
            Mark::Hold => locks::change(&place.outside(LOCKS), names, &[]),
            Mark::Unhold => locks::change(&place.outside(LOCKS), &[], names),
            Mark::Auto => locks::auto(&place.outside("/var/lib/zypp/AutoInstalled"), names),
        }
    }

    pub fn holder(&self, place: &Place) -> Result<Option<String>, Fault> {
        const USERS: [&str; 4] = ["zypper", "packagekitd", "y2base", "y2start"];
        for path in ["/run/zypp.pid", "/var/run/zypp.pid"] {
            if let Some(holder) = lock::of_number(&place.outside(path), &USERS)? {
                return Ok(Some(holder));
            }
        }
        Ok(None)
    }
}

fn removals(rows: &[Row]) -> impl Iterator<Item = String> {
    rows.iter().map(|row| format!("!{}.{}={}", row.name, row.arch, row.evr))
}
