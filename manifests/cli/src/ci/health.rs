//! `assent ci health`: what one health check of a host has said and counted within the last week. The server's word.

use crate::author::list::print_json;
use crate::error::Done;
use crate::lang::{Lang, Word};
use crate::session::Session;
use crate::{term, text, window};
use jiff::tz::TimeZone;
use shared::wire::HealthPoint;

pub fn show(session: &Session, host: &str, check: &str, json: bool) -> Done {
    let course = session.api.health_course(host, check)?;
    if json {
        return print_json(&course);
    }
    let shown = table(&course, session.lang, &window::zone(None)?);
    term::print(&format!("{shown}{}\n", session.lang.word(Word::Unsigned)))
}

/// The newest last, as it happened.
fn table(course: &[HealthPoint], lang: Lang, zone: &TimeZone) -> String {
    let mut rows = vec![lang.heads(Word::HeadsOfHealthCourse)];
    rows.extend(course.iter().map(|point| {
        let values: Vec<String> =
            point.values.iter().map(|(label, value)| format!("{label}={value}")).collect();
        vec![
            window::local_in(lang, point.at, zone),
            point.state.as_str().to_owned(),
            text::clean(&values.join(" ")),
        ]
    }));
    text::table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::health::HealthState;
    use shared::time::Timestamp;

    #[test]
    fn what_hosts_and_checks_say_cannot_disturb_the_table() {
        let point = |at, state, values: &[(&str, &str)]| HealthPoint {
            at: Timestamp(at),
            state,
            values: values.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect(),
        };
        let course = [
            point(1_800_000_000, HealthState::Ok, &[("/", "6MB"), ("inodes", "U")]),
            point(1_800_003_600, HealthState::Unknown, &[("\u{1b}[1m", "1")]),
        ];
        assert_eq!(
            table(&course, Lang::En, &TimeZone::UTC),
            "TIME                         STATE    NUMBERS\n\
             Fri 2027-01-15 08:00 +00:00  ok       /=6MB inodes=U\n\
             Fri 2027-01-15 09:00 +00:00  unknown  \\u{1b}[1m=1\n"
        );
    }
}
