//! Private roots: a directory that is a host to the agent, and what it looks like at one moment.

use crate::apt::Repository;
use crate::programs::Said;
use shared::digest::Digest;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What belongs to the agent or is a log or cache, not the state of the host.
const NOT_STATE: [&str; 9] = [
    "/var/lib/assent",
    "/etc/assent",
    "/var/log",
    "/var/cache/apt",
    "/var/lib/apt",
    "/var/lib/dpkg",
    "/var/lib/dnf",
    "/var/lib/rpm",
    // Debian's rpm keeps the database of a root there.
    "/root",
];

/// Makes the directories and files that a minimal Debian root has.
pub fn prepare(root: &Path, hostname: &str) {
    for dir in [
        "etc/apt/apt.conf.d",
        "etc/apt/preferences.d",
        "etc/apt/sources.list.d",
        "etc/apt/keyrings",
        "etc/assent",
        "var/lib/dpkg/info",
        "var/lib/dpkg/updates",
        "var/lib/dpkg/triggers",
        "var/lib/apt/lists/partial",
        "var/cache/apt/archives/partial",
        "var/log/apt",
        "var/lib/lab",
        "usr/share",
        "opt",
        "run",
        "tmp",
    ] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    for (file, text) in [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1001:1001::/nonexistent:/usr/sbin/nologin\n"),
        ("etc/group", "root:x:0:\napp:x:1001:\n"),
        (
            "etc/os-release",
            "PRETTY_NAME=\"Lab Linux 1\"\nNAME=\"Lab Linux\"\nID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=lab\n",
        ),
        ("etc/hostname", hostname),
        ("var/lib/dpkg/status", ""),
    ] {
        fs::write(root.join(file), text).unwrap();
    }
}

/// Points the root at a repository and installs packages from it, before the host belongs to a site.
pub fn install(root: &Path, repository: &Repository, packages: &[&str]) {
    fs::copy(repository.public_key(), root.join("etc/apt/keyrings/lab.gpg")).unwrap();
    let key = root.join("etc/apt/keyrings/lab.gpg");
    let line = |suite: &str| format!("deb [signed-by={}] {} {suite} main\n", key.display(), repository.url());
    let sources = format!("{}{}", line("stable"), line("stable-security"));
    fs::write(root.join("etc/apt/sources.list.d/lab.list"), sources).unwrap();
    let settings = tempfile::NamedTempFile::new().unwrap();
    let r = root.display();
    fs::write(
        settings.path(),
        format!(
            "Dir \"{r}/\";\nDir::State::status \"{r}/var/lib/dpkg/status\";\nDir::Log \"{r}/var/log/apt\";\n\
             APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\nDpkg::Use-Pty \"0\";\nDPkg::Path \"\";\n\
             DPkg::Options {{ \"--root={r}\"; \"--force-not-root\"; \"--force-script-chrootless\"; \
             \"--log={r}/var/log/dpkg.log\"; }};\n"
        ),
    )
    .unwrap();
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .env("APT_CONFIG", settings.path())
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive");
        Said::of(command.args(["-qq", "-y", "-o", "APT::Update::Error-Mode=any"]).args(args)).ok()
    };
    apt(&["update"]);
    if !packages.is_empty() {
        apt(&[&["install", "--no-install-recommends"], packages].concat());
    }
}

/// One thing in a root, with everything that an undo must bring back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub kind: &'static str,
    pub mode: u32,
    pub owner: (u32, u32),
    /// Digest of the bytes, or the target of a link.
    pub content: String,
}

/// The state of a host, by path as the host names it; installed packages as `dpkg:NAME`.
pub type Snapshot = BTreeMap<String, Node>;

pub fn snapshot(root: &Path) -> Snapshot {
    let mut all = Snapshot::new();
    walk(root, root, &mut all);
    let format = "${Package}\\t${Status}\\t${Version}\\n";
    let mut dpkg = Command::new("dpkg-query");
    dpkg.arg(format!("--admindir={}", root.join("var/lib/dpkg").display())).args(["-W", "-f", format]);
    // With no package at all dpkg-query ends with 1 and prints nothing.
    for line in Said::of(&mut dpkg).out.lines() {
        let (name, rest) = line.split_once('\t').unwrap_or((line, ""));
        let node = Node { kind: "package", mode: 0, owner: (0, 0), content: rest.into() };
        all.insert(format!("dpkg:{name}"), node);
    }
    all
}

fn walk(root: &Path, dir: &Path, all: &mut Snapshot) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = format!("/{}", path.strip_prefix(root).unwrap().display());
        if NOT_STATE.contains(&name.as_str()) {
            continue;
        }
        let meta = fs::symlink_metadata(&path).unwrap();
        let (kind, content) = if meta.is_dir() {
            ("directory", String::new())
        } else if meta.is_symlink() {
            ("link", fs::read_link(&path).unwrap().display().to_string())
        } else {
            ("file", Digest::of(&fs::read(&path).unwrap()).hex())
        };
        let content = content + &acls(&path, kind);
        all.insert(name, Node { kind, mode: meta.mode() & 0o7777, owner: (meta.uid(), meta.gid()), content });
        if meta.is_dir() {
            walk(root, &path, all);
        }
    }
}

/// Access control lists, where something has more than a mode.
fn acls(path: &Path, kind: &str) -> String {
    let mut all = String::new();
    for name in ["system.posix_acl_access", "system.posix_acl_default"] {
        let mut list = vec![0; 4096];
        let length = match kind {
            "link" => Err(rustix::io::Errno::NODATA),
            _ => rustix::fs::getxattr(path, name, list.as_mut_slice()),
        };
        if let Ok(length) = length {
            all += &format!(" {name} {}", Digest::of(&list[..length]).hex());
        }
    }
    all
}

/// Paths that are not the same in both.
pub fn differences(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let paths: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    paths.into_iter().filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}
