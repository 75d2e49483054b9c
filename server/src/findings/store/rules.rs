//! Rules by which findings are ignored: for a reason, until a time.

use super::{COVERED, Row, Step, damaged, finding, parse, step};
use crate::each;
use crate::findings::model::{self, covers};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use diesel::prelude::*;
use shared::finding::Presence;
use shared::ids::PersonId;
use shared::time::Timestamp;
use shared::wire::{Disposition, IgnoreRule, NewIgnoreRule};

diesel::table! {
    ignore_rule (id) {
        id -> BigInt,
        manifest -> Nullable<Text>,
        resource -> Text,
        reason -> Text,
        until -> BigInt,
        made_by -> Text,
        made_at -> BigInt,
        withdrawn_by -> Nullable<Text>,
        withdrawn_at -> Nullable<BigInt>,
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = ignore_rule)]
pub(super) struct RuleRow {
    pub id: i64,
    pub manifest: Option<String>,
    pub resource: String,
    pub reason: String,
    pub until: i64,
    made_by: String,
    made_at: i64,
}

/// Makes a rule; it also holds for open findings that are there.
pub(in crate::findings) fn insert_rule(
    tx: &mut Conn,
    rule: &NewIgnoreRule,
    by: &PersonId,
    now: Timestamp,
) -> Result<IgnoreRule, Error> {
    model::check_rule(rule, now)?;
    tx.lock("findings")?;
    let row = (
        ignore_rule::manifest.eq(rule.manifest.as_deref()),
        ignore_rule::resource.eq(&rule.resource),
        ignore_rule::reason.eq(&rule.reason),
        ignore_rule::until.eq(rule.until.0),
        ignore_rule::made_by.eq(by.as_str()),
        ignore_rule::made_at.eq(now.0),
    );
    each!(tx, |c| diesel::insert_into(ignore_rule::table).values(row).execute(c))?;
    let newest = ignore_rule::table.order(ignore_rule::id.desc());
    let made: RuleRow = newest.select(RuleRow::as_select()).first(tx)?;
    let open = finding::table
        .filter(finding::disposition.eq(Disposition::Open.as_str()))
        .filter(finding::presence.ne(Presence::Gone.as_str()))
        .order(finding::id)
        .limit(COVERED);
    let open: Vec<Row> = open.select(Row::as_select()).load(tx)?;
    for row in open {
        let resources: Vec<String> =
            serde_json::from_str(&row.said.resources).map_err(|_| damaged(&row.said.resources))?;
        if covers(rule, row.said.manifest.as_deref(), &resources, row.said.whole) {
            step(tx, row.id, &Step::by_rule(&made), now)?;
        }
    }
    read_rule(made)
}

/// Rules that hold at that time, oldest first.
pub(in crate::findings) fn list_rules(tx: &mut Conn, now: Timestamp) -> Result<Vec<IgnoreRule>, Error> {
    live_rules(tx, now)?.into_iter().map(read_rule).collect()
}

/// Ends a rule; what it covered is open again.
pub(in crate::findings) fn withdraw_rule(
    tx: &mut Conn,
    id: u64,
    by: &PersonId,
    now: Timestamp,
) -> Result<(), Error> {
    tx.lock("findings")?;
    let live = ignore_rule::table.find(id.cast_signed()).filter(ignore_rule::withdrawn_at.is_null());
    let set = (ignore_rule::withdrawn_by.eq(by.as_str()), ignore_rule::withdrawn_at.eq(now.0));
    if diesel::update(live).set(set).execute(tx)? == 0 {
        return Err(Refusal::not_found("finding.unknown_rule").with("rule", id).into());
    }
    let covered = finding::table.filter(finding::rule.eq(id.cast_signed())).select(finding::id);
    for finding in covered.load::<i64>(tx)? {
        step(tx, finding, &Step { by: Some(by), ..Step::open("the rule was withdrawn") }, now)?;
    }
    Ok(())
}

pub(super) fn live_rules(tx: &mut Conn, now: Timestamp) -> Result<Vec<RuleRow>, Error> {
    let live = ignore_rule::table
        .filter(ignore_rule::withdrawn_at.is_null())
        .filter(ignore_rule::until.gt(now.0))
        .order(ignore_rule::id);
    Ok(live.select(RuleRow::as_select()).load(tx)?)
}

pub(super) fn pattern(row: &RuleRow) -> NewIgnoreRule {
    NewIgnoreRule {
        manifest: row.manifest.clone(),
        resource: row.resource.clone(),
        reason: row.reason.clone(),
        until: Timestamp(row.until),
    }
}

fn read_rule(row: RuleRow) -> Result<IgnoreRule, Error> {
    Ok(IgnoreRule {
        id: row.id.cast_unsigned(),
        rule: pattern(&row),
        made_by: parse(&row.made_by)?,
        made_at: Timestamp(row.made_at),
    })
}
