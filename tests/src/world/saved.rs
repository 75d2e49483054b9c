//! The database of a world as it was at one moment: each course of a history can begin at the same place.

use super::{Database, World};
use crate::pg;
use shared::digest::Digest;
use std::fs;
use std::path::PathBuf;

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
