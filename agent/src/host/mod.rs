//! The only door to the machine: files, processes, packages, services.
//!
//! Owns: every read and change of the host that the agent manages. `machine` is the real one, `fake` one in
//! memory that fails on demand. Never: what should be changed (`plan`), or whether it may (`shared::admit`).

pub mod accounts;
pub(crate) mod acl;
mod ahead;
pub mod apt;
pub(crate) mod dnf;
pub mod fake;
mod files;
mod firewall;
pub(crate) mod kernel;
mod lock;
pub mod machine;
pub(crate) mod outdated;
pub mod packages;
mod path;
pub mod process;
pub mod record;
mod room;
pub(crate) mod rpm;
mod settings;
mod store;
pub(crate) mod survey;
pub(crate) mod systemd;
mod verify;
pub mod watch;
pub(crate) mod zypper;

pub use accounts::{AccountLock, Accounts};
pub use acl::{Acl, AclEntry, Acls};
pub use files::several_names;
pub use kernel::{Module, Mounted};
pub use machine::Machine;
pub use outdated::Outdated;
pub use packages::{
    Cause, Conffile, Installed, Mark, Offer, OnOffer, PackageChange, PackageEvent, PackageManager,
    PackageState, Place, Request, Sum, Terms,
};
pub use process::{Exec, Ran};
pub use survey::{FileSystem, Survey};
pub use systemd::{Unit, UnitVerb};

use crate::courier::{Look, Seen};
use crate::slots::Own;
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::manifest::Checker;
use shared::time::Timestamp;
use std::io::{self, Read};
use std::time::Duration;

/// Why the machine did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// `doing` is the attempt as a phrase, such as `write /etc/motd`.
    #[error("cannot {doing}")]
    Io { doing: String, source: io::Error },
    /// A program ended badly; `output` is the end of what it printed.
    #[error("{program} {how}: {output}")]
    Program { program: String, how: String, output: String },
    /// The state of the machine forbids it; a whole sentence.
    #[error("{0}")]
    Refused(String),
    /// A disk has less room than is needed; a whole sentence.
    #[error("{0}")]
    Room(String),
    /// Bytes that are not the ones that were promised.
    #[error("{what} has sha256 {found}, expected {expected}")]
    Digest { what: String, expected: Digest, found: Digest },
}

impl Fault {
    /// One line with all causes, for receipts and logs.
    pub fn text(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// Numeric owner, group and permission bits (0 to 0o7777).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attrs {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
}

/// What is at a path; the last component is never followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Absent,
    File {
        attrs: Attrs,
        length: u64,
    },
    Directory {
        attrs: Attrs,
    },
    Link {
        target: String,
    },
    /// Device, socket or pipe.
    Other,
}

/// An entry with the digest and ACL of a regular file, and its bytes when it has at most as many as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    pub entry: Entry,
    pub digest: Option<Digest>,
    pub content: Option<Vec<u8>>,
    /// Where it says more than the mode.
    pub acls: Option<Acls<u32>>,
}

impl Scan {
    /// What is no regular file.
    fn bare(entry: Entry) -> Self {
        Self { entry, digest: None, content: None, acls: None }
    }
}

/// What tells without reading a file whether it was touched since: stat(2) without the time of the last access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub device: u64,
    pub inode: u64,
    pub length: u64,
    pub attrs: Attrs,
    /// Seconds and nanoseconds of the last change of the content.
    pub modified: (i64, u64),
    /// The same of anything about the file; only the kernel sets it.
    pub changed: (i64, u64),
}

/// Name and release of the running kernel, name of the machine (uname(2)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uname {
    pub release: String,
    /// Build of the kernel, such as `#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1`.
    pub version: String,
    pub machine: String,
    pub nodename: String,
}

/// One machine. Paths are absolute and as the host itself names them; a root prefix is the machine's matter.
pub trait Host {
    fn look(&self, path: &str) -> Result<Entry, Fault>;
    /// The stamp of what is at `path`; `None` when nothing is there.
    fn stamp(&self, path: &str) -> Result<Option<Stamp>, Fault>;
    /// Where `path` really is once all links are followed; `None` when nothing is there.
    fn real(&self, path: &str) -> Result<Option<String>, Fault>;
    /// The ACLs of a file or directory; `None` when there is neither, or its file system knows none.
    fn acls(&self, path: &str) -> Result<Option<Acls<u32>>, Fault>;
    fn set_acls(&mut self, path: &str, acls: &Acls<u32>) -> Result<(), Fault>;
    /// How many names (hard links) the file at `path` has; 0 when nothing is there.
    fn names(&self, path: &str) -> Result<u64, Fault>;
    /// Looks and reads in one go; at most `keep` bytes of content come back.
    fn scan(&self, path: &str, keep: u64) -> Result<Scan, Fault>;
    /// Hashes files that are about to be scanned, several at a time; each of them is read once only.
    fn hash_ahead(&self, _paths: &[String]) {}
    /// All bytes of a regular file of at most `limit` bytes.
    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Fault>;
    /// Puts a regular file in one step and durably; refuses content whose digest is not `digest`.
    fn put(&mut self, path: &str, content: &mut dyn Read, digest: Digest, attrs: Attrs) -> Result<(), Fault> {
        self.stage(path, content, digest, attrs)?;
        self.sync_staged()?;
        self.commit(path)?;
        self.sync_committed()
    }
    /// Writes a file beside `path` that [`Host::commit`] puts there, with the ACL of the file in that place. Many files share the syncs: a disk needs
    /// about as long for one as for a hundred.
    fn stage(
        &mut self,
        path: &str,
        content: &mut dyn Read,
        digest: Digest,
        attrs: Attrs,
    ) -> Result<(), Fault>;
    /// Makes all staged files durable; to be called before the first [`Host::commit`]. On an error nothing is staged
    /// any more: what may not be on the disk must not get a name.
    fn sync_staged(&mut self) -> Result<(), Fault>;
    /// Gives a staged file its name, in one step.
    fn commit(&mut self, path: &str) -> Result<(), Fault>;
    /// Makes all names given since the last call durable.
    fn sync_committed(&mut self) -> Result<(), Fault>;
    /// Removes what a `stage` without `commit` left beside `path`.
    fn sweep(&mut self, path: &str) -> Result<(), Fault>;
    /// Puts a symbolic link in one step.
    fn put_link(&mut self, path: &str, target: &str) -> Result<(), Fault>;
    fn set_attrs(&mut self, path: &str, attrs: Attrs) -> Result<(), Fault>;
    /// Removes a file or symbolic link.
    fn remove(&mut self, path: &str) -> Result<(), Fault>;
    fn make_dir(&mut self, path: &str, attrs: Attrs) -> Result<(), Fault>;
    /// Removes an empty directory.
    fn remove_dir(&mut self, path: &str) -> Result<(), Fault>;
    /// Names in a directory, sorted; empty when it does not exist.
    fn list(&self, path: &str) -> Result<Vec<String>, Fault>;
    fn accounts(&self) -> Result<Accounts, Fault>;
    /// Owner and group of new files when nothing else is wanted: root, or the agent's own account.
    fn default_owner(&self) -> (u32, u32);

    /// Runs the checker on what is staged for `path`. A bad exit code is an answer, not a fault.
    fn check(&mut self, path: &str, checker: &Checker) -> Result<Ran, Fault>;
    /// Lets systemd judge what is staged for `path` as a part of the unit, where the host has systemd-analyze(1).
    ///
    /// # Errors
    /// [`Fault::Refused`] with what it found.
    fn check_unit(&mut self, path: &str, unit: &str) -> Result<(), Fault>;
    /// Whether a program of this absolute path could be run.
    fn has_program(&self, path: &str) -> Result<bool, Fault>;

    /// Whether the running kernel is the managed machine's; it is not below a private root.
    fn has_kernel(&self) -> bool;
    /// The value of a kernel parameter by its path below `/proc/sys`, without white space around it.
    fn kernel(&self, path: &str) -> Result<Option<String>, Fault>;
    fn set_kernel(&mut self, path: &str, value: &str) -> Result<(), Fault>;
    /// Keeps other tools from the account files as long as the answer lives (lckpwdf(3)).
    fn lock_accounts(&mut self) -> Result<AccountLock, Fault>;

    /// What is mounted at the path, the topmost if several are; as the kernel shows it.
    fn mounted(&self, path: &str) -> Result<Option<Mounted>, Fault>;
    /// Mounts; `again` changes the options of what is mounted there.
    fn mount(&mut self, path: &str, what: &Mounted, again: bool) -> Result<(), Fault>;
    fn unmount(&mut self, path: &str) -> Result<(), Fault>;
    /// Whether the running kernel has the module; `_` stands for `-` in its name.
    fn module(&self, name: &str) -> Result<Module, Fault>;
    /// Loads or unloads a module.
    fn set_module(&mut self, name: &str, loaded: bool) -> Result<(), Fault>;

    /// All rules of nftables in the running kernel, without counters.
    fn rules(&self) -> Result<String, Fault>;
    /// Loads a file of rules, in one step.
    fn load_rules(&mut self, path: &str) -> Result<(), Fault>;
    /// Loads the file after so many seconds, whatever becomes of the agent until then.
    fn arm_restore(&mut self, path: &str, after_s: u32) -> Result<(), Fault>;
    /// Calls off what [`Host::arm_restore`] has armed.
    fn disarm_restore(&mut self) -> Result<(), Fault>;

    /// Makes the store of trusted authorities anew from its files (update-ca-certificates(8)).
    fn refresh_trust(&mut self) -> Result<(), Fault>;

    /// The path as programs outside of a private root see it.
    fn outside(&self, path: &str) -> String {
        path.to_owned()
    }

    /// Runs a program to its end. A bad exit code is an answer, not a fault.
    fn run(&mut self, exec: &Exec) -> Result<Ran, Fault>;

    /// Looks once from outside, through a process of its own that talks to the network.
    ///
    /// # Errors
    /// One line for people.
    fn probe(&self, look: &Look, timeout: Duration) -> Result<Seen, String>;

    /// The package manager of the machine. Looking and solving change nothing there.
    fn packager(&self) -> &dyn PackageManager;
    /// What the package manager knows, sorted by name.
    fn packages(&self) -> Result<Vec<Installed>, Fault> {
        self.packager().packages()
    }
    /// Whether the installed package brings the file at `path` (as [`Host::real`] names it).
    fn ships(&self, package: &str, path: &str) -> Result<bool, Fault> {
        self.packager().ships(package, path)
    }
    /// Waits for other users of the package manager and finishes what an interrupted run of the agent left.
    fn settle_packages(&mut self) -> Result<(), Fault> {
        self.packager().settle()
    }

    /// Whether there is a systemd of this machine.
    fn has_services(&self) -> bool;
    /// Refuses where there is no systemd of this machine.
    fn unit(&self, unit: &str) -> Result<Unit, Fault>;
    fn set_unit(&mut self, verb: UnitVerb, unit: &str) -> Result<(), Fault>;
    /// Names the present run of a unit: another one each time it is started, empty when it never was.
    fn invocation(&self, unit: &str) -> Result<String, Fault>;
    /// Makes systemd read changed unit files.
    fn reload_units(&mut self) -> Result<(), Fault>;
    /// All service units that systemd knows; empty without systemd.
    fn units(&self) -> Result<Vec<(String, Unit)>, Fault>;

    /// What kernel and firmware say about the machine; none below a private root, whose they are not.
    fn survey(&self) -> Option<Survey>;
    /// What runs and uses files that were replaced since it started; nothing below a private root.
    fn outdated(&self) -> Result<Vec<Outdated>, Fault>;
    /// Asks for a reboot and does not wait for it; the agent is stopped in its course.
    fn reboot(&mut self) -> Result<(), Fault>;

    /// The program of the agent that does this work.
    fn own(&self) -> Own;
    fn uname(&self) -> Uname;
    /// Package manager's name of the machine type.
    fn architecture(&self) -> Result<String, Fault>;
    fn boot_id(&self) -> Result<String, Fault>;
    /// When the machine was started, by its own clock.
    fn booted(&self) -> Result<Timestamp, Fault>;
    /// IPv4 and IPv6 addresses without loopback and link-local ones, sorted.
    fn addresses(&self) -> Result<Vec<String>, Fault>;
}
