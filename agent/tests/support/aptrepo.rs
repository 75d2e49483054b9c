//! A signed package repository built on the spot, and a private apt root that trusts it.
//!
//! Tools: dpkg-deb, apt-ftparchive (apt-utils), gpg.

use super::tools::run;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A repository with suites `stable` (label `Lab`) and `stable-security` (label `Lab-Security`).
pub struct Repo {
    dir: tempfile::TempDir,
}

/// One package to be built.
#[derive(Clone, Default)]
pub struct Deb<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub depends: &'a str,
    /// A configuration file with these contents, `/etc/<name>.conf`.
    pub conffile: &'a str,
    pub postinst: &'a str,
    pub preinst: &'a str,
    /// What it claims to need on the disk; 0 claims nothing.
    pub installed_kib: u64,
}

impl Repo {
    /// An empty repository with a throw-away key.
    pub fn new() -> Self {
        let repo = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(repo.path("gpg")).unwrap();
        run(Command::new("chmod").arg("700").arg(repo.path("gpg")));
        let batch =
            "%no-protection\nKey-Type: eddsa\nKey-Curve: ed25519\nName-Real: Lab\nExpire-Date: 0\n%commit\n";
        fs::write(repo.path("batch"), batch).unwrap();
        run(repo.gpg().arg("--gen-key").arg(repo.path("batch")));
        let key = run(repo.gpg().args(["--export"]));
        fs::write(repo.path("key.gpg"), key.stdout).unwrap();
        repo
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn gpg(&self) -> Command {
        let mut gpg = Command::new("gpg");
        gpg.args(["--batch", "--quiet", "--homedir"]).arg(self.path("gpg"));
        gpg
    }

    /// The public key as manifests hold it.
    pub fn armored_key(&self) -> String {
        String::from_utf8(run(self.gpg().args(["--armor", "--export"])).stdout).unwrap()
    }

    fn pool(&self, suite: &str) -> PathBuf {
        self.path("repo").join("pool").join(suite)
    }

    /// Path of a package file.
    pub fn file(&self, suite: &str, name: &str, version: &str) -> PathBuf {
        self.pool(suite).join(format!("{name}_{}_all.deb", version.replace(':', "%3a")))
    }

    /// Builds a package into a suite. `publish` makes it visible.
    pub fn add(&self, suite: &str, deb: &Deb<'_>) -> &Self {
        let tree = self.path("build");
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        fs::create_dir_all(tree.join("usr/share").join(deb.name)).unwrap();
        let mut control = format!(
            "Package: {}\nVersion: {}\nArchitecture: all\nMaintainer: Lab <lab@example.org>\nDescription: test\n",
            deb.name, deb.version
        );
        if deb.installed_kib > 0 {
            control.push_str(&format!("Installed-Size: {}\n", deb.installed_kib));
        }
        if !deb.depends.is_empty() {
            control.push_str(&format!("Depends: {}\n", deb.depends));
        }
        fs::write(tree.join("DEBIAN/control"), control).unwrap();
        fs::write(tree.join("usr/share").join(deb.name).join("version"), deb.version).unwrap();
        if !deb.conffile.is_empty() {
            fs::create_dir_all(tree.join("etc")).unwrap();
            fs::write(tree.join(format!("etc/{}.conf", deb.name)), deb.conffile).unwrap();
            fs::write(tree.join("DEBIAN/conffiles"), format!("/etc/{}.conf\n", deb.name)).unwrap();
        }
        for (name, script) in [("postinst", deb.postinst), ("preinst", deb.preinst)] {
            if !script.is_empty() {
                let path = tree.join("DEBIAN").join(name);
                fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
                run(Command::new("chmod").arg("755").arg(path));
            }
        }
        fs::create_dir_all(self.pool(suite)).unwrap();
        let file = self.file(suite, deb.name, deb.version);
        run(Command::new("dpkg-deb")
            .args(["-Zgzip", "-z1", "--root-owner-group", "-b"])
            .arg(&tree)
            .arg(file));
        fs::remove_dir_all(tree).unwrap();
        self
    }

    /// Writes and signs the indexes of both suites.
    pub fn publish(&self) -> &Self {
        self.publish_until("")
    }

    /// The same with the end of validity that Release files name; empty for none.
    pub fn publish_until(&self, valid: &str) -> &Self {
        for (suite, label) in [("stable", "Lab"), ("stable-security", "Lab-Security")] {
            fs::create_dir_all(self.pool(suite)).unwrap();
            let dist = self.path("repo").join("dists").join(suite);
            let binary = dist.join("main/binary-amd64");
            fs::create_dir_all(&binary).unwrap();
            let packages = run(Command::new("apt-ftparchive")
                .current_dir(self.path("repo"))
                .args(["packages", &format!("pool/{suite}")]));
            fs::write(binary.join("Packages"), packages.stdout).unwrap();
            for old in ["Release", "InRelease"] {
                if dist.join(old).exists() {
                    fs::remove_file(dist.join(old)).unwrap();
                }
            }
            let set = |key: &str, value: &str| format!("-oAPT::FTPArchive::Release::{key}={value}");
            let release = run(Command::new("apt-ftparchive").current_dir(&dist).args([
                set("Origin", "Lab"),
                set("Label", label),
                set("Suite", suite),
                set("Codename", suite),
                set("Architectures", "amd64"),
                set("Components", "main"),
                "release".to_owned(),
                ".".to_owned(),
            ]));
            let mut release = String::from_utf8(release.stdout).unwrap();
            if !valid.is_empty() {
                release = release.replacen("MD5Sum:", &format!("Valid-Until: {valid}\nMD5Sum:"), 1);
            }
            fs::write(dist.join("Release"), release).unwrap();
            run(self
                .gpg()
                .arg("--clearsign")
                .arg("-o")
                .arg(dist.join("InRelease"))
                .arg(dist.join("Release")));
        }
        self
    }

    pub fn in_release(&self, suite: &str) -> PathBuf {
        self.path("repo").join("dists").join(suite).join("InRelease")
    }

    /// A private root with an empty package database that uses this repository at `base` (a `file:` or
    /// `http:` address).
    pub fn root(&self, base: &str) -> Root {
        let root = Root::empty();
        for dir in [
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "etc/apt/sources.list.d",
            "var/lib/dpkg/info",
            "var/lib/dpkg/updates",
            "var/lib/dpkg/triggers",
            "var/log/apt",
            "var/lib/apt",
            "var/lib/assent",
            "usr/share",
        ] {
            fs::create_dir_all(root.path(dir)).unwrap();
        }
        fs::write(root.path("var/lib/dpkg/status"), "").unwrap();
        let key = self.path("key.gpg");
        let line = |suite: &str| format!("deb [signed-by={}] {base} {suite} main\n", key.display());
        let lines = format!("{}{}", line("stable"), line("stable-security"));
        fs::write(root.path("etc/apt/sources.list"), lines).unwrap();
        root
    }

    /// The repository as a `file:` address.
    pub fn file_url(&self) -> String {
        format!("file:{}", self.path("repo").display())
    }
}

/// A private root.
pub struct Root {
    dir: tempfile::TempDir,
}

impl Root {
    pub fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn state(&self) -> PathBuf {
        self.path("var/lib/assent")
    }

    /// `apt-get` as somebody at the host types it; it leaves its traces in the logs of the root.
    pub fn by_hand(&self, arguments: &[&str]) {
        let (settings, r) = (self.path("by-hand.conf"), self.dir.path().display());
        let lines = format!(
            "Dir \"{r}/\";\nDir::State::status \"{r}/var/lib/dpkg/status\";\nDir::Log \"{r}/var/log/apt\";\n\
             APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\nDpkg::Use-Pty \"0\";\nDPkg::Path \"\";\n\
             DPkg::Options {{ \"--root={r}\"; \"--force-not-root\"; \"--force-script-chrootless\"; \
             \"--log={r}/var/log/dpkg.log\"; }};\n"
        );
        fs::write(&settings, lines).unwrap();
        for dir in ["var/lib/apt/lists/partial", "var/cache/apt/archives/partial"] {
            fs::create_dir_all(self.path(dir)).unwrap();
        }
        for arguments in [&["update"], arguments] {
            let mut apt = Command::new("apt-get");
            apt.env("APT_CONFIG", &settings).env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
            run(apt.args(["-qq", "-y"]).args(arguments));
        }
    }
}

/// Serves a directory over HTTP on the loopback until it is dropped.
pub struct Served {
    pub url: String,
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

/// Just enough HTTP/1.1 for apt: GET of files, one request a connection.
pub fn serve(dir: PathBuf) -> Served {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::atomic::Ordering;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let ended = stop.clone();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        while !ended.load(Ordering::SeqCst) {
            let Ok((mut stream, _)) = listener.accept() else {
                std::thread::sleep(std::time::Duration::from_millis(2));
                continue;
            };
            stream.set_nonblocking(false).unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            if reader.read_line(&mut line).is_err() {
                continue;
            }
            let mut header = String::new();
            while reader.read_line(&mut header).is_ok_and(|n| n > 2) {
                header.clear();
            }
            let path = line.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').replace("%2b", "+");
            let (status, body) = match fs::read(dir.join(path)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let answer = [head.as_bytes(), &body].concat();
            // apt may hang up early; the test sees that by itself.
            stream.write_all(&answer).ok();
        }
    });
    Served { url, stop }
}
