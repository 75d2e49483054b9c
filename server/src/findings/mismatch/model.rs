//! Which mismatches there are. Pure.

use shared::time::Timestamp;
use shared::wire::{Declared, Lifecycle, MismatchKind};
use std::collections::BTreeMap;

/// A host that is in use and has not been heard of for so long is silent.
pub(super) const SILENT_SECS: i64 = 7 * 86_400;
/// A host that was heard of within this time runs.
const RUNS_SECS: i64 = 86_400;
/// What firmware says that has no number of its own.
const NO_SERIAL: [&str; 9] = [
    "none",
    "default string",
    "to be filled by o.e.m.",
    "system serial number",
    "not specified",
    "not applicable",
    "0123456789",
    "n/a",
    "unknown",
];

/// What is known of a host.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub name: String,
    pub enabled: bool,
    pub enrolled: Timestamp0,
    pub last_seen: Option<Timestamp>,
    /// Absent where nobody has declared anything.
    pub declared: Option<Declared>,
    pub runs_on: Vec<String>,
    /// Reported: serial number of the machine, what it runs in, and local facts by name.
    pub serial: Option<String>,
    pub virtualisation: Option<String>,
    pub local: BTreeMap<String, String>,
}

/// When nothing is known, the beginning of time.
pub(super) type Timestamp0 = i64;

/// By entry and kind: what is declared, and what is observed.
pub(super) type Mismatches = BTreeMap<(i64, MismatchKind), (String, String)>;

pub(super) fn compare(entries: &BTreeMap<i64, Entry>, now: Timestamp) -> Mismatches {
    let mut all = Mismatches::new();
    // Who declares no host at all keeps no list that a host could be missing from.
    let declares = entries.values().any(|entry| entry.declared.is_some());
    for (ci, entry) in entries {
        for (kind, declared, observed) in of_one(entry, declares, now) {
            all.insert((*ci, kind), (declared, observed));
        }
    }
    let serial = |entry: &Entry| {
        let serial = entry.serial.clone()?;
        let real = serial.len() >= 4
            && !NO_SERIAL.contains(&serial.as_str())
            && !serial.chars().all(|c| matches!(c, '0' | '-' | '.' | ' ' | 'x'));
        real.then_some(serial)
    };
    twins(entries, MismatchKind::SameHardware, serial, &mut all);
    twins(entries, MismatchKind::SameName, |entry| Some(entry.name.to_lowercase()), &mut all);
    all
}

fn of_one(entry: &Entry, declares: bool, now: Timestamp) -> Vec<(MismatchKind, String, String)> {
    let declared = entry.declared.clone().unwrap_or_default();
    let mut found = Vec::new();
    let heard = entry.last_seen.unwrap_or(Timestamp(entry.enrolled));
    let runs = entry.enabled && now.since(heard) <= RUNS_SECS && entry.last_seen.is_some();
    if runs && declared.lifecycle != Lifecycle::InUse {
        found.push((
            MismatchKind::Lifecycle,
            declared.lifecycle.as_str().to_owned(),
            "its agent checks in".to_owned(),
        ));
    }
    if entry.enabled && declared.lifecycle == Lifecycle::InUse && now.since(heard) > SILENT_SECS {
        found.push((
            MismatchKind::Silent,
            declared.lifecycle.as_str().to_owned(),
            format!("last heard of {heard}"),
        ));
    }
    if declares && entry.declared.is_none() {
        found.push((MismatchKind::Undeclared, "nothing".to_owned(), "it has an agent".to_owned()));
    }
    for (kind, said, fact) in [
        (MismatchKind::Environment, &declared.environment, "environment"),
        (MismatchKind::Owner, &declared.owner, "owner"),
    ] {
        if let (Some(said), Some(is)) = (said, entry.local.get(fact))
            && said.to_lowercase() != *is
        {
            found.push((kind, said.clone(), is.clone()));
        }
    }
    if !entry.runs_on.is_empty() && entry.virtualisation.as_deref() == Some("none") {
        let said = format!("runs_on {}", entry.runs_on.join(", "));
        found.push((MismatchKind::RunsOn, said, "no virtualisation".to_owned()));
    }
    found
}

/// Entries that share what only one should have; each names the others. Retired ones do not count.
fn twins(
    entries: &BTreeMap<i64, Entry>,
    kind: MismatchKind,
    of: impl Fn(&Entry) -> Option<String>,
    all: &mut Mismatches,
) {
    let mut by: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let lives = |entry: &Entry| {
        entry.enabled && entry.declared.as_ref().is_none_or(|said| said.lifecycle != Lifecycle::Retired)
    };
    for (ci, entry) in entries.iter().filter(|(_, entry)| lives(entry)) {
        if let Some(what) = of(entry) {
            by.entry(what).or_default().push(*ci);
        }
    }
    const NAMED: usize = 5;
    for (what, cis) in by.into_iter().filter(|(_, cis)| cis.len() > 1) {
        for ci in &cis {
            let others = cis.iter().filter(|other| *other != ci).take(NAMED);
            let others: Vec<String> = others.map(|other| format!("CI-{other}")).collect();
            all.insert((*ci, kind), (what.clone(), format!("also {}", others.join(", "))));
        }
    }
}
