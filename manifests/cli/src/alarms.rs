//! `assent site alarms`: what contradicted a host's chain or the ledger. The server's word, to be looked into.

use crate::author::list::print_json;
use crate::error::Done;
use crate::lang::Word;
use crate::session::Session;
use crate::{term, text, window};
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::time::Timestamp;

/// `GET /v1/alarms`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Alarm {
    pub id: i64,
    pub at: Timestamp,
    pub kind: String,
    pub agent: String,
    pub detail: String,
    pub evidence: Digest,
}

pub fn list(session: &Session, json: bool) -> Done {
    let alarms = session.api.alarms()?;
    if json {
        return print_json(&alarms);
    }
    if alarms.is_empty() {
        return term::print(&format!("{}\n", session.lang.word(Word::NoAlarms)));
    }
    let hosts = session.api.hosts(&[])?;
    let zone = window::zone(None)?;
    let mut rows = vec![session.lang.heads(Word::HeadsOfAlarms)];
    rows.extend(alarms.iter().map(|alarm| {
        let host = hosts.iter().find(|host| host.agent.to_string() == alarm.agent);
        let host = host.map_or(&alarm.agent, |host| &host.hostname);
        vec![
            window::local_in(session.lang, alarm.at, &zone),
            text::clean(&alarm.kind),
            text::clean(host),
            text::clean(&alarm.detail),
        ]
    }));
    let mut out = text::table(&rows);
    let mut kinds: Vec<_> = alarms.iter().map(|alarm| alarm.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    out.push('\n');
    for (kind, remedy) in kinds.into_iter().filter_map(|kind| Some((kind, remedy(kind)?))) {
        out.push_str(&format!("{kind}: {}\n", session.lang.word(remedy)));
    }
    term::print(&out)
}

/// What an alarm means and what to do.
fn remedy(kind: &str) -> Option<Word> {
    Some(match kind {
        "chain_fork" => Word::AlarmFork,
        "chain_edited" => Word::AlarmEdited,
        "chain_loss" => Word::AlarmLoss,
        "chain_gap" => Word::AlarmGap,
        "log_contradiction" => Word::AlarmContradiction,
        "forged" => Word::AlarmForged,
        "broken_glass" => Word::AlarmGlass,
        "unapproved_run" => Word::AlarmUnapproved,
        _ => return None,
    })
}
