//! `assent change course`: the steps of a change so far. The server's record; evidence bundles prove it.

use crate::author::list::print_json;
use crate::error::Done;
use crate::lang::{Lang, Word};
use crate::session::Session;
use crate::{term, text, window};
use jiff::tz::TimeZone;
use shared::ids::ChangeId;
use shared::wire::CourseStep;

pub fn show(session: &Session, id: &ChangeId, json: bool) -> Done {
    let steps = session.api.course(id)?;
    if json {
        return print_json(&steps);
    }
    term::print(&table_of(&steps, session.lang, &window::zone(None)?))
}

fn table_of(steps: &[CourseStep], lang: Lang, zone: &TimeZone) -> String {
    let mut rows = vec![lang.heads(Word::HeadsOfCourse)];
    rows.extend(steps.iter().map(|step| {
        let outcome = step.outcome.as_ref().map(|outcome| format!(" ({outcome})")).unwrap_or_default();
        vec![
            window::local_in(lang, step.at, zone),
            text::clean(&step.event),
            step.person.as_ref().map_or("-".to_owned(), |person| text::clean(person)),
            text::clean(&format!("{}{outcome}", step.state)),
            text::clean(&step.note),
        ]
    }));
    text::table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::tests::NOW;

    #[test]
    fn each_step_says_when_who_and_where_it_led() {
        let step = |event: &str, person: Option<&str>, state: &str, outcome: Option<&str>| CourseStep {
            at: NOW,
            event: event.into(),
            person: person.map(str::to_owned),
            note: "all\u{1b}[2J well".into(),
            state: state.into(),
            outcome: outcome.map(str::to_owned),
        };
        let steps = [
            step("the quorum", None, "approved", None),
            step("close", Some("lead"), "closed", Some("successful")),
        ];
        let zone = window::zone(Some("UTC")).unwrap();
        assert_eq!(
            table_of(&steps, Lang::En, &zone),
            "WHEN                         STEP        WHO   STATE                NOTE\n\
             Fri 2026-11-20 11:07 +00:00  the quorum  -     approved             all\\u{1b}[2J well\n\
             Fri 2026-11-20 11:07 +00:00  close       lead  closed (successful)  all\\u{1b}[2J well\n"
        );
    }
}
