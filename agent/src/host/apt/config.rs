//! Settings with which apt and dpkg are run: the agent's own lists and downloads, and a private root.

use crate::host::Fault;
use crate::host::process::Exec;
use shared::manifest::Conffiles;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct Config {
    root: PathBuf,
    whole: bool,
    dir: PathBuf,
}

impl Config {
    pub fn new(root: &Path, whole: bool, dir: PathBuf) -> Self {
        Self { root: root.to_owned(), whole, dir }
    }

    pub fn dpkg_dir(&self) -> PathBuf {
        self.root.join("var/lib/dpkg")
    }

    pub fn lists(&self) -> PathBuf {
        self.dir.join("lists")
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Package files that are being downloaded.
    pub fn incoming(&self) -> PathBuf {
        self.dir.join("incoming")
    }

    /// The package database as it is only supposed to be.
    pub fn supposed(&self) -> PathBuf {
        self.dir.join("supposed")
    }

    fn archives(&self) -> PathBuf {
        self.dir.join("cache/archives")
    }

    fn file(&self) -> PathBuf {
        self.dir.join("apt.conf")
    }

    /// Options of dpkg itself. A private root has no shell or programs, so its maintainer scripts run outside
    /// with `DPKG_ROOT` set (dpkg(1), `--force-script-chrootless`).
    pub fn dpkg_options(&self) -> Vec<String> {
        let mut options = Vec::new();
        if !self.whole {
            let root = self.root.display();
            options.extend([
                format!("--root={root}"),
                "--force-not-root".to_owned(),
                "--force-script-chrootless".to_owned(),
                format!("--log={root}/var/log/dpkg.log"),
            ]);
        }
        options
    }

    /// Which configuration file wins where both sides have changed one; dpkg asks nobody.
    pub fn dpkg_conffiles(conffiles: Conffiles) -> &'static str {
        match conffiles {
            Conffiles::Old => "--force-confold",
            Conffiles::New => "--force-confnew",
        }
    }

    /// Writes the settings file and makes the directories. The file is derived, so losing it harms nothing.
    pub fn write(&self) -> Result<(), Fault> {
        let write = || -> io::Result<()> {
            fs::create_dir_all(self.lists().join("partial"))?;
            fs::create_dir_all(self.archives().join("partial"))?;
            fs::create_dir_all(self.dir.join("store"))?;
            let text = self.text()?;
            if fs::read(self.file()).is_ok_and(|found| found == text.as_bytes()) {
                return Ok(());
            }
            fs::write(self.file(), text)
        };
        write().map_err(Fault::io(format!("prepare {}", self.dir.display())))
    }

    fn text(&self) -> io::Result<String> {
        let quoted = |path: &Path| match path.to_str() {
            Some(text) if !text.contains(['"', '\\', '\n']) => Ok(text.to_owned()),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "apt cannot use a path with quotes or line breaks",
            )),
        };
        let mut text = String::new();
        let mut line =
            |name: &str, value: &str| writeln!(text, "{name} \"{value}\";").map_err(io::Error::other);
        if !self.whole {
            let root = quoted(&self.root)?;
            line("Dir", &format!("{root}/"))?;
            line("Dir::State::status", &format!("{root}/var/lib/dpkg/status"))?;
            line("Dir::Log", &format!("{root}/var/log/apt"))?;
            line("APT::Sandbox::User", "root")?;
            line("DPkg::Path", "")?;
        }
        line("Dir::State::lists", &format!("{}/", quoted(&self.lists())?))?;
        line("Dir::Cache", &format!("{}/", quoted(&self.dir.join("cache"))?))?;
        line("Acquire::Languages", "none")?;
        // Simulations write it too, and planning must leave no trace.
        line("Dir::Log::Planner", "/dev/null")?;
        line("Dpkg::Use-Pty", "0")?;
        for option in self.dpkg_options() {
            line("DPkg::Options::", &option)?;
        }
        Ok(text)
    }

    /// Removes all package lists; the next update fetches them whole.
    pub fn forget_lists(&self) -> Result<(), Fault> {
        let forget = || -> io::Result<()> {
            fs::remove_dir_all(self.lists())?;
            fs::create_dir_all(self.lists().join("partial"))
        };
        forget().map_err(Fault::io(format!("empty {}", self.lists().display())))
    }

    /// No prompts, no translations, no restarts of services that the plan does not name (needrestart(1)).
    pub fn environment(&self, exec: Exec) -> Exec {
        exec.env("APT_CONFIG", self.file().display().to_string())
            .env("LC_ALL", "C")
            .env("HOME", "/root")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("APT_LISTCHANGES_FRONTEND", "none")
            .env("NEEDRESTART_MODE", "l")
            .env("UCF_FORCE_CONFFOLD", "1")
    }
}
