//! `assent inbox`: what waits for the person who asks, and for anybody.

use crate::author::list::print_json;
use crate::calendar::subscription;
use crate::error::Done;
use crate::lang::{Lang, Word};
use crate::session::Session;
use crate::{term, text, window};
use jiff::tz::TimeZone;
use shared::wire::{InboxItem, InboxKind};
use std::collections::BTreeSet;

pub fn show(session: &Session, json: bool) -> Done {
    let items = session.api.inbox()?;
    if json {
        return print_json(&items);
    }
    let zone = window::zone(None)?;
    let worries = subscription::worries(session)?;
    term::print(&page(session.lang, &items, &worries, &zone))
}

fn page(lang: Lang, items: &[InboxItem], worries: &[String], zone: &TimeZone) -> String {
    if items.is_empty() && worries.is_empty() {
        return format!("{}\n", lang.word(Word::NothingWaits));
    }
    let mut rows: Vec<Vec<String>> = items.iter().filter_map(|item| row(lang, item, zone)).collect();
    if !rows.is_empty() {
        rows.insert(0, lang.heads(Word::HeadsOfInbox));
    }
    let mut out = text::table(&rows);
    let refused = items.iter().filter(|item| item.kind == InboxKind::Departed);
    let refused: BTreeSet<String> =
        refused.filter_map(|item| Some(item.change.as_ref()?.to_string())).collect();
    for change in refused {
        for word in [Word::HostsRefuseWhy, Word::HostsRefuseAnew] {
            out.push_str(&format!("{}\n", lang.fill(word, &change)));
        }
    }
    for item in items {
        out.push_str(&advice(lang, item, zone));
    }
    for worry in worries {
        out.push_str(&format!("{worry}\n"));
    }
    out
}

/// `None` of what everybody is told, below.
fn row(lang: Lang, item: &InboxItem, zone: &TimeZone) -> Option<Vec<String>> {
    let what = lang.word(match item.kind {
        InboxKind::Approve => Word::ApprovalMissing,
        InboxKind::Review => Word::ReviewMissing,
        InboxKind::Expired => Word::EndedUnapproved,
        InboxKind::Objection => Word::ObjectionOpen,
        InboxKind::Departed => Word::HostsRefuse,
        InboxKind::OutsideWindow => Word::LiesOutside,
        InboxKind::WindowsDiffer => Word::WindowsMoved,
        InboxKind::SeriesEnds | InboxKind::CalendarEnds => Word::EndIsNear,
        InboxKind::CalendarOld | InboxKind::CalendarWaits => return None,
    });
    let what = if item.urgent { format!("{} {what}", lang.word(Word::Urgent)) } else { what.to_owned() };
    let what = match item.hosts {
        Some(hosts) => format!("{hosts} {what}"),
        None => what,
    };
    let until = window::local_in(lang, item.due, zone);
    Some(vec![item.named()?, what, until, text::clean(&item.title)])
}

/// What to do about windows that have moved, and about what ends.
fn advice(lang: Lang, item: &InboxItem, zone: &TimeZone) -> String {
    let Some(name) = item.named() else { return String::new() };
    let mut out = String::new();
    if let Some(windows) = &item.windows {
        out.push_str(&format!("{name}:\n{}", window::difference(lang, windows, zone)));
    }
    let word = match item.kind {
        InboxKind::WindowsDiffer => Word::WindowsAnew,
        InboxKind::SeriesEnds => Word::SeriesGoesOn,
        InboxKind::CalendarEnds => Word::CalendarGoesOn,
        _ => return out,
    };
    out.push_str(&format!("{}\n", lang.fill(word, &name)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::tests::check_golden;
    use serde_json::json;

    #[test]
    fn what_has_moved_or_ends_is_shown_with_what_to_do() {
        let time = |from: &str, until: &str| json!({ "from": from, "until": until });
        let items: Vec<InboxItem> = serde_json::from_value(json!([
            {
                "kind": "windows_differ", "change": "C-7", "revision": 2, "title": "Patch\u{1b}[2J day", "urgent": false,
                "windows": {
                    "signed": [time("2027-07-06T20:00:00Z", "2027-07-07T00:00:00Z")],
                    "now": [time("2027-07-06T21:00:00Z", "2027-07-07T01:00:00Z")],
                },
                "zone": "Europe/Berlin", "due": "2027-07-07T00:00:00Z",
            },
            {
                "kind": "outside_window", "change": "C-8", "revision": 1, "title": "Web", "urgent": false,
                "due": "2026-12-05T21:00:00Z",
            },
            {
                "kind": "series_ends", "series": "patch-day", "change": "C-9", "revision": 1, "title": "Patch day",
                "urgent": false, "due": "2026-12-09T01:00:00Z",
            },
            {
                "kind": "calendar_ends", "calendar": "holidays", "title": "Public holidays", "urgent": false,
                "due": "2026-12-26T23:00:00Z",
            },
            {
                "kind": "calendar_old", "calendar": "freeze", "title": "Freeze", "urgent": false,
                "due": "2026-11-20T23:00:00Z",
            },
        ]))
        .unwrap();
        let zone = window::zone(Some("Europe/Berlin")).unwrap();
        for (lang, ending) in [(Lang::En, "en"), (Lang::De, "de")] {
            let worries = [lang.fill(Word::CalendarIsOld, "freeze")];
            check_golden(&format!("inbox-time.{ending}.txt"), &page(lang, &items, &worries, &zone));
        }
        assert_eq!(page(Lang::En, &[], &[], &zone), format!("{}\n", Lang::En.word(Word::NothingWaits)));
    }
}
