//! Findings as people and tools read them.

use super::{Row, StepRow, acceptance, damaged, digest, finding, finding_step, get, parse, presence, word};
use crate::cmdb::{self, CiId};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::ledger;
use diesel::prelude::*;
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::finding::{Presence, Transaction};
use shared::ids::AgentId;
use shared::time::Timestamp;
use shared::wire::{Disposition, FindingFile, FindingLine, FindingPage, FindingStep, Proposed};
use std::collections::HashMap;

/// A page of findings.
const PAGE: usize = 200;

/// Which findings are listed; all conditions hold together.
#[derive(Debug, Clone, Default)]
pub(in crate::findings) struct Listed {
    pub disposition: Option<Disposition>,
    /// Not those that are gone.
    pub current: bool,
    pub ci: Option<CiId>,
    pub manifest: Option<String>,
    pub fingerprint: Option<Digest>,
    /// Only those with a smaller id.
    pub before: Option<u64>,
}

/// A page of findings, newest first.
pub(in crate::findings) fn list(tx: &mut Conn, listed: &Listed) -> Result<FindingPage, Error> {
    let mut rows = finding::table.into_boxed();
    if let Some(disposition) = listed.disposition {
        rows = rows.filter(finding::disposition.eq(disposition.as_str()));
    }
    if listed.current {
        rows = rows.filter(finding::presence.ne(Presence::Gone.as_str()));
    }
    if let Some(ci) = listed.ci {
        rows = rows.filter(finding::ci.eq(ci.0));
    }
    if let Some(manifest) = &listed.manifest {
        rows = rows.filter(finding::manifest.eq(manifest.clone()));
    }
    if let Some(fingerprint) = listed.fingerprint {
        rows = rows.filter(finding::fingerprint.eq(fingerprint.0.to_vec()));
    }
    if let Some(before) = listed.before {
        rows = rows.filter(finding::id.lt(before.cast_signed()));
    }
    let rows = rows.order(finding::id.desc()).limit(PAGE as i64 + 1).select(Row::as_select());
    let mut rows: Vec<Row> = rows.load(tx)?;
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let next = rows.last().filter(|_| more).map(|row| row.id.cast_unsigned());
    let known = Known::of(tx, &rows)?;
    let findings = rows.into_iter().map(|row| line(row, &known)).collect::<Result<_, _>>()?;
    Ok(FindingPage { findings, next })
}

/// One finding with the host's own words and its history.
pub(in crate::findings) fn file(tx: &mut Conn, id: u64) -> Result<FindingFile, Error> {
    let row = get(tx, id)?;
    let key = digest(&row.said.statement)?;
    let bytes = ledger::find_statements(tx, &[key])?.remove(&key);
    let bytes = bytes.ok_or_else(|| Error::fault("reading a finding", format!("{key} is not recorded")))?;
    let statement = Envelope::parse(&bytes).map_err(|error| Error::fault("reading a finding", error))?;
    let steps = finding_step::table.filter(finding_step::finding.eq(row.id)).order(finding_step::id);
    let steps: Vec<StepRow> = steps.select(StepRow::as_select()).load(tx)?;
    let history = steps.into_iter().map(read_step).collect::<Result<_, _>>()?;
    let known = Known::of(tx, std::slice::from_ref(&row))?;
    Ok(FindingFile { line: line(row, &known)?, statement, history })
}

/// What other slices know of a page of findings.
struct Known {
    /// By CI.
    names: HashMap<i64, String>,
    /// By row.
    proposed: HashMap<i64, Proposed>,
}

impl Known {
    fn of(tx: &mut Conn, rows: &[Row]) -> Result<Self, Error> {
        let mut ids: Vec<CiId> = rows.iter().map(|row| CiId(row.ci)).collect();
        ids.sort_unstable_by_key(|id| id.0);
        ids.dedup();
        Ok(Self { names: cmdb::names(tx, &ids)?, proposed: acceptance::proposed(tx, rows)? })
    }
}

fn line(row: Row, known: &Known) -> Result<FindingLine, Error> {
    Ok(FindingLine {
        id: row.id.cast_unsigned(),
        ci: CiId(row.ci).to_string(),
        hostname: known.names.get(&row.ci).cloned().unwrap_or_default(),
        agent: parse::<AgentId>(&row.agent)?,
        about: serde_json::from_str(&row.said.about).map_err(|_| damaged(&row.said.about))?,
        cause: row.said.cause.as_deref().map(cause).transpose()?,
        what: row.said.what,
        fingerprint: digest(&row.said.fingerprint)?,
        first_seen: Timestamp(row.said.first_seen),
        last_seen: Timestamp(row.said.last_seen),
        count: u32::try_from(row.said.count).map_err(|_| damaged("count"))?,
        flapping: row.said.flapping,
        presence: presence(&row.said.presence)?,
        disposition: word(&row.disposition)?,
        until: row.until.map(Timestamp),
        rule: row.rule.map(i64::cast_unsigned),
        change: row.change_id.as_deref().map(parse).transpose()?,
        proposed: known.proposed.get(&row.id).cloned(),
        statement: digest(&row.said.statement)?,
    })
}

fn cause(text: &str) -> Result<Transaction, Error> {
    serde_json::from_str(text).map_err(|_| damaged(text))
}

fn read_step(row: StepRow) -> Result<FindingStep, Error> {
    Ok(FindingStep {
        at: Timestamp(row.at),
        by_person: row.by_person.as_deref().map(parse).transpose()?,
        disposition: word(&row.disposition)?,
        reason: row.reason,
        change: row.change_id.as_deref().map(parse).transpose()?,
        until: row.until.map(Timestamp),
        rule: row.rule.map(i64::cast_unsigned),
    })
}
