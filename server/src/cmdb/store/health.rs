//! Health: what each check of a CI said last, and its course: states and numbers of the last week. A state that is otherwise
//! than before is in the history for good.

use super::{insert_events, read_digest, word};
use crate::cmdb::model::{CiId, EventKind, NewEvent, NewHealth, one_line, unknown};
use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use diesel::prelude::*;
use diesel::upsert::excluded;
use shared::digest::Digest;
use shared::health::{HealthReport, HealthState};
use shared::ids::ChangeId;
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::wire::{CiHealth, HealthPoint};
use std::collections::HashMap;

diesel::table! {
    ci_health (ci, name) {
        ci -> BigInt,
        name -> Text,
        state -> Text,
        since -> BigInt,
        at -> BigInt,
        output -> Text,
        metrics -> Text,
        statement -> Binary,
        course -> Text,
    }
}

/// What no manifest of the host names any more.
const FORGOTTEN_SECS: i64 = 7 * 86_400;
/// Points of a course: a week of a host that says the same each hour.
const COURSE: usize = 7 * 24;
/// Checks with many numbers have a shorter one.
const COURSE_BYTES: usize = 16 << 10;
/// Characters of numbers in an entry of the history.
const NUMBERS: usize = 120;

#[derive(Queryable, Selectable)]
#[diesel(table_name = ci_health)]
struct Row {
    name: String,
    state: String,
    since: i64,
    at: i64,
    output: String,
    metrics: String,
    statement: Vec<u8>,
    course: String,
}

/// Sets what checks say now, and adds what is otherwise than before to the history. An older word than the one that is
/// here changes nothing.
pub fn record_health(
    tx: &mut Conn,
    ci: CiId,
    said: &[NewHealth],
    statement: (Digest, Option<u64>),
    change: Option<&(ChangeId, u32)>,
) -> Result<(), Error> {
    let names: Vec<String> = said.iter().map(|health| one_line(&health.name)).collect();
    let known = ci_health::table.filter(ci_health::ci.eq(ci.0)).filter(ci_health::name.eq_any(&names));
    let known: Vec<Row> = known.select(Row::as_select()).load(tx)?;
    let mut known: HashMap<String, Row> = known.into_iter().map(|row| (row.name.clone(), row)).collect();
    for (name, health) in names.into_iter().zip(said) {
        let before = known.get(&name);
        if before.is_some_and(|before| before.at > health.at.0) {
            continue;
        }
        let was = before.map_or(HealthState::Ok.as_str(), |before| before.state.as_str());
        let same = was == health.state.as_str();
        if !same {
            let summary =
                format!("{name}: {was} → {}: {}{}", health.state.as_str(), health.output, numbers(health));
            let mut event = NewEvent::new(ci, health.at, EventKind::Health, summary);
            event.statement = statement.1.map(|index| (statement.0, index));
            event.change = change.cloned();
            insert_events(tx, &[event])?;
        }
        let since = before.filter(|_| same).map_or(health.at.0, |before| before.since);
        let row = row(name.clone(), health, (before, since), &statement.0)?;
        upsert(tx, ci, &row)?;
        known.insert(name, row);
    }
    Ok(())
}

/// Takes over what a host says outside of runs. Checks that it has not named for a week are forgotten.
pub fn record_report(tx: &mut Conn, ci: CiId, report: &Statement<HealthReport>) -> Result<(), Error> {
    let at = report.body.at;
    let said: Vec<NewHealth> = report.body.checks.iter().map(|check| NewHealth::of(check, at)).collect();
    record_health(tx, ci, &said, (report.digest, None), None)?;
    let gone =
        ci_health::table.filter(ci_health::ci.eq(ci.0)).filter(ci_health::at.lt(at.plus(-FORGOTTEN_SECS).0));
    diesel::delete(gone).execute(tx)?;
    Ok(())
}

/// ` | label=value …`, as plugins write it, of as many as there is room for.
fn numbers(health: &NewHealth) -> String {
    let mut text = String::new();
    for metric in &health.metrics {
        let one = metric.to_string();
        if text.len() + one.len() > NUMBERS {
            text.push_str(" …");
            break;
        }
        text.push_str(if text.is_empty() { " | " } else { " " });
        text.push_str(&one);
    }
    text
}

fn row(
    name: String,
    health: &NewHealth,
    (before, since): (Option<&Row>, i64),
    statement: &Digest,
) -> Result<Row, Error> {
    let store = |error| Error::fault("storing health", error);
    let metrics = serde_json::to_string(&health.metrics).map_err(store)?;
    let (state, output) = (health.state.as_str().to_owned(), one_line(&health.output));
    let mut points = before.map_or(Ok(Vec::new()), |before| course(&before.course))?;
    // The statement of a run and a report of the same moment say the same.
    points.retain(|point| point.at < health.at);
    points.push(point(health));
    let mut sizes = Vec::new();
    for point in &points {
        sizes.push(serde_json::to_string(point).map_err(store)?);
    }
    let mut bytes = 2;
    let kept = sizes.iter().rev().take(COURSE).take_while(|point| {
        bytes += point.len() + 1;
        bytes <= COURSE_BYTES
    });
    let mut kept: Vec<&str> = kept.map(String::as_str).collect();
    kept.reverse();
    let course = format!("[{}]", kept.join(","));
    Ok(Row { name, state, since, at: health.at.0, output, metrics, statement: statement.0.to_vec(), course })
}

fn point(health: &NewHealth) -> HealthPoint {
    let values = health.metrics.iter().map(|metric| (metric.label.as_str().to_owned(), metric.amount()));
    HealthPoint { at: health.at, state: health.state, values: values.collect() }
}

fn course(text: &str) -> Result<Vec<HealthPoint>, Error> {
    serde_json::from_str(text).map_err(|_| unknown("course of a health check", text))
}

fn upsert(tx: &mut Conn, ci: CiId, row: &Row) -> QueryResult<()> {
    each!(tx, |c| diesel::insert_into(ci_health::table)
        .values((
            ci_health::ci.eq(ci.0),
            ci_health::name.eq(&row.name),
            ci_health::state.eq(&row.state),
            ci_health::since.eq(row.since),
            ci_health::at.eq(row.at),
            ci_health::output.eq(&row.output),
            ci_health::metrics.eq(&row.metrics),
            ci_health::statement.eq(&row.statement),
            ci_health::course.eq(&row.course),
        ))
        .on_conflict((ci_health::ci, ci_health::name))
        .do_update()
        .set((
            ci_health::state.eq(excluded(ci_health::state)),
            ci_health::since.eq(excluded(ci_health::since)),
            ci_health::at.eq(excluded(ci_health::at)),
            ci_health::output.eq(excluded(ci_health::output)),
            ci_health::metrics.eq(excluded(ci_health::metrics)),
            ci_health::statement.eq(excluded(ci_health::statement)),
            ci_health::course.eq(excluded(ci_health::course)),
        ))
        .execute(c))
    .map(drop)
}

/// The checks of the host that goes on as `entry` are the ones of that entry now.
pub(super) fn hand_over(tx: &mut Conn, former: CiId, entry: CiId) -> QueryResult<()> {
    diesel::delete(ci_health::table.filter(ci_health::ci.eq(entry.0))).execute(tx)?;
    let checks = ci_health::table.filter(ci_health::ci.eq(former.0));
    diesel::update(checks).set(ci_health::ci.eq(entry.0)).execute(tx).map(drop)
}

/// What a check of a CI has said within the last week, the oldest first; `None` where it knows no such check.
pub(super) fn find_course(tx: &mut Conn, ci: CiId, check: &str) -> Result<Option<Vec<HealthPoint>>, Error> {
    let row = ci_health::table.find((ci.0, check)).select(ci_health::course);
    let text: Option<String> = row.first(tx).optional()?;
    text.map(|text| course(&text)).transpose()
}

/// What the checks of a CI said last, by name.
pub(super) fn list(tx: &mut Conn, ci: CiId) -> Result<Vec<CiHealth>, Error> {
    let rows = ci_health::table.filter(ci_health::ci.eq(ci.0)).order(ci_health::name);
    let rows: Vec<Row> = rows.select(Row::as_select()).load(tx)?;
    let read = |row: Row| {
        Ok(CiHealth {
            state: word("health", &row.state)?,
            since: Timestamp(row.since),
            at: Timestamp(row.at),
            output: row.output,
            metrics: serde_json::from_str(&row.metrics)
                .map_err(|_| unknown("performance data", &row.metrics))?,
            statement: read_digest(&row.statement)?,
            name: row.name,
        })
    };
    rows.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(at: i64, labels: usize) -> NewHealth {
        let data: String = (0..labels).map(|n| format!("label-{n}={at}MB;2;3 ")).collect();
        let metrics = shared::plugin::read(&format!("fine|{data}")).metrics;
        assert_eq!(metrics.len(), labels);
        NewHealth {
            name: "disk".into(),
            state: HealthState::Ok,
            at: Timestamp(at),
            output: "fine".into(),
            metrics,
        }
    }

    fn after(before: Option<Row>, health: &NewHealth) -> Row {
        row("disk".into(), health, (before.as_ref(), 1), &Digest::of(b"statement")).unwrap()
    }

    #[test]
    fn a_course_keeps_the_newest_in_order_and_stays_small() {
        for (labels, all) in [(1, COURSE), (40, 20)] {
            let mut now = None;
            for at in 1..=i64::try_from(COURSE).unwrap() + 50 {
                now = Some(after(now, &said(at, labels)));
            }
            let now = now.unwrap();
            let points = course(&now.course).unwrap();
            assert!(now.course.len() <= COURSE_BYTES, "{} bytes", now.course.len());
            assert!(points.len() <= COURSE && points.len() >= all.min(COURSE), "{} points", points.len());
            let times: Vec<i64> = points.iter().map(|point| point.at.0).collect();
            let last = i64::try_from(COURSE).unwrap() + 50;
            let expected: Vec<i64> = (last - i64::try_from(points.len()).unwrap() + 1..=last).collect();
            assert_eq!(times, expected);
            // The same moment again, by another statement, is no further point.
            let again = after(Some(now), &said(last, labels));
            assert_eq!(course(&again.course).unwrap(), points);
        }
        // One point that is larger than all may be is told all the same by what the check says now.
        let huge = after(None, &said(1, 64));
        assert!(course(&huge.course).unwrap().len() <= 1);
    }

    #[test]
    fn numbers_of_the_history_are_cut_at_whole_ones() {
        assert_eq!(numbers(&said(7, 2)), " | label-0=7MB;2;3 label-1=7MB;2;3");
        let many = numbers(&said(7, 40));
        assert!(many.ends_with(";3 …") && many.len() < NUMBERS + 10, "{many}");
        assert_eq!(numbers(&said(7, 0)), "");
    }
}
