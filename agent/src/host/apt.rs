//! Packages on Debian and its relatives, through dpkg and apt-get.
//!
//! Plans are solved against the host's sources; what is approved is then carried out without any source, from
//! files that lie in the agent's own directory and were checked by digest. Never: `apt-get -f install`, which
//! repairs with versions that nobody approved, and never a prompt.

mod config;
mod files;
pub(crate) mod history;
mod lists;
mod lock;
mod origins;
pub(crate) mod parse;
mod room;
mod solve;
pub(crate) mod status;
mod store;
mod transact;

use super::Fault;
use super::packages::{
    Conffile, Installed, Mark, Offer, PackageChange, PackageEvent, PackageManager, Place, Request, Terms,
};
use super::process::{Exec, Ran, run};
use super::store::Store;
use config::Config;
use shared::version::Order;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A full upgrade over a slow line.
const TRANSACTION: Duration = Duration::from_secs(4 * 3_600);
const LOOK: Duration = Duration::from_secs(300);
/// How long other users of the package manager are waited for (unattended upgrades take minutes).
pub const LOCK_WAIT: Duration = Duration::from_secs(600);
/// Listings of hosts with many packages and sources.
const LISTING_BYTES: usize = 64 << 20;
/// The database is read in pieces of this size until what is looked for is found.
const BLOCK: usize = 32 << 10;
/// Names in one command line; these stay far below the kernel's limit on arguments.
const NAMES: usize = 2_000;

/// The package manager of one root.
#[derive(Debug)]
pub struct Apt {
    config: Config,
    store: Store,
    native: OnceCell<String>,
    known: RefCell<Option<origins::Known>>,
    lock_wait: Duration,
}

impl Apt {
    /// `dir` is the agent's own directory for lists, package files and settings; it is made when needed.
    pub fn new(root: &Path, whole: bool, dir: PathBuf, lock_wait: Duration) -> Self {
        let store = Store::new(dir.join("store"), "deb");
        Self {
            config: Config::new(root, whole, dir),
            store,
            native: OnceCell::new(),
            known: RefCell::default(),
            lock_wait,
        }
    }

    /// Prepares the agent's own directory; refuses where there is nothing to manage.
    fn need(&self) -> Result<(), Fault> {
        if self.is_there() {
            return self.config.write();
        }
        Err(Fault::Refused(
            "this host has no package database that the agent knows (dpkg, or rpm with dnf 4 or zypper)"
                .into(),
        ))
    }

    fn exec(&self, exec: Exec) -> Result<Ran, Fault> {
        let program = exec.program.clone();
        let ran = run(&self.config.environment(exec))?;
        if ran.cut {
            return Err(Fault::Refused(format!("{program} printed more than {LISTING_BYTES} bytes")));
        }
        Ok(ran)
    }

    /// All that a program printed; it has to end well.
    fn text(&self, exec: Exec) -> Result<String, Fault> {
        let name = format!("{} {}", exec.program, exec.arguments.first().map_or("", String::as_str));
        let exec = exec.timeout(LOOK).output_bytes(LISTING_BYTES);
        let ran = self.exec(exec)?.success(name.trim_end())?;
        String::from_utf8(ran.stdout)
            .map_err(|_| Fault::Refused(format!("{name} printed bytes that are not text")))
    }

    fn query(&self, format: &str, names: &[&str]) -> Result<String, Fault> {
        let admin = format!("--admindir={}", self.config.dpkg_dir().display());
        let arguments = [admin, "--show".into(), format!("--showformat={format}")];
        let names = names.iter().map(|name| (*name).to_owned());
        self.text(Exec::new("dpkg-query", arguments.into_iter().chain(names)))
    }

    fn unfinished(&self) -> Result<Vec<Installed>, Fault> {
        let mut all = self.packages()?;
        all.retain(|package| package.state.is_unfinished());
        Ok(all)
    }
}

impl PackageManager for Apt {
    fn is_there(&self) -> bool {
        self.config.dpkg_dir().join("status").is_file()
    }

    fn order(&self) -> Order {
        Order::Deb
    }

    fn architecture(&self) -> Result<String, Fault> {
        if let Some(native) = self.native.get() {
            return Ok(native.clone());
        }
        let database = File::open(self.config.dpkg_dir().join("status")).ok();
        let native = match database.and_then(|file| status::native(BufReader::with_capacity(BLOCK, file))) {
            Some(native) => native,
            None => self.text(Exec::new("dpkg", ["--print-architecture"]))?.trim().to_owned(),
        };
        Ok(self.native.get_or_init(|| native).clone())
    }

    fn packages(&self) -> Result<Vec<Installed>, Fault> {
        if !self.is_there() {
            return Ok(Vec::new());
        }
        let text = self.query(parse::QUERY, &[])?;
        parse::installed(&text, &self.architecture()?).map_err(Fault::Refused)
    }

    fn origins(&self) -> Result<Option<BTreeMap<String, String>>, Fault> {
        if self.is_there() { origins::origins(self) } else { Ok(None) }
    }

    fn ships(&self, package: &str, path: &str) -> Result<bool, Fault> {
        files::ships(self, package, path)
    }

    fn refresh(&self) -> Result<(), Fault> {
        self.need()?;
        lists::refresh(self)
    }

    fn offers(&self, names: &[&str]) -> Result<Vec<Offer>, Fault> {
        self.need()?;
        let policy = |names: &[&str]| self.text(Exec::new("apt-cache", [&["policy"], names].concat()));
        let sources = parse::sources(&policy(&[])?);
        let mut offers = Vec::new();
        for names in names.chunks(NAMES) {
            offers.extend(parse::offers(&policy(names)?, &sources));
        }
        Ok(offers)
    }

    fn simulate(&self, request: &Request) -> Result<Vec<PackageChange>, Fault> {
        self.need()?;
        solve::simulate(self, request)
    }

    fn irreversible(&self, changes: &[PackageChange]) -> Result<Option<String>, Fault> {
        self.need()?;
        solve::irreversible(self, changes)
    }

    fn repairs(&self) -> Result<Vec<PackageChange>, Fault> {
        solve::repairs(self)
    }

    fn conffiles(&self, names: &[&str]) -> Result<Vec<Conffile>, Fault> {
        let mut all = Vec::new();
        for names in names.chunks(NAMES) {
            all.extend(parse::conffiles(&self.query(parse::CONFFILES, names)?));
        }
        Ok(all)
    }

    fn room(&self, changes: &[PackageChange]) -> Result<(), Fault> {
        self.need()?;
        room::room(self, changes)
    }

    fn fetch(&self, changes: &[PackageChange]) -> Result<(), Fault> {
        self.need()?;
        store::fetch(self, changes)
    }

    fn has_files(&self, changes: &[PackageChange]) -> Result<bool, Fault> {
        Ok(self.store.missing(changes)?.is_empty())
    }

    fn locate(&self, wanted: &[(String, String)]) -> Result<Vec<PackageChange>, Fault> {
        self.need()?;
        solve::locate(self, wanted)
    }

    fn kept(&self, name: &str, version: &str) -> Result<Option<PackageChange>, Fault> {
        self.need()?;
        self.store.find(name, version)
    }

    fn forget(&self, changes: &[PackageChange]) -> Result<(), Fault> {
        self.store.forget(changes)
    }

    fn rehearse(&self, changes: &[PackageChange]) -> Result<Vec<PackageChange>, Fault> {
        self.need()?;
        solve::rehearse(self, changes)
    }

    fn transact(&self, changes: &[PackageChange], terms: Terms) -> Result<(), Fault> {
        self.need()?;
        transact::transact(self, changes, terms)
    }

    fn repair(&self, changes: &[PackageChange]) -> Result<(), Fault> {
        self.need()?;
        transact::repair(self, changes)
    }

    fn mark(&self, mark: Mark, names: &[&str]) -> Result<(), Fault> {
        self.need()?;
        let word = match mark {
            Mark::Hold => "hold",
            Mark::Unhold => "unhold",
            Mark::Auto => "auto",
        };
        lock::wait(self)?;
        let exec = Exec::new("apt-mark", [&[word], names].concat());
        self.exec(exec.timeout(LOOK))?.success(&format!("apt-mark {word}"))?;
        Ok(())
    }

    fn history(&self, since: Option<&Place>) -> Result<Option<(Vec<PackageEvent>, Place)>, Fault> {
        if !self.is_there() {
            return Ok(Some((Vec::new(), since.cloned().unwrap_or_default())));
        }
        history::read(&self.config.root().join("var/log"), &self.architecture()?, since).map(Some)
    }

    fn settle(&self) -> Result<(), Fault> {
        if !self.is_there() {
            return Ok(());
        }
        self.need()?;
        lock::wait(self)?;
        transact::configure(self)
    }
}
