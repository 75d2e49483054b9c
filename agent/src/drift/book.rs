//! The book of findings: which differences are one finding, and when something is said about it.
//!
//! What is noticed in one check about one approved state is one finding, however many files it is. It is said when it
//! appears, when it looks otherwise and when it is gone; what comes and goes is said once a day. Pure: never the
//! host, the disk or the clock.

use super::Own;
use super::surroundings::{self, Named, Surroundings};
use crate::host::{PackageEvent, Place};
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::finding::{
    About, Area, Boot, DIFFS_BYTES, Difference, Expected, Noticed, Presence, SHOWN, Transaction,
};
use shared::ids::ResourceId;
use shared::limits;
use shared::strict;
use shared::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// How long a finding that is gone is remembered, to be the same when it comes back.
const REMEMBERED_SECS: i64 = 86_400;
/// Comings and goings within a day from which on a finding is flapping.
const FLAPS: usize = 4;
/// Findings at one time: a host with more causes than these is lost as a whole, and the next ones wait.
const FINDINGS: usize = 64;
/// Differences of one finding that are kept apart, and bytes of their names: the book has to stay readable.
const KEPT: usize = 200;
const KEPT_BYTES: usize = 32 << 10;

/// How often the same finding may be said, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// A finding that looks otherwise than before.
    pub quiet_secs: i64,
    /// One that comes and goes.
    pub flapping_secs: i64,
}

/// What a check found and no finding has yet, by manifest and resource.
type Rest = BTreeMap<String, (Expected, BTreeMap<ResourceId, Difference>)>;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub number: u64,
    pub about: About,
    /// Sorted by resource. Readable differences are only in memory: each check brings them anew.
    pub differences: Vec<Difference>,
    pub more: u32,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub count: u32,
    pub presence: Presence,
    /// When it came back or went, within the last day.
    pub turns: Vec<Timestamp>,
    /// There is something new to say.
    pub due: bool,
    pub said: Option<Timestamp>,
    /// Why the host does not put it back, where its manifest wants that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// What has brought a difference about, or ended it, where the record of the package manager tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_others: Option<ByOthers>,
}

/// A doing of others that is told with the difference that came of it, and not as a finding of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByOthers {
    /// Absent once the difference is gone, unless this has ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<Transaction>,
    /// What else was done with it: packages that the state does not name, accounts and units that came with them.
    pub beside: Vec<Difference>,
    pub more: u32,
}

impl Entry {
    /// Everything that is told of it, sorted by resource.
    pub fn told(&self) -> Vec<Difference> {
        let beside = self.by_others.iter().flat_map(|by| &by.beside);
        let beside = beside.filter(|done| !self.names(&done.resource));
        let mut all: Vec<Difference> = self.differences.iter().chain(beside).cloned().collect();
        all.sort_by(|a, b| a.resource.cmp(&b.resource));
        all
    }

    /// What others did that has brought it about; of one that is gone, what has ended it.
    pub fn cause(&self) -> Option<&Transaction> {
        self.by_others.as_ref()?.transaction.as_ref()
    }

    /// Differences that are told by their number only.
    pub fn more(&self) -> u32 {
        self.more.saturating_add(self.by_others.as_ref().map_or(0, |by| by.more))
    }

    /// Takes up what others did: it is told with this finding, and at once.
    fn owe(&mut self, done: ByOthers) {
        match &mut self.by_others {
            // What was told beside a difference that is gone now stays with it.
            Some(by) if self.presence == Presence::Gone => by.transaction = done.transaction,
            by => *by = Some(done),
        }
        (self.due, self.said) = (true, None);
    }

    /// Whether nobody has heard yet of what it has taken up.
    fn owes(&self) -> bool {
        self.cause().is_some() && self.said.is_none()
    }

    pub fn is_flapping(&self) -> bool {
        self.turns.len() >= FLAPS
    }

    /// Whether it is to be said now.
    fn speaks(&self, now: Timestamp, pace: Pace) -> bool {
        let Some(said) = self.said.filter(|_| self.due) else { return self.due };
        let quiet = match self.presence {
            _ if self.is_flapping() => pace.flapping_secs,
            Presence::Gone | Presence::Happened => 0,
            Presence::There => pace.quiet_secs,
        };
        // A clock that was ahead must not silence a finding.
        !(0..quiet).contains(&now.since(said))
    }

    /// What was found of the same cause.
    fn join(&mut self, found: Vec<Difference>) {
        self.differences.extend(found);
        self.differences.sort_by(|a, b| a.resource.cmp(&b.resource));
        let (differences, more) = cut(std::mem::take(&mut self.differences));
        self.differences = differences;
        self.more = self.more.saturating_add(more);
    }

    fn names(&self, resource: &ResourceId) -> bool {
        self.differences.iter().any(|difference| difference.resource == *resource)
    }

    fn turn(&mut self, presence: Presence, now: Timestamp) {
        self.presence = presence;
        if presence == Presence::Gone {
            self.note.clear();
        }
        // What nobody has heard of yet stays to be told.
        if !self.owes() {
            match presence {
                Presence::There => self.by_others = None,
                _ => self.by_others.iter_mut().for_each(|by| by.transaction = None),
            }
        }
        self.turns.push(now);
        self.due = true;
    }

    /// Takes over what was found now; it looks otherwise, or only goes on.
    fn see(&mut self, expected: &Expected, found: Vec<Difference>, now: Timestamp) {
        // A clock that was ahead has seen it first in what is now the future.
        (self.first_seen, self.last_seen) = (self.first_seen.min(now), now);
        let (found, more) = cut(found);
        let about = About::State(expected.clone());
        let same = self.about == about
            && (self.differences.len(), self.more) == (found.len(), more)
            && self.differences.iter().zip(&found).all(|(a, b)| a.is_same(b));
        if !same || self.presence == Presence::Gone {
            self.count = self.count.saturating_add(1);
            self.due = true;
            self.about = about;
        }
        (self.differences, self.more) = (found, more);
    }
}

/// All findings of a host that are there, or were until lately. What a later version of the agent keeps besides is passed
/// over: one that comes back after an update goes on from the same place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// The number that was given last.
    last: u64,
    entries: Vec<Entry>,
    /// How far the record of the package manager was reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    read: Option<Place>,
    /// What runs of the agent did to packages since; it stands in that record too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    own: Vec<Own>,
    /// The last look at what no manifest names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    around: Option<Surroundings>,
}

impl Book {
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Further differences wait until a finding is gone.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= FINDINGS
    }

    pub fn place(&self) -> Option<&Place> {
        self.read.as_ref()
    }

    /// What a run did to packages, before the record of the package manager is read again.
    pub fn expect(&mut self, own: Vec<Own>) {
        self.own.extend(own);
    }

    /// Matches the record of the package manager with what the agent did itself; the rest are findings, one for each
    /// transaction. True when there is something new to keep.
    pub fn reconcile(&mut self, events: Vec<PackageEvent>, read: Place, now: Timestamp) -> bool {
        let changed = self.read.as_ref() != Some(&read) || !self.own.is_empty();
        self.read = Some(read);
        let mut own = std::mem::take(&mut self.own);
        let mut groups: Vec<(Transaction, BTreeMap<ResourceId, PackageEvent>)> = Vec::new();
        for event in events.into_iter().filter(|event| event.from != event.to) {
            if let Some(at) = own.iter().position(|mine| mine.name == event.name && mine.to == event.to) {
                own.swap_remove(at);
                continue;
            }
            let Ok(id) = format!("package:{}", event.name).parse::<ResourceId>() else { continue };
            let transaction = transaction(&event, groups.last().map(|(last, _)| last));
            match groups.last_mut().filter(|(last, _)| *last == transaction) {
                Some((_, all)) => join(all, id, event),
                None => groups.push((transaction, BTreeMap::from([(id, event)]))),
            }
        }
        for (transaction, all) in groups {
            let differences = all.into_iter().map(|(id, event)| done(id, &event)).collect();
            self.begin(About::Packages(transaction), differences, now);
        }
        changed
    }

    /// Compares what no manifest names with the look before, which took place at `since`; the first one is where the
    /// host stands. One finding for each area, but what comes with packages that others have just changed belongs to
    /// that. True when there is something new to keep.
    pub fn look_around(
        &mut self,
        mut look: Surroundings,
        named: &Named,
        since: Timestamp,
        now: Timestamp,
    ) -> bool {
        if let Some(before) = self.around.as_ref().filter(|before| before.boot_id == look.boot_id) {
            // The kernel counts back from its clock, which is set a little now and then.
            look.booted = before.booted;
        }
        if self.around.as_ref() == Some(&look) {
            return false;
        }
        let Some(before) = self.around.replace(look.clone()) else { return true };
        if before.boot_id != look.boot_id {
            let about = About::Boot(Boot { at: look.booted, boot_id: look.boot_id.clone() });
            self.begin(about, surroundings::boot(&before, &look).into_iter().collect(), now);
        }
        for area in Area::ALL {
            let found = surroundings::differences(area, &before, &look, named);
            let cause = self.entries.iter_mut().rev().find(|entry| {
                matches!(entry.about, About::Packages(_)) && entry.said.is_none() && entry.first_seen == now
            });
            match cause {
                _ if found.is_empty() => {}
                Some(cause) => cause.join(found),
                None => self.begin(About::Noticed(Noticed { area, since }), found, now),
            }
        }
        true
    }

    /// A run of the agent has ended: what is there now is its own doing. A boot is only if the run asked for one.
    pub fn adopt(&mut self, look: Surroundings, rebooted: bool) {
        let before = self.around.take().filter(|_| !rebooted);
        let (boot_id, booted) =
            before.map_or((look.boot_id, look.booted), |before| (before.boot_id, before.booted));
        self.around = Some(Surroundings { boot_id, booted, ..look });
    }

    /// Takes over what one check found. True when there is something new to keep; that something lasts is not.
    ///
    /// What the record of the package manager tells, and nobody has heard of yet, is told with the difference that has
    /// come of it: one finding, of which somebody disposes once.
    pub fn update(&mut self, found: Vec<(Expected, Difference)>, now: Timestamp) -> bool {
        let standing = |book: &Self| -> Vec<_> {
            book.entries.iter().map(|e| (e.number, e.due, e.count, e.presence)).collect()
        };
        let before = standing(self);
        let mut rest: Rest = BTreeMap::new();
        for (expected, difference) in found {
            let (_, all) = rest.entry(expected.manifest.clone()).or_insert((expected, BTreeMap::new()));
            all.insert(difference.resource.clone(), difference);
        }
        let doings = self.doings();
        let mut taken = self.see(&mut rest, &doings, now);
        self.entries.retain(|entry| {
            let long_gone = now.since(entry.last_seen) >= REMEMBERED_SECS && entry.turns.is_empty();
            entry.presence != Presence::Gone || entry.due || !long_gone
        });
        for (expected, all) in rest.into_values() {
            let mut causes: BTreeMap<Option<u64>, Vec<Difference>> = BTreeMap::new();
            for (id, difference) in all {
                causes.entry(doings.get(&id).copied()).or_default().push(difference);
            }
            for (cause, all) in causes {
                if !self.is_full() {
                    self.begin(About::State(expected.clone()), all, now);
                    taken.extend(cause.map(|cause| (cause, self.last)));
                }
            }
        }
        self.take_up(taken);
        before != standing(self)
    }

    /// Which finding about packages, of which nobody has heard yet, tells last of each of them.
    fn doings(&self) -> BTreeMap<ResourceId, u64> {
        let done = self.entries.iter().filter(|e| matches!(e.about, About::Packages(_)) && e.said.is_none());
        done.flat_map(|e| e.differences.iter().map(|d| (d.resource.clone(), e.number))).collect()
    }

    /// Looks at the known findings; leaves of `rest` what is new. Answers which of the doings explain which of them.
    fn see(
        &mut self,
        rest: &mut Rest,
        doings: &BTreeMap<ResourceId, u64>,
        now: Timestamp,
    ) -> Vec<(u64, u64)> {
        let mut taken = Vec::new();
        for entry in &mut self.entries {
            let Some(manifest) = entry.about.state().map(|expected| expected.manifest.clone()) else {
                continue;
            };
            entry.turns.retain(|at| now.since(*at) < REMEMBERED_SECS);
            let mine = rest.get_mut(&manifest).map(|(expected, all)| {
                let mine: BTreeSet<ResourceId> = all.keys().filter(|id| entry.names(id)).cloned().collect();
                let mine: Vec<Difference> = mine.iter().filter_map(|id| all.remove(id)).collect();
                (expected.clone(), mine)
            });
            match mine.filter(|(_, mine)| !mine.is_empty()) {
                Some((expected, mine)) => {
                    entry.see(&expected, mine, now);
                    if entry.presence == Presence::Gone {
                        entry.turn(Presence::There, now);
                    }
                }
                None if entry.presence == Presence::There => entry.turn(Presence::Gone, now),
                None => continue,
            }
            let cause = entry.differences.iter().filter_map(|d| doings.get(&d.resource)).max();
            taken.extend(cause.filter(|_| !entry.owes()).map(|cause| (*cause, entry.number)));
        }
        taken
    }

    /// Doings (their numbers come first) that are told with the findings that they explain, and not by themselves.
    fn take_up(&mut self, taken: Vec<(u64, u64)>) {
        let mut takers: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        taken.into_iter().for_each(|(doing, taker)| takers.entry(doing).or_default().push(taker));
        for (doing, takers) in takers {
            let Some(at) = self.entries.iter().position(|entry| entry.number == doing) else { continue };
            let About::Packages(transaction) = self.entries[at].about.clone() else { continue };
            let mine = |entry: &&Entry| takers.contains(&entry.number);
            let named = |id: &ResourceId| self.entries.iter().filter(mine).any(|entry| entry.names(id));
            let mut beside = self.entries[at].differences.clone();
            beside.retain(|done| !named(&done.resource));
            let mut more = self.entries[at].more;
            let there = self.entries.iter().filter(mine).find(|entry| entry.presence == Presence::There);
            // What is over says nothing to anybody: it tells of what ended it, and of nothing else.
            if there.is_none() && (more > 0 || !beside.is_empty()) {
                continue;
            }
            let first = there.map(|entry| entry.number);
            self.entries.remove(at);
            for entry in self.entries.iter_mut().filter(|entry| takers.contains(&entry.number)) {
                let (beside, more) = match first == Some(entry.number) {
                    true => (std::mem::take(&mut beside), std::mem::take(&mut more)),
                    false => (Vec::new(), 0),
                };
                entry.owe(ByOthers { transaction: Some(transaction.clone()), beside, more });
            }
        }
    }

    fn begin(&mut self, about: About, found: Vec<Difference>, now: Timestamp) {
        self.last += 1;
        let (differences, more) = cut(found);
        let presence = match about {
            About::State(_) => Presence::There,
            About::Packages(_) | About::Noticed(_) | About::Boot(_) => Presence::Happened,
        };
        self.entries.push(Entry {
            number: self.last,
            about,
            differences,
            more,
            first_seen: now,
            last_seen: now,
            count: 1,
            presence,
            turns: Vec::new(),
            due: true,
            said: None,
            note: String::new(),
            by_others: None,
        });
    }

    /// Says with a finding why it is not put back; true when that is new, and then it is to be said at once.
    pub fn note(&mut self, number: u64, why: &str) -> bool {
        let why = shorten(why);
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.number == number && entry.note != why)
        else {
            return false;
        };
        (entry.note, entry.due, entry.said) = (why, true, None);
        true
    }

    /// The book as it is kept: without the readable differences.
    #[must_use]
    pub fn stripped(&self) -> Self {
        let mut book = self.clone();
        let differences = book.entries.iter_mut().flat_map(|entry| {
            let beside = entry.by_others.iter_mut().flat_map(|by| &mut by.beside);
            entry.differences.iter_mut().chain(beside)
        });
        differences.for_each(|difference| difference.diff = None);
        book
    }

    /// What is to be said now.
    pub fn due(&self, now: Timestamp, pace: Pace) -> Vec<Entry> {
        self.entries.iter().filter(|entry| entry.speaks(now, pace)).cloned().collect()
    }

    /// It was said and cannot be lost any more. What has happened needs no further word.
    pub fn said(&mut self, number: u64, now: Timestamp) {
        self.entries.retain(|entry| entry.number != number || entry.presence != Presence::Happened);
        for entry in self.entries.iter_mut().filter(|entry| entry.number == number) {
            entry.due = false;
            entry.said = Some(now);
        }
    }
}

/// What the event is a part of: as the record says, or else what lies beside it in the record.
fn transaction(event: &PackageEvent, last: Option<&Transaction>) -> Transaction {
    match (&event.cause, last) {
        (Some(cause), _) => Transaction {
            when: shorten(&cause.began),
            command: shorten(&cause.command),
            by: shorten(&cause.by),
        },
        (None, Some(last)) if last.command.is_empty() && minute(&last.when) == minute(&event.when) => {
            last.clone()
        }
        (None, _) => Transaction { when: shorten(&event.when), command: String::new(), by: String::new() },
    }
}

/// `2026-11-20 17:00` of `2026-11-20 17:00:59`.
fn minute(when: &str) -> &str {
    when.rsplit_once(':').map_or(when, |(minute, _)| minute)
}

/// A package that a transaction changes twice was changed from the first to the last version.
fn join(all: &mut BTreeMap<ResourceId, PackageEvent>, id: ResourceId, event: PackageEvent) {
    match all.get_mut(&id) {
        Some(before) => before.to = event.to,
        None => drop(all.insert(id, event)),
    }
}

fn done(resource: ResourceId, event: &PackageEvent) -> Difference {
    let PackageEvent { name, from, to, .. } = event;
    let version = |version: &Option<String>| Digest::of(&strict::to_json(&(name, version)));
    let summary = match (from, to) {
        (Some(from), Some(to)) => format!("{name} was changed from {from} to {to}"),
        (None, Some(to)) => format!("{name} {to} was installed"),
        (Some(from), None) => format!("{name} {from} was removed"),
        (None, None) => format!("{name} was touched"),
    };
    Difference {
        resource,
        expected: version(from),
        observed: to.is_some().then(|| version(to)),
        summary,
        diff: None,
    }
}

/// Keeps what a statement can carry, and counts the rest.
fn cut(mut found: Vec<Difference>) -> (Vec<Difference>, u32) {
    let mut names = 0;
    let fits = found.iter().take(KEPT).take_while(|difference| {
        names += difference.resource.as_str().len();
        names <= KEPT_BYTES
    });
    let kept = fits.count().max(1);
    let more = u32::try_from(found.len().saturating_sub(kept)).unwrap_or(u32::MAX);
    found.truncate(kept);
    let mut room = DIFFS_BYTES;
    for (number, difference) in found.iter_mut().enumerate() {
        let length = difference.diff.as_ref().map_or(0, String::len);
        if number < SHOWN && length <= room.min(limits::DIFF_BYTES) {
            room -= length;
        } else {
            difference.diff = None;
        }
        difference.summary = shorten(&difference.summary);
    }
    (found, more)
}

/// One line within the limit of a statement.
fn shorten(text: &str) -> String {
    const MOST: usize = 1_000;
    if text.len() <= MOST {
        text.to_owned()
    } else {
        text.chars().take(MOST / 4).chain("…".chars()).collect()
    }
}

#[cfg(test)]
mod tests;
