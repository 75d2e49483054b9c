//! From a search to a page of entries. Words are looked up first, and versions compared by the host's own order; the
//! database then joins words to entries.

use super::{FOREVER, ci_term, term};
use crate::cmdb::declared;
use crate::cmdb::marks::Wanted;
use crate::cmdb::model::CiId;
use crate::cmdb::search::model::Field;
use crate::cmdb::store::{CiRow, ci, ci_history, ci_mark, line};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use diesel::dsl::{exists, not};
use diesel::expression::BoxableExpression;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use shared::search::{Fact, Key, Pattern, Query, Term, folded};
use shared::time::Timestamp;
use shared::wire::CiLine;

type Backend = <Conn as Connection>::Backend;
type Condition = Box<dyn BoxableExpression<ci::table, Backend, SqlType = Bool>>;

/// Different words that one term may stand for: below the variables that SQLite takes.
const WORDS: usize = 20_000;

/// A page of the entries that fit, by name and id, behind the entry `after`.
///
/// # Errors
/// `ci.search_wide` where a term stands for too many words.
pub(in crate::cmdb) fn page(
    tx: &mut Conn,
    query: &Query,
    (wanted, now): (&[Wanted], Timestamp),
    after: Option<(String, i64)>,
    limit: i64,
) -> Result<Vec<CiLine>, Error> {
    let mut rows = ci::table.order((ci::name, ci::id)).limit(limit).select(CiRow::as_select()).into_boxed();
    rows = rows.filter(all_of(tx, query)?);
    for wanted in wanted {
        rows = rows.filter(marked(wanted, now));
    }
    if let Some((name, id)) = after {
        let behind = ci::name.eq(name.clone()).and(ci::id.gt(id));
        rows = rows.filter(ci::name.gt(name).or(behind));
    }
    rows.load::<CiRow>(tx)?.into_iter().map(line).collect()
}

fn always(holds: bool) -> Condition {
    Box::new(holds.into_sql::<Bool>())
}

fn all_of(tx: &mut Conn, query: &Query) -> Result<Condition, Error> {
    condition(tx, query, true)
}

/// Negations go down to the terms, where the database knows best what to do with them.
fn condition(tx: &mut Conn, query: &Query, holds: bool) -> Result<Condition, Error> {
    let (all, both) = match query {
        Query::All(all) => (all, holds),
        Query::Any(all) => (all, !holds),
        Query::Not(query) => return condition(tx, query, !holds),
        Query::Term(term) => return of_term(tx, term, holds),
    };
    let mut together: Option<Condition> = None;
    for query in all {
        let next = condition(tx, query, holds)?;
        together = Some(match together {
            None => next,
            Some(before) if both => Box::new(before.and(next)),
            Some(before) => Box::new(before.or(next)),
        });
    }
    Ok(together.unwrap_or_else(|| always(holds)))
}

fn of_term(tx: &mut Conn, term: &Term, holds: bool) -> Result<Condition, Error> {
    let word = &term.want.word;
    if let Some(fields) = Field::of(term.key) {
        return Ok(with_words(words(tx, term, fields)?, holds));
    }
    let signed =
        |condition: Condition| -> Condition { if holds { condition } else { Box::new(not(condition)) } };
    Ok(signed(match term.key {
        Key::Class => Box::new(ci::kind.like(like(word)).escape('\\')),
        Key::HostClass => {
            let class = ci::host_class.assume_not_null().like(like(word)).escape('\\');
            Box::new(ci::host_class.is_not_null().and(class))
        }
        Key::Name => Box::new(ci::sought.like(like(word)).escape('\\')),
        Key::Serves | Key::Relies => Box::new(ci::id.eq_any(related(tx, term)?)),
        Key::Change => {
            let id = like(word).to_uppercase();
            let told =
                ci_history::table.filter(ci_history::change_id.assume_not_null().like(id).escape('\\'));
            let told = told.filter(ci_history::change_id.is_not_null());
            Box::new(ci::id.eq_any(told.select(ci_history::ci)))
        }
        // A text, and what a saved search is put in for.
        _ => {
            let within = format!("%{}%", like(word));
            let described = words_like(tx, Field::Description, &within)?;
            let named = ci::sought.like(within).escape('\\');
            if described.is_empty() {
                Box::new(named)
            } else {
                Box::new(named.or(with_words(described, true)))
            }
        }
    }))
}

/// The entries of a name, and what they stand on or what relies on them.
fn related(tx: &mut Conn, term: &Term) -> Result<Vec<i64>, Error> {
    let named = ci::table.filter(ci::sought.like(like(&term.want.word)).escape('\\'));
    let starts: Vec<i64> = named.select(ci::id).limit(WORDS as i64 + 1).load(tx)?;
    let found = match term.key {
        Key::Serves => declared::serving(tx, &starts, WORDS)?,
        _ => declared::relying(tx, &starts, WORDS)?,
    };
    found.ok_or_else(|| too_wide(term))
}

/// The ids of all entries that fit, or of those among `only`.
///
/// # Errors
/// As [`page`].
pub(in crate::cmdb) fn matching(tx: &mut Conn, query: &Query, only: Option<CiId>) -> Result<Vec<i64>, Error> {
    let mut rows = ci::table.select(ci::id).into_boxed();
    if let Some(only) = only {
        rows = rows.filter(ci::id.eq(only.0));
    }
    Ok(rows.filter(all_of(tx, query)?).load(tx)?)
}

/// As LIKE takes a pattern.
fn like(pattern: &Pattern) -> String {
    let escaped = pattern.as_str().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    escaped.replace('*', "%")
}

fn with_words(ids: Vec<i64>, holds: bool) -> Condition {
    if ids.is_empty() {
        return always(!holds);
    }
    let now = ci_term::table.filter(ci_term::until.eq(FOREVER)).filter(ci_term::term.eq_any(ids));
    if holds {
        // From the words to the entries: good where few have them.
        Box::new(ci::id.eq_any(now.select(ci_term::ci)))
    } else {
        Box::new(not(exists(now.filter(ci_term::ci.eq(ci::id)))))
    }
}

fn too_wide(term: impl ToString) -> Error {
    Refusal::unprocessable("ci.search_wide").with("term", term.to_string()).with("limit", WORDS).into()
}

/// The words that a term stands for. The database narrows by what is certain; the rest is for [`Term::fits`].
fn words(tx: &mut Conn, wanted: &Term, fields: &[Field]) -> Result<Vec<i64>, Error> {
    let by_source = wanted.key == Key::Source;
    let word = &wanted.want.word;
    let names: Vec<&str> = fields.iter().map(|field| field.as_str()).collect();
    let mut rows = term::table.filter(term::field.eq_any(names)).into_boxed();
    // `os:debian-12` and values of labels are found by more than the word.
    let by_word = !matches!(wanted.key, Key::Os | Key::Label | Key::Local) || wanted.want.compared.is_some();
    if !word.as_str().is_empty() && by_word {
        let exact = word.is_exact();
        let (pattern, name) = (like(word), folded(word.as_str()));
        rows = match (by_source, exact) {
            (true, true) => rows.filter(term::source.eq(name)),
            (true, false) => rows.filter(term::source.like(pattern).escape('\\')),
            (false, true) => rows.filter(term::word.eq(name)),
            (false, false) => rows.filter(term::word.like(pattern).escape('\\')),
        };
    }
    let columns = (term::id, term::field, term::word, term::detail, term::source, term::source_detail);
    let mut found = Vec::new();
    for (id, field, word, detail, source, source_detail) in
        rows.select(columns).load::<(i64, String, String, String, String, String)>(tx)?
    {
        let order = fields.iter().find(|known| known.as_str() == field).map(|field| field.order());
        let (word, detail) = if by_source { (source, source_detail) } else { (word, detail) };
        if order.is_some_and(|order| wanted.fits(Fact { word: &word, detail: &detail, order })) {
            found.push(id);
        }
    }
    if found.len() > WORDS { Err(too_wide(wanted)) } else { Ok(found) }
}

fn words_like(tx: &mut Conn, field: Field, pattern: &str) -> Result<Vec<i64>, Error> {
    let rows =
        term::table.filter(term::field.eq(field.as_str())).filter(term::word.like(pattern).escape('\\'));
    let found: Vec<i64> = rows.select(term::id).load(tx)?;
    if found.len() > WORDS { Err(too_wide(pattern)) } else { Ok(found) }
}

fn marked(wanted: &Wanted, now: Timestamp) -> Condition {
    let all = ci_mark::table.filter(ci_mark::kind.eq(wanted.kind().as_str()));
    let before =
        |at: Timestamp| ci_mark::number.is_not_null().and(ci_mark::number.assume_not_null().lt(at.0));
    match wanted {
        Wanted::OutdatedOs => Box::new(ci::id.eq_any(all.filter(before(now)).select(ci_mark::ci))),
        Wanted::CertificateEnds { within_s } => {
            Box::new(ci::id.eq_any(all.filter(before(now.plus(*within_s))).select(ci_mark::ci)))
        }
        Wanted::Listening { port } => {
            let port =
                ci_mark::number.is_not_null().and(ci_mark::number.assume_not_null().eq(i64::from(*port)));
            Box::new(ci::id.eq_any(all.filter(port).select(ci_mark::ci)))
        }
        Wanted::Updater { name } => {
            Box::new(ci::id.eq_any(all.filter(ci_mark::word.eq(name.clone())).select(ci_mark::ci)))
        }
        Wanted::RebootNeeded | Wanted::ClockWrong => Box::new(ci::id.eq_any(all.select(ci_mark::ci))),
    }
}
