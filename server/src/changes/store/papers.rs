//! SQL for what hosts and people said about a revision: plans, plan sets, approvals, refusals.
//! The signed bytes are the ledger's; here is what is searched for.

use super::{ROWS, change_target, damaged, digest};
use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use diesel::prelude::*;
use shared::approval::{Approval, Decision};
use shared::digest::Digest;
use shared::ids::{AgentId, HostClass};
use shared::plan::{Plan, PlanSet, UndoContract};
use shared::receipt::Refusal;
use shared::refusal::Code;
use shared::risk::ActionClass;
use shared::statement::Statement;
use shared::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};

diesel::table! {
    change_plan (statement) {
        statement -> Binary,
        change -> Binary,
        agent -> Text,
        hostname -> Text,
        host_class -> Text,
        /// Equal for hosts that would do the same.
        class -> Binary,
        action_classes -> Text,
        actions -> Integer,
        made -> BigInt,
        stored -> BigInt,
        /// Whether each step has a way back, at least in part.
        undone -> Nullable<Bool>,
    }
}

diesel::table! {
    change_plan_set (sha256) {
        sha256 -> Binary,
        change -> Binary,
        stored -> BigInt,
    }
}

diesel::table! {
    change_approval (statement) {
        statement -> Binary,
        change -> Binary,
        person -> Text,
        decision -> Text,
        plan_set -> Binary,
        at -> BigInt,
        stored -> BigInt,
    }
}

diesel::table! {
    change_refusal (statement) {
        statement -> Binary,
        change -> Binary,
        agent -> Text,
        seq -> BigInt,
        code -> Text,
        message -> Text,
        retry_at -> Nullable<BigInt>,
        at -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(change_target, change_plan);

/// What judging needs of a host's plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRow {
    pub statement: Digest,
    pub agent: AgentId,
    pub hostname: String,
    pub host_class: HostClass,
    pub action_classes: BTreeSet<ActionClass>,
    pub actions: u32,
}

pub(in crate::changes) fn record_plan(
    tx: &mut Conn,
    plan: &Statement<Plan>,
    now: Timestamp,
) -> QueryResult<()> {
    let body = &plan.body;
    let classes = shared::strict::to_json(&body.classes());
    let row = (
        change_plan::statement.eq(plan.digest.0.as_slice()),
        change_plan::change.eq(body.change.0.as_slice()),
        change_plan::agent.eq(body.agent_id.to_string()),
        change_plan::hostname.eq(&body.hostname),
        change_plan::host_class.eq(body.host_class.as_str()),
        change_plan::class.eq(body.class_digest().0.to_vec()),
        change_plan::action_classes.eq(String::from_utf8_lossy(&classes).into_owned()),
        change_plan::actions.eq(i32::try_from(body.actions.len()).unwrap_or(i32::MAX)),
        change_plan::made.eq(body.at.0),
        change_plan::stored.eq(now.0),
        change_plan::undone.eq(body.actions.iter().all(|action| action.undo.undo != UndoContract::No)),
    );
    each!(tx, |c| diesel::insert_into(change_plan::table).values(row).on_conflict_do_nothing().execute(c))
        .map(drop)
}

/// All that a host has sent for a revision.
pub(in crate::changes) fn count_plans(tx: &mut Conn, change: &Digest, agent: AgentId) -> QueryResult<i64> {
    let rows = change_plan::table.filter(change_plan::change.eq(change.0.as_slice()));
    rows.filter(change_plan::agent.eq(agent.to_string())).count().get_result(tx)
}

type PlanTuple = (Vec<u8>, String, String, String, String, i32);

fn plan_row(row: PlanTuple) -> Result<PlanRow, Error> {
    let (statement, agent, hostname, host_class, action_classes, actions) = row;
    Ok(PlanRow {
        statement: digest(&statement)?,
        agent: agent.parse().map_err(|_| damaged("an agent id"))?,
        hostname,
        host_class: host_class.parse().map_err(|_| damaged("a host class"))?,
        action_classes: serde_json::from_str(&action_classes).map_err(|_| damaged("a plan's classes"))?,
        actions: actions.cast_unsigned(),
    })
}

/// What the plans that count for a revision would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// Empty before the first plan.
    pub classes: BTreeSet<ActionClass>,
    /// A step of one of them has no way back.
    pub for_good: bool,
}

pub(in crate::changes) fn effects(tx: &mut Conn, change: &Digest) -> Result<Effects, Error> {
    let targets = change_target::table.filter(change_target::statement.eq(change.0.as_slice()));
    let current = targets.filter(change_target::plan.is_not_null()).select(change_target::plan);
    let rows = change_plan::table.filter(change_plan::statement.nullable().eq_any(current));
    let columns = (change_plan::action_classes, change_plan::undone);
    let found: Vec<(String, Option<bool>)> = rows.select(columns).distinct().load(tx)?;
    let mut all = Effects::default();
    for (text, undone) in found {
        let classes: BTreeSet<ActionClass> =
            serde_json::from_str(&text).map_err(|_| damaged("a plan's classes"))?;
        all.classes.extend(classes);
        all.for_good |= undone == Some(false);
    }
    Ok(all)
}

/// Those of the plans that were made for this revision, by statement.
pub(in crate::changes) fn find_plans(
    tx: &mut Conn,
    change: &Digest,
    plans: &[Digest],
) -> Result<BTreeMap<Digest, PlanRow>, Error> {
    let columns = (
        change_plan::statement,
        change_plan::agent,
        change_plan::hostname,
        change_plan::host_class,
        change_plan::action_classes,
        change_plan::actions,
    );
    let mut all = BTreeMap::new();
    for some in plans.chunks(ROWS) {
        let keys: Vec<&[u8]> = some.iter().map(|plan| plan.0.as_slice()).collect();
        let rows = change_plan::table.filter(change_plan::change.eq(change.0.as_slice()));
        let found: Vec<PlanTuple> =
            rows.filter(change_plan::statement.eq_any(keys)).select(columns).load(tx)?;
        for row in found {
            let row = plan_row(row)?;
            all.insert(row.statement, row);
        }
    }
    Ok(all)
}

/// For each of the revisions: how many hosts have each of the different plans, the largest number first.
pub(in crate::changes) fn count_classes(
    tx: &mut Conn,
    changes: &[Vec<u8>],
) -> QueryResult<HashMap<Vec<u8>, Vec<i64>>> {
    let mut counts: HashMap<Vec<u8>, Vec<i64>> = HashMap::new();
    for some in changes.chunks(ROWS) {
        let targets = change_target::table.filter(change_target::statement.eq_any(some));
        let current = targets.filter(change_target::plan.is_not_null()).select(change_target::plan);
        let rows = change_plan::table.filter(change_plan::statement.nullable().eq_any(current));
        let columns = (change_plan::change, diesel::dsl::count_star());
        let found: Vec<(Vec<u8>, i64)> =
            rows.group_by((change_plan::change, change_plan::class)).select(columns).load(tx)?;
        for (change, hosts) in found {
            counts.entry(change).or_default().push(hosts);
        }
    }
    counts.values_mut().for_each(|hosts| hosts.sort_unstable_by(|a, b| b.cmp(a)));
    Ok(counts)
}

/// The host that made a plan.
pub(in crate::changes) fn find_owner(tx: &mut Conn, plan: &Digest) -> QueryResult<Option<String>> {
    change_plan::table.find(plan.0.as_slice()).select(change_plan::agent).first(tx).optional()
}

pub(in crate::changes) fn record_plan_set(tx: &mut Conn, set: &PlanSet, now: Timestamp) -> QueryResult<()> {
    let row = (
        change_plan_set::sha256.eq(set.digest().0.to_vec()),
        change_plan_set::change.eq(set.change.0.as_slice()),
        change_plan_set::stored.eq(now.0),
    );
    each!(tx, |c| diesel::insert_into(change_plan_set::table).values(row).on_conflict_do_nothing().execute(c))
        .map(drop)
}

pub(in crate::changes) fn list_plan_sets(tx: &mut Conn, change: &Digest) -> Result<Vec<Digest>, Error> {
    let rows = change_plan_set::table.filter(change_plan_set::change.eq(change.0.as_slice()));
    let found: Vec<Vec<u8>> = rows.order(change_plan_set::sha256).select(change_plan_set::sha256).load(tx)?;
    found.iter().map(|bytes| digest(bytes)).collect()
}

/// When a plan set of this revision was approved first.
pub(in crate::changes) fn find_plan_set_time(
    tx: &mut Conn,
    change: &Digest,
    set: &Digest,
) -> QueryResult<Option<i64>> {
    let row = change_plan_set::table.find(set.0.as_slice());
    let row = row.filter(change_plan_set::change.eq(change.0.as_slice()));
    row.select(change_plan_set::stored).first(tx).optional()
}

/// When a plan arrived.
pub(in crate::changes) fn find_plan_time(tx: &mut Conn, plan: &Digest) -> QueryResult<Option<i64>> {
    change_plan::table.find(plan.0.as_slice()).select(change_plan::stored).first(tx).optional()
}

/// The class of a plan, and when its host made it.
type ClassMade = (Vec<u8>, i64);

/// The same of each of these plans, by statement.
pub(in crate::changes) fn list_plan_classes(
    tx: &mut Conn,
    plans: &[&[u8]],
) -> QueryResult<HashMap<Vec<u8>, ClassMade>> {
    let mut all = HashMap::new();
    for some in plans.chunks(ROWS) {
        let rows = change_plan::table.filter(change_plan::statement.eq_any(some));
        let columns = (change_plan::statement, change_plan::class, change_plan::made);
        let found: Vec<(Vec<u8>, Vec<u8>, i64)> = rows.select(columns).load(tx)?;
        all.extend(found.into_iter().map(|(statement, class, made)| (statement, (class, made))));
    }
    Ok(all)
}

/// True the first time, false on a replay.
pub(in crate::changes) fn record_approval(
    tx: &mut Conn,
    approval: &Statement<Approval>,
    now: Timestamp,
) -> QueryResult<bool> {
    let body = &approval.body;
    let row = (
        change_approval::statement.eq(approval.digest.0.as_slice()),
        change_approval::change.eq(body.change.0.as_slice()),
        change_approval::person.eq(body.person.as_str()),
        change_approval::decision.eq(body.decision.as_str()),
        change_approval::plan_set.eq(body.saw.plan_set.0.as_slice()),
        change_approval::at.eq(body.at.0),
        change_approval::stored.eq(now.0),
    );
    let inserted = each!(tx, |c| diesel::insert_into(change_approval::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(inserted == 1)
}

pub(in crate::changes) fn has_approval(tx: &mut Conn, statement: &Digest) -> QueryResult<bool> {
    let row = change_approval::table.find(statement.0.as_slice());
    diesel::select(diesel::dsl::exists(row)).get_result(tx)
}

/// Statements about a revision in the order in which people signed them.
pub(in crate::changes) fn list_approvals(tx: &mut Conn, change: &Digest) -> Result<Vec<Digest>, Error> {
    let rows = change_approval::table.filter(change_approval::change.eq(change.0.as_slice()));
    let rows = rows.order((change_approval::at, change_approval::statement));
    let found: Vec<Vec<u8>> = rows.select(change_approval::statement).load(tx)?;
    found.iter().map(|bytes| digest(bytes)).collect()
}

/// Persons whose recorded decision about this plan set was yes; display only, hosts judge signatures.
pub(in crate::changes) fn list_approvers(tx: &mut Conn, change: &Digest) -> QueryResult<Vec<String>> {
    let rows = change_approval::table.filter(change_approval::change.eq(change.0.as_slice()));
    let rows = rows.filter(change_approval::decision.eq(Decision::Approve.as_str()));
    rows.select(change_approval::person).distinct().order(change_approval::person).load(tx)
}

/// True the first time.
pub(in crate::changes) fn record_refusal(
    tx: &mut Conn,
    change: &Digest,
    refusal: &Statement<Refusal>,
) -> QueryResult<bool> {
    let body = &refusal.body;
    let row = (
        change_refusal::statement.eq(refusal.digest.0.as_slice()),
        change_refusal::change.eq(change.0.as_slice()),
        change_refusal::agent.eq(body.header.agent_id.to_string()),
        change_refusal::seq.eq(i64::try_from(body.header.seq).unwrap_or(i64::MAX)),
        change_refusal::code.eq(body.reason.code.as_str()),
        change_refusal::message.eq(&body.reason.message),
        change_refusal::retry_at.eq(body.reason.retry_at.map(|at| at.0)),
        change_refusal::at.eq(body.header.at.0),
    );
    let inserted = each!(tx, |c| diesel::insert_into(change_refusal::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(inserted == 1)
}

/// A host's word that it did not do something.
#[derive(Debug, Clone, Queryable)]
pub struct RefusalRow {
    pub statement: Vec<u8>,
    pub agent: String,
    pub seq: i64,
    pub code: String,
    pub message: String,
    pub retry_at: Option<i64>,
    pub at: i64,
}

type RefusalColumns = (
    change_refusal::statement,
    change_refusal::agent,
    change_refusal::seq,
    change_refusal::code,
    change_refusal::message,
    change_refusal::retry_at,
    change_refusal::at,
);
const REFUSAL: RefusalColumns = (
    change_refusal::statement,
    change_refusal::agent,
    change_refusal::seq,
    change_refusal::code,
    change_refusal::message,
    change_refusal::retry_at,
    change_refusal::at,
);

/// The newest one of a host about a revision.
pub(in crate::changes) fn find_refusal(
    tx: &mut Conn,
    change: &Digest,
    agent: AgentId,
) -> QueryResult<Option<RefusalRow>> {
    let rows = change_refusal::table.filter(change_refusal::change.eq(change.0.as_slice()));
    let rows = rows.filter(change_refusal::agent.eq(agent.to_string()));
    rows.order(change_refusal::seq.desc()).select(REFUSAL).first(tx).optional()
}

/// Those with one of these codes about a revision, by host and place in its chain.
pub(in crate::changes) fn list_refusals_of(
    tx: &mut Conn,
    change: &Digest,
    codes: &[Code],
) -> QueryResult<Vec<RefusalRow>> {
    let codes: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let rows = change_refusal::table.filter(change_refusal::change.eq(change.0.as_slice()));
    let rows = rows.filter(change_refusal::code.eq_any(codes));
    rows.order((change_refusal::agent, change_refusal::seq)).select(REFUSAL).load(tx)
}

/// All of them about a revision, by host and place in its chain.
pub(in crate::changes) fn list_refusals(tx: &mut Conn, change: &Digest) -> QueryResult<Vec<RefusalRow>> {
    let rows = change_refusal::table.filter(change_refusal::change.eq(change.0.as_slice()));
    rows.order((change_refusal::agent, change_refusal::seq)).select(REFUSAL).load(tx)
}
