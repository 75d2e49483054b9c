//! Machines that share the kernel of the real one: a tree that systemd-nspawn boots in namespaces of its own.

use super::ground::{self, Ground, run};
use super::{Disk, Wire};
use crate::programs::Said;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

/// systemd-nspawn ends with this when the guest asks for a reboot.
const REBOOT: i32 = 133;
/// A machine with an own disk has this much of it.
const DISK_BYTES: u64 = 1 << 30;

impl Disk {
    /// The program that makes its file system; none where nothing is mounted for it.
    fn maker(self) -> Option<[&'static str; 3]> {
        match self {
            Self::Volatile | Self::Emulated => None,
            Self::Own => Some(["mkfs.ext4", "-q", "-F"]),
            Self::OwnXfs => Some(["mkfs.xfs", "-q", "-f"]),
        }
    }
}

pub(super) struct Container {
    name: String,
    dir: PathBuf,
    disk: Disk,
    /// Directories that lie below what the machine writes, as overlayfs lists them.
    lower: String,
    groups: Vec<PathBuf>,
    nspawn: Option<Child>,
}

impl Container {
    pub(super) fn new(ground: &Ground, name: &str, disk: Disk, lower: String, wire: &Wire) -> Self {
        let dir = ground.dir.join(name);
        let groups = ground::control_groups(ground, name);
        let container = Self { name: name.into(), dir, disk, lower, groups, nspawn: None };
        container.plug(wire);
        if let Some([make, quiet, force]) = disk.maker() {
            let image = container.dir.join("image");
            File::create(&image).unwrap().set_len(DISK_BYTES).unwrap();
            run(make, &[quiet, force, image.to_str().unwrap()]);
        }
        container.mount();
        container
    }

    fn path(&self, part: &str) -> String {
        self.dir.join(part).to_str().unwrap().to_owned()
    }

    fn plug(&self, wire: &Wire) {
        let (name, device) = (&self.name, &wire.device);
        run("ip", &["netns", "add", name]);
        run("ip", &["link", "add", device, "type", "veth", "peer", "name", "host0", "netns", name]);
        run("ip", &["link", "set", device, "master", "br0", "up"]);
        run("ip", &["-n", name, "addr", "add", &wire.address, "dev", "host0"]);
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

    pub(super) fn start(&mut self) {
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
    }

    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.nspawn.as_mut().unwrap().try_wait().unwrap()
    }

    /// The machine's first process, as the test sees it.
    fn init(&self) -> Option<String> {
        let nspawn = self.nspawn.as_ref()?.id().to_string();
        let children = Said::of(Command::new("pgrep").args(["-P", &nspawn]));
        children.out.lines().next().map(str::to_owned)
    }

    /// Runs a harmless program in the machine's namespaces.
    pub(super) fn enter(&self, command: &[&str]) -> Option<Said> {
        let init = self.init()?;
        let mut nsenter = Command::new("nsenter");
        Some(Said::of(nsenter.args(["-t", &init, "-m", "-u", "-i", "-n", "-p", "--"]).args(command)))
    }

    pub(super) fn await_reboot(&mut self) {
        let status = self.nspawn.take().unwrap().wait().unwrap();
        assert_eq!(status.code(), Some(REBOOT), "{} did not reboot", self.name);
    }

    pub(super) fn cut_power(&mut self) {
        assert!(self.disk.maker().is_some(), "{} has no disk whose power could be cut", self.name);
        run("xfs_io", &["-x", "-c", "shutdown", &self.path("disk")]);
        self.kill();
    }

    /// What is on the disk is there again.
    pub(super) fn remount(&self) {
        self.unmount();
        self.mount();
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

    pub(super) fn end(&mut self) {
        self.kill();
        self.unmount();
        run("ip", &["netns", "del", &self.name]);
    }

    /// A listener on the machine's own loopback address.
    pub(super) fn listen(&self, port: u16) -> TcpListener {
        let netns = File::open(format!("/run/netns/{}", self.name)).unwrap();
        // Only this thread moves; a socket stays where it was made.
        let bind = move || {
            nix::sched::setns(netns, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            TcpListener::bind(("127.0.0.1", port)).unwrap()
        };
        std::thread::spawn(bind).join().unwrap()
    }

    pub(super) fn write(&self, to: &str, bytes: &[u8], mode: u32) {
        let to = self.dir.join("root").join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(&to, bytes).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).unwrap();
    }
}
