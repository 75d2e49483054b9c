//! The definitions. Pure.

use crate::changes::Course;
use shared::change::ChangeType;
use shared::lifecycle::Outcome;
use shared::time::{Interval, Timestamp};
use shared::wire::Figure;

/// Grows when a definition changes.
pub(super) const DEFINITIONS: u32 = 3;

/// A figure with what was left out of it, by the word of the catalogue.
pub(super) type Told = (&'static str, Figure, Vec<(&'static str, u32)>);

fn count<'d>(all: &[&'d Course], fits: impl Fn(&'d Course) -> bool) -> u32 {
    u32::try_from(all.iter().filter(|course| fits(course)).count()).unwrap_or(u32::MAX)
}

fn is(course: &Course, outcomes: &[Outcome]) -> bool {
    course.closed.is_some_and(|(_, outcome)| outcomes.contains(&outcome))
}

/// Nearest rank, so that each figure is one that was measured.
fn time(mut spans: Vec<i64>) -> Figure {
    spans.sort_unstable();
    let rank = |percent: usize| {
        let place = spans.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
        spans.get(place).copied()
    };
    let of = u32::try_from(spans.len()).unwrap_or(u32::MAX);
    Figure::Time { median_s: rank(50), p90_s: rank(90), of }
}

/// All figures of the changes of a period, in the order in which they are shown. `confirmed` are the findings that people
/// confirmed in it as changes that nobody had approved.
pub(super) fn figures(all: &[Course], confirmed: u32, period: Interval) -> Vec<Told> {
    // What accepts findings afterwards, or takes hosts out of the register, runs nowhere.
    let record = |course: &&Course| course.record;
    let closed_in: Vec<&Course> =
        all.iter().filter(|course| course.closed.is_some_and(|(at, _)| period.contains(at))).collect();
    let records = count(&closed_in, |course| course.record);
    let closed: Vec<&Course> = closed_in.into_iter().filter(|course| !record(course)).collect();
    let started: Vec<&Course> = closed.iter().copied().filter(|course| course.started.is_some()).collect();
    let not_started = count(&closed, |course| course.started.is_none());
    let with_issues = count(&started, |course| is(course, &[Outcome::SuccessfulWithIssues]));
    let of_started = || vec![("kpi.not_started", not_started), ("kpi.records", records)];
    let share = |part: u32, of: usize| Figure::Share { part, of: u32::try_from(of).unwrap_or(u32::MAX) };
    let spans = |from: fn(&Course) -> Option<Timestamp>, to: fn(&Course) -> Option<Timestamp>| {
        let span = |course: &&Course| Some(to(course)?.since(from(course)?)).filter(|span| *span >= 0);
        let spans: Vec<i64> = started.iter().filter_map(span).collect();
        let without = count(&started, |course| span(&course).is_none());
        (time(spans), vec![("kpi.not_measured", without)])
    };
    let (to_approval, no_approval) = spans(|course| course.submitted, |course| course.approved);
    let (to_start, no_start) = spans(|course| course.approved, |course| course.started);
    let new = all.iter().filter(|course| period.contains(course.created) && !record(course)).count();
    let open = all.iter().filter(|course| {
        !record(course)
            && course.created < period.until
            && course.closed.is_none_or(|(at, _)| at >= period.until)
    });
    let (targets, reported) = started.iter().fold((0u32, 0u32), |(all, some), course| {
        (all.saturating_add(course.targets.0), some.saturating_add(course.targets.1))
    });
    let ran = u32::try_from(started.len()).unwrap_or(u32::MAX);
    let signed = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    vec![
        (
            "change_success",
            share(count(&started, |course| is(course, &[Outcome::Successful])), started.len()),
            [vec![("kpi.with_issues", with_issues)], of_started()].concat(),
        ),
        (
            "change_fail",
            share(
                count(&started, |course| {
                    course.caused || is(course, &[Outcome::Failed, Outcome::RolledBack])
                }),
                started.len(),
            ),
            of_started(),
        ),
        ("caused", share(count(&started, |course| course.caused), started.len()), of_started()),
        (
            "backed_out",
            share(count(&started, |course| is(course, &[Outcome::RolledBack])), started.len()),
            of_started(),
        ),
        (
            "emergency",
            share(count(&closed, |course| course.change_type == ChangeType::Emergency), closed.len()),
            vec![("kpi.records", records)],
        ),
        ("unauthorised", Figure::Share { part: confirmed, of: confirmed.saturating_add(ran) }, Vec::new()),
        ("lead_approval", to_approval, no_approval),
        ("lead_start", to_start, no_start),
        (
            "backlog_growth",
            Figure::Count { count: signed(new) - signed(closed.len()) },
            vec![("kpi.records", records)],
        ),
        ("backlog", Figure::Count { count: signed(open.count()) }, Vec::new()),
        ("evidence_coverage", Figure::Share { part: reported, of: targets }, of_started()),
    ]
}
