//! `assent report kpi`: key figures of a period, with what each is made of. The server's word.

use crate::author::list::print_json;
use crate::error::Done;
use crate::lang::{Lang, Word};
use crate::session::Session;
use crate::{term, text, window};
use shared::time::span;
use shared::wire::{Figure, Kpi, Kpis};

pub fn show(session: &Session, period: &str, json: bool) -> Done {
    let found = session.api.kpis(window::period(period)?)?;
    if json { print_json(&found) } else { term::print(&told(&found, session.lang)) }
}

fn told(found: &Kpis, lang: Lang) -> String {
    let mut rows = Vec::new();
    for kpi in &found.kpis {
        rows.push(vec![text::clean(&kpi.title), figure(kpi.figure, lang)]);
    }
    let edition = lang.fill(Word::KpiDefinitions, &found.definitions.to_string());
    let mut out =
        format!("{} .. {} UTC, {edition}\n\n{}\n", found.period.from, found.period.until, text::table(&rows));
    for Kpi { title, definition, excluded, .. } in &found.kpis {
        out.push_str(&format!("{}: {}\n", text::clean(title), text::clean(definition)));
        for left in excluded {
            let what = format!("{} {}", left.count, text::clean(&left.what));
            out.push_str(&format!("  {}\n", lang.fill(Word::LeftOut, &what)));
        }
    }
    out
}

fn figure(figure: Figure, lang: Lang) -> String {
    match figure {
        Figure::Share { part, of: 0 } => format!("- ({part}/0)"),
        Figure::Share { part, of } => {
            let tenths =
                u64::from(part).saturating_mul(1_000).saturating_add(u64::from(of) / 2) / u64::from(of);
            let dot = if lang == Lang::De { ',' } else { '.' };
            format!("{}{dot}{} % ({part}/{of})", tenths / 10, tenths % 10)
        }
        Figure::Count { count } => count.to_string(),
        Figure::Time { median_s, p90_s, of } => {
            let shown = |seconds: Option<i64>| seconds.map_or("-".to_owned(), span);
            format!("{} {}, p90 {} ({of})", lang.word(Word::Median), shown(median_s), shown(p90_s))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_with_what_they_are_made_of() {
        for (given, en, de) in [
            (Figure::Share { part: 2, of: 3 }, "66.7 % (2/3)", "66,7 % (2/3)"),
            (Figure::Share { part: 3, of: 3 }, "100.0 % (3/3)", "100,0 % (3/3)"),
            (Figure::Share { part: 0, of: 0 }, "- (0/0)", "- (0/0)"),
            (Figure::Count { count: -2 }, "-2", "-2"),
            (
                Figure::Time { median_s: Some(3_720), p90_s: Some(90_000), of: 7 },
                "median 1 h 2 min, p90 1 d 1 h (7)",
                "Median 1 h 2 min, p90 1 d 1 h (7)",
            ),
            (
                Figure::Time { median_s: None, p90_s: None, of: 0 },
                "median -, p90 - (0)",
                "Median -, p90 - (0)",
            ),
        ] {
            assert_eq!((figure(given, Lang::En).as_str(), figure(given, Lang::De).as_str()), (en, de));
        }
    }
}
