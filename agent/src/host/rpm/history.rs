//! What was done to packages since the last look, by whomever: what dnf or zypper wrote down, and what the database has
//! now against what it had then.
//!
//! The record tells what came and went in between and whose wish it was; what it does not explain was done with rpm
//! itself, and is told without a cause. Never: a judgement of what was done.

use super::Rpm;
use super::database::{Entry, Row, slot};
use super::place::Place;
use crate::host::Fault;
use crate::host::packages::{Cause, PackageEvent, PackageManager as _, Place as Read};
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How long a user of the package manager keeps a look back, and how often one is repeated when something ends just then.
const HELD_BACK: Duration = Duration::from_secs(3_600);
const LOOKS: usize = 3;

/// One package that came or went, as the record has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    pub when: String,
    pub name: String,
    pub arch: String,
    /// `[epoch:]version-release`.
    pub evr: String,
    /// The version that it took the place of, where the record says so.
    pub from: Option<String>,
    pub went: bool,
    pub cause: Option<Cause>,
}

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

    /// What was there when the youngest package was of that time: nothing that came later.
    fn at(&self, youngest: i64) -> Self {
        let mut then = self.clone();
        then.0.values_mut().for_each(|versions| versions.retain(|_, at| *at <= youngest));
        then.0.retain(|_, versions| !versions.is_empty());
        then
    }

    fn has_several(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|versions| versions.len() > 1)
    }

    /// What the record says that made `now` of it, and then what it does not say.
    fn replay(mut self, deeds: Vec<Deed>, now: &Self, native: &str, looked: i64) -> Vec<PackageEvent> {
        let mut events = Vec::new();
        let mut replaced = BTreeSet::new();
        for deed in deeds {
            let name = slot(&deed.name, &deed.arch, native);
            let beside = self.has_several(&name) || now.has_several(&name);
            let versions = self.0.entry(name.clone()).or_default();
            let Deed { when, evr, cause, .. } = deed;
            let (name, from, to) = if deed.went {
                let was_there = versions.remove(&evr).is_some();
                if !was_there && replaced.contains(&(name.clone(), evr.clone())) {
                    continue;
                }
                (called(&name, &evr, !versions.is_empty()), Some(evr), None)
            } else {
                if versions.contains_key(&evr) {
                    continue;
                }
                let only = versions.keys().next().filter(|_| !beside).cloned();
                let from = deed.from.or(only);
                if let Some(from) = &from {
                    versions.remove(from);
                    replaced.insert((name.clone(), from.clone()));
                }
                versions.insert(evr.clone(), 0);
                (name, from, Some(evr))
            };
            events.push(PackageEvent { when, name, from, to, cause });
        }
        self.0.retain(|_, versions| !versions.is_empty());
        events.extend(self.until(now, looked));
        events
    }

    /// What made `now` of it, in the order of time; what went has the time of the look.
    fn until(&self, now: &Self, looked: i64) -> Vec<PackageEvent> {
        let none = BTreeMap::new();
        let mut events = Vec::new();
        let names: BTreeSet<&String> = self.0.keys().chain(now.0.keys()).collect();
        for name in names {
            let (old, new) = (self.0.get(name).unwrap_or(&none), now.0.get(name).unwrap_or(&none));
            let mut gone: Vec<&String> = old.keys().filter(|evr| !new.contains_key(*evr)).collect();
            let come: Vec<(&String, &i64)> = new.iter().filter(|(evr, _)| !old.contains_key(*evr)).collect();
            for (to, at) in come {
                let from = if old.len() == 1 { gone.pop() } else { None };
                events.push((*at, name.clone(), from.cloned(), Some(to.clone())));
            }
            for evr in gone {
                events.push((looked, called(name, evr, !new.is_empty()), Some(evr.clone()), None));
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

/// Of several versions beside each other one is called by its version.
fn called(name: &str, evr: &str, beside: bool) -> String {
    let plain = evr.split_once(':').map_or(evr, |(_, plain)| plain);
    if beside { format!("{name}-{plain}") } else { name.to_owned() }
}

fn dir(place: &Place) -> PathBuf {
    place.dir().join("known")
}

/// What was done since that place, and the one to go on from; none while somebody uses the package manager.
pub fn look(rpm: &Rpm, since: Option<&Read>) -> Result<Option<(Vec<PackageEvent>, Read)>, Fault> {
    if is_held_back(rpm) && rpm.holder()?.is_some() {
        return Ok(None);
    }
    rpm.held.set(None);
    let mut told = record(rpm, since);
    let mut entries = rpm.entries()?;
    // The database is of the time of the record when nothing was written to that meanwhile.
    for _ in 0..LOOKS {
        let again = record(rpm, since);
        if again.1 == told.1 {
            break;
        }
        told = again;
        entries = rpm.entries()?;
    }
    compare(rpm, &entries, since, told).map(Some)
}

/// A record that cannot be read takes nothing away from what the database shows; it is read when it can be.
fn record(rpm: &Rpm, since: Option<&Read>) -> (Vec<Deed>, Read) {
    rpm.tool.history(&rpm.place, since).unwrap_or_else(|fault| {
        tracing::warn!("what dnf or zypper wrote down is not read: {}", fault.text());
        let Read { record, transaction, cause, .. } = since.cloned().unwrap_or_default();
        (Vec::new(), Read { record, transaction, cause, ..Read::default() })
    })
}

/// While somebody uses the package manager, half done is what they are at; but nobody keeps a look back for long.
fn is_held_back(rpm: &Rpm) -> bool {
    let began = rpm.held.get().unwrap_or_else(Instant::now);
    rpm.held.set(Some(began));
    began.elapsed() < HELD_BACK
}

/// `told` is what the record has since then, and how far it was read. Of a look that is not at hand any more, what is
/// younger was not there.
fn compare(
    rpm: &Rpm,
    entries: &[Entry],
    since: Option<&Read>,
    told: (Vec<Deed>, Read),
) -> Result<(Vec<PackageEvent>, Read), Fault> {
    let (deeds, mut next) = told;
    let native = rpm.architecture()?;
    let now = Known::of(entries, &native);
    let text =
        serde_json::to_vec(&now).map_err(|e| Fault::Refused(format!("packages cannot be noted: {e}")))?;
    let name = Digest::of(&text).hex();
    let dir = dir(&rpm.place);
    let then = since.filter(|since| !since.last.is_empty());
    let before = then.map(|then| {
        if then.last == name {
            return now.clone();
        }
        known(&dir.join(&then.last)).unwrap_or_else(|error| {
            tracing::warn!(%error, "the last look at packages is lost; what was removed with rpm itself is not known");
            now.at(then.youngest)
        })
    });
    let looked = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let looked = i64::try_from(looked.as_secs()).unwrap_or_default();
    let events = before.map(|before| before.replay(deeds, &now, &native, looked)).unwrap_or_default();
    keep(&dir, &name, &text, then.map(|then| then.last.as_str()))
        .map_err(Fault::io(format!("write to {}", dir.display())))?;
    next.youngest = now.0.values().flat_map(BTreeMap::values).copied().max().unwrap_or_default();
    next.last = name;
    Ok((events, next))
}

/// A look that was damaged is none.
fn known(path: &Path) -> io::Result<Known> {
    let bytes = fs::read(path)?;
    if path.file_name().is_none_or(|name| name != Digest::of(&bytes).hex().as_str()) {
        return Err(io::Error::other("the file is damaged"));
    }
    serde_json::from_slice(&bytes).map_err(io::Error::other)
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

    fn known(all: &[(&str, &[(&str, i64)])]) -> Known {
        let versions = |v: &[(&str, i64)]| v.iter().map(|(e, at)| ((*e).to_owned(), *at)).collect();
        Known(all.iter().map(|(name, v)| ((*name).to_owned(), versions(v))).collect())
    }

    fn deed(name: &str, evr: &str, went: bool) -> Deed {
        let text = |text: &str| text.to_owned();
        let cause = Cause { began: text("then"), command: text("zypper"), by: text("root") };
        let (when, cause) = (text("2026-11-20 17:00:00"), Some(cause));
        Deed { when, name: text(name), arch: text("x86_64"), evr: text(evr), from: None, went, cause }
    }

    fn shown(events: &[PackageEvent]) -> Vec<String> {
        let version = |v: &Option<String>| v.clone().unwrap_or_else(|| "-".into());
        let cause = |e: &PackageEvent| if e.cause.is_some() { " told" } else { "" };
        events
            .iter()
            .map(|e| format!("{} {} {}{}", e.name, version(&e.from), version(&e.to), cause(e)))
            .collect()
    }

    #[test]
    fn the_record_tells_what_came_and_went_and_the_database_what_the_record_does_not() {
        let before = known(&[
            ("app", &[("1-1", 10)]),
            ("kernel", &[("6-1", 10), ("6-2", 20)]),
            ("lib", &[("1-1", 10)]),
        ]);
        let now = known(&[
            ("app", &[("3-1", 70)]),
            ("kernel", &[("6-2", 20), ("6-3", 60)]),
            ("raw", &[("1-1", 99)]),
        ]);
        let foreign = Deed { arch: "i686".into(), ..deed("app", "1-1", false) };
        let deeds = vec![
            deed("app", "2-1", false),
            deed("app", "1-1", true),
            deed("app", "3-1", false),
            deed("guest", "1-1", false),
            deed("guest", "1-1", true),
            deed("kernel", "6-3", false),
            deed("kernel", "6-1", true),
            // Put over itself.
            deed("kernel", "6-3", false),
            foreign.clone(),
            Deed { went: true, ..foreign },
            deed("unseen", "1-1", true),
        ];
        assert_eq!(
            shown(&before.clone().replay(deeds, &now, "x86_64", 100)),
            [
                "app 1-1 2-1 told",
                "app 2-1 3-1 told",
                "guest - 1-1 told",
                "guest 1-1 - told",
                "kernel - 6-3 told",
                "kernel-6-1 6-1 - told",
                "app:i686 - 1-1 told",
                "app:i686 1-1 - told",
                "unseen 1-1 - told",
                "raw - 1-1",
                "lib 1-1 -",
            ]
        );
        assert_eq!(shown(&now.clone().replay(vec![], &now, "x86_64", 100)), [""; 0]);
        // A run that was taken back, and one that the database had seen before the record told of it.
        let back = vec![deed("lib", "2-1", false), deed("lib", "1-1", false)];
        assert_eq!(
            shown(&before.clone().replay(back, &before, "x86_64", 100)),
            ["lib 1-1 2-1 told", "lib 2-1 1-1 told"]
        );
        assert_eq!(shown(&now.clone().replay(vec![deed("raw", "1-1", false)], &now, "x86_64", 100)), [""; 0]);
    }

    #[test]
    fn of_a_look_that_is_lost_what_is_younger_is_told() {
        let now = known(&[("app", &[("2-1", 70)]), ("lib", &[("1-1", 10)]), ("raw", &[("1-1", 99)])]);
        let upgrade = Deed { from: Some("1-1".into()), ..deed("app", "2-1", false) };
        let gone = deed("old", "1-1", true);
        assert_eq!(
            shown(&now.at(20).replay(vec![upgrade, gone], &now, "x86_64", 100)),
            ["app 1-1 2-1 told", "old 1-1 - told", "raw - 1-1"]
        );
    }

    #[test]
    fn what_came_went_and_changed_between_two_looks() {
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
        assert_eq!(
            shown(&before.until(&after, 99)),
            ["kernel - 6-3", "app 1-1 2-1", "new - 1-1", "gone 1:1-1 -", "kernel-6-1 6-1 -"]
        );
        assert_eq!(after.until(&after, 99), []);
    }
}
