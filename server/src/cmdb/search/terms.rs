//! Which entry had which words from when until when. A word is stored once, for however many entries.

use crate::cmdb::model::{CiId, one_line, unknown};
use crate::cmdb::store::{ROWS, ci, ci_history, ci_mark};
use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use diesel::prelude::*;
use diesel::upsert::excluded;
use shared::facts::{Facts, PackageStatus};
use shared::search::{Key, folded};
use shared::time::Timestamp;
use shared::version::Order;
use shared::wire::{Criticality, Declared, Lifecycle, Need};
use std::collections::{BTreeMap, BTreeSet};

diesel::table! {
    term (id) {
        id -> BigInt,
        field -> Text,
        word -> Text,
        detail -> Text,
        source -> Text,
        source_detail -> Text,
    }
}

diesel::table! {
    ci_term (ci, term, since) {
        ci -> BigInt,
        term -> BigInt,
        since -> BigInt,
        until -> BigInt,
    }
}

diesel::joinable!(ci_term -> term (term));
diesel::allow_tables_to_appear_in_same_query!(ci_term, term, ci, ci_history, ci_mark);

/// The end of what holds.
pub(in crate::cmdb) const FOREVER: i64 = i64::MAX;

/// What a word is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// Packages by dpkg's order and by rpm's, with their versions and sources.
    Deb,
    Rpm,
    Os,
    Kernel,
    Arch,
    Agent,
    Service,
    Label,
    /// Facts from files of the host, by name.
    Local,
    /// Of the machine.
    Serial,
    Virtualisation,
    Owner,
    Env,
    Criticality,
    Protection,
    Confidentiality,
    Integrity,
    Availability,
    Scope,
    Lifecycle,
    Description,
    Manifest,
    Finding,
}

impl Field {
    const ALL: [Self; 23] = [
        Self::Deb,
        Self::Rpm,
        Self::Os,
        Self::Kernel,
        Self::Arch,
        Self::Agent,
        Self::Service,
        Self::Label,
        Self::Local,
        Self::Serial,
        Self::Virtualisation,
        Self::Owner,
        Self::Env,
        Self::Criticality,
        Self::Protection,
        Self::Confidentiality,
        Self::Integrity,
        Self::Availability,
        Self::Scope,
        Self::Lifecycle,
        Self::Description,
        Self::Manifest,
        Self::Finding,
    ];
    /// What hosts report.
    const FACTS: [Self; 10] = [
        Self::Deb,
        Self::Rpm,
        Self::Os,
        Self::Kernel,
        Self::Arch,
        Self::Agent,
        Self::Service,
        Self::Local,
        Self::Serial,
        Self::Virtualisation,
    ];
    /// What a look at the past tells.
    pub(in crate::cmdb) const TOLD: [Self; 8] =
        [Self::Deb, Self::Rpm, Self::Os, Self::Kernel, Self::Arch, Self::Agent, Self::Service, Self::Label];
    /// What people declare; labels only of what is no host.
    const DECLARED: [Self; 10] = [
        Self::Owner,
        Self::Env,
        Self::Criticality,
        Self::Protection,
        Self::Confidentiality,
        Self::Integrity,
        Self::Availability,
        Self::Scope,
        Self::Lifecycle,
        Self::Description,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
            Self::Os => "os",
            Self::Kernel => "kernel",
            Self::Arch => "arch",
            Self::Agent => "agent",
            Self::Service => "service",
            Self::Label => "label",
            Self::Local => "local",
            Self::Serial => "serial",
            Self::Virtualisation => "virtualisation",
            Self::Owner => "owner",
            Self::Env => "env",
            Self::Criticality => "criticality",
            Self::Protection => "protection",
            Self::Confidentiality => "confidentiality",
            Self::Integrity => "integrity",
            Self::Availability => "availability",
            Self::Scope => "scope",
            Self::Lifecycle => "lifecycle",
            Self::Description => "description",
            Self::Manifest => "manifest",
            Self::Finding => "finding",
        }
    }

    fn parse(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|field| field.as_str() == text)
            .ok_or_else(|| unknown("the word's field", text))
    }

    /// Where a key is looked up; `None` for keys that stand elsewhere than among the words.
    pub(super) fn of(key: Key) -> Option<&'static [Self]> {
        Some(match key {
            Key::Package | Key::Source => &[Self::Deb, Self::Rpm],
            Key::Os => &[Self::Os],
            Key::Kernel => &[Self::Kernel],
            Key::Arch => &[Self::Arch],
            Key::Agent => &[Self::Agent],
            Key::Service => &[Self::Service],
            Key::Label => &[Self::Label],
            Key::Local => &[Self::Local],
            Key::Owner => &[Self::Owner],
            Key::Env => &[Self::Env],
            Key::Criticality => &[Self::Criticality],
            Key::Protection => &[Self::Protection],
            Key::Confidentiality => &[Self::Confidentiality],
            Key::Integrity => &[Self::Integrity],
            Key::Availability => &[Self::Availability],
            Key::Scope => &[Self::Scope],
            Key::Lifecycle => &[Self::Lifecycle],
            Key::Manifest => &[Self::Manifest],
            Key::Finding => &[Self::Finding],
            Key::Text | Key::Name | Key::Class | Key::HostClass | Key::Change | Key::Saved => return None,
        })
    }

    /// How the versions of packages of this field are ordered.
    pub(super) fn order(self) -> Order {
        if self == Self::Rpm { Order::Rpm } else { Order::Deb }
    }
}

/// A word of an entry, in small letters, with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Known {
    pub field: Field,
    pub word: String,
    pub detail: String,
    pub source: String,
    pub source_detail: String,
}

impl Known {
    /// A detail as it is, because versions have their own letters.
    pub fn new(field: Field, word: &str, detail: &str) -> Self {
        let (word, detail) = (folded(&one_line(word)), one_line(detail));
        Self { field, word, detail, source: String::new(), source_detail: String::new() }
    }
}

/// Labels, of hosts as of everything else.
pub fn labels<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> BTreeSet<Known> {
    pairs.into_iter().map(|(name, value)| Known::new(Field::Label, name, &folded(value))).collect()
}

/// Dispositions of an entry's findings that are not gone.
pub fn found<'a>(dispositions: impl IntoIterator<Item = &'a str>) -> BTreeSet<Known> {
    dispositions.into_iter().map(|said| Known::new(Field::Finding, said, "")).collect()
}

/// What of a host's facts is looked for.
pub(in crate::cmdb) fn of_facts(facts: &Facts) -> (&'static [Field], BTreeSet<Known>) {
    let field = if facts.package_order() == Order::Rpm { Field::Rpm } else { Field::Deb };
    let there = facts.packages.iter().filter(|package| package.status != PackageStatus::ConfigFiles);
    let mut all: BTreeSet<Known> = there
        .map(|package| Known {
            source: folded(&package.source),
            source_detail: package.source_version.clone(),
            ..Known::new(field, &package.name, &package.version)
        })
        .collect();
    all.extend(facts.services.iter().map(|service| Known::new(Field::Service, &service.name, "")));
    let agent = facts.agent_version.to_string();
    all.extend([
        Known::new(Field::Os, &facts.os.id, &facts.os.version),
        Known::new(Field::Kernel, &facts.kernel.release, ""),
        Known::new(Field::Arch, &facts.arch, ""),
        Known::new(Field::Agent, &agent, ""),
    ]);
    all.extend(facts.local.iter().map(|local| Known::new(Field::Local, &local.name, &folded(&local.value))));
    all.extend(facts.hardware.iter().map(|found| Known::new(Field::Serial, &found.serial, "")));
    all.extend(facts.virtualisation.iter().map(|found| Known::new(Field::Virtualisation, found, "")));
    all.retain(|known| !known.word.is_empty());
    (&Field::FACTS, all)
}

/// What of a declaration is looked for; its labels as well, which hosts have elsewhere.
pub(in crate::cmdb) fn of_declared(declared: &Declared, is_host: bool) -> (Vec<Field>, BTreeSet<Known>) {
    let need = |need: Need| match need {
        Need::Normal => "normal",
        Need::High => "high",
        Need::VeryHigh => "very_high",
    };
    let lifecycle = match declared.lifecycle {
        Lifecycle::Planned => "planned",
        Lifecycle::InUse => "in_use",
        Lifecycle::Retired => "retired",
    };
    let Declared { confidentiality, integrity, availability, .. } = declared;
    let protection = [confidentiality, integrity, availability].into_iter().flatten().max().copied();
    let words = [
        (Field::Owner, declared.owner.as_deref()),
        (Field::Env, declared.environment.as_deref()),
        (Field::Criticality, declared.criticality.map(Criticality::as_str)),
        (Field::Protection, protection.map(need)),
        (Field::Confidentiality, confidentiality.map(need)),
        (Field::Integrity, integrity.map(need)),
        (Field::Availability, availability.map(need)),
        (Field::Lifecycle, Some(lifecycle)),
        (Field::Description, declared.description.as_deref()),
    ];
    let mut all: BTreeSet<Known> =
        words.into_iter().filter_map(|(field, word)| Some(Known::new(field, word?, ""))).collect();
    all.extend(declared.scopes.iter().map(|scope| Known::new(Field::Scope, scope, "")));
    let mut fields = Field::DECLARED.to_vec();
    if !is_host {
        fields.push(Field::Label);
        all.extend(labels(&*declared.labels));
    }
    (fields, all)
}

type Row = (i64, String, String, String, String, String);

fn known((id, field, word, detail, source, source_detail): Row) -> Result<(Known, i64), Error> {
    Ok((Known { field: Field::parse(&field)?, word, detail, source, source_detail }, id))
}

/// Brings the words of an entry in these fields to what is known now: only what differs is written.
pub fn record(
    tx: &mut Conn,
    id: CiId,
    fields: &[Field],
    wanted: &BTreeSet<Known>,
    now: Timestamp,
) -> Result<(), Error> {
    let mut has = BTreeMap::new();
    for row in current(tx, id, fields)? {
        let (known, term) = known(row)?;
        has.insert(known, term);
    }
    let gone: Vec<i64> =
        has.iter().filter(|(known, _)| !wanted.contains(*known)).map(|(_, term)| *term).collect();
    for some in gone.chunks(ROWS) {
        let ended = ci_term::table.filter(ci_term::ci.eq(id.0)).filter(ci_term::until.eq(FOREVER));
        let ended = ended.filter(ci_term::term.eq_any(some));
        diesel::update(ended).set(ci_term::until.eq(now.0)).execute(tx)?;
    }
    let new: BTreeSet<&Known> = wanted.iter().filter(|known| !has.contains_key(*known)).collect();
    let terms = ids(tx, &new)?;
    let rows: Vec<_> = terms
        .iter()
        .map(|term| {
            (
                ci_term::ci.eq(id.0),
                ci_term::term.eq(*term),
                ci_term::since.eq(now.0),
                ci_term::until.eq(FOREVER),
            )
        })
        .collect();
    for some in rows.chunks(ROWS) {
        // What came, went and came again within one second never went.
        each!(tx, |c| diesel::insert_into(ci_term::table)
            .values(some)
            .on_conflict((ci_term::ci, ci_term::term, ci_term::since))
            .do_update()
            .set(ci_term::until.eq(excluded(ci_term::until)))
            .execute(c))?;
    }
    Ok(())
}

fn current(tx: &mut Conn, id: CiId, fields: &[Field]) -> QueryResult<Vec<Row>> {
    let names: Vec<&str> = fields.iter().map(|field| field.as_str()).collect();
    let rows = ci_term::table.inner_join(term::table).filter(ci_term::ci.eq(id.0));
    let rows = rows.filter(ci_term::until.eq(FOREVER)).filter(term::field.eq_any(names));
    rows.select((term::id, term::field, term::word, term::detail, term::source, term::source_detail)).load(tx)
}

/// What hosts report that declarations are compared with.
#[derive(Debug, Default)]
pub struct Observed {
    pub serial: Option<String>,
    pub virtualisation: Option<String>,
    /// By name, both in small letters.
    pub local: BTreeMap<String, String>,
}

/// Of all hosts that report any of it.
pub fn observed(tx: &mut Conn) -> Result<BTreeMap<i64, Observed>, Error> {
    let fields = [Field::Local, Field::Serial, Field::Virtualisation];
    let names = fields.map(Field::as_str);
    let rows = ci_term::table.inner_join(term::table).filter(ci_term::until.eq(FOREVER));
    let rows = rows.filter(term::field.eq_any(names));
    let rows = rows.select((ci_term::ci, term::field, term::word, term::detail));
    let mut all: BTreeMap<i64, Observed> = BTreeMap::new();
    for (ci, field, word, detail) in rows.load::<(i64, String, String, String)>(tx)? {
        let one = all.entry(ci).or_default();
        match Field::parse(&field)? {
            Field::Serial => one.serial = Some(word),
            Field::Virtualisation => one.virtualisation = Some(word),
            _ => drop(one.local.insert(word, detail)),
        }
    }
    Ok(all)
}

/// What was known of an entry at a time, in these fields.
pub(in crate::cmdb) fn past(
    tx: &mut Conn,
    id: CiId,
    fields: &[Field],
    at: Timestamp,
) -> Result<BTreeSet<Known>, Error> {
    let names: Vec<&str> = fields.iter().map(|field| field.as_str()).collect();
    let rows = ci_term::table.inner_join(term::table).filter(ci_term::ci.eq(id.0));
    let rows = rows.filter(ci_term::since.le(at.0)).filter(ci_term::until.gt(at.0));
    let rows = rows.filter(term::field.eq_any(names));
    let columns = (term::id, term::field, term::word, term::detail, term::source, term::source_detail);
    rows.select(columns).load(tx)?.into_iter().map(|row| Ok(known(row)?.0)).collect()
}

/// Words by their numbers, those that are not stored yet as well.
fn ids(tx: &mut Conn, wanted: &BTreeSet<&Known>) -> Result<Vec<i64>, Error> {
    let mut found = find(tx, wanted)?;
    let missing: BTreeSet<&Known> =
        wanted.iter().copied().filter(|known| !found.contains_key(*known)).collect();
    let rows: Vec<_> = missing
        .iter()
        .map(|known| {
            (
                term::field.eq(known.field.as_str()),
                term::word.eq(&known.word),
                term::detail.eq(&known.detail),
                term::source.eq(&known.source),
                term::source_detail.eq(&known.source_detail),
            )
        })
        .collect();
    for some in rows.chunks(ROWS) {
        each!(tx, |c| diesel::insert_into(term::table).values(some).on_conflict_do_nothing().execute(c))?;
    }
    if !missing.is_empty() {
        found.extend(find(tx, &missing)?);
    }
    Ok(found.into_values().collect())
}

fn find(tx: &mut Conn, wanted: &BTreeSet<&Known>) -> Result<BTreeMap<Known, i64>, Error> {
    let mut found = BTreeMap::new();
    for field in Field::ALL {
        let words: BTreeSet<&str> =
            wanted.iter().filter(|known| known.field == field).map(|known| known.word.as_str()).collect();
        let words: Vec<&str> = words.into_iter().collect();
        for some in words.chunks(ROWS) {
            let rows = term::table.filter(term::field.eq(field.as_str())).filter(term::word.eq_any(some));
            for row in rows.load::<Row>(tx)? {
                let (known, id) = known(row)?;
                if wanted.contains(&known) {
                    found.insert(known, id);
                }
            }
        }
    }
    Ok(found)
}
