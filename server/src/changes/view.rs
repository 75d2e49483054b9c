//! Changes as people and tools read them.

use super::notes;
use super::retirement;
use super::store::papers::{self, Effects};
use super::store::{self, Row};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::ledger;
use shared::change::{Change, ChangeType};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::ids::{ChangeId, ManifestName, Team};
use shared::lifecycle::{Event, Outcome, State};
use shared::note::{self, LinkKind, Said};
use shared::plan::PlanSet;
use shared::statement::Statement;
use shared::time::{Interval, Timestamp};
use shared::wire::{ChangeFile, ChangeLine, CourseStep, SeriesLine};
use shared::words;
use std::collections::{BTreeMap, BTreeSet};

/// The lines of a page of changes.
pub fn lines(tx: &mut Conn, rows: &[Row], now: Timestamp) -> Result<Vec<ChangeLine>, Error> {
    let statements: Vec<Vec<u8>> = rows.iter().filter_map(|row| row.statement.clone()).collect();
    let counts = store::count_targets(tx, &statements)?;
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let objections = notes::count_open_objections(tx, &ids)?;
    let mut classes = papers::count_classes(tx, &statements)?;
    rows.iter()
        .map(|row| {
            let count = row.statement.as_ref().and_then(|statement| counts.get(statement));
            let (plans, reported) = count.copied().unwrap_or_default();
            let classes = row.statement.as_ref().and_then(|statement| classes.remove(statement));
            let small = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
            Ok(ChangeLine {
                change_id: row.change_id()?,
                revision: row.revision(),
                state: row.state.clone(),
                outcome: row.outcome.clone(),
                title: row.title.clone(),
                author: row.author()?,
                targets: row.targets.cast_unsigned(),
                plans: small(plans),
                plan_classes: classes.unwrap_or_default().into_iter().map(small).collect(),
                reported: small(reported),
                retroactive: row.retroactive,
                retires: row.retires,
                review_due: row.review_due.map(Timestamp),
                register: row.register.clone(),
                objections: objections.get(&row.id).copied().unwrap_or_default(),
                series: row
                    .series
                    .as_deref()
                    .map(str::parse)
                    .transpose()
                    .map_err(|_| store::damaged("a series"))?,
                submit_at: row.submit_at.map(Timestamp),
                next_interval: row.intervals()?.into_iter().find(|interval| now < interval.until),
            })
        })
        .collect()
}

/// All series, by their names.
pub(super) fn series(tx: &mut Conn) -> Result<Vec<SeriesLine>, Error> {
    let found = store::list_series(tx)?;
    let latest: Vec<i64> = found.iter().map(|(.., latest, _)| *latest).collect();
    let mut titles = store::titles(tx, &latest)?;
    let small = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
    let line = |(name, all, closed, latest, end): store::Series| {
        Ok(SeriesLine {
            name: name.parse().map_err(|_| store::damaged("a series"))?,
            title: titles.remove(&latest).unwrap_or_default(),
            open: small(all - closed),
            all: small(all),
            last_end: Timestamp(end),
        })
    };
    found.into_iter().map(line).collect()
}

pub fn line(tx: &mut Conn, row: &Row, now: Timestamp) -> Result<ChangeLine, Error> {
    lines(tx, std::slice::from_ref(row), now)?.pop().ok_or_else(|| store::damaged("a change"))
}

/// Everything signed about the current revision.
pub fn file(tx: &mut Conn, id: &ChangeId, now: Timestamp) -> Result<ChangeFile, Error> {
    let row = store::get(tx, id)?;
    let digest = row.statement()?;
    let targets = store::list_targets(tx, &digest)?;
    let read = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(store::digest).transpose();
    let plans: Vec<Digest> = collect(targets.iter().map(|target| read(&target.plan)))?;
    let receipts: Vec<Digest> = collect(targets.iter().map(|target| read(&target.report)))?;
    // The newest refusal of each host; the older ones are in the export.
    let mut newest = BTreeMap::new();
    for refusal in papers::list_refusals(tx, &digest)? {
        newest.insert(refusal.agent, store::digest(&refusal.statement)?);
    }
    let approvals = papers::list_approvals(tx, &digest)?;
    let plan_set = match row.plan_set()? {
        Some(digest) => Some(super::judging::plan_set(tx, &digest)?),
        None => None,
    };
    let words = words(&row, &digest, plan_set.as_ref(), &targets)?;
    let (mut accepted, mut enrolments) = (Vec::new(), Vec::new());
    if row.is_record() {
        let body = revision(tx, &row)?.body;
        accepted = body.accepts.iter().map(|accepted| accepted.finding).collect();
        enrolments = retirement::enrolments(&body);
    }
    Ok(ChangeFile {
        line: line(tx, &row, now)?,
        change: envelopes(tx, &[digest])?.pop().ok_or_else(|| store::damaged("a revision"))?,
        plans: envelopes(tx, &plans)?,
        refusals: envelopes(tx, &newest.into_values().collect::<Vec<_>>())?,
        plan_set,
        approvals: envelopes(tx, &approvals)?,
        receipts: envelopes(tx, &receipts)?,
        findings: envelopes(tx, &accepted)?,
        enrolments: envelopes(tx, &enrolments)?,
        words,
    })
}

/// The words of what is proposed, or of all plans that are there.
fn words(
    row: &Row,
    change: &Digest,
    proposed: Option<&PlanSet>,
    targets: &[store::Target],
) -> Result<String, Error> {
    let mut set = PlanSet::empty(*change);
    if !row.is_record() {
        set.plans.extend(store::plans_of(targets)?);
    }
    Ok(words::of_approval(change, &proposed.unwrap_or(&set).digest()))
}

fn collect(items: impl Iterator<Item = Result<Option<Digest>, Error>>) -> Result<Vec<Digest>, Error> {
    items.filter_map(Result::transpose).collect()
}

/// The envelopes of these statements, in the order asked for.
fn envelopes(tx: &mut Conn, digests: &[Digest]) -> Result<Vec<Envelope>, Error> {
    let found = ledger::find_statements(tx, digests)?;
    let read = |digest: &Digest| {
        let bytes = found.get(digest).ok_or_else(|| store::damaged("a signed statement"))?;
        Envelope::parse(bytes).map_err(|_| store::damaged("a signed statement"))
    };
    digests.iter().map(read).collect()
}

/// The course of a change, oldest step first.
pub fn course(tx: &mut Conn, id: &ChangeId) -> Result<Vec<CourseStep>, Error> {
    store::get(tx, id)?;
    let steps = store::list_events(tx, id.as_str())?;
    let step = |row: store::EventRow| CourseStep {
        at: Timestamp(row.at),
        event: row.event,
        person: row.person,
        note: row.note,
        state: row.state,
        outcome: row.outcome,
    };
    Ok(steps.into_iter().map(step).collect())
}

/// The current revision as its author signed it.
pub fn revision(tx: &mut Conn, row: &Row) -> Result<Statement<Change>, Error> {
    let bytes = ledger::find_statement(tx, &row.statement()?)?;
    let read = bytes.and_then(|bytes| Statement::<Change>::parse(&bytes).ok());
    read.ok_or_else(|| store::damaged("a revision"))
}

/// A revision of a change, as its author signed it.
pub fn earlier(tx: &mut Conn, id: &ChangeId, revision: u32) -> Result<Envelope, Error> {
    store::get(tx, id)?;
    let unknown = || {
        let refusal = Refusal::not_found("change.unknown_revision").with("change", id);
        refusal.with("revision", revision)
    };
    let digest = store::find_revision(tx, id, revision)?.ok_or_else(unknown)?;
    envelopes(tx, &[digest])?.pop().ok_or_else(|| store::damaged("a revision"))
}

/// All changes that may still run on hosts, by number.
pub fn list_open(tx: &mut Conn) -> Result<Vec<Row>, Error> {
    let states = [State::InReview, State::Approved, State::Running, State::Halted];
    let mut rows = store::list_in(tx, &states)?;
    rows.retain(|row| !row.is_record());
    Ok(rows)
}

/// Their current revisions.
pub fn open(tx: &mut Conn) -> Result<Vec<Change>, Error> {
    let rows = list_open(tx)?;
    rows.iter().map(|row| revision(tx, row).map(|statement| statement.body)).collect()
}

/// A change as calendars show it.
#[derive(Debug, Clone)]
pub struct Scheduled {
    pub change: Change,
    pub state: State,
    /// Grows with everything that happens to it.
    pub version: i64,
    /// When something happened to it last.
    pub at: Timestamp,
    /// The windows of earlier revisions, each at its place; the newest that had one there.
    pub earlier: Vec<Interval>,
}

/// Changes that were submitted at least once and are not over since `since`.
pub fn scheduled(tx: &mut Conn, since: Timestamp) -> Result<Vec<Scheduled>, Error> {
    let mut found = Vec::new();
    for row in store::list_ending_after(tx, since)? {
        let events = store::list_events(tx, &row.id)?;
        let submit = Event::Submit.to_string();
        let was_submitted = events.iter().any(|event| event.event == submit);
        if row.is_record() || row.statement.is_none() || !was_submitted {
            continue;
        }
        let mut earlier: Vec<Interval> = Vec::new();
        for digest in store::list_revisions(tx, &row.id)? {
            let bytes = ledger::find_statement(tx, &digest)?;
            let read = bytes.and_then(|bytes| Statement::<Change>::parse(&bytes).ok());
            let body = read.ok_or_else(|| store::damaged("a revision"))?.body;
            for (place, time) in body.intervals.iter().enumerate() {
                match earlier.get_mut(place) {
                    Some(known) => *known = *time,
                    None => earlier.push(*time),
                }
            }
        }
        let at = events.last().map_or(row.created, |event| event.at);
        found.push(Scheduled {
            change: revision(tx, &row)?.body,
            state: row.state()?,
            version: row.version,
            at: Timestamp(at),
            earlier,
        });
    }
    Ok(found)
}

/// What the plans that hosts have made for a revision would do.
pub fn effects(tx: &mut Conn, change: &Digest) -> Result<Effects, Error> {
    papers::effects(tx, change)
}

/// Other changes that bring one of the same manifests and were closed as failed or rolled back since then.
pub fn count_failures(tx: &mut Conn, change: &Change, since: Timestamp) -> Result<u32, Error> {
    let brought = |body: &Change| -> BTreeSet<(Team, ManifestName)> {
        body.manifests.iter().map(|named| (named.team.clone(), named.name.clone())).collect()
    };
    let (ours, mut count) = (brought(change), 0);
    for row in store::list_closed(tx, &[Outcome::Failed, Outcome::RolledBack], since)? {
        if row.id == change.change_id.as_str() || row.statement.is_none() {
            continue;
        }
        if !brought(&revision(tx, &row)?.body).is_disjoint(&ours) {
            count += 1;
        }
    }
    Ok(count)
}

/// When a change came how far; for figures.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    pub change_type: ChangeType,
    /// It brought nothing to hosts.
    pub record: bool,
    pub created: Timestamp,
    /// Of the revision that was approved, or the last one.
    pub submitted: Option<Timestamp>,
    pub approved: Option<Timestamp>,
    pub started: Option<Timestamp>,
    pub closed: Option<(Timestamp, Outcome)>,
    /// Targets, and how many of them have a report.
    pub targets: (u32, u32),
    /// A link says that something else came of it, such as an incident.
    pub caused: bool,
}

fn has_caused(tx: &mut Conn, row: &Row) -> Result<bool, Error> {
    let notes = notes::list(tx, &row.id)?;
    let causes = |said: &Said| matches!(said, Said::Link { relation: LinkKind::Causes, .. });
    Ok(note::links(&notes).into_iter().any(|note| causes(&note.said)))
}

/// The courses of all changes that were there in the period: made before its end and not closed before its beginning.
/// Drafts without a revision say nothing yet.
pub fn courses(tx: &mut Conn, period: Interval) -> Result<Vec<Course>, Error> {
    let mut found = Vec::new();
    for row in store::list_there(tx, period)? {
        if row.statement.is_none() {
            continue;
        }
        let mut course = Course {
            record: row.is_record(),
            change_type: revision(tx, &row)?.body.change_type,
            created: Timestamp(row.created),
            submitted: None,
            approved: None,
            started: None,
            closed: None,
            targets: (row.targets.cast_unsigned(), store::count_reports(tx, &row.statement()?)?),
            caused: has_caused(tx, &row)?,
        };
        let [submit, approved, started] =
            [Event::Submit, Event::QuorumReached, Event::Started].map(|e| e.to_string());
        for event in store::list_events(tx, &row.id)? {
            let at = Some(Timestamp(event.at));
            match &event.event {
                word if *word == submit => (course.submitted, course.approved) = (at, None),
                word if *word == approved => course.approved = course.approved.or(at),
                word if *word == started => course.started = course.started.or(at),
                _ => {}
            }
        }
        if let (State::Closed(outcome), Some(at)) = (row.state()?, row.closed) {
            course.closed = Some((Timestamp(at), outcome));
        }
        found.push(course);
    }
    Ok(found)
}
