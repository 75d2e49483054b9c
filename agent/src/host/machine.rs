//! The real machine, or the part of it below a root directory.
//!
//! With another root than `/` there is no systemd, and programs still run outside of it: a private root is a
//! device for tests and demonstrations, not a sandbox.

use super::ahead::Ahead;
use super::apt::LOCK_WAIT;
use super::files::Staged;
use super::kernel::{self, Module, Mounted};
use super::outdated::{self, Outdated};
use super::packages::PackageManager;
use super::path::Root;
use super::process::{self, Exec, Ran};
use super::rpm::detect;
use super::survey::{self, Owners, Survey};
use super::systemd::{self, Unit, UnitVerb};
use super::{AccountLock, Accounts, Acls, Attrs, Entry, Fault, Host, Scan, Stamp, Uname};
use super::{acl, files, firewall, verify};
use crate::courier::{AUTHORITIES_BYTES, Look, Prober, Seen};
use crate::program;
use crate::slots::{self, Own, Place};
use rustix::fs::AtFlags;
use shared::digest::Digest;
use shared::manifest::Checker;
use shared::pem::BUNDLES;
use shared::time::Timestamp;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What judges a file only has to read it.
const CHECK: Duration = Duration::from_secs(60);
/// Its hooks may convert the whole store for other programs.
const TRUST: Duration = Duration::from_secs(300);
/// Where update-ca-certificates(8) reads and writes, by its options.
const TRUST_PLACES: [(&str, &str); 5] = [
    ("--certsconf", "/etc/ca-certificates.conf"),
    ("--certsdir", "/usr/share/ca-certificates"),
    ("--localcertsdir", "/usr/local/share/ca-certificates"),
    ("--etccertsdir", "/etc/ssl/certs"),
    ("--hooksdir", "/etc/ca-certificates/update.d"),
];
/// Unit files are far shorter.
const UNIT_BYTES: u64 = 4 << 20;
/// passwd(5) and group(5) of hosts with many local accounts.
const ACCOUNT_BYTES: u64 = 16 << 20;

#[derive(Debug)]
pub struct Machine {
    root: Root,
    packager: Box<dyn PackageManager>,
    /// The way to the network, for health checks.
    prober: Option<Prober>,
    /// The agent's own directory.
    state: PathBuf,
    /// Where files lie while they are judged.
    scratch: PathBuf,
    /// The account of this process, to which belongs what nobody said otherwise of.
    owner: (u32, u32),
    own: Own,
    staged: BTreeMap<String, Staged>,
    /// Directories with names that are not durable yet, by path.
    renamed: BTreeMap<String, OwnedFd>,
    owners: RefCell<Owners>,
    ahead: Ahead,
}

impl Machine {
    /// Opens the machine below `root`; `state` is the agent's own directory (lists and downloads of packages
    /// go below it).
    ///
    /// # Errors
    /// The root does not exist or is no directory.
    pub fn open(root: &Path, state: &Path) -> Result<Self, Fault> {
        let opened = Root::open(root).map_err(Fault::io(format!("open the root {}", root.display())))?;
        let state = std::path::absolute(state).map_err(Fault::io("find the state directory"))?;
        let packager = detect::manager(opened.dir(), opened.is_whole(), &state, LOCK_WAIT);
        let scratch = state.join("verify");
        let (staged, renamed) = (BTreeMap::new(), BTreeMap::new());
        let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let own = own(&opened);
        let (owners, ahead, prober) = (RefCell::default(), Ahead::default(), None);
        Ok(Self {
            root: opened,
            packager,
            prober,
            state,
            scratch,
            owner,
            own,
            staged,
            renamed,
            owners,
            ahead,
        })
    }

    /// How long other users of the package manager are waited for.
    #[must_use]
    pub fn waiting_for_packages(mut self, limit: Duration) -> Self {
        self.packager = detect::manager(self.root.dir(), self.root.is_whole(), &self.state, limit);
        self
    }

    /// Whose network process looks at what health checks name; without one such checks fail.
    #[must_use]
    pub fn looking_through(mut self, prober: Prober) -> Self {
        self.prober = Some(prober);
        self
    }

    fn services(&self) -> Result<(), Fault> {
        if !self.root.is_whole() {
            return Err(Fault::Refused("services are not available below a private root".into()));
        }
        if !systemd::is_running() {
            return Err(Fault::Refused(
                "services are not available: systemd does not run on this host".into(),
            ));
        }
        Ok(())
    }
}

impl Host for Machine {
    fn look(&self, path: &str) -> Result<Entry, Fault> {
        files::look(&self.root, path)
    }

    fn stamp(&self, path: &str) -> Result<Option<Stamp>, Fault> {
        files::stamp(&self.root, path)
    }

    fn real(&self, path: &str) -> Result<Option<String>, Fault> {
        self.root.real(path)
    }

    fn acls(&self, path: &str) -> Result<Option<Acls<u32>>, Fault> {
        acl::read(&self.root, path)
    }

    fn set_acls(&mut self, path: &str, acls: &Acls<u32>) -> Result<(), Fault> {
        acl::write(&self.root, path, acls)
    }

    fn names(&self, path: &str) -> Result<u64, Fault> {
        files::names(&self.root, path)
    }

    fn scan(&self, path: &str, keep: u64) -> Result<Scan, Fault> {
        files::scan(&self.root, path, keep, |stamp| self.ahead.take(path, stamp))
    }

    fn hash_ahead(&self, paths: &[String]) {
        self.ahead.read(&self.root, paths);
    }

    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Fault> {
        files::read(&self.root, path, limit)
    }

    fn stage(
        &mut self,
        path: &str,
        content: &mut dyn Read,
        digest: Digest,
        attrs: Attrs,
    ) -> Result<(), Fault> {
        let staged = files::stage(&self.root, path, content, digest, attrs)?;
        self.staged.insert(path.to_owned(), staged);
        Ok(())
    }

    fn sync_staged(&mut self) -> Result<(), Fault> {
        let synced = self.staged.iter().try_for_each(|(path, staged)| staged.sync(path));
        if synced.is_err() {
            for path in std::mem::take(&mut self.staged).into_keys() {
                // The first error counts; what stays is overwritten by the next try.
                drop(files::sweep(&self.root, &path));
            }
        }
        synced
    }

    fn commit(&mut self, path: &str) -> Result<(), Fault> {
        let none = || Fault::Refused(format!("nothing is staged for {path}"));
        let dir = self.staged.remove(path).ok_or_else(none)?.commit(path)?;
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        self.renamed.insert(parent.to_owned(), dir);
        Ok(())
    }

    fn sync_committed(&mut self) -> Result<(), Fault> {
        let sync = |(path, dir): (&String, &OwnedFd)| {
            files::sync_dir(dir).map_err(Fault::io(format!("make the files in {path} durable")))
        };
        let synced = self.renamed.iter().try_for_each(sync);
        self.renamed.clear();
        synced
    }

    fn sweep(&mut self, path: &str) -> Result<(), Fault> {
        self.staged.remove(path);
        files::sweep(&self.root, path)
    }

    fn put_link(&mut self, path: &str, target: &str) -> Result<(), Fault> {
        files::put_link(&self.root, path, target)
    }

    fn set_attrs(&mut self, path: &str, attrs: Attrs) -> Result<(), Fault> {
        files::set_attrs(&self.root, path, attrs)
    }

    fn remove(&mut self, path: &str) -> Result<(), Fault> {
        files::remove(&self.root, path, AtFlags::empty())
    }

    fn make_dir(&mut self, path: &str, attrs: Attrs) -> Result<(), Fault> {
        files::make_dir(&self.root, path, attrs)
    }

    fn remove_dir(&mut self, path: &str) -> Result<(), Fault> {
        files::remove(&self.root, path, AtFlags::REMOVEDIR)
    }

    fn list(&self, path: &str) -> Result<Vec<String>, Fault> {
        files::list(&self.root, path)
    }

    fn accounts(&self) -> Result<Accounts, Fault> {
        let passwd = self.read("/etc/passwd", ACCOUNT_BYTES)?.unwrap_or_default();
        let group = self.read("/etc/group", ACCOUNT_BYTES)?.unwrap_or_default();
        Ok(Accounts::parse(&passwd, &group))
    }

    fn default_owner(&self) -> (u32, u32) {
        self.owner
    }

    fn check(&mut self, path: &str, checker: &Checker) -> Result<Ran, Fault> {
        let staged = self.root.outside(&files::staged_at(path));
        let (program, arguments) = checker.for_file(&staged.display().to_string());
        self.run(&Exec::new(program, arguments).timeout(CHECK))
    }

    fn check_unit(&mut self, path: &str, unit: &str) -> Result<(), Fault> {
        let text = self.read(&files::staged_at(path), UNIT_BYTES)?.unwrap_or_default();
        let others = if self.root.is_whole() { None } else { Some(self.root.dir()) };
        verify::unit(&self.scratch, (path, &text), unit, others)
    }

    fn has_program(&self, path: &str) -> Result<bool, Fault> {
        let here = !matches!(self.look(path)?, Entry::Absent | Entry::Directory { .. });
        // As for running: below a private root the machine's own programs stand in.
        Ok(here || (!self.root.is_whole() && Path::new(path).is_file()))
    }

    fn has_kernel(&self) -> bool {
        self.root.is_whole()
    }

    fn kernel(&self, path: &str) -> Result<Option<String>, Fault> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Fault::io(format!("read {path}"))(e)),
        }
    }

    fn set_kernel(&mut self, path: &str, value: &str) -> Result<(), Fault> {
        if !self.has_kernel() {
            return Err(Fault::Refused("kernel parameters are not available below a private root".into()));
        }
        fs::write(path, format!("{value}\n")).map_err(Fault::io(format!("write {path}")))
    }

    /// A private root has no other users of its account files.
    fn lock_accounts(&mut self) -> Result<AccountLock, Fault> {
        if self.root.is_whole() { files::lock_accounts(&self.root) } else { Ok(AccountLock::default()) }
    }

    fn mounted(&self, path: &str) -> Result<Option<Mounted>, Fault> {
        if self.has_kernel() { kernel::mounted(path) } else { Err(no_kernel()) }
    }

    fn mount(&mut self, path: &str, what: &Mounted, again: bool) -> Result<(), Fault> {
        if self.has_kernel() { kernel::mount(path, what, again) } else { Err(no_kernel()) }
    }

    fn unmount(&mut self, path: &str) -> Result<(), Fault> {
        if self.has_kernel() { kernel::unmount(path) } else { Err(no_kernel()) }
    }

    fn module(&self, name: &str) -> Result<Module, Fault> {
        if self.has_kernel() { kernel::module(name) } else { Err(no_kernel()) }
    }

    fn set_module(&mut self, name: &str, loaded: bool) -> Result<(), Fault> {
        if self.has_kernel() { kernel::set_module(name, loaded) } else { Err(no_kernel()) }
    }

    fn rules(&self) -> Result<String, Fault> {
        if self.has_kernel() { firewall::rules() } else { Err(no_kernel()) }
    }

    fn load_rules(&mut self, path: &str) -> Result<(), Fault> {
        if self.has_kernel() { firewall::load(path) } else { Err(no_kernel()) }
    }

    fn arm_restore(&mut self, path: &str, after_s: u32) -> Result<(), Fault> {
        if self.has_kernel() { firewall::arm(path, after_s, systemd::is_running()) } else { Err(no_kernel()) }
    }

    fn disarm_restore(&mut self) -> Result<(), Fault> {
        firewall::disarm(systemd::is_running())
    }

    fn refresh_trust(&mut self) -> Result<(), Fault> {
        // What a run left that was killed would be appended to.
        self.remove("/etc/ssl/certs/ca-certificates.crt.new")?;
        let mut exec = Exec::new("update-ca-certificates", [""; 0]).env("LC_ALL", "C").timeout(TRUST);
        if !self.root.is_whole() {
            for (option, path) in TRUST_PLACES {
                exec.arguments.extend([option.to_owned(), self.root.outside(path).display().to_string()]);
            }
        }
        process::run(&exec)?.success("update-ca-certificates").map(drop)
    }

    /// Below a private root a program of that root goes before one of the machine.
    fn run(&mut self, exec: &Exec) -> Result<Ran, Fault> {
        let mut exec = exec.clone();
        if !self.root.is_whole() {
            let own = self.root.outside(&exec.program);
            if exec.program.starts_with('/') && matches!(self.look(&exec.program)?, Entry::File { .. }) {
                exec.program = own.display().to_string();
            }
            exec.env.push(("ASSENT_ROOT".into(), self.root.dir().display().to_string()));
        }
        exec.cwd.get_or_insert_with(|| self.root.dir().to_owned());
        process::run(&exec)
    }

    fn outside(&self, path: &str) -> String {
        match self.root.is_whole() {
            true => path.to_owned(),
            false => self.root.outside(path).display().to_string(),
        }
    }

    fn probe(&self, look: &Look, timeout: Duration) -> Result<Seen, String> {
        let prober = self.prober.as_ref().ok_or("there is no network process to look through")?;
        let mut authorities = Vec::new();
        if look.is_secure() {
            let bundles = BUNDLES.iter().map(|path| self.read(path, AUTHORITIES_BYTES));
            let found = bundles.collect::<Result<Vec<_>, _>>().map_err(|fault| fault.text())?;
            authorities = found.into_iter().flatten().next().unwrap_or_default();
        }
        prober.look(look, &authorities, timeout)
    }

    fn packager(&self) -> &dyn PackageManager {
        self.packager.as_ref()
    }

    fn has_services(&self) -> bool {
        self.services().is_ok()
    }

    fn unit(&self, unit: &str) -> Result<Unit, Fault> {
        self.services()?;
        systemd::show(unit)
    }

    fn set_unit(&mut self, verb: UnitVerb, unit: &str) -> Result<(), Fault> {
        self.services()?;
        systemd::set(verb, unit)
    }

    fn invocation(&self, unit: &str) -> Result<String, Fault> {
        self.services()?;
        systemd::invocation(unit)
    }

    fn reload_units(&mut self) -> Result<(), Fault> {
        if self.services().is_err() {
            return Ok(());
        }
        systemd::reload()
    }

    fn units(&self) -> Result<Vec<(String, Unit)>, Fault> {
        if self.services().is_err() {
            return Ok(Vec::new());
        }
        systemd::list()
    }

    fn survey(&self) -> Option<Survey> {
        self.has_kernel().then(|| survey::take(&mut self.owners.borrow_mut()))
    }

    fn outdated(&self) -> Result<Vec<Outdated>, Fault> {
        if self.root.is_whole() { outdated::scan() } else { Ok(Vec::new()) }
    }

    fn reboot(&mut self) -> Result<(), Fault> {
        self.services()?;
        systemd::reboot()
    }

    fn own(&self) -> Own {
        self.own.clone()
    }

    fn uname(&self) -> Uname {
        let uname = rustix::system::uname();
        let text = |c: &std::ffi::CStr| c.to_string_lossy().into_owned();
        Uname {
            release: text(uname.release()),
            version: text(uname.version()),
            machine: text(uname.machine()),
            nodename: text(uname.nodename()),
        }
    }

    fn architecture(&self) -> Result<String, Fault> {
        if self.packager.is_there() { self.packager.architecture() } else { Ok(self.uname().machine) }
    }

    fn boot_id(&self) -> Result<String, Fault> {
        let path = "/proc/sys/kernel/random/boot_id";
        Ok(fs::read_to_string(path).map_err(Fault::io(format!("read {path}")))?.trim().to_owned())
    }

    fn booted(&self) -> Result<Timestamp, Fault> {
        let path = "/proc/stat";
        let text = fs::read_to_string(path).map_err(Fault::io(format!("read {path}")))?;
        let at = text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
        at.map(Timestamp)
            .ok_or_else(|| Fault::Refused(format!("{path} does not say when the machine started")))
    }

    fn addresses(&self) -> Result<Vec<String>, Fault> {
        let read = |path: &str| match fs::read_to_string(path) {
            Ok(text) => Ok(text),
            // Kernels without IPv6 have no such file.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(e) => Err(Fault::Io { doing: format!("read {path}"), source: e }),
        };
        Ok(own_addresses(&read("/proc/net/fib_trie")?, &read("/proc/net/if_inet6")?))
    }
}

/// This program, and whether it lies in a slot of this root.
fn own(root: &Root) -> Own {
    let real = std::env::current_exe().and_then(fs::canonicalize).ok();
    let lies_in = |place: &Place| {
        let slot = place.path().and_then(|path| fs::canonicalize(root.outside(&path)).ok());
        slot.is_some() && slot == real
    };
    let place = [Place::A, Place::B].into_iter().find(lies_in).unwrap_or(Place::Packaged);
    let told = std::env::var(slots::PACKAGED).ok().and_then(|version| version.parse().ok());
    let packaged = told.filter(|_| place != Place::Packaged).unwrap_or_else(program::version);
    Own { place, version: program::version(), target: program::target(), packaged }
}

fn no_kernel() -> Fault {
    Fault::Refused("the running kernel is not the one of a private root".into())
}

/// Addresses of this machine in the kernel's tables: IPv4 leaves marked `host LOCAL`, IPv6 interface entries.
fn own_addresses(fib_trie: &str, if_inet6: &str) -> Vec<String> {
    let mut four = Vec::new();
    let mut leaf = None;
    for line in fib_trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line.ends_with("host LOCAL")
            && let Some(address) = leaf
            && !address.is_loopback()
            && !address.is_link_local()
        {
            four.push(address);
        }
    }
    let mut six: Vec<Ipv6Addr> = if_inet6
        .lines()
        .filter_map(|line| u128::from_str_radix(line.split_whitespace().next()?, 16).ok())
        .map(Ipv6Addr::from_bits)
        .filter(|a| !a.is_loopback() && !a.is_unicast_link_local())
        .collect();
    four.sort_unstable();
    four.dedup();
    six.sort_unstable();
    six.dedup();
    four.iter().map(ToString::to_string).chain(six.iter().map(ToString::to_string)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_machine_without_loopback_and_link_local() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.7\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 169.254.1.1\n        /32 host LOCAL\nLocal:\n     |-- 10.0.0.7\n        /32 host LOCAL\n";
        let six = "20010db8000000000000000000000001 02 40 00 80 eth0\nfe800000000000000000000000000001 02 40 20 80 eth0\n00000000000000000000000000000001 01 80 10 80 lo\n";
        assert_eq!(own_addresses(trie, six), ["10.0.0.7", "2001:db8::1"]);
    }
}
