//! SQL of saved searches.

use crate::cmdb::model::unknown;
use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use diesel::prelude::*;
use shared::time::Timestamp;
use shared::wire::SavedSearch;

diesel::table! {
    saved_search (name) {
        name -> Text,
        query -> Text,
        about -> Text,
        person -> Text,
        at -> BigInt,
    }
}

type Row = (String, String, String, String, i64);

fn read((name, query, about, person, at): Row) -> Result<SavedSearch, Error> {
    let by = person.parse().map_err(|_| unknown("the person", &person))?;
    Ok(SavedSearch { name, query, about, by, at: Timestamp(at) })
}

/// By name.
pub fn list_saved(tx: &mut Conn) -> Result<Vec<SavedSearch>, Error> {
    saved_search::table.order(saved_search::name).load::<Row>(tx)?.into_iter().map(read).collect()
}

pub fn find_saved(tx: &mut Conn, name: &str) -> Result<Option<SavedSearch>, Error> {
    saved_search::table.find(name).first::<Row>(tx).optional()?.map(read).transpose()
}

/// Saves it, in the place of one that has its name.
pub fn record_saved(tx: &mut Conn, saved: &SavedSearch) -> QueryResult<()> {
    let set = (
        saved_search::query.eq(&saved.query),
        saved_search::about.eq(&saved.about),
        saved_search::person.eq(saved.by.as_str()),
        saved_search::at.eq(saved.at.0),
    );
    each!(tx, |c| diesel::insert_into(saved_search::table)
        .values((saved_search::name.eq(&saved.name), set))
        .on_conflict(saved_search::name)
        .do_update()
        .set(set)
        .execute(c))
    .map(drop)
}

/// How many there were.
pub fn delete_saved(tx: &mut Conn, name: &str) -> QueryResult<usize> {
    diesel::delete(saved_search::table.find(name)).execute(tx)
}
