//! Packages on Debian and its relatives, through dpkg and apt-get.
//!
//! Exact versions only, in one transaction that was simulated right before and equals what was approved.
//! Lists and downloads live in the agent's own directory. Never: `apt-get -f install`, which repairs with
//! versions that nobody approved, and never a prompt.

mod config;
mod parse;

use super::Fault;
use super::packages::{Installed, Mark, Offer, PackageChange, PackageState, Request};
use super::process::{Exec, Ran, run};
use config::Config;
use rustix::process::{Flock, FlockType, fcntl_getlk};
use shared::digest::{Digest, Hasher};
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// A full upgrade over a slow line.
const TRANSACTION: Duration = Duration::from_secs(4 * 3_600);
const LOOK: Duration = Duration::from_secs(300);
const UPDATE: Duration = Duration::from_secs(1_800);
/// How long other users of the package manager are waited for (unattended upgrades take minutes).
const LOCK_SECS: u64 = 600;
/// Listings of hosts with many packages and sources.
const LISTING_BYTES: usize = 64 << 20;

/// `/bin/x` and `/usr/bin/x` are one file where `/usr` is merged, and packages name either.
fn merged(path: &str) -> &str {
    const MERGED: [&str; 4] = ["/bin/", "/sbin/", "/lib/", "/lib64/"];
    path.strip_prefix("/usr").filter(|rest| MERGED.iter().any(|dir| rest.starts_with(dir))).unwrap_or(path)
}

/// The package manager of one root.
#[derive(Debug)]
pub struct Apt {
    config: Config,
    native: OnceCell<String>,
}

impl Apt {
    /// `dir` is the agent's own directory for lists, downloads and settings; it is made when needed.
    pub fn new(root: &Path, whole: bool, dir: PathBuf) -> Self {
        Self { config: Config::new(root, whole, dir), native: OnceCell::new() }
    }

    /// True when the host has a dpkg database.
    pub fn is_there(&self) -> bool {
        self.config.dpkg_dir().join("status").is_file()
    }

    fn need(&self) -> Result<(), Fault> {
        if self.is_there() {
            return Ok(());
        }
        Err(Fault::Refused("this host has no dpkg database, so packages cannot be managed".into()))
    }

    fn exec(&self, exec: Exec) -> Result<Ran, Fault> {
        let program = exec.program.clone();
        let ran = run(&self.config.environment(exec))?;
        if ran.cut {
            return Err(Fault::Refused(format!("{program} printed more than {LISTING_BYTES} bytes")));
        }
        Ok(ran)
    }

    fn text(&self, exec: Exec) -> Result<String, Fault> {
        let name = format!("{} {}", exec.program, exec.arguments.first().map_or("", String::as_str));
        let ran = self.exec(exec)?.success(name.trim_end())?;
        String::from_utf8(ran.stdout)
            .map_err(|_| Fault::Refused(format!("{name} printed bytes that are not text")))
    }

    pub fn architecture(&self) -> Result<String, Fault> {
        if let Some(native) = self.native.get() {
            return Ok(native.clone());
        }
        let text = self.text(Exec::new("dpkg", ["--print-architecture"]).timeout(LOOK))?;
        Ok(self.native.get_or_init(|| text.trim().to_owned()).clone())
    }

    pub fn packages(&self) -> Result<Vec<Installed>, Fault> {
        if !self.is_there() {
            return Ok(Vec::new());
        }
        let admin = format!("--admindir={}", self.config.dpkg_dir().display());
        let format = format!("--showformat={}", parse::QUERY);
        let exec = Exec::new("dpkg-query", [admin.as_str(), "--show", &format]);
        let text = self.text(exec.timeout(LOOK).output_bytes(LISTING_BYTES))?;
        parse::installed(&text, &self.architecture()?).map_err(Fault::Refused)
    }

    /// Whether dpkg's list of the package's files names `path`; the list of a package with several
    /// architectures has the architecture in its name.
    pub fn ships(&self, package: &str, path: &str) -> Result<bool, Fault> {
        let native = format!("{package}:{}", self.architecture()?);
        for name in [package, native.as_str()] {
            let list = self.config.dpkg_dir().join("info").join(format!("{name}.list"));
            match fs::read(&list) {
                Ok(bytes) => {
                    let path = merged(path).as_bytes();
                    return Ok(bytes.split(|b| *b == b'\n').any(|line| {
                        std::str::from_utf8(line).is_ok_and(|line| merged(line).as_bytes() == path)
                    }));
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Fault::Io { doing: format!("read {}", list.display()), source: e }),
            }
        }
        Ok(false)
    }

    /// `apt-get update` in which every failure counts: without the option apt says "W:" and ends with 0 when
    /// a signature is bad, and "nothing to upgrade" becomes a lie. Damaged lists are fetched anew.
    pub fn refresh(&self) -> Result<(), Fault> {
        self.need()?;
        self.config.write()?;
        let update = || {
            let arguments = ["update", "-q", "-o", "APT::Update::Error-Mode=any", "-o", "Acquire::Retries=2"];
            let exec = Exec::new("apt-get", arguments).timeout(UPDATE);
            self.exec(exec)?.success("apt-get update")
        };
        if self.empty_lists()? || update().is_err() {
            // After a power cut lists can have 0 bytes, and every run fails on them.
            self.config.forget_lists()?;
            update()?;
        }
        Ok(())
    }

    fn empty_lists(&self) -> Result<bool, Fault> {
        let dir = self.config.lists();
        let look = || -> io::Result<bool> {
            for entry in fs::read_dir(&dir)? {
                let meta = entry?;
                let name = meta.file_name().to_string_lossy().into_owned();
                if name.contains("Release") && meta.metadata()?.len() == 0 {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        look().map_err(Fault::io(format!("read {}", dir.display())))
    }

    pub fn offers(&self, names: &[&str]) -> Result<Vec<Offer>, Fault> {
        self.need()?;
        self.config.write()?;
        let policy = |names: &[&str]| {
            let exec = Exec::new("apt-cache", std::iter::once(&"policy").chain(names).copied());
            self.text(exec.timeout(LOOK).output_bytes(LISTING_BYTES))
        };
        let sources = parse::sources(&policy(&[])?);
        let mut offers = Vec::new();
        // 2,000 names stay far below the kernel's limit on arguments.
        for names in names.chunks(2_000) {
            offers.extend(parse::offers(&policy(names)?, &sources));
        }
        Ok(offers)
    }

    /// What the request does, with origins and digests of the package files.
    pub fn simulate(&self, request: &Request) -> Result<Vec<PackageChange>, Fault> {
        self.need()?;
        self.config.write()?;
        if request.is_empty() {
            return Ok(Vec::new());
        }
        let exec =
            Exec::new("apt-get", ["-qq", "-s"].map(str::to_owned).into_iter().chain(arguments(request)));
        let text = self.text(exec.timeout(LOOK).output_bytes(LISTING_BYTES))?;
        let mut changes = parse::simulation(&text).map_err(Fault::Refused)?;
        let installed = self.packages()?;
        for change in changes.iter_mut().filter(|c| c.to.is_none()) {
            let found = installed.iter().find(|p| p.name == change.name);
            change.arch = found.map(|p| p.arch.clone()).unwrap_or_default();
        }
        self.add_hashes(&mut changes)?;
        Ok(changes)
    }

    fn add_hashes(&self, changes: &mut [PackageChange]) -> Result<(), Fault> {
        let wanted: Vec<String> =
            changes.iter().filter_map(|c| Some(format!("{}={}", c.name, c.to.as_ref()?))).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let exec = Exec::new("apt-cache", std::iter::once("show".to_owned()).chain(wanted));
        let text = self.text(exec.timeout(LOOK).output_bytes(LISTING_BYTES))?;
        let hashes = parse::hashes(&text).map_err(Fault::Refused)?;
        for change in changes.iter_mut() {
            let Some(to) = &change.to else { continue };
            let name = change.name.split(':').next().unwrap_or(&change.name);
            let key = (name.to_owned(), to.clone(), change.arch.clone());
            change.sha256 = hashes.get(&key).copied();
            if change.sha256.is_none() {
                let message =
                    format!("no source names a sha256 for {} {to}, so it cannot be pinned", change.name);
                return Err(Fault::Refused(message));
            }
        }
        Ok(())
    }

    /// Settle, simulate, compare, download, check the files, install. Nothing changes before all checks hold.
    pub fn transact(&self, request: &Request, expected: &[PackageChange]) -> Result<(), Fault> {
        self.need()?;
        let broken = self.settle()?;
        let ours: BTreeSet<&str> = expected.iter().map(|c| c.name.as_str()).collect();
        if let Some(other) = broken.iter().find(|name| !ours.contains(name.as_str())) {
            return Err(Fault::Refused(format!(
                "package {other} is half installed by an earlier run and not part of this plan; repair it first"
            )));
        }
        same_effect(&self.simulate(request)?, expected)?;
        let common: Vec<String> = arguments(request).collect();
        let download = ["-q", "-y", "--download-only"].map(str::to_owned).into_iter().chain(common.clone());
        self.exec(Exec::new("apt-get", download).timeout(TRANSACTION))?.success("apt-get --download-only")?;
        self.check_downloads(expected)?;
        let install = ["-q", "-y"].map(str::to_owned).into_iter().chain(common);
        self.exec(Exec::new("apt-get", install).timeout(TRANSACTION))?.success("apt-get install")?;
        if let Err(fault) = self.config.forget_downloads() {
            // The packages are installed; a full cache is for the next run to meet.
            tracing::warn!("{}", fault.text());
        }
        Ok(())
    }

    /// apt checks what it downloads, but takes a file that already lies in its cache by size alone.
    fn check_downloads(&self, expected: &[PackageChange]) -> Result<(), Fault> {
        for change in expected {
            let (Some(to), Some(sha256)) = (&change.to, change.sha256) else { continue };
            let name = change.name.split(':').next().unwrap_or(&change.name);
            let file = format!("{name}_{}_{}.deb", to.replace(':', "%3a"), change.arch);
            let path = self.config.archives().join(&file);
            let found = match hash(&path) {
                Ok(found) => found,
                // Files of a `file:` source are used in place and checked by apt itself each time.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(Fault::Io { doing: format!("read {}", path.display()), source: e }),
            };
            if found != sha256 {
                fs::remove_file(&path).map_err(Fault::io(format!("remove {}", path.display())))?;
                return Err(Fault::Digest {
                    what: format!("the package file {file}"),
                    expected: sha256,
                    found,
                });
            }
        }
        Ok(())
    }

    pub fn mark(&self, mark: Mark, names: &[&str]) -> Result<(), Fault> {
        self.config.write()?;
        let word = match mark {
            Mark::Hold => "hold",
            Mark::Unhold => "unhold",
            Mark::Auto => "auto",
        };
        self.wait_for_lock()?;
        let exec = Exec::new("apt-mark", std::iter::once(word).chain(names.iter().copied()));
        self.exec(exec.timeout(LOOK))?.success(&format!("apt-mark {word}"))?;
        Ok(())
    }

    /// Names of packages that are still half installed afterwards. `dpkg --configure -a` ends with 0 even
    /// then, and fails when a maintainer script does; what the database says is what counts.
    pub fn settle(&self) -> Result<Vec<String>, Fault> {
        if !self.is_there() {
            return Ok(Vec::new());
        }
        self.wait_for_lock()?;
        let unfinished = |p: &Installed| matches!(p.state, PackageState::Unconfigured | PackageState::Broken);
        if self.was_interrupted()? || self.packages()?.iter().any(unfinished) {
            self.config.write()?;
            let options = self.config.dpkg_options().into_iter();
            let arguments = options.chain(["--configure", "-a"].map(str::to_owned));
            let ran = self.exec(Exec::new("dpkg", arguments).timeout(TRANSACTION))?;
            if self.was_interrupted()? {
                ran.success("dpkg --configure -a")?;
            }
        }
        Ok(self.packages()?.into_iter().filter(unfinished).map(|p| p.name).collect())
    }

    /// dpkg journals into this directory and empties it at the end of a run.
    fn was_interrupted(&self) -> Result<bool, Fault> {
        let dir = self.config.dpkg_dir().join("updates");
        match fs::read_dir(&dir) {
            Ok(mut entries) => Ok(entries.next().is_some()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Fault::Io { doing: format!("read {}", dir.display()), source: e }),
        }
    }

    /// An apt that outlived a killed agent holds the lock; dpkg itself does not wait for it.
    fn wait_for_lock(&self) -> Result<(), Fault> {
        let started = Instant::now();
        loop {
            let Some(holder) = self.lock_holder()? else { return Ok(()) };
            if started.elapsed() > Duration::from_secs(LOCK_SECS) {
                let message =
                    format!("process {holder} has been using the package manager for {LOCK_SECS} s");
                return Err(Fault::Refused(message));
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn lock_holder(&self) -> Result<Option<i32>, Fault> {
        for name in ["lock-frontend", "lock"] {
            let path = self.config.dpkg_dir().join(name);
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(Fault::Io { doing: format!("open {}", path.display()), source: e }),
            };
            let held = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock))
                .map_err(|e| Fault::Io { doing: format!("look at {}", path.display()), source: e.into() })?;
            if let Some(holder) = held {
                return Ok(Some(holder.pid.map_or(0, |pid| pid.as_raw_nonzero().get())));
            }
        }
        Ok(None)
    }
}

/// The part of the command line that simulation and run have in common.
fn arguments(request: &Request) -> impl Iterator<Item = String> {
    let mut arguments: Vec<String> = ["install", "--no-install-recommends", "-o"].map(str::to_owned).into();
    arguments.push(format!("DPkg::Lock::Timeout={LOCK_SECS}"));
    let flags = [
        (request.downgrade, "--allow-downgrades"),
        (request.held, "--allow-change-held-packages"),
        (request.reinstall, "--reinstall"),
        (request.purge, "--purge"),
    ];
    arguments.extend(flags.iter().filter(|(on, _)| *on).map(|(_, flag)| (*flag).to_owned()));
    arguments.push("--".into());
    arguments.extend(request.install.iter().map(|(name, version)| format!("{name}={version}")));
    arguments.extend(request.remove.iter().map(|name| format!("{name}-")));
    arguments.into_iter()
}

/// Same packages, same ends, same files. Where they start from may differ, as after an interrupted run.
pub(super) fn same_effect(now: &[PackageChange], expected: &[PackageChange]) -> Result<(), Fault> {
    let effect = |changes: &[PackageChange]| -> BTreeSet<(String, Option<String>, Option<Digest>)> {
        changes.iter().map(|c| (c.name.clone(), c.to.clone(), c.sha256)).collect()
    };
    let (now, expected) = (effect(now), effect(expected));
    let Some((name, to, _)) = now.symmetric_difference(&expected).next() else { return Ok(()) };
    let end = to.as_ref().map_or("removed".to_owned(), |v| format!("version {v}"));
    let how = if now.contains(&(name.clone(), to.clone(), None)) || !expected.iter().any(|e| &e.0 == name) {
        "would now also be changed to"
    } else {
        "was approved to become"
    };
    Err(Fault::Refused(format!(
        "plan.drift: package {name} {how} {end}; the packages differ from the approved set, plan again"
    )))
}

fn hash(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::default();
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&piece[..n]),
        }
    }
}
