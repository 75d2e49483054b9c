//! Saved searches: named, of the whole site, and used in other searches as `saved:NAME`.

use super::store;
use crate::cmdb::model::CiId;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::kernel::register;
use shared::ids::{PersonId, YearNumber};
use shared::limits;
use shared::search::{Key, Pattern, Query, Term, is_name};
use shared::strict;
use shared::time::Timestamp;
use shared::wire::{PutSearch, SavedSearch};
use std::collections::BTreeSet;

/// Saved searches of one site.
const SAVED: usize = 1_000;

/// A search as it was written, with the saved ones that it uses in their places.
///
/// # Errors
/// `ci.bad_search` with the place, `ci.search_unknown`, `ci.search_circle`; `number.unknown`, `number.none`.
pub(super) fn resolved(tx: &mut Conn, text: &str) -> Result<Query, Error> {
    let query = put_in(tx, parse(text)?, &mut Vec::new())?;
    match query.size() > limits::SEARCH_TERMS {
        true => {
            let why = format!("with its saved searches it has more than {} terms", limits::SEARCH_TERMS);
            Err(bad(1, why).into())
        }
        false => Ok(query),
    }
}

/// A search with the saved ones in their places, as text: it goes on to mean the same whatever becomes of them.
///
/// # Errors
/// As [`resolved`].
pub fn spelt_out(tx: &mut Conn, text: &str) -> Result<String, Error> {
    Ok(resolved(tx, text)?.to_string())
}

/// The entries that fit a search.
///
/// # Errors
/// As [`resolved`], and `ci.search_wide`.
pub fn fitting_all(tx: &mut Conn, text: &str) -> Result<BTreeSet<CiId>, Error> {
    let query = resolved(tx, text)?;
    Ok(store::matching(tx, &query, None)?.into_iter().map(CiId).collect())
}

/// Whether one entry fits.
///
/// # Errors
/// As [`fitting_all`].
pub fn is_fitting(tx: &mut Conn, text: &str, ci: CiId) -> Result<bool, Error> {
    let query = resolved(tx, text)?;
    Ok(!store::matching(tx, &query, Some(ci))?.is_empty())
}

fn bad(at: usize, why: impl ToString) -> Refusal {
    Refusal::unprocessable("ci.bad_search").with("at", at).with("why", why.to_string())
}

fn parse(text: &str) -> Result<Query, Refusal> {
    text.parse().map_err(|error: shared::search::BadQuery| bad(error.at, error.why))
}

fn put_in(tx: &mut Conn, query: Query, way: &mut Vec<String>) -> Result<Query, Error> {
    if query.size() > limits::SEARCH_TERMS {
        return Err(bad(1, format!("more than {} terms", limits::SEARCH_TERMS)).into());
    }
    query.with_terms(&mut |term| match term.key {
        Key::Saved => put_in_saved(tx, term.want.word.as_str(), way),
        Key::Change => Ok(Query::Term(with_id(tx, term)?)),
        _ => Ok(Query::Term(term)),
    })
}

fn put_in_saved(tx: &mut Conn, name: &str, way: &mut Vec<String>) -> Result<Query, Error> {
    let circle = way.iter().any(|before| before == name);
    way.push(name.to_owned());
    if circle || way.len() > limits::SEARCH_DEPTH {
        let refusal = Refusal::unprocessable("ci.search_circle").with("way", way.join(" -> "));
        return Err(refusal.with("limit", limits::SEARCH_DEPTH).into());
    }
    let text = get(tx, name)?.query;
    let query = put_in(tx, parse(&text)?, way)?;
    way.pop();
    Ok(query)
}

/// Histories name changes by their ids.
fn with_id(tx: &mut Conn, mut term: Term) -> Result<Term, Error> {
    if let Ok(number) = term.want.word.as_str().to_uppercase().parse::<YearNumber>() {
        term.want.word = Pattern::new(&register::get(tx, &number)?);
    }
    Ok(term)
}

/// # Errors
/// `ci.search_unknown`.
pub(super) fn get(tx: &mut Conn, name: &str) -> Result<SavedSearch, Error> {
    let unknown = || Refusal::not_found("ci.search_unknown").with("name", strict::shorten(name));
    store::find_saved(tx, name)?.ok_or_else(|| unknown().into())
}

/// Whether it is saved like that already.
pub(super) fn is_same(tx: &mut Conn, name: &str, wish: &PutSearch) -> Result<bool, Error> {
    let before = store::find_saved(tx, name)?;
    Ok(before.is_some_and(|before| before.query == wish.query && before.about == wish.about))
}

/// Saves a search under a name.
///
/// # Errors
/// What the search itself is refused for; `ci.bad_saved` for its name or description, or where there are too many.
pub(super) fn put(
    tx: &mut Conn,
    (name, wish): (&str, &PutSearch),
    by: &PersonId,
    now: Timestamp,
) -> Result<(), Error> {
    let refuse = |why: String| Refusal::unprocessable("ci.bad_saved").with("why", why);
    if !is_name(name) {
        return Err(refuse(format!(
            "a name has 1 to {} small letters, digits and hyphens, a letter first",
            limits::SEARCH_NAME_BYTES
        ))
        .into());
    }
    if !wish.about.is_empty() && !limits::is_text(&wish.about) {
        return Err(refuse(format!("what it is about has at most {} bytes", limits::TEXT_BYTES)).into());
    }
    let query = parse(&wish.query)?;
    if query == Query::All(vec![]) {
        return Err(refuse("an empty search finds everything".to_owned()).into());
    }
    // What it uses is there, and does not lead back to it.
    put_in(tx, query, &mut vec![name.to_owned()])?;
    if store::find_saved(tx, name)?.is_none() && store::list_saved(tx)?.len() >= SAVED {
        return Err(refuse(format!("there are {SAVED} already")).into());
    }
    let saved = SavedSearch {
        name: name.to_owned(),
        query: wish.query.clone(),
        about: wish.about.clone(),
        by: by.clone(),
        at: now,
    };
    Ok(store::record_saved(tx, &saved)?)
}

/// # Errors
/// `ci.search_unknown`; `ci.search_used` while another one uses it.
pub(super) fn delete(tx: &mut Conn, name: &str) -> Result<(), Error> {
    for other in store::list_saved(tx)? {
        if other.name != name && parse(&other.query)?.saved().contains(&name) {
            let refusal = Refusal::conflict("ci.search_used").with("name", name).with("by", other.name);
            return Err(refusal.into());
        }
    }
    match store::delete_saved(tx, name)? {
        0 => Err(Refusal::not_found("ci.search_unknown").with("name", name).into()),
        _ => Ok(()),
    }
}
