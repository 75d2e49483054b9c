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

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
}

impl Entry {
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

/// All findings of a host that are there, or were until lately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    pub fn update(&mut self, found: Vec<(Expected, Difference)>, now: Timestamp) -> bool {
        let before: Vec<_> = self.entries.iter().map(|e| (e.number, e.due, e.count, e.presence)).collect();
        let mut rest: BTreeMap<String, (Expected, BTreeMap<ResourceId, Difference>)> = BTreeMap::new();
        for (expected, difference) in found {
            let (_, all) = rest.entry(expected.manifest.clone()).or_insert((expected, BTreeMap::new()));
            all.insert(difference.resource.clone(), difference);
        }
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
                None => {}
            }
        }
        self.entries.retain(|entry| {
            let long_gone = now.since(entry.last_seen) >= REMEMBERED_SECS && entry.turns.is_empty();
            entry.presence != Presence::Gone || entry.due || !long_gone
        });
        let new: Vec<_> = rest.into_values().filter(|(_, all)| !all.is_empty()).collect();
        for (expected, all) in new {
            if self.is_full() {
                break;
            }
            self.begin(About::State(expected), all.into_values().collect(), now);
        }
        before != self.entries.iter().map(|e| (e.number, e.due, e.count, e.presence)).collect::<Vec<_>>()
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
        let differences = book.entries.iter_mut().flat_map(|entry| &mut entry.differences);
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
mod tests {
    use super::*;
    use shared::digest::Digest;

    const PACE: Pace = Pace { quiet_secs: 3_600, flapping_secs: 86_400 };

    fn expected(manifest: &str) -> Expected {
        Expected {
            manifest: manifest.into(),
            version: semver::Version::new(1, 0, 0),
            change_id: "C-1".parse().unwrap(),
            revision: 1,
            change: Digest::of(b"change"),
        }
    }

    fn differs(manifest: &str, resource: &str, observed: &str) -> (Expected, Difference) {
        let difference = Difference {
            resource: resource.parse().unwrap(),
            expected: Digest::of(b"approved"),
            observed: Some(Digest::of(observed.as_bytes())),
            summary: observed.into(),
            diff: Some("- a\n+ b\n".into()),
        };
        (expected(manifest), difference)
    }

    /// Numbers and presence of what is said at this moment.
    fn say(book: &mut Book, at: i64) -> Vec<(u64, Presence, u32)> {
        let due = book.due(Timestamp(at), PACE);
        for entry in &due {
            book.said(entry.number, Timestamp(at));
        }
        due.iter().map(|e| (e.number, e.presence, e.count)).collect()
    }

    #[test]
    fn what_is_noticed_together_is_one_finding_and_what_comes_later_is_another() {
        let mut book = Book::default();
        let (a, b) = (differs("ops/base", "file:/a", "x"), differs("ops/base", "file:/b", "x"));
        let other = differs("ops/web", "file:/c", "x");
        assert!(book.update(vec![a.clone(), b.clone(), other.clone()], Timestamp(100)));
        assert_eq!(say(&mut book, 100), [(1, Presence::There, 1), (2, Presence::There, 1)]);
        assert_eq!(book.entries()[0].differences.len(), 2);
        // Nothing new: nothing to keep and nothing to say, but it is still there.
        assert!(!book.update(vec![a.clone(), b.clone(), other.clone()], Timestamp(200)));
        assert_eq!(say(&mut book, 200), []);
        assert_eq!(book.entries()[0].last_seen, Timestamp(200));
        let later = differs("ops/base", "file:/d", "x");
        assert!(book.update(vec![a, b, other, later], Timestamp(300)));
        assert_eq!(say(&mut book, 300), [(3, Presence::There, 1)]);
    }

    #[test]
    fn a_finding_that_looks_otherwise_is_said_again_after_the_quiet_time() {
        let mut book = Book::default();
        book.update(vec![differs("ops/base", "file:/a", "x")], Timestamp(0));
        assert_eq!(say(&mut book, 0), [(1, Presence::There, 1)]);
        for at in 1..10 {
            assert!(book.update(vec![differs("ops/base", "file:/a", &at.to_string())], Timestamp(at)));
            assert_eq!(say(&mut book, at), []);
        }
        assert_eq!(say(&mut book, 3_600), [(1, Presence::There, 10)]);
        assert_eq!(book.entries()[0].differences[0].summary, "9");
        // One of two differences went: the finding looks otherwise.
        book.update(
            vec![differs("ops/base", "file:/z", "x"), differs("ops/base", "file:/y", "x")],
            Timestamp(4_000),
        );
        assert_eq!(say(&mut book, 4_000), [(1, Presence::Gone, 10), (2, Presence::There, 1)]);
        book.update(vec![differs("ops/base", "file:/z", "x")], Timestamp(9_000));
        assert_eq!(say(&mut book, 9_000), [(2, Presence::There, 2)]);
    }

    #[test]
    fn a_finding_that_is_gone_is_said_at_once_and_is_the_same_when_it_comes_back() {
        let mut book = Book::default();
        let a = || vec![differs("ops/base", "file:/a", "x")];
        book.update(a(), Timestamp(0));
        assert_eq!(say(&mut book, 0), [(1, Presence::There, 1)]);
        book.update(vec![], Timestamp(10));
        assert_eq!(say(&mut book, 10), [(1, Presence::Gone, 1)]);
        book.update(a(), Timestamp(5_000));
        assert_eq!(say(&mut book, 5_000), [(1, Presence::There, 2)]);
        book.update(vec![], Timestamp(6_000));
        assert_eq!(say(&mut book, 6_000), [(1, Presence::Gone, 2)]);
        // From now on it flaps: one statement a day, with the whole count.
        for round in 0..20 {
            let at = 7_000 + round * 1_000;
            book.update(if round % 2 == 0 { a() } else { vec![] }, Timestamp(at));
            let said = say(&mut book, at);
            assert!(said.is_empty() || book.entries()[0].turns.len() < FLAPS, "{at}: {said:?}");
        }
        assert!(book.entries()[0].is_flapping());
        assert_eq!(say(&mut book, 7_000 + 86_400).len(), 1);
        // Long gone, it is forgotten; its number is not given away again.
        book.update(vec![], Timestamp(400_000));
        say(&mut book, 400_000);
        book.update(vec![], Timestamp(600_000));
        assert!(book.entries().is_empty());
        book.update(a(), Timestamp(600_001));
        assert_eq!(say(&mut book, 600_001), [(2, Presence::There, 1)]);
    }

    #[test]
    fn a_clock_that_was_ahead_silences_nothing() {
        let mut book = Book::default();
        book.update(vec![differs("ops/base", "file:/a", "x")], Timestamp(1_000_000));
        say(&mut book, 1_000_000);
        book.update(vec![differs("ops/base", "file:/a", "y")], Timestamp(10));
        assert_eq!(say(&mut book, 10), [(1, Presence::There, 2)]);
    }

    fn event(
        when: &str,
        name: &str,
        from: Option<&str>,
        to: Option<&str>,
        command: Option<&str>,
    ) -> PackageEvent {
        let cause = command.map(|command| crate::host::Cause {
            began: "2026-11-20 17:00:00".into(),
            command: command.into(),
            by: "app (1001)".into(),
        });
        let text = |version: Option<&str>| version.map(str::to_owned);
        PackageEvent { when: when.into(), name: name.into(), from: text(from), to: text(to), cause }
    }

    #[test]
    fn what_the_agent_did_itself_is_no_finding_and_the_rest_is_one_for_each_transaction() {
        let mut book = Book::default();
        let at = |transaction| Place { transaction, ..Place::default() };
        assert!(book.reconcile(vec![], at(1), Timestamp(0)));
        assert!(!book.reconcile(vec![], at(1), Timestamp(1)), "nothing new is nothing to keep");
        let own = |name: &str, to: Option<&str>| Own { name: name.into(), to: to.map(str::to_owned) };
        book.expect(vec![own("curl", Some("2")), own("wget", None)]);
        let events = vec![
            event("2026-11-20 17:00:01", "curl", Some("1"), Some("2"), Some("assent")),
            event("2026-11-20 17:00:02", "nano", None, Some("7"), Some("apt-get install nano")),
            event("2026-11-20 17:00:03", "dash", Some("1"), Some("1"), None),
            event("2026-11-20 17:00:04", "vim", Some("8"), Some("9"), Some("apt-get install nano")),
            event("2026-11-20 17:00:05", "wget", Some("1"), None, None),
            event("2026-11-20 17:00:06", "curl", Some("2"), Some("3"), None),
            event("2026-11-20 17:00:59", "curl", Some("3"), Some("2"), None),
            event("2026-11-20 17:05:00", "tar", Some("1"), None, None),
        ];
        assert!(book.reconcile(events, at(9), Timestamp(100)));
        let told: Vec<_> =
            book.entries().iter().map(|e| (e.differences.len(), e.differences[0].summary.as_str())).collect();
        assert_eq!(
            told,
            [(2, "nano 7 was installed"), (1, "curl was changed from 2 to 2"), (1, "tar 1 was removed")]
        );
        let About::Packages(first) = &book.entries()[0].about else { panic!("a transaction") };
        assert_eq!((first.command.as_str(), first.by.as_str()), ("apt-get install nano", "app (1001)"));
        // A check of states leaves them alone; once said they are over.
        book.update(vec![], Timestamp(200));
        assert_eq!(
            say(&mut book, 200),
            [(1, Presence::Happened, 1), (2, Presence::Happened, 1), (3, Presence::Happened, 1)]
        );
        assert_eq!(book.entries(), []);
        // What the agent had expected and what did not come explains nothing later.
        book.expect(vec![own("git", Some("2"))]);
        assert!(book.reconcile(vec![], at(9), Timestamp(300)));
        book.reconcile(
            vec![event("2026-11-20 18:00:00", "git", Some("1"), Some("2"), None)],
            at(10),
            Timestamp(400),
        );
        assert_eq!(say(&mut book, 400), [(4, Presence::Happened, 1)]);
    }

    #[test]
    fn a_package_of_a_foreign_architecture_is_another_than_the_machine_s_own() {
        let mut book = Book::default();
        book.expect(vec![Own { name: "libc6:i386".into(), to: Some("2.36".into()) }]);
        let at = "2026-11-20 17:00:00";
        let events = ["libc6:i386", "libc6", "libz:i386", "libz"]
            .map(|name| event(at, name, Some("2.35"), Some("2.36"), None))
            .to_vec();
        book.reconcile(events, Place::default(), Timestamp(100));
        let told: Vec<&str> = book.entries()[0].differences.iter().map(|d| d.resource.as_str()).collect();
        assert_eq!(told, ["package:libc6", "package:libz", "package:libz:i386"]);
    }

    #[test]
    fn thousands_of_differences_fit_into_one_statement() {
        let found = (0..1_500).map(|n| {
            let (expected, mut difference) = differs("ops/base", &format!("file:/{n:04}"), "x");
            difference.diff = Some("x".repeat(16 << 10));
            (expected, difference)
        });
        let mut book = Book::default();
        book.update(found.collect(), Timestamp(0));
        let entry = &book.entries()[0];
        assert_eq!((entry.differences.len(), entry.more), (KEPT, 1_300));
        let shown: usize = entry.differences.iter().filter_map(|d| d.diff.as_ref()).map(String::len).sum();
        assert!((DIFFS_BYTES / 2..=DIFFS_BYTES).contains(&shown), "{shown}");
        // What several steps of one resource say together may be longer than one of them.
        let (expected, mut joined) = differs("ops/base", "timer:x", "x");
        joined.diff = Some("x".repeat(40 << 10));
        let mut other = Book::default();
        other.update(vec![(expected, joined)], Timestamp(0));
        assert_eq!(other.entries()[0].differences[0].diff, None);
        assert!(shared::strict::to_json(&book.stripped()).len() < 100_000);
        let long = (0..1_500).map(|n| differs("ops/base", &format!("file:/{}{n:04}", "x".repeat(280)), "x"));
        let mut book = Book::default();
        book.update(long.collect(), Timestamp(0));
        assert_eq!((book.entries()[0].differences.len(), book.entries()[0].more), (112, 1_388));
    }
}
