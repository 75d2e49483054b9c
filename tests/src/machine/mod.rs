//! Whole machines: a Debian tree booted with its own systemd, network and disk, the agent installed in it as a
//! unit. They are rebooted, and their power is cut.
//!
//! Programs in a machine are always started by its systemd: one that only enters its namespaces keeps the rights
//! of the test, and could change the clock of the real machine.

mod ground;
mod lab;

pub use ground::{Ground, Needs, on_ground_with, on_own_ground};
pub use lab::{Lab, Starts};

use crate::programs::{self, Said};
use crate::proxy::Proxy;
use crate::world::{Host, World};
use ground::run;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// systemd-nspawn ends with this when the guest asks for a reboot.
const REBOOT: i32 = 133;
const UNIT: &str = include_str!("../../../packaging/systemd/assent-agent.service");
/// A machine with an own disk has this much of it.
const DISK_BYTES: u64 = 1 << 30;

/// Where a machine keeps what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Fast; what was not synced is not lost either.
    Volatile,
    /// A file system of its own (ext4), whose power can be cut.
    Own,
    /// The same with XFS.
    OwnXfs,
}

impl Disk {
    /// The program that makes its file system; none for a machine without an own disk.
    fn maker(self) -> Option<[&'static str; 3]> {
        match self {
            Self::Volatile => None,
            Self::Own => Some(["mkfs.ext4", "-q", "-F"]),
            Self::OwnXfs => Some(["mkfs.xfs", "-q", "-f"]),
        }
    }
}

pub struct Machine {
    pub name: String,
    dir: PathBuf,
    disk: Disk,
    lower: String,
    groups: Vec<PathBuf>,
    nspawn: Option<Child>,
    /// Ports of the test that the machine finds on its own loopback address.
    doors: Vec<Proxy>,
}

impl Machine {
    /// Wires and boots a machine with the agent installed and its unit neither enabled nor started.
    pub fn boot(ground: &Ground, name: &str, disk: Disk) -> Self {
        let dir = ground.dir.join(name);
        for part in ["root", "disk", "agent/usr/bin", "agent/usr/lib/systemd/system", "agent/etc"] {
            fs::create_dir_all(dir.join(part)).unwrap();
        }
        let agent = dir.join("agent/usr/bin/assent-agent");
        // A link costs nothing; another file system needs the copy.
        if fs::hard_link(programs::own("assent-agent"), &agent).is_err() {
            fs::copy(programs::own("assent-agent"), &agent).unwrap();
        }
        fs::write(dir.join("agent/usr/lib/systemd/system/assent-agent.service"), UNIT).unwrap();
        fs::write(dir.join("agent/etc/hostname"), format!("{name}\n")).unwrap();
        fs::write(dir.join("agent/etc/machine-id"), "").unwrap();
        let lower = format!("{}:{}", dir.join("agent").display(), ground.tree.display());
        let groups = ground::control_groups(ground, name);
        let mut machine =
            Self { name: name.into(), dir, disk, lower, groups, nspawn: None, doors: Vec::new() };
        machine.wire();
        if let Some([make, quiet, force]) = disk.maker() {
            let image = machine.dir.join("image");
            File::create(&image).unwrap().set_len(DISK_BYTES).unwrap();
            run(make, &[quiet, force, image.to_str().unwrap()]);
        }
        machine.mount();
        machine.start();
        machine
    }

    fn path(&self, part: &str) -> String {
        self.dir.join(part).to_str().unwrap().to_owned()
    }

    fn wire(&self) {
        let name = &self.name;
        let wires = run("ip", &["-o", "link", "show", "master", "br0"]).out.lines().count();
        let (wire, address) = (format!("wire{wires}"), format!("10.77.0.{}/24", wires + 2));
        run("ip", &["netns", "add", name]);
        run("ip", &["link", "add", &wire, "type", "veth", "peer", "name", "host0", "netns", name]);
        run("ip", &["link", "set", &wire, "master", "br0", "up"]);
        run("ip", &["-n", name, "addr", "add", &address, "dev", "host0"]);
        run("ip", &["-n", name, "link", "set", "host0", "up"]);
        run("ip", &["-n", name, "link", "set", "lo", "up"]);
    }

    fn mount(&self) {
        if self.disk.maker().is_some() {
            run("mount", &["-o", "loop", &self.path("image"), &self.path("disk")]);
        }
        let (upper, work) = (self.path("disk/upper"), self.path("disk/work"));
        fs::create_dir_all(&upper).unwrap();
        fs::create_dir_all(&work).unwrap();
        let mut options = format!("lowerdir={},upperdir={upper},workdir={work}", self.lower);
        if self.disk == Disk::Volatile {
            options.push_str(",volatile");
        }
        run("mount", &["-t", "overlay", "overlay", "-o", &options, &self.path("root")]);
    }

    fn unmount(&self) {
        run("umount", &[&self.path("root")]);
        if self.disk.maker().is_some() {
            run("umount", &[&self.path("disk")]);
        }
    }

    /// Boots and waits until systemd has started everything.
    fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.dir.join("console")).unwrap();
        // Into the control groups first, then what was asked for.
        let enter = "while [ \"$1\" != -- ]; do echo $$ >\"$1/cgroup.procs\" || exit; shift; done; shift; exec \"$@\"";
        let mut nspawn = Command::new("sh");
        nspawn.args(["-c", enter, "sh"]).args(&self.groups).args(["--", "systemd-nspawn", "-q", "-b"]);
        nspawn.args(["-D", &self.path("root"), "-M", &self.name, "--register=no", "--keep-unit"]);
        nspawn.arg(format!("--network-namespace-path=/run/netns/{}", self.name));
        // Packet filters and parameters of its own network.
        nspawn.arg("--capability=CAP_NET_ADMIN").env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network");
        nspawn.args(["--resolv-conf=off", "--timezone=off", "--console=pipe"]);
        nspawn.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.nspawn = Some(nspawn.spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let state = self.enter(&["systemctl", "is-system-running"]).map(|said| said.out);
            if state.as_deref().is_some_and(|s| matches!(s.trim(), "running" | "degraded")) {
                return;
            }
            let ended = self.nspawn.as_mut().unwrap().try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{} does not boot ({ended:?}, {state:?}): {}",
                self.name,
                fs::read_to_string(self.dir.join("console")).unwrap()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The machine's first process, as the test sees it.
    fn init(&self) -> Option<String> {
        let nspawn = self.nspawn.as_ref()?.id().to_string();
        let children = Said::of(Command::new("pgrep").args(["-P", &nspawn]));
        children.out.lines().next().map(str::to_owned)
    }

    /// Runs a harmless program in the machine's namespaces.
    fn enter(&self, command: &[&str]) -> Option<Said> {
        let init = self.init()?;
        let mut nsenter = Command::new("nsenter");
        Some(Said::of(nsenter.args(["-t", &init, "-m", "-u", "-i", "-n", "-p", "--"]).args(command)))
    }

    /// Lets the machine's systemd run a program and waits for its end.
    pub fn exec(&self, command: &[&str]) -> Said {
        let mut through: Vec<String> =
            ["systemd-run", "--pipe", "--wait", "--quiet", "--collect", "--"].map(str::to_owned).into();
        // systemd replaces variables in command lines itself (systemd.service(5)).
        through.extend(command.iter().map(|word| word.replace('$', "$$")));
        self.enter(&through.iter().map(String::as_str).collect::<Vec<_>>())
            .unwrap_or_else(|| panic!("{} is off", self.name))
    }

    /// Output of a program that must succeed.
    pub fn ask(&self, command: &[&str]) -> String {
        self.exec(command).ok().out.trim().to_owned()
    }

    /// `ActiveState`, `SubState` and `UnitFileState` of a unit, as in `active running enabled`.
    pub fn unit(&self, unit: &str) -> String {
        let shown = self.ask(&["systemctl", "show", "-P", "ActiveState,SubState,UnitFileState", unit]);
        shown.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Asks the machine to reboot, as an administrator would, and waits until it is up again.
    pub fn reboot(&mut self) {
        // It may go down before it has answered.
        drop(self.enter(&["systemctl", "reboot"]));
        self.await_reboot();
    }

    /// Waits until the machine has gone down by itself to boot again, and is up.
    pub fn await_reboot(&mut self) {
        let status = self.nspawn.take().unwrap().wait().unwrap();
        assert_eq!(status.code(), Some(REBOOT), "{} did not reboot", self.name);
        self.start();
    }

    /// Takes the power away at this moment: what is not on the disk is lost. It stays off.
    ///
    /// # Panics
    /// The machine has no disk of its own.
    pub fn cut_power(&mut self) {
        assert!(self.disk.maker().is_some(), "{} has no disk whose power could be cut", self.name);
        run("xfs_io", &["-x", "-c", "shutdown", &self.path("disk")]);
        self.kill();
    }

    /// Power comes back.
    pub fn power_on(&mut self) {
        self.unmount();
        self.mount();
        self.start();
    }

    /// Ends the first process: killing systemd-nspawn instead would leave it running.
    fn kill(&mut self) {
        if let Some(init) = self.init() {
            run("kill", &["-KILL", &init]);
        }
        if let Some(mut nspawn) = self.nspawn.take() {
            nspawn.wait().unwrap();
        }
    }

    /// Makes a port of the test's loopback reachable on the machine's.
    fn open_door(&mut self, port: u16, world: &World) {
        let netns = File::open(format!("/run/netns/{}", self.name)).unwrap();
        // Only this thread moves; a socket stays where it was made.
        let bind = move || {
            nix::sched::setns(netns, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            TcpListener::bind(("127.0.0.1", port)).unwrap()
        };
        let door = Proxy::start(std::thread::spawn(bind).join().unwrap(), &world.site().join("ca.crt"));
        door.set_backends(&[([127, 0, 0, 1], port).into()]);
        self.doors.push(door);
    }

    /// Puts a file of the test's machine onto this one, with its mode.
    pub fn copy(&self, from: &Path, to: &str) {
        let to = self.dir.join("root").join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }

    /// Joins the world's site with the command line that a person would paste, and enables the agent's unit.
    pub fn join(&mut self, world: &mut World) {
        let (people, agents) = (world.nodes[0].people, world.proxy.address.port());
        self.open_door(people, world);
        self.open_door(agents, world);
        let order = world.assent(&["agent", "token", "--host-class", "production"]).ok().out;
        self.exec(&["sh", "-c", order.trim()]).ok();
        self.exec(&["systemctl", "enable", "--now", "--quiet", "assent-agent"]).ok();
        let profile: toml::Table =
            fs::read_to_string(world.site().join("cli.toml")).unwrap().parse().unwrap();
        let site = profile["site"].as_str().unwrap().parse().unwrap();
        let host = Host { name: self.name.clone(), root: self.dir.join("root"), site };
        world.hosts.insert(self.name.clone(), host);
    }

    /// Makes the agent look for work now, instead of at its next turn.
    pub fn nudge(&self) {
        self.exec(&["systemctl", "restart", "assent-agent"]).ok();
    }

    /// What the agent's unit wrote to the journal.
    pub fn agent_log(&self) -> String {
        self.enter(&["journalctl", "-q", "-o", "cat", "-u", "assent-agent"]).map_or(String::new(), |s| s.out)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the agent of {} says:\n{}", self.name, self.agent_log());
            return;
        }
        self.kill();
        self.unmount();
        run("ip", &["netns", "del", &self.name]);
    }
}
