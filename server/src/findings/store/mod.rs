//! All SQL of findings. Steps are only ever added to.

mod acceptance;
mod rules;

pub(super) use acceptance::{accepted, revise};
pub(super) use rules::{insert_rule, list_rules, withdraw_rule};

use super::model::{self, covers, reopens};
use crate::changes;
use crate::cmdb::{self, CiId};
use crate::each;
use crate::fleet;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::ledger;
use diesel::prelude::*;
use rules::{RuleRow, live_rules, pattern};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::finding::{Finding, Presence};
use shared::ids::{AgentId, ChangeId, PersonId};
use shared::receipt::Receipt;
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::wire::{Dispose, Disposition, FindingFile, FindingLine, FindingPage, FindingStep, Proposed};
use std::collections::HashMap;

diesel::table! {
    finding (id) {
        id -> BigInt,
        agent -> Text,
        number -> BigInt,
        ci -> BigInt,
        seq -> BigInt,
        statement -> Binary,
        manifest -> Nullable<Text>,
        about -> Text,
        what -> Text,
        resources -> Text,
        whole -> Bool,
        fingerprint -> Binary,
        first_seen -> BigInt,
        last_seen -> BigInt,
        count -> BigInt,
        flapping -> Bool,
        presence -> Text,
        disposition -> Text,
        until -> Nullable<BigInt>,
        rule -> Nullable<BigInt>,
        change_id -> Nullable<Text>,
    }
}

diesel::table! {
    finding_step (id) {
        id -> BigInt,
        finding -> BigInt,
        at -> BigInt,
        by_person -> Nullable<Text>,
        disposition -> Text,
        reason -> Text,
        change_id -> Nullable<Text>,
        until -> Nullable<BigInt>,
        rule -> Nullable<BigInt>,
    }
}

/// A page of findings.
const PAGE: usize = 200;
/// Findings that one rule covers at once when it is made.
const COVERED: i64 = 10_000;

/// What a host said, as it is stored.
#[derive(Insertable, AsChangeset, Queryable, Selectable)]
#[diesel(table_name = finding, treat_none_as_null = true, treat_none_as_default_value = false)]
struct Said {
    seq: i64,
    statement: Vec<u8>,
    manifest: Option<String>,
    about: String,
    what: String,
    resources: String,
    whole: bool,
    fingerprint: Vec<u8>,
    first_seen: i64,
    last_seen: i64,
    count: i64,
    flapping: bool,
    presence: String,
}

impl Said {
    fn of(statement: &Statement<Finding>) -> Result<Self, Error> {
        let body = &statement.body;
        let json = |error| Error::fault("storing a finding", error);
        let resources: Vec<&str> = body.differences.iter().map(|d| d.resource.as_str()).collect();
        Ok(Self {
            seq: body.header.seq.cast_signed(),
            statement: statement.digest.0.to_vec(),
            manifest: body.about.state().map(|expected| expected.manifest.clone()),
            about: serde_json::to_string(&body.about).map_err(json)?,
            what: cmdb::one_line(&body.named()),
            resources: serde_json::to_string(&resources).map_err(json)?,
            whole: body.more == 0,
            fingerprint: body.fingerprint().0.to_vec(),
            first_seen: body.first_seen.0,
            last_seen: body.last_seen.0,
            count: i64::from(body.count),
            flapping: body.flapping,
            presence: body.presence.as_str().to_owned(),
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = finding)]
struct Row {
    id: i64,
    agent: String,
    number: i64,
    ci: i64,
    #[diesel(embed)]
    said: Said,
    disposition: String,
    until: Option<i64>,
    rule: Option<i64>,
    change_id: Option<String>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = finding_step)]
struct StepRow {
    at: i64,
    by_person: Option<String>,
    disposition: String,
    reason: String,
    change_id: Option<String>,
    until: Option<i64>,
    rule: Option<i64>,
}

/// What becomes of a finding, and who says so.
struct Step<'a> {
    by: Option<&'a PersonId>,
    disposition: Disposition,
    reason: &'a str,
    change: Option<&'a ChangeId>,
    until: Option<Timestamp>,
    rule: Option<i64>,
}

impl<'a> Step<'a> {
    fn open(reason: &'a str) -> Self {
        Self { by: None, disposition: Disposition::Open, reason, change: None, until: None, rule: None }
    }

    fn by_rule(rule: &'a RuleRow) -> Self {
        Self {
            by: None,
            disposition: Disposition::Ignored,
            reason: &rule.reason,
            change: None,
            until: Some(Timestamp(rule.until)),
            rule: Some(rule.id),
        }
    }
}

/// Takes over the statement with this digest (hexadecimal). One that was overtaken by a later one changes nothing.
pub(super) fn take_in(tx: &mut Conn, digest: &str, now: Timestamp) -> Result<(), Error> {
    let key: Digest = digest.parse().map_err(|_| damaged(digest))?;
    let found = ledger::find_statements(tx, &[key])?.remove(&key);
    let bytes =
        found.ok_or_else(|| Error::fault("reading a finding", format!("{digest} is not recorded")))?;
    let statement =
        Statement::<Finding>::parse(&bytes).map_err(|error| Error::fault("reading a finding", error))?;
    tx.lock("findings")?;
    let body = &statement.body;
    let (agent, number) = (body.header.agent_id.to_string(), body.number.cast_signed());
    let mine = finding::table.filter(finding::agent.eq(&agent)).filter(finding::number.eq(number));
    let before: Option<Row> = mine.select(Row::as_select()).first(tx).optional()?;
    let said = Said::of(&statement)?;
    let id = match &before {
        Some(row) if row.said.seq >= said.seq => return Ok(()),
        Some(row) => {
            diesel::update(finding::table.find(row.id)).set(&said).execute(tx)?;
            row.id
        }
        None => {
            let Some(host) = fleet::find(tx, body.header.agent_id)? else { return Ok(()) };
            let place = (
                finding::agent.eq(&agent),
                finding::number.eq(number),
                finding::ci.eq(host.ci.0),
                finding::disposition.eq(Disposition::Open.as_str()),
            );
            each!(tx, |c| diesel::insert_into(finding::table).values((place, &said)).execute(c))?;
            mine.select(finding::id).first(tx)?
        }
    };
    judge_again(tx, (id, before.as_ref()), &statement.body, &said, now)
}

/// A host has put back what was approved: nobody has to, unless somebody has said otherwise.
pub(super) fn corrected(tx: &mut Conn, digest: &str, now: Timestamp) -> Result<(), Error> {
    let key: Digest = digest.parse().map_err(|_| damaged(digest))?;
    let bytes = ledger::find_statement(tx, &key)?
        .ok_or_else(|| Error::fault("reading a correction", format!("{digest} is not recorded")))?;
    let receipt =
        Statement::<Receipt>::parse(&bytes).map_err(|error| Error::fault("reading a correction", error))?;
    tx.lock("findings")?;
    let Receipt { header, corrects: Some(number), change_id, outcome, .. } = &receipt.body else {
        return Ok(());
    };
    let mine = finding::table.filter(finding::agent.eq(header.agent_id.to_string()));
    let mine = mine.filter(finding::number.eq(number.cast_signed()));
    let row: Option<Row> = mine.select(Row::as_select()).first(tx).optional()?;
    match row {
        Some(row) if outcome.is_success() && word(&row.disposition)? == Disposition::Open => {
            let reason = "the host has put it back under the standing approval of its change";
            let disposition = Disposition::Reverted;
            let change = Some(change_id);
            step(tx, row.id, &Step { by: None, disposition, reason, change, until: None, rule: None }, now)
        }
        _ => Ok(()),
    }
}

/// What follows from the host's new word: what was said of another look is open again, and rules hold.
fn judge_again(
    tx: &mut Conn,
    (id, before): (i64, Option<&Row>),
    body: &Finding,
    said: &Said,
    now: Timestamp,
) -> Result<(), Error> {
    let mut disposition = Disposition::Open;
    if let Some(row) = before {
        disposition = word(&row.disposition)?;
        let same = row.said.fingerprint == said.fingerprint;
        if let Some(reason) = reopens((disposition, same, presence(&row.said.presence)?), body) {
            step(tx, id, &Step::open(reason), now)?;
            disposition = Disposition::Open;
        }
    }
    if disposition != Disposition::Open || body.presence == Presence::Gone {
        return Ok(());
    }
    let resources: Vec<String> = body.differences.iter().map(|d| d.resource.to_string()).collect();
    let rules = live_rules(tx, now)?;
    match rules.iter().find(|rule| covers(&pattern(rule), said.manifest.as_deref(), &resources, said.whole)) {
        Some(rule) => step(tx, id, &Step::by_rule(rule), now),
        None => Ok(()),
    }
}

fn step(tx: &mut Conn, id: i64, step: &Step<'_>, now: Timestamp) -> Result<(), Error> {
    let (disposition, until) = (step.disposition.as_str(), step.until.map(|at| at.0));
    let change = step.change.map(ChangeId::as_str);
    diesel::update(finding::table.find(id))
        .set((
            finding::disposition.eq(disposition),
            finding::until.eq(until),
            finding::rule.eq(step.rule),
            finding::change_id.eq(change),
        ))
        .execute(tx)?;
    let row = (
        finding_step::finding.eq(id),
        finding_step::at.eq(now.0),
        finding_step::by_person.eq(step.by.map(PersonId::as_str)),
        finding_step::disposition.eq(disposition),
        finding_step::reason.eq(step.reason),
        finding_step::change_id.eq(change),
        finding_step::until.eq(until),
        finding_step::rule.eq(step.rule),
    );
    each!(tx, |c| diesel::insert_into(finding_step::table).values(row).execute(c))?;
    Ok(())
}

/// Judges findings as they were seen, all or none.
///
/// # Errors
/// `finding.moved` with the first one that looks otherwise by now, `finding.in_review` where a retroactive change is to
/// accept it.
pub(super) fn dispose(tx: &mut Conn, wish: &Dispose, by: &PersonId, now: Timestamp) -> Result<(), Error> {
    model::check(wish, now)?;
    tx.lock("findings")?;
    if let Some(change) = &wish.change {
        changes::get(tx, change)?;
    }
    let mut rows = Vec::with_capacity(wish.findings.len());
    for seen in &wish.findings {
        let row = get(tx, seen.id)?;
        if digest(&row.said.fingerprint)? != seen.fingerprint {
            return Err(Refusal::conflict("finding.moved").with("finding", seen.id).into());
        }
        rows.push(row);
    }
    acceptance::check_unproposed(tx, &rows)?;
    for row in rows {
        let Dispose { disposition, reason, change, until, .. } = wish;
        let made = Step {
            by: Some(by),
            disposition: *disposition,
            reason,
            change: change.as_ref(),
            until: *until,
            rule: None,
        };
        step(tx, row.id, &made, now)?;
    }
    Ok(())
}

fn get(tx: &mut Conn, id: u64) -> Result<Row, Error> {
    let row: Option<Row> =
        finding::table.find(id.cast_signed()).select(Row::as_select()).first(tx).optional()?;
    row.ok_or_else(|| Refusal::not_found("finding.unknown").with("finding", id).into())
}

/// Which findings are listed; all conditions hold together.
#[derive(Debug, Clone, Default)]
pub(super) struct Listed {
    pub disposition: Option<Disposition>,
    /// Not those that are gone.
    pub current: bool,
    pub ci: Option<CiId>,
    pub manifest: Option<String>,
    pub fingerprint: Option<Digest>,
    /// Only those with a smaller id.
    pub before: Option<u64>,
}

/// A page of findings, newest first.
pub(super) fn list(tx: &mut Conn, listed: &Listed) -> Result<FindingPage, Error> {
    let mut rows = finding::table.into_boxed();
    if let Some(disposition) = listed.disposition {
        rows = rows.filter(finding::disposition.eq(disposition.as_str()));
    }
    if listed.current {
        rows = rows.filter(finding::presence.ne(Presence::Gone.as_str()));
    }
    if let Some(ci) = listed.ci {
        rows = rows.filter(finding::ci.eq(ci.0));
    }
    if let Some(manifest) = &listed.manifest {
        rows = rows.filter(finding::manifest.eq(manifest.clone()));
    }
    if let Some(fingerprint) = listed.fingerprint {
        rows = rows.filter(finding::fingerprint.eq(fingerprint.0.to_vec()));
    }
    if let Some(before) = listed.before {
        rows = rows.filter(finding::id.lt(before.cast_signed()));
    }
    let rows = rows.order(finding::id.desc()).limit(PAGE as i64 + 1).select(Row::as_select());
    let mut rows: Vec<Row> = rows.load(tx)?;
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let next = rows.last().filter(|_| more).map(|row| row.id.cast_unsigned());
    let known = Known::of(tx, &rows)?;
    let findings = rows.into_iter().map(|row| line(row, &known)).collect::<Result<_, _>>()?;
    Ok(FindingPage { findings, next })
}

/// One finding with the host's own words and its history.
pub(super) fn file(tx: &mut Conn, id: u64) -> Result<FindingFile, Error> {
    let row = get(tx, id)?;
    let key = digest(&row.said.statement)?;
    let bytes = ledger::find_statements(tx, &[key])?.remove(&key);
    let bytes = bytes.ok_or_else(|| Error::fault("reading a finding", format!("{key} is not recorded")))?;
    let statement = Envelope::parse(&bytes).map_err(|error| Error::fault("reading a finding", error))?;
    let steps = finding_step::table.filter(finding_step::finding.eq(row.id)).order(finding_step::id);
    let steps: Vec<StepRow> = steps.select(StepRow::as_select()).load(tx)?;
    let history = steps.into_iter().map(read_step).collect::<Result<_, _>>()?;
    let known = Known::of(tx, std::slice::from_ref(&row))?;
    Ok(FindingFile { line: line(row, &known)?, statement, history })
}

/// What other slices know of a page of findings.
struct Known {
    /// By CI.
    names: HashMap<i64, String>,
    /// By row.
    proposed: HashMap<i64, Proposed>,
}

impl Known {
    fn of(tx: &mut Conn, rows: &[Row]) -> Result<Self, Error> {
        let mut ids: Vec<CiId> = rows.iter().map(|row| CiId(row.ci)).collect();
        ids.sort_unstable_by_key(|id| id.0);
        ids.dedup();
        Ok(Self { names: cmdb::names(tx, &ids)?, proposed: acceptance::proposed(tx, rows)? })
    }
}

fn line(row: Row, known: &Known) -> Result<FindingLine, Error> {
    Ok(FindingLine {
        id: row.id.cast_unsigned(),
        ci: CiId(row.ci).to_string(),
        hostname: known.names.get(&row.ci).cloned().unwrap_or_default(),
        agent: parse::<AgentId>(&row.agent)?,
        about: serde_json::from_str(&row.said.about).map_err(|_| damaged(&row.said.about))?,
        what: row.said.what,
        fingerprint: digest(&row.said.fingerprint)?,
        first_seen: Timestamp(row.said.first_seen),
        last_seen: Timestamp(row.said.last_seen),
        count: u32::try_from(row.said.count).map_err(|_| damaged("count"))?,
        flapping: row.said.flapping,
        presence: presence(&row.said.presence)?,
        disposition: word(&row.disposition)?,
        until: row.until.map(Timestamp),
        rule: row.rule.map(i64::cast_unsigned),
        change: row.change_id.as_deref().map(parse).transpose()?,
        proposed: known.proposed.get(&row.id).cloned(),
        statement: digest(&row.said.statement)?,
    })
}

fn read_step(row: StepRow) -> Result<FindingStep, Error> {
    Ok(FindingStep {
        at: Timestamp(row.at),
        by_person: row.by_person.as_deref().map(parse).transpose()?,
        disposition: word(&row.disposition)?,
        reason: row.reason,
        change: row.change_id.as_deref().map(parse).transpose()?,
        until: row.until.map(Timestamp),
        rule: row.rule.map(i64::cast_unsigned),
    })
}

/// Opens again what was ignored until now.
pub(super) fn reopen_ended(tx: &mut Conn, now: Timestamp) -> Result<(), Error> {
    tx.lock("findings")?;
    let ended = finding::table
        .filter(finding::disposition.eq(Disposition::Ignored.as_str()))
        .filter(finding::until.le(now.0))
        .limit(COVERED);
    for id in ended.select(finding::id).load::<i64>(tx)? {
        step(tx, id, &Step::open("the time for which it was ignored is over"), now)?;
    }
    Ok(())
}

fn damaged(text: &str) -> Error {
    Error::fault("reading findings", format!("{text:?} in the database is not valid"))
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| damaged(text))
}

fn word(text: &str) -> Result<Disposition, Error> {
    Disposition::ALL.into_iter().find(|d| d.as_str() == text).ok_or_else(|| damaged(text))
}

fn presence(text: &str) -> Result<Presence, Error> {
    Presence::ALL.into_iter().find(|p| p.as_str() == text).ok_or_else(|| damaged(text))
}

fn digest(bytes: &[u8]) -> Result<Digest, Error> {
    bytes.try_into().map(Digest).map_err(|_| damaged(&shared::digest::hex(bytes)))
}
