//! SQL of notes: their order, what they settle and where links lead. The words are the ledger's.

use super::super::store::{damaged, digest};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use diesel::prelude::*;
use shared::digest::Digest;
use shared::note::{ChangeNote, Said};
use std::collections::{HashMap, HashSet};

diesel::table! {
    change_note (change_id, number) {
        change_id -> Text,
        number -> BigInt,
        kind -> Text,
        /// Number of the note on the same change that it settles.
        settles -> Nullable<BigInt>,
        /// The change to which a link leads.
        target -> Nullable<Text>,
        statement -> Binary,
    }
}

pub(super) fn insert(tx: &mut Conn, note: &ChangeNote, statement: &Digest) -> QueryResult<()> {
    let target = match &note.said {
        Said::Link { to, .. } => Some(to.as_str()),
        Said::Comment { .. }
        | Said::Objection { .. }
        | Said::Answer { .. }
        | Said::Unlink { .. }
        | Said::Attachment { .. }
        | Said::Review(_) => None,
    };
    let row = (
        change_note::change_id.eq(note.change.as_str()),
        change_note::number.eq(i64::from(note.number)),
        change_note::kind.eq(note.said.kind()),
        change_note::settles.eq(note.said.settles().map(i64::from)),
        change_note::target.eq(target),
        change_note::statement.eq(statement.0.as_slice()),
    );
    diesel::insert_into(change_note::table).values(row).execute(tx).map(drop)
}

/// Documents of the notes on a change, by number.
pub fn list_digests(tx: &mut Conn, change: &str) -> Result<Vec<Digest>, Error> {
    let rows = change_note::table.filter(change_note::change_id.eq(change));
    let found: Vec<Vec<u8>> = rows.order(change_note::number).select(change_note::statement).load(tx)?;
    found.iter().map(|bytes| digest(bytes)).collect()
}

/// Documents of links on other changes that lead to this one and hold.
pub(super) fn list_links_to(tx: &mut Conn, change: &str) -> Result<Vec<Digest>, Error> {
    let rows = change_note::table.filter(change_note::target.eq(change));
    let columns = (change_note::change_id, change_note::number, change_note::statement);
    let found: Vec<(String, i64, Vec<u8>)> =
        rows.order((change_note::change_id, change_note::number)).select(columns).load(tx)?;
    let from: Vec<&String> = found.iter().map(|(change, ..)| change).collect();
    let ended = change_note::table.filter(change_note::change_id.eq_any(from));
    let ended = ended.filter(change_note::kind.eq("unlink"));
    let ended: HashSet<(String, Option<i64>)> =
        ended.select((change_note::change_id, change_note::settles)).load(tx)?.into_iter().collect();
    let stands =
        |(change, number, _): &&(String, i64, Vec<u8>)| !ended.contains(&(change.clone(), Some(*number)));
    found.iter().filter(stands).map(|(.., bytes)| digest(bytes)).collect()
}

/// How many objections of each of these changes nobody has answered.
pub fn count_open_objections(tx: &mut Conn, changes: &[&str]) -> Result<HashMap<String, u32>, Error> {
    let count = |tx: &mut Conn, kind: &str| -> QueryResult<HashMap<String, i64>> {
        let rows = change_note::table.filter(change_note::kind.eq(kind));
        let rows = rows.filter(change_note::change_id.eq_any(changes)).group_by(change_note::change_id);
        let found: Vec<(String, i64)> =
            rows.select((change_note::change_id, diesel::dsl::count_star())).load(tx)?;
        Ok(found.into_iter().collect())
    };
    // Each answer settles one objection, and each objection is settled once.
    let (objections, answers) = (count(tx, "objection")?, count(tx, "answer")?);
    objections
        .into_iter()
        .map(|(change, said)| {
            let open = said - answers.get(&change).copied().unwrap_or_default();
            let open = u32::try_from(open).map_err(|_| damaged("the notes of a change"))?;
            Ok((change, open))
        })
        .collect()
}
