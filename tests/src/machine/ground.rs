//! The ground that machines stand on: namespaces of their own, in which everything ends with the test, and the
//! tree to boot from.
//!
//! A test starts itself again inside, so that no process, mount, network or port of a machine is ever seen
//! outside, whatever becomes of the test. What outlives namespaces (files, empty control groups) goes at the end.

use crate::programs::{self, Said};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the files of this test's machines are; set only inside.
const GROUND: &str = "ASSENT_TEST_GROUND";
/// The tree to boot from; set only inside.
const TREE: &str = "ASSENT_TEST_TREE";
/// Debian's packages for the lab, where the test wants them; set only inside.
const DEBS: &str = "ASSENT_TEST_DEBS";
const PREFIX: &str = "assent-machines-";
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";
/// The last one is the only one of hosts without the first version of control groups.
const HIERARCHIES: [&str; 5] = ["unified", "systemd", "memory", "pids", ""];
/// Exit code of `base-tree`: this machine cannot build one.
const UNABLE: i32 = 77;

/// Own namespaces with a network: a bridge at [`Ground::HUB`], to which each machine is wired.
pub struct Ground {
    pub(super) dir: PathBuf,
    pub(super) tree: PathBuf,
    debs: Option<PathBuf>,
}

/// What a ground is made of besides itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    /// Debian's name of the release that machines run; that of the real machine when not given.
    pub release: Option<&'static str>,
    /// Whether the lab can offer packages of Debian.
    pub debian: bool,
    /// Whether the tree has a kernel, for machines that are emulated.
    pub kernel: bool,
}

impl Ground {
    /// Address of the test itself, as machines see it.
    pub const HUB: &'static str = "10.77.0.1";

    /// Debian's packages, as files.
    pub(super) fn debs(&self) -> &Path {
        self.debs.as_deref().expect("a ground with Debian's packages")
    }

    fn new(dir: PathBuf, tree: PathBuf) -> Self {
        fs::create_dir_all("/run/netns").unwrap();
        run("mount", &["-t", "tmpfs", "tmpfs", "/run/netns"]);
        run("ip", &["link", "set", "lo", "up"]);
        run("ip", &["link", "add", "br0", "type", "bridge"]);
        run("ip", &["addr", "add", &format!("{}/24", Self::HUB), "dev", "br0"]);
        run("ip", &["link", "set", "br0", "up"]);
        Self { dir, tree, debs: std::env::var_os(DEBS).map(Into::into) }
    }
}

/// Runs a program that must succeed.
pub(super) fn run(program: &str, args: &[&str]) -> Said {
    Said::of(Command::new(program).args(args)).ok()
}

/// Plays the body of the test that calls it on a ground of its own; without the tools or rights for that, the
/// test counts as skipped.
///
/// # Panics
/// The body did; its output is shown.
pub fn on_own_ground(body: impl FnOnce(&Ground)) {
    on_ground_with(Needs::default(), body);
}

/// The same with another release, or with packages of Debian.
///
/// # Panics
/// As [`on_own_ground`].
pub fn on_ground_with(needs: Needs, body: impl FnOnce(&Ground)) {
    let test = std::thread::current().name().unwrap().to_owned();
    if let (Some(dir), Some(tree)) = (std::env::var_os(GROUND), std::env::var_os(TREE)) {
        return body(&Ground::new(dir.into(), tree.into()));
    }
    let (tree, debs) = match made_of(needs) {
        Ok(made) => made,
        Err(why) => return programs::skip(&test, &why),
    };
    let dir = tempfile::Builder::new().prefix(PREFIX).tempdir().unwrap();
    let mut inside = Command::new("unshare");
    inside.args(["--mount", "--propagation", "private", "--pid", "--net", "--ipc", "--uts"]);
    inside.args(["--fork", "--kill-child", "--mount-proc", "--"]).arg(std::env::current_exe().unwrap());
    inside.args(["--exact", &test, "--nocapture", "--test-threads", "1"]);
    inside.env(GROUND, dir.path()).env(TREE, tree);
    if let Some(debs) = debs {
        inside.env(DEBS, debs);
    }
    let said = Said::of(&mut inside);
    dir.close().unwrap();
    sweep_control_groups();
    assert!(said.code == 0 && said.out.contains("1 passed"), "{said}");
}

/// The tree to boot from and Debian's packages.
fn made_of(needs: Needs) -> Result<(PathBuf, Option<PathBuf>), String> {
    able(&["unshare", "nsenter", "ip", "systemd-nspawn", "pgrep", "mkfs.ext4", "xfs_io"])?;
    let tree = tree(needs.release, &[])?;
    let debs = needs.debian.then(|| debs(&tree)).transpose()?;
    if !needs.kernel {
        return Ok((tree, debs));
    }
    // The packages are for a machine that has less.
    able(&["qemu-system-x86_64"])?;
    Ok((self::tree(needs.release, &["--kernel"])?, debs))
}

fn able(tools: &[&str]) -> Result<(), String> {
    for tool in tools {
        let dirs = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&dirs).any(|dir| dir.join(tool).exists()) {
            return Err(format!("{tool} is not installed"));
        }
    }
    let tried = Said::of(Command::new("unshare").args(["--mount", "--net", "--pid", "--fork", "true"]));
    if tried.code != 0 {
        return Err(format!("no rights to make namespaces: {}", tried.err.trim()));
    }
    Ok(())
}

/// The tree, built once and kept beside the programs.
fn tree(release: Option<&str>, options: &[&str]) -> Result<PathBuf, String> {
    let mut script = Command::new("bash");
    script.args(["-c", include_str!("../../base-tree"), "base-tree"]).arg(kept()).args(options).args(release);
    made("no tree to boot from", script)
}

/// Debian's packages for machines of this tree, fetched once and kept beside it.
fn debs(tree: &Path) -> Result<PathBuf, String> {
    let mut script = Command::new("bash");
    script.args(["-c", include_str!("../../debian-packages"), "debian-packages"]).arg(kept()).arg(tree);
    made("no packages of Debian", script)
}

fn kept() -> PathBuf {
    let programs = programs::own("assent-agent");
    programs.parent().and_then(Path::parent).unwrap().join("machines")
}

fn made(what: &str, mut script: Command) -> Result<PathBuf, String> {
    let said = Said::of(script.stdin(Stdio::null()));
    match said.code {
        0 => Ok(said.out.trim().into()),
        UNABLE => Err(said.err.trim().into()),
        _ => panic!("{what}: {}", said.all()),
    }
}

/// Control groups for one machine, one in each hierarchy that systemd-nspawn and the guest's systemd use: without
/// them all machines would share one, and equal units of theirs with it.
pub(super) fn control_groups(ground: &Ground, machine: &str) -> Vec<PathBuf> {
    let name = format!("{}.{machine}", ground.dir.file_name().unwrap().display());
    let mut made = Vec::new();
    for hierarchy in HIERARCHIES {
        let hierarchy = Path::new(CONTROL_GROUPS).join(hierarchy);
        if hierarchy.join("cgroup.procs").exists() {
            let group = hierarchy.join(&name);
            fs::create_dir_all(&group).unwrap();
            made.push(group);
        }
    }
    made
}

/// Removes the groups of every ground that is gone, also of earlier runs that were killed.
fn sweep_control_groups() {
    for hierarchy in HIERARCHIES {
        let Ok(entries) = fs::read_dir(Path::new(CONTROL_GROUPS).join(hierarchy)) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some((ground, _)) = name.split_once('.') else { continue };
            if ground.starts_with(PREFIX) && !std::env::temp_dir().join(ground).exists() {
                remove_group(&entry.path());
            }
        }
    }
}

fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    // The kernel refuses while a process is in it; then a later run removes it.
    drop(fs::remove_dir(group));
}
