//! All SQL of findings. Steps are only ever added to.

mod acceptance;
mod reading;
mod rules;

pub(super) use acceptance::{accepted, revise};
pub(super) use reading::{Listed, file, list};
pub(super) use rules::{insert_rule, list_rules, withdraw_rule};

use super::model::{self, covers, reopens};
use crate::changes;
use crate::cmdb;
use crate::each;
use crate::fleet;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::kernel::news;
use crate::ledger;
use diesel::prelude::*;
use rules::{RuleRow, live_rules, pattern};
use shared::digest::Digest;
use shared::finding::{Finding, Presence};
use shared::ids::{ChangeId, PersonId};
use shared::news::{About, NewsKind};
use shared::receipt::Receipt;
use shared::statement::Statement;
use shared::time::{Interval, Timestamp};
use shared::wire::{Dispose, Disposition};

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
        cause -> Nullable<Text>,
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
    cause: Option<String>,
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
            cause: body.cause.as_ref().map(serde_json::to_string).transpose().map_err(json)?,
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
    judge_again(tx, (id, before.as_ref()), &statement.body, &said, now)?;
    if before.is_none() {
        tell_open(tx, id, now)?;
    }
    record_found(tx, id, now)
}

/// Says outside that people have a finding to judge, where they have.
fn tell_open(tx: &mut Conn, id: i64, now: Timestamp) -> Result<(), Error> {
    let row: Row = finding::table.find(id).select(Row::as_select()).first(tx)?;
    if word(&row.disposition)? != Disposition::Open || presence(&row.said.presence)? == Presence::Gone {
        return Ok(());
    }
    let about = About {
        finding: Some(id.cast_unsigned()),
        ci: Some(cmdb::CiId(row.ci).to_string()),
        agent: Some(parse(&row.agent)?),
        ..About::default()
    };
    Ok(news::tell(tx, NewsKind::FindingOpened, about, now)?)
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
    if step.disposition == Disposition::Open {
        tell_open(tx, id, now)?;
    }
    record_found(tx, id, now)
}

/// A change took hosts out of the register: what they found is not there any more, and what a successor found is of the entry
/// under which it goes on.
pub(super) fn left(tx: &mut Conn, id: &str, now: Timestamp) -> Result<(), Error> {
    tx.lock("findings")?;
    for (agent, successor) in changes::retired_by(tx, &parse(id)?)? {
        let Some(host) = fleet::find(tx, agent)? else { continue };
        let theirs = finding::table.filter(finding::agent.eq(agent.to_string()));
        let theirs = theirs.filter(finding::presence.eq(Presence::There.as_str()));
        let gone = (finding::presence.eq(Presence::Gone.as_str()), finding::last_seen.eq(now.0));
        diesel::update(theirs).set(gone).execute(tx)?;
        if let Some(successor) = successor {
            let theirs = finding::table.filter(finding::agent.eq(successor.to_string()));
            diesel::update(theirs).set(finding::ci.eq(host.ci.0)).execute(tx)?;
        }
        record_found_of(tx, host.ci.0, now)?;
    }
    Ok(())
}

/// Says in the CMDB how the findings of this one's host stand, for searches.
fn record_found(tx: &mut Conn, id: i64, now: Timestamp) -> Result<(), Error> {
    let ci: i64 = finding::table.find(id).select(finding::ci).first(tx)?;
    record_found_of(tx, ci, now)
}

fn record_found_of(tx: &mut Conn, ci: i64, now: Timestamp) -> Result<(), Error> {
    let there =
        finding::table.filter(finding::ci.eq(ci)).filter(finding::presence.ne(Presence::Gone.as_str()));
    let said: Vec<String> = there.select(finding::disposition).distinct().load(tx)?;
    let found = cmdb::found(said.iter().map(String::as_str));
    cmdb::record_words(tx, cmdb::CiId(ci), &[cmdb::Field::Finding], &found, now)
}

/// Judges findings as they were seen, all or none.
///
/// # Errors
/// `finding.moved` with the first one that looks otherwise by now, `finding.in_review` where a retroactive change is to
/// accept it.
pub(super) fn dispose(tx: &mut Conn, wish: &Dispose, by: &PersonId, now: Timestamp) -> Result<(), Error> {
    model::check(wish, now)?;
    tx.lock("findings")?;
    let change = wish.change.as_ref().map(|named| changes::named(tx, named)).transpose()?;
    if let Some(change) = &change {
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
        let Dispose { disposition, reason, until, .. } = wish;
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

/// Findings that people confirmed in the period as changes that nobody had approved, each once.
pub fn confirmed_in(tx: &mut Conn, period: Interval) -> QueryResult<u32> {
    let within = finding_step::table
        .filter(finding_step::disposition.eq(Disposition::Confirmed.as_str()))
        .filter(finding_step::at.ge(period.from.0))
        .filter(finding_step::at.lt(period.until.0));
    let found: Vec<i64> = within.select(finding_step::finding).distinct().load(tx)?;
    Ok(u32::try_from(found.len()).unwrap_or(u32::MAX))
}
