//! All SQL of changes: the change and its revisions here, what hosts and people said about them in `papers`.

pub(super) mod accepts;
pub(super) mod leaving;
pub(super) mod papers;

use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::kernel::register;
use diesel::prelude::*;
use shared::change::Change;
use shared::digest::Digest;
use shared::ids::{AgentId, ChangeId, ChangeRef, PersonId, SeriesName};
use shared::lifecycle::{Outcome, State};
use shared::statement::Statement;
use shared::time::{Interval, Timestamp};
use std::collections::BTreeMap;

diesel::table! {
    change_number (id) {
        id -> Integer,
        last -> BigInt,
    }
}

diesel::table! {
    change (id) {
        id -> Text,
        number -> BigInt,
        owner -> Text,
        state -> Text,
        outcome -> Nullable<Text>,
        version -> BigInt,
        revision -> Integer,
        statement -> Nullable<Binary>,
        title -> Text,
        author -> Text,
        targets -> Integer,
        not_after -> Nullable<BigInt>,
        intervals -> Text,
        gated -> Bool,
        plan_set -> Nullable<Binary>,
        planned -> Integer,
        created -> BigInt,
        submitted -> Nullable<BigInt>,
        closed -> Nullable<BigInt>,
        unpublished -> Bool,
        correct_until -> Nullable<BigInt>,
        retroactive -> Bool,
        review_due -> Nullable<BigInt>,
        register -> Nullable<Text>,
        halt_above -> Nullable<Integer>,
        failed_known -> Integer,
        series -> Nullable<Text>,
        submit_at -> Nullable<BigInt>,
        submit_by -> Nullable<Text>,
        retires -> Bool,
    }
}

diesel::table! {
    change_revision (statement) {
        statement -> Binary,
        change_id -> Text,
        revision -> Integer,
        stored -> BigInt,
    }
}

diesel::table! {
    change_target (statement, agent) {
        statement -> Binary,
        agent -> Text,
        plan -> Nullable<Binary>,
        report -> Nullable<Binary>,
        succeeded -> Nullable<Bool>,
        wave -> Integer,
        summary -> Nullable<Binary>,
        unhealthy -> Bool,
    }
}

diesel::table! {
    change_event (change_id, version) {
        change_id -> Text,
        version -> BigInt,
        event -> Text,
        person -> Nullable<Text>,
        note -> Text,
        state -> Text,
        outcome -> Nullable<Text>,
        at -> BigInt,
        statement -> Nullable<Binary>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(change, change_revision, change_target);

/// Rows per statement: far below SQLite's 32,766 variables.
const ROWS: usize = 1_000;

/// A change as stored; `state` and `outcome` are read together with [`Row::state`].
#[derive(Debug, Clone, Queryable, AsChangeset)]
#[diesel(table_name = change, treat_none_as_null = true)]
pub struct Row {
    pub id: String,
    pub number: i64,
    pub owner: String,
    pub state: String,
    pub outcome: Option<String>,
    /// Grows with every write; the compare-and-swap.
    pub version: i64,
    /// 0 before the first.
    pub revision: i32,
    /// Digest of the current revision.
    pub statement: Option<Vec<u8>>,
    pub title: String,
    pub author: String,
    pub targets: i32,
    pub not_after: Option<i64>,
    /// JSON of the intervals that count.
    pub intervals: String,
    /// Some wave waits for earlier ones.
    pub gated: bool,
    /// The plan set that the standing approvals are about.
    pub plan_set: Option<Vec<u8>>,
    /// Hosts in it.
    pub planned: i32,
    pub created: i64,
    pub submitted: Option<i64>,
    pub closed: Option<i64>,
    /// The repository may list something else than this row asks for.
    pub unpublished: bool,
    /// Until when hosts may put back what it brought; absent when they may not, or not any more.
    pub correct_until: Option<i64>,
    /// It accepts findings and is never run.
    pub retroactive: bool,
    /// Until then people review what was done, and it is not closed without a review.
    pub review_due: Option<i64>,
    /// Its number of the year, once it was submitted.
    pub register: Option<String>,
    /// It halts by itself when more hosts than this have failed.
    pub halt_above: Option<i32>,
    /// Failed hosts that whoever resumed it knew of; they do not halt it again.
    pub failed_known: i32,
    /// The series of which it is an occurrence.
    pub series: Option<String>,
    /// When the draft is submitted by itself, and whose wish that is.
    pub submit_at: Option<i64>,
    pub submit_by: Option<String>,
    /// It takes hosts out of the register and is never run.
    pub retires: bool,
}

pub(super) fn damaged(what: &str) -> Error {
    Error::fault("reading a change", format!("{what} is damaged; restore the database from a backup"))
}

pub(super) fn digest(bytes: &[u8]) -> Result<Digest, Error> {
    bytes.try_into().map(Digest).map_err(|_| damaged("a digest"))
}

impl Row {
    pub fn change_id(&self) -> Result<ChangeId, Error> {
        self.id.parse().map_err(|_| damaged("the id of a change"))
    }

    /// Of the current revision.
    pub fn author(&self) -> Result<PersonId, Error> {
        self.author.parse().map_err(|_| damaged("an author"))
    }

    pub fn state(&self) -> Result<State, Error> {
        State::from_parts(&self.state, self.outcome.as_deref())
            .ok_or_else(|| damaged("the state of a change"))
    }

    /// It brings nothing to hosts, and its review is the approval.
    pub fn is_record(&self) -> bool {
        self.retroactive || self.retires
    }

    pub fn revision(&self) -> u32 {
        self.revision.cast_unsigned()
    }

    /// Digest of the current revision.
    pub fn statement(&self) -> Result<Digest, Error> {
        let refusal = || Refusal::conflict("change.no_revision").with("change", &self.id);
        digest(self.statement.as_deref().ok_or_else(refusal)?)
    }

    pub fn plan_set(&self) -> Result<Option<Digest>, Error> {
        self.plan_set.as_deref().map(digest).transpose()
    }

    pub fn intervals(&self) -> Result<Vec<Interval>, Error> {
        serde_json::from_str(&self.intervals).map_err(|_| damaged("the intervals of a change"))
    }

    /// Whose wish it is that the draft is submitted by itself.
    pub fn submit_by(&self) -> Result<Option<PersonId>, Error> {
        let person = self.submit_by.as_deref().map(str::parse).transpose();
        person.map_err(|_| damaged("who asked for a change to be submitted"))
    }

    /// Takes over a new revision; everything said about the old one is void.
    pub fn take(&mut self, change: &Statement<Change>) {
        let body = &change.body;
        let intervals: Vec<Interval> = body.usable().collect();
        self.revision = body.revision.cast_signed();
        self.statement = Some(change.digest.0.to_vec());
        self.title = body.title.clone();
        self.author = body.author.to_string();
        self.targets = i32::try_from(body.targets.len()).unwrap_or(i32::MAX);
        self.not_after = Some(body.not_after.0);
        self.correct_until = body.correct_until.map(|end| end.0);
        self.halt_above = body.halt_above.map(|most| i32::try_from(most).unwrap_or(i32::MAX));
        self.failed_known = 0;
        self.series = body.series.as_ref().map(ToString::to_string);
        (self.retroactive, self.retires) = (body.is_retroactive(), body.is_retirement());
        self.intervals = shared::strict::to_text(&intervals);
        self.gated = body.waves.iter().any(|wave| wave.gate.is_some());
        (self.plan_set, self.planned, self.submitted) = (None, 0, None);
    }
}

/// Allots the next number and makes an empty draft.
pub(super) fn insert(tx: &mut Conn, owner: &PersonId, now: Timestamp) -> Result<ChangeId, Error> {
    let number: i64 = diesel::update(change_number::table.find(1))
        .set(change_number::last.eq(change_number::last + 1))
        .returning(change_number::last)
        .get_result(tx)?;
    let id: ChangeId = format!("C-{number}").parse().map_err(|_| damaged("the counter of changes"))?;
    let row = (
        (change::id.eq(id.as_str()), change::number.eq(number), change::owner.eq(owner.as_str())),
        (change::state.eq(State::Draft.as_str()), change::version.eq(1_i64), change::revision.eq(0)),
        (change::title.eq(""), change::author.eq(owner.as_str()), change::targets.eq(0)),
        (change::intervals.eq("[]"), change::gated.eq(false), change::planned.eq(0)),
        (change::created.eq(now.0), change::unpublished.eq(false)),
    );
    diesel::insert_into(change::table).values(row).execute(tx)?;
    Ok(id)
}

/// The change that a person names.
///
/// # Errors
/// `number.unknown`, `number.none`.
pub(super) fn named(tx: &mut Conn, named: &ChangeRef) -> Result<ChangeId, Error> {
    match named {
        ChangeRef::Id(id) => Ok(id.clone()),
        ChangeRef::Number(number) => {
            register::get(tx, number)?.parse().map_err(|_| damaged("the number of a change"))
        }
    }
}

/// Leaves out the next so many numbers, also of those by year.
pub(super) fn skip_numbers(tx: &mut Conn, count: u32) -> QueryResult<()> {
    register::skip(tx, count)?;
    diesel::update(change_number::table.find(1))
        .set(change_number::last.eq(change_number::last + i64::from(count)))
        .execute(tx)
        .map(drop)
}

pub(super) fn get(tx: &mut Conn, id: &ChangeId) -> Result<Row, Error> {
    let row: Option<Row> = change::table.find(id.as_str()).first(tx).optional()?;
    row.ok_or_else(|| Refusal::not_found("change.unknown").with("change", id).into())
}

/// Newest first, at most `limit`, numbers below `before`.
pub(super) fn list(
    tx: &mut Conn,
    state: Option<&str>,
    series: Option<&SeriesName>,
    before: Option<i64>,
    limit: i64,
) -> QueryResult<Vec<Row>> {
    let mut rows = change::table.into_boxed();
    if let Some(series) = series {
        rows = rows.filter(change::series.eq(series.to_string()));
    }
    if let Some(state) = state {
        rows = rows.filter(change::state.eq(state.to_owned()));
    }
    if let Some(before) = before {
        rows = rows.filter(change::number.lt(before));
    }
    rows.order(change::number.desc()).limit(limit).load(tx)
}

pub(super) fn list_in(tx: &mut Conn, states: &[State]) -> QueryResult<Vec<Row>> {
    let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    change::table.filter(change::state.eq_any(states)).order(change::number).load(tx)
}

/// Changes that are still open although their time is over, or whose corrections have come to their end.
pub(super) fn list_over(tx: &mut Conn, now: Timestamp) -> QueryResult<Vec<String>> {
    let open = [State::Draft, State::InReview, State::Approved, State::Running, State::Halted];
    let records = change::retroactive.eq(true).or(change::retires.eq(true));
    let reviewed = records.and(change::state.eq(State::Review.as_str()));
    let open = change::state.eq_any(open.map(State::as_str)).or(reviewed);
    let over = change::not_after.le(now.0).and(open);
    let rows = change::table.filter(over.or(change::correct_until.le(now.0)));
    rows.order(change::number).select(change::id).limit(100).load(tx)
}

/// Drafts that are to be submitted by now.
pub(super) fn list_due(tx: &mut Conn, now: Timestamp) -> QueryResult<Vec<String>> {
    let drafts = change::table.filter(change::state.eq(State::Draft.as_str()));
    let due = drafts.filter(change::submit_at.le(now.0)).order(change::number);
    due.select(change::id).limit(100).load(tx)
}

/// Occurrences of a series that are not closed.
pub(super) fn list_open_of(tx: &mut Conn, series: &str) -> QueryResult<Vec<Row>> {
    let open = change::table.filter(change::series.eq(series)).filter(change::closed.is_null());
    open.order(change::number).load(tx)
}

/// A series: its name, occurrences, those that are closed, the latest number, and the last end.
pub(super) type Series = (String, i64, i64, i64, i64);

pub(super) fn list_series(tx: &mut Conn) -> QueryResult<Vec<Series>> {
    use diesel::dsl::{count, count_star, max};
    let columns = (
        change::series.assume_not_null(),
        count_star(),
        count(change::closed),
        max(change::number).assume_not_null(),
        max(change::not_after).assume_not_null(),
    );
    let rows = change::table.filter(change::series.is_not_null()).group_by(change::series);
    rows.select(columns).order(change::series).load(tx)
}

pub(super) fn find_numbered(tx: &mut Conn, number: i64) -> QueryResult<Option<Row>> {
    change::table.filter(change::number.eq(number)).first(tx).optional()
}

/// Titles by number.
pub(super) fn titles(tx: &mut Conn, numbers: &[i64]) -> QueryResult<std::collections::HashMap<i64, String>> {
    let mut titles = std::collections::HashMap::new();
    for some in numbers.chunks(ROWS) {
        let rows = change::table.filter(change::number.eq_any(some));
        titles.extend(rows.select((change::number, change::title)).load::<(i64, String)>(tx)?);
    }
    Ok(titles)
}

/// Changes that were closed in one of these ways since then.
pub(super) fn list_closed(tx: &mut Conn, outcomes: &[Outcome], since: Timestamp) -> QueryResult<Vec<Row>> {
    let outcomes: Vec<&str> = outcomes.iter().map(|outcome| outcome.as_str()).collect();
    let rows = change::table.filter(change::outcome.eq_any(outcomes)).filter(change::closed.ge(since.0));
    rows.order(change::number).load(tx)
}

/// Changes that end after a moment, whatever became of them.
pub(super) fn list_ending_after(tx: &mut Conn, at: Timestamp) -> QueryResult<Vec<Row>> {
    change::table.filter(change::not_after.gt(at.0)).order(change::number).load(tx)
}

pub(super) fn list_unpublished(tx: &mut Conn) -> QueryResult<Vec<Row>> {
    change::table.filter(change::unpublished.eq(true)).order(change::number).load(tx)
}

/// Ids of changes created in the period, or of which a host of theirs reported something (`ids`).
pub(super) fn list_created(tx: &mut Conn, from: Timestamp, to: Timestamp) -> QueryResult<Vec<String>> {
    let rows = change::table.filter(change::created.ge(from.0)).filter(change::created.lt(to.0));
    rows.order(change::number).select(change::id).load(tx)
}

/// Changes that were made before the end of the period and not closed before its beginning.
pub(super) fn list_there(tx: &mut Conn, period: Interval) -> QueryResult<Vec<Row>> {
    let rows = change::table.filter(change::created.lt(period.until.0));
    let rows = rows.filter(change::closed.is_null().or(change::closed.ge(period.from.0)));
    rows.order(change::number).load(tx)
}

/// Targets of a revision that reported a failure.
pub(super) fn count_failed(tx: &mut Conn, change: &Digest) -> QueryResult<i32> {
    let rows = change_target::table.filter(change_target::statement.eq(change.0.as_slice()));
    let count: i64 = rows.filter(change_target::succeeded.eq(false)).count().get_result(tx)?;
    Ok(i32::try_from(count).unwrap_or(i32::MAX))
}

/// Targets of a revision that have a report.
pub(super) fn count_reports(tx: &mut Conn, change: &Digest) -> QueryResult<u32> {
    let rows = change_target::table.filter(change_target::statement.eq(change.0.as_slice()));
    let count: i64 = rows.filter(change_target::report.is_not_null()).count().get_result(tx)?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Compare-and-swap on `version`, which grows by one; a lost race is a refusal, not a silent overwrite.
pub(super) fn update(tx: &mut Conn, row: &mut Row) -> Result<(), Error> {
    let seen = row.version;
    row.version += 1;
    let unchanged = change::table.find(&row.id).filter(change::version.eq(seen));
    match diesel::update(unchanged).set(&*row).execute(tx)? {
        1 => Ok(()),
        _ => Err(Refusal::conflict("change.moved").with("change", &row.id).into()),
    }
}

/// The repository now lists what the row asks for. Does not touch the version: nothing was decided.
pub(super) fn update_published(tx: &mut Conn, id: &str) -> QueryResult<()> {
    diesel::update(change::table.find(id)).set(change::unpublished.eq(false)).execute(tx).map(drop)
}

/// A step of the change's course, as it was recorded.
#[derive(Debug, Clone, Queryable)]
pub struct EventRow {
    pub version: i64,
    pub event: String,
    pub person: Option<String>,
    pub note: String,
    pub state: String,
    pub outcome: Option<String>,
    pub at: i64,
    /// Its document in the ledger.
    pub statement: Option<Vec<u8>>,
}

pub(super) fn insert_event(tx: &mut Conn, id: &str, event: &EventRow) -> QueryResult<()> {
    let row = (
        change_event::change_id.eq(id),
        change_event::version.eq(event.version),
        change_event::event.eq(&event.event),
        change_event::person.eq(&event.person),
        change_event::note.eq(&event.note),
        change_event::state.eq(&event.state),
        change_event::outcome.eq(&event.outcome),
        change_event::at.eq(event.at),
        change_event::statement.eq(&event.statement),
    );
    diesel::insert_into(change_event::table).values(row).execute(tx).map(drop)
}

/// The change's course, oldest first.
pub(super) fn list_events(tx: &mut Conn, id: &str) -> QueryResult<Vec<EventRow>> {
    let columns = (
        change_event::version,
        change_event::event,
        change_event::person,
        change_event::note,
        change_event::state,
        change_event::outcome,
        change_event::at,
        change_event::statement,
    );
    let rows = change_event::table.filter(change_event::change_id.eq(id));
    rows.order(change_event::version).select(columns).load(tx)
}

/// Stores a revision and its targets; fails if the revision exists.
pub(super) fn insert_revision(tx: &mut Conn, change: &Statement<Change>, now: Timestamp) -> QueryResult<()> {
    let body = &change.body;
    let row = (
        change_revision::statement.eq(change.digest.0.as_slice()),
        change_revision::change_id.eq(body.change_id.as_str()),
        change_revision::revision.eq(body.revision.cast_signed()),
        change_revision::stored.eq(now.0),
    );
    diesel::insert_into(change_revision::table).values(row).execute(tx)?;
    let key = change.digest.0.as_slice();
    let targets: Vec<_> = body
        .targets
        .iter()
        .map(|target| {
            let wave =
                body.wave_of(target.agent).and_then(|wave| i32::try_from(wave).ok()).unwrap_or_default();
            NewTarget { statement: key, agent: target.agent.to_string(), wave }
        })
        .collect();
    for some in targets.chunks(ROWS) {
        crate::each!(tx, |c| diesel::insert_into(change_target::table).values(some).execute(c))?;
    }
    Ok(())
}

#[derive(Insertable)]
#[diesel(table_name = change_target, treat_none_as_default_value = false)]
struct NewTarget<'a> {
    statement: &'a [u8],
    agent: String,
    wave: i32,
}

/// Digest of one revision of a change.
pub(super) fn find_revision(tx: &mut Conn, id: &ChangeId, revision: u32) -> Result<Option<Digest>, Error> {
    let row = change_revision::table.filter(change_revision::change_id.eq(id.as_str()));
    let row = row.filter(change_revision::revision.eq(revision.cast_signed()));
    let found: Option<Vec<u8>> = row.select(change_revision::statement).first(tx).optional()?;
    found.as_deref().map(digest).transpose()
}

/// All revisions of a change, oldest first.
pub(super) fn list_revisions(tx: &mut Conn, id: &str) -> Result<Vec<Digest>, Error> {
    let rows = change_revision::table.filter(change_revision::change_id.eq(id));
    let found: Vec<Vec<u8>> =
        rows.order(change_revision::revision).select(change_revision::statement).load(tx)?;
    found.iter().map(|bytes| digest(bytes)).collect()
}

/// The change that a revision belongs to.
pub(super) fn find_by_statement(tx: &mut Conn, statement: &Digest) -> Result<Option<Row>, Error> {
    let id = change_revision::table.find(statement.0.as_slice()).select(change_revision::change_id);
    let id: Option<String> = id.first(tx).optional()?;
    let Some(id) = id else { return Ok(None) };
    Ok(change::table.find(id).first(tx).optional()?)
}

/// One target of a revision.
#[derive(Debug, Clone, Queryable)]
pub struct Target {
    pub agent: String,
    pub plan: Option<Vec<u8>>,
    pub report: Option<Vec<u8>>,
    pub succeeded: Option<bool>,
    pub wave: i32,
    /// It failed by its health checks.
    pub unhealthy: bool,
}

impl Target {
    pub fn agent(&self) -> Result<AgentId, Error> {
        self.agent.parse().map_err(|_| damaged("an agent id"))
    }
}

type TargetColumns = (
    change_target::agent,
    change_target::plan,
    change_target::report,
    change_target::succeeded,
    change_target::wave,
    change_target::unhealthy,
);
const TARGET: TargetColumns = (
    change_target::agent,
    change_target::plan,
    change_target::report,
    change_target::succeeded,
    change_target::wave,
    change_target::unhealthy,
);

pub(super) fn find_target(tx: &mut Conn, change: &Digest, agent: AgentId) -> QueryResult<Option<Target>> {
    change_target::table.find((change.0.as_slice(), agent.to_string())).select(TARGET).first(tx).optional()
}

/// All targets of a revision, in the order of their ids.
pub(super) fn list_targets(tx: &mut Conn, change: &Digest) -> QueryResult<Vec<Target>> {
    let rows = change_target::table.filter(change_target::statement.eq(change.0.as_slice()));
    rows.order(change_target::agent).select(TARGET).load(tx)
}

/// The plan of each host that has one.
pub(super) fn current_plans(tx: &mut Conn, change: &Digest) -> Result<BTreeMap<AgentId, Digest>, Error> {
    plans_of(&list_targets(tx, change)?)
}

/// The plan of each of these that has one.
pub(super) fn plans_of(targets: &[Target]) -> Result<BTreeMap<AgentId, Digest>, Error> {
    let planned = targets.iter().filter_map(|target| Some((target, target.plan.as_deref()?)));
    planned.map(|(target, plan)| Ok((target.agent()?, digest(plan)?))).collect()
}

pub(super) fn update_plan(
    tx: &mut Conn,
    change: &Digest,
    agent: AgentId,
    plan: &Digest,
) -> QueryResult<usize> {
    diesel::update(change_target::table.find((change.0.as_slice(), agent.to_string())))
        .set(change_target::plan.eq(plan.0.as_slice()))
        .execute(tx)
}

pub(super) fn update_report(
    tx: &mut Conn,
    change: &Digest,
    agent: AgentId,
    report: &Digest,
    (succeeded, unhealthy, summary): (Option<bool>, bool, Option<Vec<u8>>),
) -> QueryResult<usize> {
    diesel::update(change_target::table.find((change.0.as_slice(), agent.to_string())))
        .set((
            change_target::report.eq(report.0.as_slice()),
            change_target::succeeded.eq(succeeded),
            change_target::unhealthy.eq(unhealthy),
            change_target::summary.eq(summary),
        ))
        .execute(tx)
}

/// How a host ended.
pub(super) struct End {
    pub good: bool,
    pub report: Digest,
    /// Signed by the host; absent where its agent sends only receipts.
    pub summary: Option<Vec<u8>>,
}

/// The hosts of a revision that have come to an end, in the order of their ids.
pub(super) fn list_ends(tx: &mut Conn, change: &Digest) -> Result<Vec<(AgentId, End)>, Error> {
    type Columns = (String, Option<Vec<u8>>, Option<bool>, Option<Vec<u8>>);
    let rows = change_target::table.filter(change_target::statement.eq(change.0.as_slice()));
    let rows = rows.filter(change_target::report.is_not_null().and(change_target::succeeded.is_not_null()));
    let columns =
        (change_target::agent, change_target::report, change_target::succeeded, change_target::summary);
    let found: Vec<Columns> = rows.order(change_target::agent).select(columns).load(tx)?;
    let read = |(agent, report, succeeded, summary): Columns| {
        let agent = agent.parse().map_err(|_| damaged("an agent id"))?;
        let report = digest(&report.unwrap_or_default())?;
        Ok((agent, End { good: succeeded == Some(true), report, summary }))
    };
    found.into_iter().map(read).collect()
}

/// For each of the revisions: targets with a plan, targets that reported.
pub(super) fn count_targets(
    tx: &mut Conn,
    changes: &[Vec<u8>],
) -> QueryResult<std::collections::HashMap<Vec<u8>, (i64, i64)>> {
    let mut counts = std::collections::HashMap::new();
    for some in changes.chunks(ROWS) {
        let rows = change_target::table.filter(change_target::statement.eq_any(some));
        let columns = (
            change_target::statement,
            diesel::dsl::count(change_target::plan),
            diesel::dsl::count(change_target::report),
        );
        let found: Vec<(Vec<u8>, i64, i64)> =
            rows.group_by(change_target::statement).select(columns).load(tx)?;
        counts.extend(found.into_iter().map(|(statement, plans, reports)| (statement, (plans, reports))));
    }
    Ok(counts)
}
