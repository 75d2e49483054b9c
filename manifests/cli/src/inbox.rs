//! `assent inbox`: what waits for the person who asks, and for anybody.

use crate::author::list::print_json;
use crate::calendar::subscription;
use crate::error::Done;
use crate::lang::Word;
use crate::session::Session;
use crate::{term, text, window};
use shared::wire::{InboxItem, InboxKind};

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
    let mut rows = match items.is_empty() {
        true => Vec::new(),
        false => vec![lang.heads(Word::HeadsOfInbox)],
    };
    rows.extend(items.iter().map(|item: &InboxItem| {
        let what = lang.word(match item.kind {
            InboxKind::Approve => Word::ApprovalMissing,
            InboxKind::Review => Word::ReviewMissing,
            InboxKind::Expired => Word::EndedUnapproved,
        });
        let what = if item.urgent { format!("{} {what}", lang.word(Word::Urgent)) } else { what.to_owned() };
        let until = window::local_in(lang, item.due, &zone);
        vec![item.change.to_string(), what, until, text::clean(&item.title)]
    }));
    let mut out = text::table(&rows);
    for worry in worries {
        out.push_str(&format!("{worry}\n"));
    }
    term::print(&out)
}
