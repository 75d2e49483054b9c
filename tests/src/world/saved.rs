//! The database of a world as it was at one moment: each course of a history can begin at the same place.

use super::{Database, World};
use crate::pg;
use crate::programs::{self, Said};
use shared::digest::Digest;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A kept database, and the ledger that belongs to it.
pub struct Saved {
    leaves: Vec<Digest>,
}

const FILES: [&str; 3] = ["assent.sqlite", "assent.sqlite-wal", "assent.sqlite-shm"];

impl World {
    /// Keeps the database as it is now. No server may run.
    pub fn save(&self) -> Saved {
        match self.database {
            Database::Sqlite => {
                fs::create_dir_all(self.path("saved")).unwrap();
                self.copy_files(self.site().join("server"), self.path("saved"));
            }
            Database::Postgresql => {
                let name = self.database_name();
                pg::psql(&self.maintenance(), &format!("CREATE DATABASE {name}_saved TEMPLATE {name}"));
            }
        }
        Saved { leaves: self.memory.leaves.clone() }
    }

    /// Puts it back as it was kept. No server may run.
    pub fn restore(&mut self, saved: &Saved) {
        match self.database {
            Database::Sqlite => self.copy_files(self.path("saved"), self.site().join("server")),
            Database::Postgresql => {
                let (name, at) = (self.database_name(), self.maintenance());
                pg::psql(&at, &format!("DROP DATABASE {name} WITH (FORCE)"));
                pg::psql(&at, &format!("CREATE DATABASE {name} TEMPLATE {name}_saved"));
            }
        }
        self.memory.leaves.clone_from(&saved.leaves);
    }

    /// Backs the server up as its administrator does, while it runs.
    pub fn back_up(&self) -> PathBuf {
        let out = self.path("backup.age");
        let mut backup = Command::new(programs::own("assent-server"));
        backup.args(["backup", "--config"]).arg(&self.nodes[0].config).arg("--out").arg(&out);
        Said::of(&mut backup).ok();
        out
    }

    /// Opens a backup with the print-out of the recovery key.
    pub fn open_backup(&self, backup: &Path) -> PathBuf {
        let (out, paper) = (self.path("opened"), self.path("recovery.txt"));
        let [backup, into, paper] = [backup, &out, &paper].map(|path| path.to_str().unwrap());
        self.assent(&["backup", "check", backup, "--from", paper]).ok();
        self.assent(&["backup", "open", backup, "--out", into, "--from", paper]).ok();
        out
    }

    /// Puts an opened backup in place of everything that the server has. No server may run.
    pub fn put_back(&mut self, opened: &Path) {
        fs::remove_dir_all(self.site().join("server")).unwrap();
        fs::rename(opened.join("data"), self.site().join("server")).unwrap();
        if let Database::Postgresql = self.database {
            let (name, at) = (self.database_name(), self.maintenance());
            pg::psql(&at, &format!("DROP DATABASE {name} WITH (FORCE)"));
            pg::psql(&at, &format!("CREATE DATABASE {name}"));
            let mut restore = Command::new("pg_restore");
            restore.args(["--no-owner", "--exit-on-error", "--dbname", &self.url]);
            Said::of(restore.arg(opened.join("database.pgdump"))).ok();
        }
        self.memory.leaves.clear();
    }

    fn copy_files(&self, from: PathBuf, to: PathBuf) {
        for file in FILES {
            let (from, to) = (from.join(file), to.join(file));
            if from.exists() {
                fs::copy(from, to).unwrap();
            } else if to.exists() {
                fs::remove_file(to).unwrap();
            }
        }
    }

    fn database_name(&self) -> String {
        let path = self.url.split('?').next().unwrap();
        path.rsplit('/').next().unwrap().to_owned()
    }

    fn maintenance(&self) -> String {
        self.url.replace(&format!("/{}", self.database_name()), "/postgres")
    }
}
