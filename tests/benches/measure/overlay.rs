//! This machine with a layer in memory over it, in a mount namespace of its own: what programs do to it is gone afterwards.

use std::path::{Path, PathBuf};
use std::process::Command;
use tests::apt::Repository;
use tests::programs::Said;

pub struct Overlay {
    root: PathBuf,
}

impl Overlay {
    /// For a process that is alone in its mount namespace (`unshare --mount`).
    ///
    /// # Panics
    /// The kernel refuses, or this is not root.
    pub fn new(at: &Path) -> Self {
        let mount = |args: &[&str], on: &Path| Said::of(Command::new("mount").args(args).arg(on)).ok();
        mount(&["-t", "tmpfs", "bench"], at);
        let layers = ["upper", "work", "root"].map(|name| at.join(name));
        layers.iter().for_each(|dir| std::fs::create_dir(dir).unwrap());
        let [upper, work, root] = &layers;
        let options = format!("lowerdir=/,upperdir={},workdir={}", upper.display(), work.display());
        mount(&["-t", "overlay", "bench", "-o", &options], root);
        for dir in ["proc", "dev"] {
            mount(&["--rbind", &format!("/{dir}")], &root.join(dir));
        }
        std::fs::create_dir_all(root.join("bench")).unwrap();
        Self { root: root.clone() }
    }

    /// A path of the machine as this process reaches it.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.join(&inside[1..])
    }

    pub fn write(&self, inside: &str, text: &str) {
        let path = self.path(inside);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The command as it has to be run from outside.
    pub fn inside(&self, command: &[&str]) -> Vec<PathBuf> {
        let chroot = [PathBuf::from("chroot"), self.root.clone()];
        chroot.into_iter().chain(command.iter().map(PathBuf::from)).collect()
    }

    /// What a shell inside prints.
    ///
    /// # Panics
    /// It fails.
    pub fn sh(&self, line: &str) -> String {
        Said::of(Command::new("chroot").arg(&self.root).args(["sh", "-ec", line])).ok().out
    }

    /// Packages come from this repository and from nowhere else.
    pub fn use_only(&self, repository: &Repository) {
        std::fs::copy(repository.public_key(), self.path("/bench/lab.gpg")).unwrap();
        self.sh("rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /var/lib/apt/lists/*");
        let source = format!("deb [signed-by=/bench/lab.gpg] {} stable main\n", repository.url());
        self.write("/etc/apt/sources.list.d/lab.list", &source);
        self.sh("apt-get -qq update");
    }
}
