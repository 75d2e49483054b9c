//! A signed package repository over http: tiny packages, two suites, a key of its own.
//!
//! Served over http and not as `file:`, because apt takes indexes of a `file:` source in place and would
//! never notice that one was changed under it.

use crate::programs::Said;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

const SUITES: [(&str, &str); 2] = [("stable", "Lab"), ("stable-security", "Lab-Security")];

/// A package to build; it installs `/usr/share/lab/NAME`, which holds its version.
#[derive(Clone, Copy, Debug)]
pub struct Package<'a> {
    pub suite: &'a str,
    pub name: &'a str,
    pub version: &'a str,
    /// Shell lines that run after unpacking; empty for none.
    pub postinst: &'a str,
}

/// A repository that is served until it is dropped.
pub struct Repository {
    dir: TempDir,
    address: std::net::SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Repository {
    /// Builds, signs and serves.
    pub fn new(packages: &[Package<'_>]) -> Self {
        let dir = tempfile::Builder::new().prefix("assent-apt-").tempdir().unwrap();
        let repository = serve(dir);
        repository.make_key();
        for package in packages {
            repository.add(package);
        }
        repository.sign();
        repository
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn public_key(&self) -> PathBuf {
        self.dir.path().join("key.gpg")
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("gnupg")
    }

    fn gpg(&self) -> Command {
        let mut gpg = Command::new("gpg");
        gpg.arg("--homedir").arg(self.home()).args([
            "--batch",
            "--yes",
            "--quiet",
            "--no-tty",
            "--passphrase",
            "",
        ]);
        gpg
    }

    fn make_key(&self) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::create_dir_all(self.home()).unwrap();
        fs::set_permissions(self.home(), fs::Permissions::from_mode(0o700)).unwrap();
        let make = ["--quick-generate-key", "Lab <lab@example.org>", "ed25519", "sign", "never"];
        Said::of(self.gpg().args(make)).ok();
        Said::of(self.gpg().args(["--export", "--output"]).arg(self.public_key())).ok();
    }

    /// Adds a package; [`Repository::sign`] makes it known.
    pub fn add(&self, package: &Package<'_>) {
        self.add_with(package, "");
    }

    /// Adds a package with further lines in its control file, such as `Source: x (1.2)\n`.
    pub fn add_with(&self, package: &Package<'_>, fields: &str) {
        let Package { suite, name, version, postinst } = *package;
        let tree = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str, mode: u32| {
            use std::os::unix::fs::PermissionsExt as _;
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Lab <lab@example.org>\n\
             Section: misc\nPriority: optional\n{fields}Description: {name} of the lab\n"
        );
        write("DEBIAN/control", &control, 0o644);
        write(&format!("usr/share/lab/{name}"), &format!("{version}\n"), 0o644);
        if !postinst.is_empty() {
            write("DEBIAN/postinst", &format!("#!/bin/sh\nset -e\n{postinst}\n"), 0o755);
        }
        let pool = self.dir.path().join("pool").join(suite);
        fs::create_dir_all(&pool).unwrap();
        let mut build = Command::new("dpkg-deb");
        build.args(["-Zgzip", "-z1", "--root-owner-group", "-b"]).arg(tree.path());
        Said::of(build.arg(pool.join(format!("{name}_{version}_all.deb")))).ok();
    }

    /// Adds the package files of a directory to the first suite.
    pub fn add_files(&self, dir: &Path) {
        let pool = self.dir.path().join("pool/stable");
        fs::create_dir_all(&pool).unwrap();
        for entry in fs::read_dir(dir).unwrap() {
            let from = entry.unwrap().path();
            let to = pool.join(from.file_name().unwrap());
            // A link costs nothing; another file system needs the copy.
            if fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to).unwrap();
            }
        }
    }

    /// Writes and signs the indexes of both suites.
    pub fn sign(&self) {
        self.sign_with("");
    }

    /// The same with further entries in the index of the first suite, whose files nobody will ask for.
    pub fn sign_with(&self, entries: &str) {
        let base = self.dir.path();
        for (suite, label) in SUITES {
            let dist = base.join("dists").join(suite);
            let index = dist.join("main/binary-amd64");
            fs::create_dir_all(&index).unwrap();
            fs::create_dir_all(base.join("pool").join(suite)).unwrap();
            let ftp = |args: &[&str]| {
                Said::of(Command::new("apt-ftparchive").args(args).current_dir(base)).ok().out
            };
            let entries = if suite == SUITES[0].0 { entries } else { "" };
            // What was hashed once is remembered: Debian's own packages are large.
            let known = format!("{suite}.db");
            let packages = ftp(&["--db", &known, "packages", &format!("pool/{suite}")]) + entries;
            fs::write(index.join("Packages"), packages).unwrap();
            let option = |key: &str, value: &str| format!("APT::FTPArchive::Release::{key}={value}");
            let release = ftp(&[
                "-o",
                &option("Suite", suite),
                "-o",
                &option("Codename", suite),
                "-o",
                &option("Label", label),
                "-o",
                &option("Origin", "Lab"),
                "-o",
                &option("Components", "main"),
                "-o",
                &option("Architectures", "amd64 all"),
                "release",
                &format!("dists/{suite}"),
            ]);
            fs::write(dist.join("Release"), release).unwrap();
            let mut sign = self.gpg();
            sign.args(["--clearsign", "--output"]).arg(dist.join("InRelease")).arg(dist.join("Release"));
            Said::of(&mut sign).ok();
        }
    }

    /// The package file that is served, for changing a byte of it.
    pub fn file(&self, package: &Package<'_>) -> PathBuf {
        let Package { suite, name, version, .. } = *package;
        self.dir.path().join("pool").join(suite).join(format!("{name}_{version}_all.deb"))
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that waits in accept; when it is gone already there is nothing to wake.
        drop(TcpStream::connect(self.address));
    }
}

/// Serves a directory to GET requests, one thread for each connection.
fn serve(dir: TempDir) -> Repository {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (flag, base) = (stop.clone(), dir.path().to_owned());
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            if flag.load(Ordering::SeqCst) {
                return;
            }
            let base = base.clone();
            std::thread::spawn(move || answer(connection, &base));
        }
    });
    Repository { dir, address, stop }
}

fn answer(mut connection: TcpStream, base: &Path) {
    let mut head = Vec::new();
    let mut byte = [0];
    while let Ok(1) = connection.read(&mut byte) {
        head.push(byte[0]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        head.clear();
        let path = text.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        // The one escape that names of package files need.
        let path = path.replace("%2b", "+");
        let allowed = !path.contains("..") && (path.starts_with("dists/") || path.starts_with("pool/"));
        let (status, body) = match fs::read(base.join(&path)) {
            Ok(body) if allowed => ("200 OK", body),
            _ => ("404 Not Found", Vec::new()),
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        if connection.write_all(&[head.as_bytes(), &body].concat()).is_err() {
            return;
        }
    }
}
