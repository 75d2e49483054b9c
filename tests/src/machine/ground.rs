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
}

impl Ground {
    /// Address of the test itself, as machines see it.
    pub const HUB: &'static str = "10.77.0.1";

    fn new(dir: PathBuf, tree: PathBuf) -> Self {
        fs::create_dir_all("/run/netns").unwrap();
        run("mount", &["-t", "tmpfs", "tmpfs", "/run/netns"]);
        run("ip", &["link", "set", "lo", "up"]);
        run("ip", &["link", "add", "br0", "type", "bridge"]);
        run("ip", &["addr", "add", &format!("{}/24", Self::HUB), "dev", "br0"]);
        run("ip", &["link", "set", "br0", "up"]);
        Self { dir, tree }
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
    let test = std::thread::current().name().unwrap().to_owned();
    if let (Some(dir), Some(tree)) = (std::env::var_os(GROUND), std::env::var_os(TREE)) {
        return body(&Ground::new(dir.into(), tree.into()));
    }
    let tree = match able().and_then(|()| tree()) {
        Ok(tree) => tree,
        Err(why) => return programs::skip(&test, &why),
    };
    let dir = tempfile::Builder::new().prefix(PREFIX).tempdir().unwrap();
    let mut inside = Command::new("unshare");
    inside.args(["--mount", "--propagation", "private", "--pid", "--net", "--ipc", "--uts"]);
    inside.args(["--fork", "--kill-child", "--mount-proc", "--"]).arg(std::env::current_exe().unwrap());
    inside.args(["--exact", &test, "--nocapture", "--test-threads", "1"]);
    let said = Said::of(inside.env(GROUND, dir.path()).env(TREE, tree));
    dir.close().unwrap();
    sweep_control_groups();
    assert!(said.code == 0 && said.out.contains("1 passed"), "{said}");
}

fn able() -> Result<(), String> {
    for tool in ["unshare", "nsenter", "ip", "systemd-nspawn", "pgrep", "mkfs.ext4", "xfs_io"] {
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
fn tree() -> Result<PathBuf, String> {
    let programs = programs::own("assent-agent");
    let dir = programs.parent().and_then(Path::parent).unwrap().join("machines");
    let mut script = Command::new("bash");
    script.args(["-c", include_str!("../../base-tree"), "base-tree"]).arg(dir).stdin(Stdio::null());
    let said = Said::of(&mut script);
    match said.code {
        0 => Ok(said.out.trim().into()),
        UNABLE => Err(said.err.trim().into()),
        _ => panic!("no tree to boot from: {}", said.all()),
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
