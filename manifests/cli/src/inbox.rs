//! `assent inbox`: what waits for the person who asks, and for anybody.

use crate::author::list::print_json;
use crate::calendar::subscription;
use crate::error::Done;
use crate::lang::Word;
use crate::session::Session;
use crate::{term, text, window};
use shared::wire::{InboxItem, InboxKind};
use std::collections::BTreeSet;

pub fn show(session: &Session, json: bool) -> Done {
    let items = session.api.inbox()?;
    if json {
        return print_json(&items);
    }
    let (lang, zone) = (session.lang, window::zone(None)?);
    let worries = subscription::worries(session)?;
    if items.is_empty() && worries.is_empty() {
        return term::print(&format!("{}\n", lang.word(Word::NothingWaits)));
    }
    let mut rows = Vec::new();
    rows.extend(items.iter().filter_map(|item: &InboxItem| {
        let what = lang.word(match item.kind {
            InboxKind::Approve => Word::ApprovalMissing,
            InboxKind::Review => Word::ReviewMissing,
            InboxKind::Expired => Word::EndedUnapproved,
            InboxKind::Objection => Word::ObjectionOpen,
            InboxKind::Departed => Word::HostsRefuse,
            // Everybody is told of calendars, below.
            InboxKind::CalendarOld | InboxKind::CalendarWaits => return None,
        });
        let what = if item.urgent { format!("{} {what}", lang.word(Word::Urgent)) } else { what.to_owned() };
        let what = match item.hosts {
            Some(hosts) => format!("{hosts} {what}"),
            None => what,
        };
        let until = window::local_in(lang, item.due, &zone);
        Some(vec![item.change.as_ref()?.to_string(), what, until, text::clean(&item.title)])
    }));
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
    for worry in worries {
        out.push_str(&format!("{worry}\n"));
    }
    term::print(&out)
}
