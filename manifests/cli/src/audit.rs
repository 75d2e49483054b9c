//! `assent audit list`: who did what on the server, and when. Each record can be compared with its leaf in the ledger.

use crate::args::AuditArgs;
use crate::author::list::print_json;
use crate::error::{Context as _, Done, Failure, Kind};
use crate::lang::Word;
use crate::session::Session;
use crate::{ledger, term, text, window};
use shared::audit::AuditRecord;
use shared::ledger::{LeafKind, Proven};
use std::collections::BTreeMap;

pub fn list(session: &Session, args: &AuditArgs) -> Done {
    let records = fetch(session, args)?;
    if args.verify {
        if args.person.is_none() && args.action.is_none() {
            check_numbers(&records)?;
        }
        prove(session, &records)?;
    }
    if args.json {
        return print_json(&records);
    }
    if args.verify {
        term::print(&format!("{} records are proven to be in the ledger\n", records.len()))?;
    }
    let zone = window::zone(None)?;
    let mut rows = vec![session.lang.heads(Word::HeadsOfAudit)];
    rows.extend(records.iter().map(|record| {
        let person = record.person.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let at = window::local_in(session.lang, record.at, &zone);
        let (action, object) = (text::clean(&record.action), text::clean(&record.object));
        vec![record.number.to_string(), at, person, action, object]
    }));
    term::print(&text::table(&rows))
}

/// Evidence bundles that left the server.
pub fn exports(session: &Session, json: bool) -> Done {
    let lines = session.api.exports()?;
    if json {
        return print_json(&lines);
    }
    let (zone, lang) = (window::zone(None)?, session.lang);
    let mut rows = vec![lang.heads(Word::HeadsOfExports)];
    rows.extend(lines.iter().map(|line| {
        vec![text::clean(&line.id), window::local_in(lang, line.at, &zone), line.person.to_string()]
    }));
    term::print(&text::table(&rows))
}

/// Page by page, newest first.
fn fetch(session: &Session, args: &AuditArgs) -> Done<Vec<AuditRecord>> {
    let mut records: Vec<AuditRecord> = Vec::new();
    let limit = args.limit as usize;
    let mut before = args.before;
    while records.len() < limit {
        let person = args.person.as_ref().map(ToString::to_string);
        let pairs =
            [("person", person), ("action", args.action.clone()), ("before", before.map(|n| n.to_string()))];
        let wanted: BTreeMap<_, _> =
            pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let page = session.api.audit(&wanted)?;
        let last = page.records.last().map(|record| record.number);
        // A server that gives the same page again and again must not keep the command busy for ever.
        if last.is_some() && before.is_some() && last >= before {
            return Err(Failure::refused("the server's pages of the audit trail do not go on"));
        }
        before = last;
        records.extend(page.records);
        if !page.more || before.is_none() {
            break;
        }
    }
    records.truncate(limit);
    Ok(records)
}

/// Nothing is left out between the first and the last record that are shown.
fn check_numbers(records: &[AuditRecord]) -> Done {
    for pair in records.windows(2) {
        if let [newer, older] = pair
            && newer.number != older.number + 1
        {
            let why = format!("record {} follows record {}", newer.number, older.number);
            return Err(Failure::refused("the audit trail of the server is not whole").why(why));
        }
    }
    Ok(())
}

/// The server proves each record against the ledger of the policy.
fn prove(session: &Session, records: &[AuditRecord]) -> Done {
    let key = ledger::key(&session.site()?.policy)?;
    for record in records {
        let unproven = || format!("record {} is not proven to be in the ledger", record.number);
        let digest = record.digest();
        let recorded = session.api.proof(&digest).map_err(|failure| match failure.kind {
            Kind::Refused => Failure::refused(unproven()).why(failure.message),
            _ => failure,
        })?;
        let proven = Proven::check(&recorded.inclusion, &recorded.checkpoint, &key, &digest);
        let proven = proven.or_refuse(unproven())?;
        if !matches!(proven.leaf().kind, LeafKind::Audit | LeafKind::Export) {
            let what = format!("record {} is another document in the ledger", record.number);
            return Err(Failure::refused(what));
        }
    }
    Ok(())
}
