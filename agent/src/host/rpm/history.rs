//! What was done to packages since the last look, by whomever: what the database has now against what it had then.
//!
//! rpm keeps no record of its own, and those of dnf and zypper know nothing of each other. What came and went between
//! two looks is not seen. Never: a judgement of what was done.

use super::database::{Entry, Row, slot};
use super::place::Place;
use crate::host::Fault;
use crate::host::packages::{PackageEvent, Place as Read};
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::time::Timestamp;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Versions of each package with the time at which each was installed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Known(BTreeMap<String, BTreeMap<String, i64>>);

impl Known {
    fn of(entries: &[Entry], native: &str) -> Self {
        let mut known = Self::default();
        for row in entries.iter().flat_map(|entry| std::iter::once(&entry.row).chain(&entry.doubles)) {
            let Row { name, arch, evr, installed_at, .. } = row;
            known.0.entry(slot(name, arch, native)).or_default().insert(evr.clone(), *installed_at);
        }
        known
    }

    /// What made `now` of it, in the order of time; what went has the time of the look.
    fn until(&self, now: &Self, looked: i64) -> Vec<PackageEvent> {
        let none = BTreeMap::new();
        let mut events = Vec::new();
        let names: std::collections::BTreeSet<&String> = self.0.keys().chain(now.0.keys()).collect();
        for name in names {
            let (old, new) = (self.0.get(name).unwrap_or(&none), now.0.get(name).unwrap_or(&none));
            let mut gone: Vec<&String> = old.keys().filter(|evr| !new.contains_key(*evr)).collect();
            let come: Vec<(&String, &i64)> = new.iter().filter(|(evr, _)| !old.contains_key(*evr)).collect();
            for (to, at) in come {
                let from = if old.len() == 1 { gone.pop() } else { None };
                events.push((*at, name.clone(), from.cloned(), Some(to.clone())));
            }
            for evr in gone {
                // Of several versions beside each other one is called by its version.
                let plain = evr.split_once(':').map_or(evr.as_str(), |(_, plain)| plain);
                let called = if new.is_empty() { name.clone() } else { format!("{name}-{plain}") };
                events.push((looked, called, Some(evr.clone()), None));
            }
        }
        events.sort();
        let event = |(at, name, from, to)| PackageEvent {
            when: Timestamp(at).to_string(),
            name,
            from,
            to,
            cause: None,
        };
        events.into_iter().map(event).collect()
    }
}

fn dir(place: &Place) -> PathBuf {
    place.dir().join("known")
}

/// What was done since that look, and the one to go on from. A look that is not at hand any more tells nothing.
pub fn read(
    place: &Place,
    entries: &[Entry],
    native: &str,
    since: Option<&Read>,
) -> Result<(Vec<PackageEvent>, Read), Fault> {
    let now = Known::of(entries, native);
    let text =
        serde_json::to_vec(&now).map_err(|e| Fault::Refused(format!("packages cannot be noted: {e}")))?;
    let name = Digest::of(&text).hex();
    let dir = dir(place);
    let then = since.map(|since| since.last.as_str()).filter(|last| !last.is_empty());
    let events = match then.filter(|then| *then != name).map(|then| known(&dir.join(then))).transpose() {
        Ok(before) => {
            let looked = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let looked = i64::try_from(looked.as_secs()).unwrap_or_default();
            before.map(|before| before.until(&now, looked)).unwrap_or_default()
        }
        Err(error) => {
            tracing::warn!(%error, "what was done to packages since the last look is not known");
            Vec::new()
        }
    };
    keep(&dir, &name, &text, then).map_err(Fault::io(format!("write to {}", dir.display())))?;
    Ok((events, Read { last: name, ..Read::default() }))
}

fn known(path: &Path) -> io::Result<Known> {
    serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)
}

/// The last look stays until the one after it was used: whoever asks may be stopped before that.
fn keep(dir: &Path, name: &str, text: &[u8], then: Option<&str>) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let path = dir.join(name);
    if !path.exists() {
        let new = dir.join("new");
        fs::write(&new, text)?;
        fs::rename(new, path)?;
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let other = entry.file_name();
        if other.to_str().is_none_or(|other| other != name && Some(other) != then) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_went_and_changed_between_two_looks() {
        let known = |all: &[(&str, &[(&str, i64)])]| {
            let versions = |v: &[(&str, i64)]| v.iter().map(|(e, at)| ((*e).to_owned(), *at)).collect();
            Known(all.iter().map(|(name, v)| ((*name).to_owned(), versions(v))).collect())
        };
        let before = known(&[
            ("app", &[("1-1", 10)]),
            ("gone", &[("1:1-1", 10)]),
            ("kernel", &[("6-1", 10), ("6-2", 20)]),
            ("same", &[("1-1", 10)]),
        ]);
        let after = known(&[
            ("app", &[("2-1", 70)]),
            ("kernel", &[("6-2", 20), ("6-3", 60)]),
            ("new", &[("1-1", 80)]),
            ("same", &[("1-1", 90)]),
        ]);
        let shown: Vec<String> = before
            .until(&after, 99)
            .into_iter()
            .map(|e| format!("{} {:?} {:?}", e.name, e.from.as_deref(), e.to.as_deref()))
            .collect();
        assert_eq!(
            shown,
            [
                "kernel None Some(\"6-3\")",
                "app Some(\"1-1\") Some(\"2-1\")",
                "new None Some(\"1-1\")",
                "gone Some(\"1:1-1\") None",
                "kernel-6-1 Some(\"6-1\") None",
            ]
        );
        assert_eq!(after.until(&after, 99), []);
    }
}
