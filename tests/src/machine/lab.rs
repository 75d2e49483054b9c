//! Packages with a real service, in a repository that machines reach over their wire.
//!
//! The service is a small web server that answers with the text of its settings and leaves one line each time it
//! starts. Its maintainer scripts are those that debhelper writes for the way in which a package starts its unit.

use super::{Ground, Machine};
use crate::apt::{Package, Repository};
use crate::programs::{self, Said};
use crate::proxy::Proxy;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// What the package itself does with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starts {
    /// Nothing (`--no-enable --no-start`).
    Never,
    /// Enables and starts it, restarts it when upgraded, stops it before it is removed: Debian's default.
    AtOnce,
}

const SERVE: &str = r#"#!/usr/bin/perl
use strict; use warnings; use IO::Socket::INET;
my ($name) = @ARGV;
open(my $starts, '>>', "/var/lib/lab/$name.starts") or die; print $starts "start\n"; close $starts;
my %set;
open(my $conf, '<', "/etc/lab/$name.conf") or die "no settings\n";
while (<$conf>) { $set{$1} = $2 if /^(\w+)=(.*)$/ }
if (defined $set{dies_after}) { select(undef, undef, undef, $set{dies_after}); die "told to die\n" }
my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1:$set{port}", ReuseAddr => 1) or die "$@\n";
while (my $c = $listener->accept) {
  while (<$c>) { last if /^\r?\n$/ }
  print $c "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " . length($set{text}) . "\r\n\r\n$set{text}";
  close $c;
}
"#;

/// The repository of one site's machines.
pub struct Lab {
    repository: Repository,
    /// The repository on the wire of the machines.
    door: Proxy,
}

impl Lab {
    /// A repository with these packages: name, version, what they do with their unit.
    pub fn new(packages: &[(&str, &str, Starts)]) -> Self {
        let repository = Repository::new(&[]);
        for (name, version, starts) in packages {
            add(&repository, name, version, *starts);
        }
        repository.sign();
        let address = repository.url();
        let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
        let door = Proxy::start(TcpListener::bind((Ground::HUB, port)).unwrap(), Path::new("/nonexistent"));
        door.set_backends(&[([127, 0, 0, 1], port).into()]);
        Self { repository, door }
    }

    /// Adds a package without a unit whose script runs after unpacking.
    pub fn add_script(&self, name: &str, version: &str, postinst: &str) {
        self.repository.add(&Package { suite: "stable", name, version, postinst });
        self.repository.sign();
    }

    /// Adds a package like [`Lab::add_script`] to the suite of security updates.
    pub fn add_fix(&self, name: &str, version: &str) {
        self.repository.add(&Package { suite: "stable-security", name, version, postinst: "" });
        self.repository.sign();
    }

    /// Adds the agent itself, built into a package of this version as packaging does it.
    pub fn add_agent(&self, version: &str) {
        self.add_program(version, &programs::own("assent-agent"));
    }

    /// The same with a program that ends at once, and badly.
    pub fn add_broken_agent(&self, version: &str) {
        self.add_program(version, Path::new("/bin/false"));
    }

    fn add_program(&self, version: &str, program: &Path) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("packaging/deb");
        let out = tempfile::tempdir().unwrap();
        let mut build = Command::new(script);
        Said::of(build.arg(program).arg(version).arg(out.path())).ok();
        self.repository.add_files(out.path());
        self.repository.sign();
    }

    /// Offers Debian's own packages as well.
    pub fn add_debian(&self, ground: &Ground) {
        self.repository.add_files(ground.debs());
        self.repository.sign();
    }

    /// Makes the machine use this repository and no other.
    pub fn serve(&self, machine: &Machine) {
        machine.copy(&self.repository.public_key(), "/etc/apt/keyrings/lab.gpg");
        let line = ["stable", "stable-security"].map(|suite| {
            format!("deb [signed-by=/etc/apt/keyrings/lab.gpg] http://{} {suite} main\n", self.door.address)
        });
        machine.write("/etc/apt/sources.list.d/lab.list", line.concat().as_bytes(), 0o644);
    }
}

fn add(repository: &Repository, name: &str, version: &str, starts: Starts) {
    let tree = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str, mode: u32| {
        let path = tree.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Lab <lab@example.org>\n\
         Section: misc\nPriority: optional\nDescription: {name} of the lab\n"
    );
    let unit = format!(
        "[Unit]\nDescription={name} of the lab\n[Service]\nExecStart=/usr/lib/{name}/serve {name}\n\
         StateDirectory=lab\nRestart=on-failure\nRestartSec=1\n[Install]\nWantedBy=multi-user.target\n"
    );
    write("DEBIAN/control", &control, 0o644);
    write(&format!("usr/lib/{name}/serve"), SERVE, 0o755);
    write(&format!("lib/systemd/system/{name}.service"), &unit, 0o644);
    write(&format!("usr/share/lab/{name}"), &format!("{version}\n"), 0o644);
    if starts == Starts::AtOnce {
        write("DEBIAN/conffiles", &format!("/etc/lab/{name}.conf\n"), 0o644);
        write(&format!("etc/lab/{name}.conf"), "port=8080\ntext=as packaged\n", 0o644);
        for (script, text) in scripts(&format!("{name}.service")) {
            write(&format!("DEBIAN/{script}"), &format!("#!/bin/sh\nset -e\n{text}\nexit 0\n"), 0o755);
        }
    }
    let package = Package { suite: "stable", name, version, postinst: "" };
    let file = repository.file(&package);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut build = Command::new("dpkg-deb");
    build.args(["-Zgzip", "-z1", "--root-owner-group", "-b"]).arg(tree.path());
    Said::of(build.arg(file)).ok();
}

/// Written for this harness after deb-systemd-helper(1p) and deb-systemd-invoke(1p).
fn scripts(unit: &str) -> [(&'static str, String); 3] {
    let booted = "[ -d /run/systemd/system ]";
    let postinst = format!(
        "[ \"$1\" = configure ] || exit 0\n\
         deb-systemd-helper unmask {unit} >/dev/null || true\n\
         if deb-systemd-helper --quiet was-enabled {unit}; then deb-systemd-helper enable {unit} >/dev/null || true\n\
         else deb-systemd-helper update-state {unit} >/dev/null || true; fi\n\
         if {booted}; then systemctl --system daemon-reload || true\n\
         if [ -n \"$2\" ]; then deb-systemd-invoke restart {unit} || true\n\
         else deb-systemd-invoke start {unit} || true; fi; fi"
    );
    let prerm =
        format!("if {booted} && [ \"$1\" = remove ]; then deb-systemd-invoke stop {unit} || true; fi");
    let postrm = format!(
        "if {booted} && [ \"$1\" = remove ]; then systemctl --system daemon-reload || true; fi\n\
         if [ \"$1\" = purge ]; then deb-systemd-helper purge {unit} >/dev/null || true\n\
         deb-systemd-helper unmask {unit} >/dev/null || true; fi"
    );
    [("postinst", postinst), ("prerm", prerm), ("postrm", postrm)]
}
