//! A machine and a disk in memory that lose power, fill up or fail when they are told to.
//!
//! For tests of everything above the door. Never: a second opinion on what a resource means.

mod disk;
mod packages;

pub use disk::FakeDisk;
pub use packages::Deb;

use super::kernel::{Module, Mounted};
use super::packages::{Installed, PackageEvent, PackageManager};
use super::{
    AccountLock, Accounts, Acls, Attrs, Entry, Exec, Fault, Host, Outdated, Ran, Scan, Stamp, Survey, Uname,
    Unit, UnitVerb,
};
use crate::courier::{Look, Seen};
use crate::program;
use crate::slots::{Own, Place};
use shared::digest::Digest;
use shared::manifest::{AclTag, Checker, SourceFormat};
use shared::time::Timestamp;
use shared::version::Order;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::rc::Rc;
use std::time::Duration;

/// What becomes of the write during which the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It did not happen.
    Lost,
    /// It happened; nobody heard of it.
    Kept,
    /// It happened in part: half of a log record, the first package of several.
    Torn,
}

/// Counts the writes of a machine and its disk, and ends them at one of them.
#[derive(Clone, Debug, Default)]
pub struct Power(Rc<Switch>);

#[derive(Debug, Default)]
struct Switch {
    writes: Cell<u64>,
    cut: Cell<Option<(u64, Cut)>>,
    fail: Cell<Option<(u64, io::ErrorKind)>>,
    off: Cell<bool>,
}

/// What a write is to do now.
enum Turn {
    Do,
    Half,
    Skip,
}

impl Power {
    /// The power goes at write number `at`, counted from 0.
    pub fn cut(&self, at: u64, how: Cut) {
        self.0.cut.set(Some((at, how)));
    }

    /// Write number `at` answers with an error. A full disk takes half of a log record; what else an own file's write
    /// fails with comes after its effect, as at the sync of its directory; everything else has no effect.
    pub fn fail(&self, at: u64, kind: io::ErrorKind) {
        self.0.fail.set(Some((at, kind)));
    }

    /// Power is back, counting starts again, nothing is planned.
    pub fn restore(&self) {
        self.0.writes.set(0);
        self.0.cut.set(None);
        self.0.fail.set(None);
        self.0.off.set(false);
    }

    pub fn is_off(&self) -> bool {
        self.0.off.get()
    }

    pub fn writes(&self) -> u64 {
        self.0.writes.get()
    }

    fn off() -> io::Error {
        io::Error::other("the machine is off")
    }

    /// Carries out one write, as much of it as the power allows.
    fn write<T>(&self, act: impl FnOnce(bool) -> T) -> io::Result<T> {
        match self.turn()? {
            Turn::Do => Ok(act(true)),
            Turn::Half => {
                act(false);
                Err(Self::off())
            }
            Turn::Skip => Err(Self::off()),
        }
    }

    fn turn(&self) -> io::Result<Turn> {
        if self.is_off() {
            return Err(Self::off());
        }
        let number = self.0.writes.get();
        self.0.writes.set(number + 1);
        if let Some((at, kind)) = self.0.fail.get()
            && at == number
        {
            return Err(io::Error::from(kind));
        }
        match self.0.cut.get() {
            Some((at, how)) if at == number => {
                self.0.off.set(true);
                Ok(match how {
                    Cut::Lost => Turn::Skip,
                    Cut::Kept | Cut::Torn => Turn::Half,
                })
            }
            _ => Ok(Turn::Do),
        }
    }

    fn torn(&self) -> bool {
        matches!(self.0.cut.get(), Some((_, Cut::Torn)))
    }
}

/// What is at a path of the machine in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    File(Attrs, Vec<u8>),
    Dir(Attrs),
    Link(String),
}

/// Everything durable about the machine; equal values are equal machines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    pub nodes: BTreeMap<String, Node>,
    /// ACLs that say more than the mode, by path.
    pub acls: BTreeMap<String, Acls<u32>>,
    pub packages: BTreeMap<String, Installed>,
    /// Keys that the package manager believes for any source.
    pub keys: BTreeSet<Digest>,
    pub units: BTreeMap<String, Unit>,
    /// Kernel parameters by their path.
    pub kernel: BTreeMap<String, String>,
    /// What is mounted, by place.
    pub mounts: BTreeMap<String, Mounted>,
    /// Modules of the kernel that are loaded.
    pub modules: BTreeSet<String>,
    /// Rules of nftables.
    pub rules: String,
    /// The file of rules that is loaded after a while, unless that is called off.
    pub armed: Option<String>,
    /// What a program of an external kind tells of its state, as JSON.
    pub told: String,
    /// Programs that were run, as one line each.
    pub ran: Vec<String>,
    /// Restarts of units.
    pub restarts: Vec<String>,
    /// What runs with replaced files; a restart of its unit and a boot end it.
    pub outdated: Vec<Outdated>,
    /// Reboots that were asked for.
    pub reboots: u32,
    /// How often the machine was booted.
    pub boots: u32,
}

/// The machine; clones are the same one.
#[derive(Clone, Debug)]
pub struct Fake {
    pub power: Power,
    pub world: Rc<RefCell<World>>,
    /// Packages on offer.
    pub debs: Rc<RefCell<Vec<Deb>>>,
    /// Units that use files of a package: they are outdated when it is upgraded.
    pub uses: Rc<RefCell<BTreeMap<String, Vec<String>>>>,
    /// Files that an upgrade of a package brings.
    pub files: Rc<RefCell<BTreeMap<String, String>>>,
    /// Units that do not come up again.
    pub broken: Rc<RefCell<Vec<String>>>,
    /// The running kernel's release.
    pub release: Rc<RefCell<String>>,
    /// Of versions of packages and kernels.
    pub order: Rc<Cell<Order>>,
    /// How package sources are described.
    pub sources: Rc<Cell<SourceFormat>>,
    /// Exit codes of programs; 0 for those not named.
    pub exits: Rc<RefCell<BTreeMap<String, i32>>>,
    /// What was done to packages, by the agent or by others.
    pub record: Rc<RefCell<Vec<PackageEvent>>>,
    /// Somebody uses the package manager just now.
    pub busy: Rc<Cell<bool>>,
    /// What the machine says of itself.
    pub survey: Rc<RefCell<Survey>>,
    /// How many files were read with [`Host::scan`].
    pub reads: Rc<Cell<u64>>,
    /// The program of the agent that runs.
    pub own: Rc<RefCell<Own>>,
    /// Gone with the process that wrote them.
    staged: BTreeMap<String, Node>,
}

pub const ROOT: Attrs = Attrs { uid: 0, gid: 0, mode: 0o644 };

impl Default for Fake {
    fn default() -> Self {
        let mut world = World::default();
        for dir in ["/", "/etc", "/srv"] {
            world.nodes.insert(dir.into(), Node::Dir(Attrs { mode: 0o755, ..ROOT }));
        }
        Self {
            power: Power::default(),
            world: Rc::new(RefCell::new(world)),
            debs: Rc::default(),
            survey: Rc::default(),
            reads: Rc::default(),
            record: Rc::default(),
            busy: Rc::default(),
            uses: Rc::default(),
            files: Rc::default(),
            broken: Rc::default(),
            release: Rc::new(RefCell::new("6.1.0".into())),
            order: Rc::new(Cell::new(Order::Deb)),
            sources: Rc::default(),
            exits: Rc::default(),
            own: Rc::new(RefCell::new(Own {
                place: Place::Packaged,
                version: program::version(),
                target: program::target(),
                packaged: program::version(),
            })),
            staged: BTreeMap::new(),
        }
    }
}

impl Fake {
    pub fn file(&self, path: &str, content: &str) {
        self.world.borrow_mut().nodes.insert(path.into(), Node::File(ROOT, content.into()));
    }

    /// An upgrade of the package brings this file as well.
    pub fn brings(&self, package: &str, path: &str) {
        self.files.borrow_mut().insert(package.to_owned(), path.to_owned());
    }

    /// Places beside which something lies that was never taken there.
    pub fn left_staged(&self) -> Vec<&str> {
        self.staged.keys().map(String::as_str).collect()
    }

    /// The unit is down after its next restart.
    pub fn refuse_restart(&self, unit: &str) {
        self.broken.borrow_mut().push(unit.to_owned());
    }

    /// The machine goes down and comes up again.
    pub fn boot(&self) {
        let mut world = self.world.borrow_mut();
        world.boots += 1;
        world.outdated.clear();
        world.nodes.retain(|path, _| !path.starts_with("/run/"));
    }

    fn change(&self, doing: &str, act: impl FnOnce(&mut World)) -> Result<(), Fault> {
        let world = Rc::clone(&self.world);
        self.power.write(|_| act(&mut world.borrow_mut())).map_err(Fault::io(doing.to_owned()))
    }

    /// As the kernel shows rules: without the command that removed the ones before.
    fn load(&mut self, text: &[u8]) -> Result<(), Fault> {
        let text = String::from_utf8_lossy(text).replace("flush ruleset\n", "");
        self.change("load rules", |world| world.rules = text)
    }

    fn node(&self, path: &str) -> Option<Node> {
        self.world.borrow().nodes.get(path).cloned()
    }

    fn need_parent(&self, path: &str) -> Result<(), Fault> {
        let parent = match path.rsplit_once('/') {
            Some(("", _)) | None => "/",
            Some((parent, _)) => parent,
        };
        match self.node(parent) {
            Some(Node::Dir(_)) => Ok(()),
            _ => Err(Fault::Io {
                doing: format!("open the directory of {path}"),
                source: io::ErrorKind::NotFound.into(),
            }),
        }
    }
}

/// The bits of a mode that a list stands for.
fn mode_of(acls: &Acls<u32>) -> u32 {
    let perms = |tag| acls.access.get(tag, None).map(u32::from);
    let group = perms(AclTag::Mask).or(perms(AclTag::GroupObj));
    let all = [perms(AclTag::UserObj), group, perms(AclTag::Other)];
    all.iter().fold(0, |mode, perms| (mode << 3) | perms.unwrap_or(0))
}

impl Host for Fake {
    fn look(&self, path: &str) -> Result<Entry, Fault> {
        Ok(match self.node(path) {
            None => Entry::Absent,
            Some(Node::File(attrs, bytes)) => Entry::File { attrs, length: bytes.len() as u64 },
            Some(Node::Dir(attrs)) => Entry::Directory { attrs },
            Some(Node::Link(target)) => Entry::Link { target },
        })
    }

    /// Of what is there, since this machine has no clock: the same thing always has the same one.
    fn stamp(&self, path: &str) -> Result<Option<Stamp>, Fault> {
        let stamp = |attrs, content: &[u8]| Stamp {
            device: 0,
            inode: u64::from_be_bytes(std::array::from_fn(|n| Digest::of(content).0[n])),
            length: content.len() as u64,
            attrs,
            modified: (0, 0),
            changed: (0, 0),
        };
        let none = Attrs { uid: 0, gid: 0, mode: 0 };
        Ok(self.node(path).map(|node| match node {
            Node::File(attrs, bytes) => stamp(attrs, &bytes),
            Node::Dir(attrs) => stamp(attrs, b""),
            Node::Link(target) => stamp(none, target.as_bytes()),
        }))
    }

    fn real(&self, path: &str) -> Result<Option<String>, Fault> {
        let mut path = path.to_owned();
        for _ in 0..40 {
            let above = path.match_indices('/').map(|(at, _)| &path[..at]).chain([path.as_str()]);
            let links = above.filter_map(|part| match self.node(part) {
                Some(Node::Link(target)) => Some((part.len(), target)),
                _ => None,
            });
            match links.min_by_key(|(length, _)| *length) {
                Some((length, target)) => path = format!("{target}{}", &path[length..]),
                None => return Ok(self.node(&path).map(|_| path)),
            }
        }
        Ok(None)
    }

    fn acls(&self, path: &str) -> Result<Option<Acls<u32>>, Fault> {
        let (Some(Node::File(attrs, _)) | Some(Node::Dir(attrs))) = self.node(path) else { return Ok(None) };
        let kept = self.world.borrow().acls.get(path).cloned();
        let Some(Acls { access, default }) = kept else { return Ok(Some(Acls::of_mode(attrs.mode))) };
        Ok(Some(Acls { access: access.with_mode(attrs.mode), default }))
    }

    /// The mode follows, as the kernel does it.
    fn set_acls(&mut self, path: &str, acls: &Acls<u32>) -> Result<(), Fault> {
        self.change(&format!("set the ACL of {path}"), |world| {
            if let Some(Node::File(attrs, _) | Node::Dir(attrs)) = world.nodes.get_mut(path) {
                attrs.mode = (attrs.mode & 0o7000) | mode_of(acls);
            }
            match acls.is_extended() {
                true => world.acls.insert(path.to_owned(), acls.clone()),
                false => world.acls.remove(path),
            };
        })
    }

    fn names(&self, path: &str) -> Result<u64, Fault> {
        Ok(u64::from(self.node(path).is_some()))
    }

    fn scan(&self, path: &str, keep: u64) -> Result<Scan, Fault> {
        let entry = self.look(path)?;
        let Some(Node::File(_, bytes)) = self.node(path) else {
            return Ok(Scan::bare(entry));
        };
        self.reads.set(self.reads.get() + 1);
        let digest = Some(Digest::of(&bytes));
        let acls = self.acls(path)?.filter(Acls::is_extended);
        Ok(Scan { entry, digest, content: (bytes.len() as u64 <= keep).then_some(bytes), acls })
    }

    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Fault> {
        match self.node(path) {
            Some(Node::File(_, bytes)) if bytes.len() as u64 <= limit => Ok(Some(bytes)),
            Some(_) => Err(Fault::Refused(format!("{path} is not a regular file of that size"))),
            None => Ok(None),
        }
    }

    fn stage(
        &mut self,
        path: &str,
        content: &mut dyn Read,
        digest: Digest,
        attrs: Attrs,
    ) -> Result<(), Fault> {
        self.need_parent(path)?;
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(Fault::io(format!("write {path}")))?;
        let found = Digest::of(&bytes);
        if found != digest {
            return Err(Fault::Digest { what: format!("the content for {path}"), expected: digest, found });
        }
        self.change(&format!("write {path}"), |_| {})?;
        self.staged.insert(path.to_owned(), Node::File(attrs, bytes));
        Ok(())
    }

    fn sync_staged(&mut self) -> Result<(), Fault> {
        let synced = self.change("make staged files durable", |_| {});
        if synced.is_err() {
            self.staged.clear();
        }
        synced
    }

    fn commit(&mut self, path: &str) -> Result<(), Fault> {
        let none = || Fault::Refused(format!("nothing is staged for {path}"));
        let node = self.staged.remove(path).ok_or_else(none)?;
        self.change(&format!("write {path}"), |world| {
            world.nodes.insert(path.to_owned(), node);
        })
    }

    fn sync_committed(&mut self) -> Result<(), Fault> {
        self.change("make names durable", |_| {})
    }

    fn sweep(&mut self, path: &str) -> Result<(), Fault> {
        self.staged.remove(path);
        Ok(())
    }

    fn put_link(&mut self, path: &str, target: &str) -> Result<(), Fault> {
        self.change(&format!("write {path}"), |world| {
            world.acls.remove(path);
            world.nodes.insert(path.to_owned(), Node::Link(target.to_owned()));
        })
    }

    fn set_attrs(&mut self, path: &str, attrs: Attrs) -> Result<(), Fault> {
        self.change(&format!("set owner and mode of {path}"), |world| match world.nodes.get_mut(path) {
            Some(Node::File(found, _) | Node::Dir(found)) => *found = attrs,
            Some(Node::Link(_)) | None => {}
        })
    }

    fn remove(&mut self, path: &str) -> Result<(), Fault> {
        self.change(&format!("remove {path}"), |world| {
            world.acls.remove(path);
            world.nodes.remove(path);
        })
    }

    fn make_dir(&mut self, path: &str, attrs: Attrs) -> Result<(), Fault> {
        self.need_parent(path)?;
        self.change(&format!("make the directory {path}"), |world| {
            world.nodes.insert(path.to_owned(), Node::Dir(attrs));
        })
    }

    fn remove_dir(&mut self, path: &str) -> Result<(), Fault> {
        if !self.list(path)?.is_empty() {
            let source = io::ErrorKind::DirectoryNotEmpty.into();
            return Err(Fault::Io { doing: format!("remove {path}"), source });
        }
        self.remove(path)
    }

    fn list(&self, path: &str) -> Result<Vec<String>, Fault> {
        let prefix = format!("{}/", path.trim_end_matches('/'));
        let world = self.world.borrow();
        let names = world.nodes.keys().filter_map(|p| p.strip_prefix(&prefix));
        Ok(names.filter(|n| !n.is_empty() && !n.contains('/')).map(str::to_owned).collect())
    }

    fn accounts(&self) -> Result<Accounts, Fault> {
        let read = |path| match self.node(path) {
            Some(Node::File(_, bytes)) => bytes,
            _ => Vec::new(),
        };
        let (passwd, group) = (read("/etc/passwd"), read("/etc/group"));
        if passwd.is_empty() && group.is_empty() {
            return Ok(Accounts::parse(b"root:x:0:0::/:/\nweb:x:33:33::/:/\n", b"root:x:0:\nweb:x:33:\n"));
        }
        Ok(Accounts::parse(&passwd, &group))
    }

    fn default_owner(&self) -> (u32, u32) {
        (0, 0)
    }

    fn check(&mut self, path: &str, checker: &Checker) -> Result<Ran, Fault> {
        if !self.staged.contains_key(path) {
            return Err(Fault::Refused(format!("nothing is staged for {path}")));
        }
        if let (Some(Node::File(_, text)), true) = (self.staged.get(path), *checker == Checker::nft_load()) {
            let text = text.clone();
            self.load(&text)?;
        }
        let (program, arguments) = checker.for_file(path);
        self.run(&Exec::new(program, arguments))
    }

    fn check_unit(&mut self, path: &str, unit: &str) -> Result<(), Fault> {
        if !self.staged.contains_key(path) {
            return Err(Fault::Refused(format!("nothing is staged for {path}")));
        }
        match self.exits.borrow().get(&format!("verify {unit}")) {
            None | Some(0) => Ok(()),
            Some(_) => Err(Fault::Refused(format!("{unit} cannot be read"))),
        }
    }

    fn has_program(&self, _path: &str) -> Result<bool, Fault> {
        Ok(true)
    }

    fn has_kernel(&self) -> bool {
        true
    }

    fn kernel(&self, path: &str) -> Result<Option<String>, Fault> {
        Ok(self.world.borrow().kernel.get(path).cloned())
    }

    fn set_kernel(&mut self, path: &str, value: &str) -> Result<(), Fault> {
        self.change(&format!("write {path}"), |world| {
            world.kernel.insert(path.to_owned(), value.to_owned());
        })
    }

    fn lock_accounts(&mut self) -> Result<AccountLock, Fault> {
        Ok(AccountLock::default())
    }

    fn mounted(&self, path: &str) -> Result<Option<Mounted>, Fault> {
        Ok(self.world.borrow().mounts.get(path).cloned())
    }

    fn mount(&mut self, path: &str, what: &Mounted, _again: bool) -> Result<(), Fault> {
        self.change(&format!("mount {path}"), |world| {
            world.mounts.insert(path.to_owned(), what.clone());
        })
    }

    fn unmount(&mut self, path: &str) -> Result<(), Fault> {
        self.change(&format!("unmount {path}"), |world| {
            world.mounts.remove(path);
        })
    }

    fn module(&self, name: &str) -> Result<Module, Fault> {
        let loaded = self.world.borrow().modules.contains(name);
        Ok(if loaded { Module::Loaded } else { Module::Absent })
    }

    fn set_module(&mut self, name: &str, loaded: bool) -> Result<(), Fault> {
        self.change(&format!("modprobe {name}"), |world| {
            if loaded {
                world.modules.insert(name.to_owned());
            } else {
                world.modules.remove(name);
            }
        })
    }

    fn rules(&self) -> Result<String, Fault> {
        Ok(self.world.borrow().rules.clone())
    }

    fn load_rules(&mut self, path: &str) -> Result<(), Fault> {
        let Some(Node::File(_, text)) = self.node(path) else {
            return Err(Fault::Refused(format!("{path} is no file")));
        };
        self.load(&text)
    }

    fn arm_restore(&mut self, path: &str, _after_s: u32) -> Result<(), Fault> {
        self.change("arm a restore", |world| world.armed = Some(path.to_owned()))
    }

    fn disarm_restore(&mut self) -> Result<(), Fault> {
        self.change("disarm a restore", |world| world.armed = None)
    }

    /// The store is all files one after the other, with a link to each.
    fn refresh_trust(&mut self) -> Result<(), Fault> {
        self.change("run update-ca-certificates", |world| {
            let (mut bundle, mut links) = (Vec::new(), Vec::new());
            for (path, node) in world.nodes.range("/usr/local/share/ca-certificates/".to_owned()..) {
                let name = path.strip_prefix("/usr/local/share/ca-certificates/");
                let (Some(name), Node::File(_, text)) = (name, node) else { continue };
                bundle.extend_from_slice(text);
                links.push((format!("/etc/ssl/certs/{}.pem", name.trim_end_matches(".crt")), path.clone()));
            }
            world.nodes.insert("/etc/ssl/certs/ca-certificates.crt".into(), Node::File(ROOT, bundle));
            world.nodes.extend(links.into_iter().map(|(link, target)| (link, Node::Link(target))));
        })
    }

    fn run(&mut self, exec: &Exec) -> Result<Ran, Fault> {
        let line =
            std::iter::once(&exec.program).chain(&exec.arguments).cloned().collect::<Vec<_>>().join(" ");
        let code = self.exits.borrow().get(&line).copied().unwrap_or(0);
        // Programs of external kinds take a state and tell it.
        let external = exec.program.starts_with("/var/lib/assent/external/");
        let takes = external && exec.arguments.iter().any(|word| word == "set");
        self.change(&format!("run {line}"), |world| {
            world.ran.push(line.clone());
            if takes && let Some(input) = &exec.input {
                world.told = String::from_utf8_lossy(input).into_owned();
            }
        })?;
        let stdout = if external { self.world.borrow().told.clone().into_bytes() } else { Vec::new() };
        let how = format!("ended with exit code {code}");
        Ok(Ran { code: Some(code), how, stdout, stderr: Vec::new(), cut: false })
    }

    fn probe(&self, _look: &Look, _timeout: Duration) -> Result<Seen, String> {
        Err("a machine in memory has no network".into())
    }

    fn packager(&self) -> &dyn PackageManager {
        self
    }

    fn has_services(&self) -> bool {
        true
    }

    fn unit(&self, unit: &str) -> Result<Unit, Fault> {
        let none = Unit { loaded: false, active: "inactive".into(), enabled: String::new() };
        Ok(self.world.borrow().units.get(unit).cloned().unwrap_or(none))
    }

    fn set_unit(&mut self, verb: UnitVerb, unit: &str) -> Result<(), Fault> {
        let broken = self.broken.borrow().iter().any(|name| name == unit);
        self.change(&format!("{} {unit}", verb.as_str()), |world| {
            let Some(found) = world.units.get_mut(unit) else { return };
            match verb {
                UnitVerb::Start => found.active = "active".into(),
                UnitVerb::Restart => {
                    found.active = if broken { "failed" } else { "active" }.into();
                    world.restarts.push(unit.to_owned());
                    world.outdated.retain(|found| found.unit.as_deref() != Some(unit));
                }
                UnitVerb::Stop => found.active = "inactive".into(),
                UnitVerb::Enable => found.enabled = "enabled".into(),
                UnitVerb::Disable => found.enabled = "disabled".into(),
                UnitVerb::ResetFailed => found.active = "inactive".into(),
            }
        })
    }

    fn invocation(&self, unit: &str) -> Result<String, Fault> {
        let restarts = self.world.borrow().restarts.iter().filter(|name| *name == unit).count();
        Ok(format!("{restarts}"))
    }

    /// Timers come and go with their files.
    fn reload_units(&mut self) -> Result<(), Fault> {
        self.change("reload units", |world| {
            let file = |name: &str| format!("/etc/systemd/system/{name}");
            let timers = world.nodes.keys().filter_map(|path| path.strip_prefix(file("").as_str()));
            let timers: Vec<String> =
                timers.filter(|n| n.ends_with(".timer") && !n.contains('/')).map(str::to_owned).collect();
            let unit = || Unit { loaded: true, active: "inactive".into(), enabled: "enabled".into() };
            for name in timers {
                world.units.entry(name).or_insert_with(unit);
            }
            let World { nodes, units, .. } = world;
            units.retain(|name, unit| {
                !name.ends_with(".timer") || unit.is_active() || nodes.contains_key(&file(name))
            });
        })
    }

    fn units(&self) -> Result<Vec<(String, Unit)>, Fault> {
        Ok(self.world.borrow().units.clone().into_iter().collect())
    }

    fn survey(&self) -> Option<Survey> {
        Some(self.survey.borrow().clone())
    }

    fn outdated(&self) -> Result<Vec<Outdated>, Fault> {
        Ok(self.world.borrow().outdated.clone())
    }

    fn reboot(&mut self) -> Result<(), Fault> {
        self.change("reboot", |world| world.reboots += 1)
    }

    fn own(&self) -> Own {
        self.own.borrow().clone()
    }

    fn uname(&self) -> Uname {
        let release = self.release.borrow().clone();
        Uname { release, version: "#1".into(), machine: "x86_64".into(), nodename: "fake".into() }
    }

    fn architecture(&self) -> Result<String, Fault> {
        Ok("amd64".into())
    }

    fn boot_id(&self) -> Result<String, Fault> {
        Ok(format!("00000000-0000-0000-0000-{:012}", self.world.borrow().boots))
    }

    fn booted(&self) -> Result<Timestamp, Fault> {
        Ok(Timestamp(1_000 * i64::from(self.world.borrow().boots)))
    }

    fn addresses(&self) -> Result<Vec<String>, Fault> {
        Ok(vec!["192.0.2.1".into()])
    }
}
