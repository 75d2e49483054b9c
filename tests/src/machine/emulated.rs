//! Machines with a kernel of their own: QEMU boots Debian's from an own disk, and computes each instruction where the
//! real machine cannot run a second kernel. Slow, so only for what needs it.
//!
//! The agent of QEMU in the machine runs programs for the test, over a wire that is no network.

use super::ground::{Ground, run};
use super::{Machine, Wire};
use crate::programs::Said;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::time::Duration;

const DISK_BYTES: u64 = 4 << 30;
/// The agent of QEMU answers each question at once, but many may share the processor.
const ANSWER: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_millis(50);
/// Directory of the agent's state.
const STATE: &str = "/var/lib/assent";

pub(super) struct Emulated {
    dir: PathBuf,
    kernel: PathBuf,
    initrd: PathBuf,
    wire: String,
    qemu: Option<Child>,
    talk: Mutex<Option<Talk>>,
}

impl Emulated {
    pub(super) fn new(ground: &Ground, name: &str, lower: &str, wire: &Wire) -> Self {
        run("ip", &["tuntap", "add", "dev", &wire.device, "mode", "tap"]);
        run("ip", &["link", "set", &wire.device, "master", "br0", "up"]);
        let dir = ground.dir.join(name);
        let etc = dir.join("agent/etc/systemd");
        let network = format!("[Match]\nType=ether\n[Network]\nAddress={}\n", wire.address);
        let wants = etc.join("system/multi-user.target.wants");
        fs::create_dir_all(etc.join("network")).unwrap();
        fs::create_dir_all(&wants).unwrap();
        fs::write(etc.join("network/wire.network"), network).unwrap();
        symlink("/lib/systemd/system/systemd-networkd.service", wants.join("systemd-networkd.service"))
            .unwrap();
        make_disk(ground, &dir, lower);
        let boot = ground.tree.join("boot");
        let (kernel, initrd) = (only(&boot, "vmlinuz-"), only(&boot, "initrd.img-"));
        Self { dir, kernel, initrd, wire: wire.device.clone(), qemu: None, talk: Mutex::new(None) }
    }

    pub(super) fn start(&mut self) {
        *self.talk.get_mut().unwrap() = None;
        drop(fs::remove_file(self.dir.join("talk")));
        let option = |what: &str, part: &str| format!("{what}{}", self.dir.join(part).display());
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        qemu.args(processor()).args(["-machine", "q35", "-smp", "2", "-m", "1024"]);
        qemu.arg("-kernel").arg(&self.kernel).arg("-initrd").arg(&self.initrd);
        qemu.args(["-append", "root=/dev/vda rw console=ttyS0"]);
        // What the machine has written is in the real one's memory, which a power cut of the emulated one leaves alone.
        qemu.args(["-drive", &option("if=none,id=disk,format=raw,cache=unsafe,file=", "image")]);
        qemu.args(["-device", "virtio-blk-pci,drive=disk", "-device", "virtio-rng-pci"]);
        qemu.args(["-netdev", &format!("tap,id=wire,ifname={},script=no,downscript=no", self.wire)]);
        qemu.args(["-device", "virtio-net-pci,netdev=wire,romfile=", "-device", "virtio-serial-pci"]);
        qemu.args(["-chardev", &option("socket,id=talk,server=on,wait=off,path=", "talk")]);
        qemu.args(["-device", "virtserialport,chardev=talk,name=org.qemu.guest_agent.0"]);
        qemu.args(["-serial", &option("file:", "console")]);
        let log = File::create(self.dir.join("qemu")).unwrap();
        qemu.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.qemu = Some(qemu.spawn().unwrap());
    }

    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.qemu.as_mut().unwrap().try_wait().unwrap()
    }

    /// Runs a program as a child of QEMU's agent. `None`: the machine is off, or went down meanwhile.
    pub(super) fn enter(&self, command: &[&str]) -> Option<Said> {
        self.run(command, b"").map(|output| Said::from(&format!("{command:?}"), &output))
    }

    fn run(&self, command: &[&str], input: &[u8]) -> Option<Output> {
        let mut open = self.talk.lock().unwrap();
        if open.is_none() {
            *open = Talk::begin(&self.dir.join("talk")).ok();
        }
        let ran = open.as_mut()?.run(command, input);
        if ran.is_err() {
            *open = None;
        }
        ran.ok()
    }

    pub(super) fn await_reboot(&mut self) {
        let status = self.qemu.take().unwrap().wait().unwrap();
        let console = fs::read(self.dir.join("console")).unwrap();
        let console = String::from_utf8_lossy(&console);
        assert!(status.success() && console.contains("reboot: Restarting system"), "{status}: {console}");
    }

    /// Ends at this moment.
    pub(super) fn kill(&mut self) {
        if let Some(mut qemu) = self.qemu.take() {
            drop(qemu.kill());
            qemu.wait().unwrap();
        }
    }

    pub(super) fn end(&mut self) {
        self.kill();
        run("ip", &["link", "del", &self.wire]);
    }

    /// Leads from a port of the machine's own loopback address to the listener that this gives.
    pub(super) fn listen(&self, port: u16) -> TcpListener {
        let listener = TcpListener::bind((Ground::HUB, 0)).unwrap();
        let socket = format!("[Socket]\nListenStream=127.0.0.1:{port}\n[Install]\nWantedBy=sockets.target\n");
        let to = listener.local_addr().unwrap();
        let service = format!("[Service]\nExecStart=/lib/systemd/systemd-socket-proxyd {to}\n");
        let door = format!("door-{port}");
        for (kind, text) in [("socket", socket), ("service", service)] {
            self.write(&format!("/etc/systemd/system/{door}.{kind}"), text.as_bytes(), 0o644);
        }
        for command in [
            &["systemctl", "daemon-reload"][..],
            &["systemctl", "enable", "--now", "--quiet", &format!("{door}.socket")],
        ] {
            self.enter(command).unwrap().ok();
        }
        listener
    }

    pub(super) fn write(&self, to: &str, bytes: &[u8], mode: u32) {
        let script = r#"mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1""#;
        let command = ["/bin/sh", "-c", script, "sh", to, &format!("{mode:o}")];
        let output = self.run(&command, bytes).unwrap();
        Said::from(&format!("writing {to}"), &output).ok();
    }

    /// Copies the agent's statements and identity out of the machine, to where a container has its files.
    pub(super) fn look(&self) {
        // Statements go from the first directory to the second one, also while they are read (exit code 1).
        let script = format!(
            "cd {STATE} && tar -c spool $(ls -d sent *.json *.pem *.crt *.key 2>/dev/null); [ $? -le 1 ]"
        );
        let output = self.run(&["/bin/sh", "-c", &script], b"").unwrap();
        Said::from("looking", &output).ok();
        let copy = self.dir.join("root").join(STATE.trim_start_matches('/'));
        drop(fs::remove_dir_all(&copy));
        fs::create_dir_all(&copy).unwrap();
        let mut tar = Command::new("tar").arg("-xC").arg(copy).stdin(Stdio::piped()).spawn().unwrap();
        tar.stdin.take().unwrap().write_all(&output.stdout).unwrap();
        assert!(tar.wait().unwrap().success());
    }
}

/// The machine's disk, with everything that a container has in its layers, and the scanner's guide.
fn make_disk(ground: &Ground, dir: &Path, lower: &str) {
    let path = |part: &str| dir.join(part).to_str().unwrap().to_owned();
    let (root, image) = (path("root"), path("image"));
    for part in ["disk/upper", "disk/work"] {
        fs::create_dir_all(dir.join(part)).unwrap();
    }
    let (upper, work) = (path("disk/upper"), path("disk/work"));
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work},volatile");
    run("mount", &["-t", "overlay", "overlay", "-o", &options, &root]);
    // Here it takes a moment, there a minute; it has no scripts.
    let guide = ["ssg-base_", "ssg-debian_"].map(|part| only(ground.debs(), part));
    Said::of(Command::new("dpkg").arg(format!("--root={root}")).arg("--install").args(guide)).ok();
    File::create(&image).unwrap().set_len(DISK_BYTES).unwrap();
    run("mkfs.ext4", &["-q", "-F", "-E", "assume_storage_prezeroed=1", "-d", &root, &image]);
    run("umount", &[&root]);
}

/// The one file of the directory with this prefix.
fn only(dir: &Path, prefix: &str) -> PathBuf {
    let mut found = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let named =
        |path: &PathBuf| path.file_name().unwrap().to_str().is_some_and(|name| name.starts_with(prefix));
    found.find(named).unwrap_or_else(|| panic!("{} has no {prefix}*", dir.display()))
}

/// That of the real machine where it lets others use it, else a plain one.
fn processor() -> [&'static str; 4] {
    let able = fs::read_to_string("/proc/cpuinfo")
        .unwrap()
        .split_whitespace()
        .any(|flag| ["vmx", "svm"].contains(&flag));
    if able && File::options().read(true).write(true).open("/dev/kvm").is_ok() {
        return ["-accel", "kvm", "-cpu", "host"];
    }
    ["-accel", "tcg,thread=multi", "-cpu", "qemu64"]
}

/// A conversation with QEMU's agent (qemu-ga-ref(7)), for one boot.
struct Talk(BufReader<UnixStream>);

impl Talk {
    /// Waits until the machine is far enough to answer.
    fn begin(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Machine::BOOT * Machine::SLOWNESS))?;
        let mut talk = Self(BufReader::new(stream));
        talk.call("guest-ping", &json!({}))?;
        talk.0.get_ref().set_read_timeout(Some(ANSWER))?;
        Ok(talk)
    }

    fn run(&mut self, command: &[&str], input: &[u8]) -> io::Result<Output> {
        let (program, arguments) = command.split_first().unwrap();
        let started = self.call(
            "guest-exec",
            &json!({"path": program, "arg": arguments, "input-data": BASE64.encode(input), "capture-output": true}),
        )?;
        loop {
            let status = self.call("guest-exec-status", &json!({"pid": started["pid"]}))?;
            if status["exited"].as_bool().unwrap() {
                let data = |key: &str| BASE64.decode(status[key].as_str().unwrap_or_default()).unwrap();
                // As wait(2) encodes it.
                let number = |key: &str| i32::try_from(status[key].as_i64().unwrap_or(0)).unwrap();
                let status = ExitStatus::from_raw(number("exitcode") << 8 | number("signal"));
                return Ok(Output { status, stdout: data("out-data"), stderr: data("err-data") });
            }
            std::thread::sleep(POLL);
        }
    }

    /// One question and what it returns.
    fn call(&mut self, name: &str, arguments: &Value) -> io::Result<Value> {
        let question = json!({"execute": name, "arguments": arguments});
        self.0.get_mut().write_all(format!("{question}\n").as_bytes())?;
        let mut answer = String::new();
        if self.0.read_line(&mut answer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut answer: Value = serde_json::from_str(&answer)?;
        assert!(answer.get("error").is_none(), "{question}: {answer}");
        Ok(answer["return"].take())
    }
}
