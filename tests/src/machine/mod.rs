//! Whole machines: a Debian tree booted with its own systemd, network and disk, the agent installed in it as a
//! unit. They are rebooted, and their power is cut. Most share the kernel of the real machine; those that are emulated
//! have one of their own.
//!
//! Programs in a machine are always started by its systemd: one that only enters its namespaces keeps the rights
//! of the test, and could change the clock of the real machine.

mod container;
mod emulated;
mod ground;
mod lab;

pub use ground::{Ground, Needs, on_ground_with, on_own_ground};
pub use lab::{Lab, Starts};

use crate::programs::{self, Said};
use crate::proxy::Proxy;
use crate::world::{Host, World};
use container::Container;
use emulated::Emulated;
use ground::run;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const UNIT: &str = include_str!("../../../packaging/systemd/assent-agent.service");

/// Where a machine keeps what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Fast; what was not synced is not lost either.
    Volatile,
    /// A file system of its own (ext4), whose power can be cut.
    Own,
    /// The same with XFS.
    OwnXfs,
    /// That of an emulated machine (ext4), which boots a kernel of its own. Tests see its files only through programs
    /// of the machine, and what [`Machine::look`] brings.
    Emulated,
}

pub struct Machine {
    pub name: String,
    dir: PathBuf,
    engine: Engine,
    /// Ports of the test that the machine finds on its own loopback address.
    doors: Vec<Proxy>,
}

/// What makes a machine run.
enum Engine {
    Container(Container),
    Emulated(Emulated),
}

/// What connects a machine with the bridge of its ground.
struct Wire {
    device: String,
    /// Of the machine, with the length of the network's prefix.
    address: String,
}

impl Wire {
    fn next() -> Self {
        let wires = run("ip", &["-o", "link", "show", "master", "br0"]).out.lines().count();
        Self { device: format!("wire{wires}"), address: format!("10.77.0.{}/24", wires + 2) }
    }
}

impl Machine {
    /// A container that takes longer to boot does not boot.
    const BOOT: Duration = Duration::from_secs(90);
    /// How much longer everything may take on an emulated machine.
    const SLOWNESS: u32 = 5;

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
        let wire = Wire::next();
        let engine = match disk {
            Disk::Emulated => Engine::Emulated(Emulated::new(ground, name, &lower, &wire)),
            shared => Engine::Container(Container::new(ground, name, shared, lower, &wire)),
        };
        let mut machine = Self { name: name.into(), dir, engine, doors: Vec::new() };
        machine.start();
        machine
    }

    /// Boots and waits until systemd has started everything.
    fn start(&mut self) {
        match &mut self.engine {
            Engine::Container(container) => container.start(),
            Engine::Emulated(emulated) => emulated.start(),
        }
        let deadline = Instant::now() + Self::BOOT * self.slowness();
        loop {
            let state = self.enter(&["systemctl", "is-system-running"]).map(|said| said.out);
            if state.as_deref().is_some_and(|s| matches!(s.trim(), "running" | "degraded")) {
                return;
            }
            let ended = match &mut self.engine {
                Engine::Container(container) => container.ended(),
                Engine::Emulated(emulated) => emulated.ended(),
            };
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{} does not boot ({ended:?}, {state:?}): {}",
                self.name,
                String::from_utf8_lossy(&fs::read(self.dir.join("console")).unwrap_or_default())
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// How many times longer than on a container things may take.
    pub fn slowness(&self) -> u32 {
        match &self.engine {
            Engine::Container(_) => 1,
            Engine::Emulated(_) => Self::SLOWNESS,
        }
    }

    /// Runs a harmless program beside those of the machine's systemd.
    fn enter(&self, command: &[&str]) -> Option<Said> {
        match &self.engine {
            Engine::Container(container) => container.enter(command),
            Engine::Emulated(emulated) => emulated.enter(command),
        }
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
        match &mut self.engine {
            Engine::Container(container) => container.await_reboot(),
            Engine::Emulated(emulated) => emulated.await_reboot(),
        }
        self.start();
    }

    /// Takes the power away at this moment: what is not on the disk is lost. It stays off.
    ///
    /// # Panics
    /// The machine has no disk of its own.
    pub fn cut_power(&mut self) {
        match &mut self.engine {
            Engine::Container(container) => container.cut_power(),
            Engine::Emulated(emulated) => emulated.kill(),
        }
    }

    /// Power comes back.
    pub fn power_on(&mut self) {
        if let Engine::Container(container) = &self.engine {
            container.remount();
        }
        self.start();
    }

    /// Makes a port of the test's loopback reachable on the machine's.
    fn open_door(&mut self, port: u16, world: &World) {
        let listener = match &self.engine {
            Engine::Container(container) => container.listen(port),
            Engine::Emulated(emulated) => emulated.listen(port),
        };
        let door = Proxy::start(listener, &world.site().join("ca.crt"));
        door.set_backends(&[([127, 0, 0, 1], port).into()]);
        self.doors.push(door);
    }

    /// Puts a file of the test's machine onto this one, with its mode.
    pub fn copy(&self, from: &Path, to: &str) {
        let mode = from.metadata().unwrap().permissions().mode() & 0o7777;
        self.write(to, &fs::read(from).unwrap(), mode);
    }

    /// Writes a file, and the directories that it needs.
    pub fn write(&self, to: &str, bytes: &[u8], mode: u32) {
        match &self.engine {
            Engine::Container(container) => container.write(to, bytes, mode),
            Engine::Emulated(emulated) => emulated.write(to, bytes, mode),
        }
    }

    /// Brings what the agent has signed, and its identity, to where tests read them.
    pub fn look(&self) {
        if let Engine::Emulated(emulated) = &self.engine {
            emulated.look();
        }
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
        self.look();
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
        match &mut self.engine {
            Engine::Container(container) => container.end(),
            Engine::Emulated(emulated) => emulated.end(),
        }
    }
}
