//! `assent inbox`: what waits for the person who asks.

use crate::author::list::print_json;
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
    if items.is_empty() {
        return term::print(&format!("{}\n", lang.word(Word::NothingWaits)));
    }
    let mut rows = vec![lang.heads(Word::HeadsOfInbox)];
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
    term::print(&text::table(&rows))
}
