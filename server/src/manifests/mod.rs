//! The site repository (TUF): policy, manifests and active changes as hosts fetch them, and artifacts.
//!
//! Owns the stored metadata, the online key's signatures, and what may be added to the repository.
//! Never signs for governance or a publisher, and never lists a change that the slice above did not hand over.
//!
//! Writers take the lock `site` before the ledger's; every write ends with a new snapshot and timestamp.

mod api;
mod artifacts;
mod edition;
mod files;
mod model;
mod publish;
mod repository;
mod site;
mod store;
#[cfg(test)]
pub(crate) mod tests;

pub use api::{agents, people};
pub(crate) use artifacts::{Announced, At, Begun, Continued};
pub use edition::{CurrentPolicy, policy};
pub use files::Files;
pub use model::{Accepted, Edition, Online, Publish, key_id};
pub use repository::{
    Evidence, evidence, import, listed, lock, newest_root, resign, set_changes, timestamp_version,
};
pub use site::{Facts, Site};
pub use store::Published;

use crate::kernel::config::Config;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::Error;
use crate::kernel::jobs::Job;
use crate::kernel::objects::Objects;
use shared::digest::Digest;
use shared::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// What the repository needs besides the database. Cheap to clone; handlers get it as `Data<Repository>`.
#[derive(Clone)]
pub struct Repository {
    pub online: Online,
    pub files: Files,
    pub facts: Arc<Facts>,
}

impl Repository {
    /// Reads the online key and the server's certificates.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let online = Online::load(&config.online_key)?;
        Ok(Self { online, files: Files::default(), facts: Arc::new(Facts::read(config)?) })
    }

    /// At the start of the process: imports the first files if the database has none, and signs again what is
    /// due, however long the server was down. Needs an open ledger.
    pub async fn prepare(&self, db: &Db, config: &Config, now: Timestamp) -> Result<(), Error> {
        let first = repository::First::read(&config.data_dir.join("site"))?;
        let (online, site) = (self.online.clone(), config.site_id.clone());
        db.write("site.import", move |tx| import(tx, &online, &site, first.as_ref(), now)).await?;
        self.resign(db, now).await
    }

    async fn resign(&self, db: &Db, now: Timestamp) -> Result<(), Error> {
        let online = self.online.clone();
        if db.write("site.resign", move |tx| resign(tx, &online, now)).await? {
            self.files.expire();
        }
        Ok(())
    }

    /// Signs again what is due, and forgets uploads that nobody finished.
    pub fn jobs(&self, db: &Db, objects: &Objects) -> Vec<Job> {
        let (repository, on) = (self.clone(), db.clone());
        let sign = move |tick: crate::kernel::jobs::Tick| {
            let (repository, db) = (repository.clone(), on.clone());
            async move { repository.resign(&db, tick.now).await }
        };
        let (db, objects) = (db.clone(), objects.clone());
        let sweep = move |tick: crate::kernel::jobs::Tick| {
            let (db, objects) = (db.clone(), objects.clone());
            async move { artifacts::sweep(&db, &objects, tick.now).await }
        };
        vec![
            Job::new("site.resign", Duration::from_secs(60), sign),
            Job::new("uploads.sweep", Duration::from_secs(3_600), sweep),
        ]
    }
}

/// The published manifest with this statement digest.
pub fn find_published(tx: &mut Conn, statement: &Digest) -> Result<Option<Published>, Error> {
    store::find_published(tx, statement)
}
