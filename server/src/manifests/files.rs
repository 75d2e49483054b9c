//! Serving the repository from memory. Every host asks often and for the same few files.
//!
//! All files but the timestamp never change under their name. Whether there is news is asked of the database
//! at most once a second; without a database, what is known is still served, because all of it is signed.

use super::store;
use crate::fleet;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::Error;
use crate::kernel::generation;
use actix_web::web::Bytes;
use shared::digest::Digest;
use shared::tuf::{Role, TargetName};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How old news may get on a node that did not write it.
const FRESH: Duration = Duration::from_secs(1);
/// When it is full, everything is dropped: reading again is cheap.
const KEPT_BYTES: usize = 64 << 20;
/// Names that were asked for and do not exist, such as the next root.
const KEPT_ABSENT: usize = 4_096;

/// The cache of one process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Files(Arc<Mutex<Cache>>);

#[derive(Default)]
struct Cache {
    checked: Option<Instant>,
    generation: i64,
    /// Version and bytes of `timestamp.json`.
    timestamp: Option<(u64, Bytes)>,
    kept: HashMap<String, Bytes>,
    size: usize,
    absent: HashSet<String>,
}

/// A file of the repository, by the name under which it is served.
#[derive(Debug, PartialEq, Eq)]
enum Name {
    Timestamp,
    Metadata(Role, i64),
    Target(TargetName, Digest),
}

impl Name {
    fn parse(text: &str) -> Option<Self> {
        if text == Role::Timestamp.file(0) {
            return Some(Self::Timestamp);
        }
        let (first, rest) = text.split_once('.')?;
        if let Ok(sha256) = first.parse() {
            return Some(Self::Target(rest.parse().ok()?, sha256));
        }
        let version: i64 =
            first.parse().ok().filter(|number: &i64| number.to_string() == first && *number > 0)?;
        let role: Role = rest.strip_suffix(".json")?.parse().ok()?;
        (role != Role::Timestamp).then_some(Self::Metadata(role, version))
    }

    fn load(&self, tx: &mut Conn) -> Result<Option<Vec<u8>>, Error> {
        Ok(match self {
            Self::Timestamp => store::find_newest(tx, &Role::Timestamp)?.map(|file| file.bytes),
            Self::Metadata(role, version) => store::find_file(tx, role, *version)?.map(|file| file.bytes),
            Self::Target(name, sha256) => store::find_target(tx, &name.to_string(), sha256)?,
        })
    }
}

impl Files {
    /// The file and whether it may change under this name; `None` when there is no such file.
    pub async fn get(&self, db: &Db, text: &str) -> Result<Option<(Bytes, bool)>, Error> {
        self.get_announced(db, text, 0).await
    }

    /// The same for a host that was told of this version of the timestamp: it never gets an older one.
    pub async fn get_announced(
        &self,
        db: &Db,
        text: &str,
        announced: u64,
    ) -> Result<Option<(Bytes, bool)>, Error> {
        let Some(name) = Name::parse(text) else { return Ok(None) };
        let refreshed = self.refresh(db, announced).await;
        if name == Name::Timestamp {
            let known = self.cache().timestamp.clone();
            return match (known, refreshed) {
                (Some((_, bytes)), _) => Ok(Some((bytes, true))),
                (None, refreshed) => refreshed.map(|()| None),
            };
        }
        let generation = {
            let cache = self.cache();
            if let Some(bytes) = cache.kept.get(text) {
                return Ok(Some((bytes.clone(), false)));
            }
            if cache.absent.contains(text) {
                return Ok(None);
            }
            cache.generation
        };
        let found = db.read("site.file", move |tx| name.load(tx)).await?.map(Bytes::from);
        self.cache().keep(text, found.clone(), generation);
        Ok(found.map(|bytes| (bytes, false)))
    }

    /// Version of the newest timestamp that this node knows.
    pub async fn timestamp_version(&self, db: &Db) -> Result<u64, Error> {
        let refreshed = self.refresh(db, 0).await;
        match self.cache().timestamp.as_ref() {
            Some((version, _)) => Ok(*version),
            None => refreshed.map(|()| 0),
        }
    }

    /// The next question goes to the database: this process has just written.
    pub fn expire(&self) {
        self.cache().checked = None;
    }

    async fn refresh(&self, db: &Db, announced: u64) -> Result<(), Error> {
        {
            let mut cache = self.cache();
            let is_known = cache.timestamp.as_ref().is_some_and(|(version, _)| *version >= announced);
            if is_known && cache.checked.is_some_and(|at| at.elapsed() < FRESH) {
                return Ok(());
            }
            // One asks, the others go on with what is there.
            cache.checked = Some(Instant::now());
        }
        let newest = |tx: &mut Conn| {
            let generation = generation::read_all(tx)?.get(fleet::TIMESTAMP).copied().unwrap_or_default();
            let timestamp = store::find_newest(tx, &Role::Timestamp)?;
            Ok::<_, Error>((generation, timestamp))
        };
        match db.read("site.refresh", newest).await {
            Ok((generation, timestamp)) => {
                let timestamp = timestamp.map(|file| (file.version.cast_unsigned(), Bytes::from(file.bytes)));
                self.cache().update(generation, timestamp);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(error = error.chain(), "the repository is served from memory only");
                Err(error)
            }
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    /// An answer that was overtaken by a newer one changes nothing.
    fn update(&mut self, generation: i64, timestamp: Option<(u64, Bytes)>) {
        if generation > self.generation {
            self.absent.clear();
        }
        if generation >= self.generation {
            (self.generation, self.timestamp) = (generation, timestamp);
        }
    }

    /// `generation` is the one before the file was looked for: what is absent may have come since.
    fn keep(&mut self, name: &str, found: Option<Bytes>, generation: i64) {
        let Some(bytes) = found else {
            if generation == self.generation && self.absent.len() < KEPT_ABSENT {
                self.absent.insert(name.to_owned());
            }
            return;
        };
        if self.size + bytes.len() > KEPT_BYTES {
            self.kept.clear();
            self.size = 0;
        }
        let size = bytes.len();
        if self.kept.insert(name.to_owned(), bytes).is_none() {
            self.size += size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_profile_are_looked_up() {
        let digest = Digest::of(b"x");
        let good = [
            ("timestamp.json".to_owned(), Name::Timestamp),
            ("12.root.json".into(), Name::Metadata(Role::Root, 12)),
            ("1.content.web.json".into(), Name::Metadata("content.web".parse().unwrap(), 1)),
            (format!("{digest}.policy.json"), Name::Target(TargetName::Policy, digest)),
        ];
        for (text, name) in good {
            assert_eq!(Name::parse(&text), Some(name), "{text}");
        }
        for bad in [
            "",
            "root.json",
            "1.timestamp.json",
            "01.root.json",
            "0.root.json",
            "-1.root.json",
            "1.root.json.json",
            "1.../../etc/passwd",
            "99999999999999999999.root.json",
            &format!("{digest}.policy"),
            "policy.json",
        ] {
            assert_eq!(Name::parse(bad), None, "{bad}");
        }
    }
}
