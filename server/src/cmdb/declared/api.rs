//! Declarations and relations over HTTP.

use super::apply::Work;
use super::graph::{Edge, Reached, Way, walk};
use super::store;
use crate::audit::{self, Action};
use crate::cmdb::model::CiId;
use crate::cmdb::store::get;
use crate::kernel::clock::Clock;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::condition::{Condition, Tag, Tagged};
use crate::kernel::http::person::{Allowed, Operate, Read};
use actix_web::web::{Bytes, Data, Json, Path, PayloadConfig, Query, ServiceConfig};
use actix_web::{get, put, web};
use schemars::JsonSchema;
use serde::Deserialize;
use shared::ids::PersonId;
use shared::time::Timestamp;
use shared::wire::{
    CiRef, Criticality, Declare, DeclareDone, DeclareItem, Declared, DeclaredPage, Impact, ImpactLine, Item,
    Relation,
};
use std::collections::{BTreeMap, BTreeSet};

/// Items on a page of the export.
const PAGE: i64 = 500;
/// Steps that are walked when nothing is said, and at most.
const FAR: (u32, u32) = (5, 20);
/// Items that are shown on each side.
const SHOWN: usize = 500;
/// A declaration of 10,000 items.
const LARGE: usize = 16 << 20;

/// Routes for people.
pub fn routes(config: &mut ServiceConfig) {
    config.service(export).service(impact).service(show).service(put_item).service(
        web::resource("/v1/declarations").app_data(PayloadConfig::new(LARGE)).route(web::post().to(declare)),
    );
}

/// Where a page begins, or which one entry is wanted.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// `next` of the page before.
    #[serde(default)]
    from: u64,
    /// Only this one, if it is there.
    item: Option<CiRef>,
}

/// Everything that is declared, by number.
#[get("/v1/declarations")]
async fn export(_: Allowed<Read>, page: Query<Page>, db: Data<Db>) -> Result<Json<DeclaredPage>, Error> {
    let page = page.into_inner();
    Ok(Json(db.read("cmdb.declarations", move |tx| list(tx, &page)).await?))
}

fn list(tx: &mut Conn, page: &Page) -> Result<DeclaredPage, Error> {
    let mut ids = match &page.item {
        Some(item) => store::resolve(tx, &BTreeSet::from([item]))?.into_values().collect(),
        None => store::page(tx, page.from, PAGE)?,
    };
    let more = i64::try_from(ids.len()).unwrap_or(i64::MAX) > PAGE;
    let next = if more { ids.pop() } else { None };
    let mut said = store::newest(tx, &ids)?;
    let edges = store::edges(tx, &ids)?;
    let ends = edges.iter().flat_map(|edge| [edge.source, edge.target]);
    let names = store::references(tx, ids.iter().copied().chain(ends))?;
    let relation = |edge: &&Edge| Some(Relation { kind: edge.kind, to: names.get(&edge.target)?.clone() });
    let items = ids.iter().filter_map(|id| {
        let relations: BTreeSet<_> =
            edges.iter().filter(|edge| edge.source == *id).filter_map(|edge| relation(&edge)).collect();
        Some(Item {
            item: names.get(id)?.clone(),
            declared: said.remove(id).map(|(_, said)| said).unwrap_or_default(),
            relations: Some(relations),
        })
    });
    let items = items.collect();
    Ok(DeclaredPage { items, newest: store::newest_number(tx)?, next: next.map(i64::cast_unsigned) })
}

fn find(tx: &mut Conn, item: &CiRef) -> Result<Option<Item>, Error> {
    let page = list(tx, &Page { from: 0, item: Some(item.clone()) })?;
    Ok(page.items.into_iter().next())
}

/// What is declared of one entry; of a host perhaps nothing.
#[get("/v1/declarations/{item}")]
async fn show(_: Allowed<Read>, item: Path<CiRef>, db: Data<Db>) -> Result<Tagged, Error> {
    let item = item.into_inner();
    let read = move |tx: &mut Conn| {
        let unknown = || Refusal::not_found("ci.not_found").with("name", &item);
        find(tx, &item)?.ok_or_else(|| Error::from(unknown()))
    };
    Ok(Tagged::of(&db.read("cmdb.declaration", read).await?))
}

/// Brings one entry to what is said of it, if it is still as it was looked at.
#[put("/v1/declarations/{item}")]
async fn put_item(
    person: Allowed<Operate>,
    item: Path<CiRef>,
    condition: Condition,
    wish: Json<DeclareItem>,
    (db, clock): (Data<Db>, Data<Clock>),
) -> Result<Json<DeclareDone>, Error> {
    let DeclareItem { reason, dry_run, declared, relations } = wish.into_inner();
    let item = Item { item: item.into_inner(), declared, relations };
    let wish = Declare { reason, dry_run, after: None, items: vec![item] };
    bring(&db, wish, (&person.person, Some(condition)), clock.now()).await
}

/// Brings items to what is said of them, all or none; the same again changes nothing.
async fn declare(
    person: Allowed<Operate>,
    body: Bytes,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<DeclareDone>, Error> {
    let wish: Declare = serde_json::from_slice(&body).map_err(Refusal::bad_json)?;
    bring(&db, wish, (&person.person, None), clock.now()).await
}

/// `condition` is about each of the items that would change.
async fn bring(
    db: &Db,
    wish: Declare,
    (person, condition): (&PersonId, Option<Condition>),
    now: Timestamp,
) -> Result<Json<DeclareDone>, Error> {
    let (person, dry_run) = (person.clone(), wish.dry_run);
    let work_out = move |tx: &mut Conn, store: bool| {
        let work = Work::of(tx, &wish)?;
        let met = |condition: &Condition| {
            let mut items = work.items();
            items.try_for_each(|item| {
                condition.check(item, || Ok(find(tx, item)?.map(|found| Tag::of(&found))))
            })
        };
        condition.as_ref().map_or(Ok(()), met)?;
        if store && !work.is_empty() {
            let object = format!("{} items", work.len());
            audit::record(tx, &Action::by(&person, "cmdb.declare", object, &wish), now)?;
            work.store(tx, (&person, &wish.reason), now)?;
        }
        Ok::<_, Error>(work.done())
    };
    if dry_run {
        return Ok(Json(db.read("cmdb.declare_dry", move |tx| work_out(tx, false)).await?));
    }
    let write = move |tx: &mut Conn| {
        // Takes the lock under which all declarations are made one after another.
        crate::ledger::lock(tx)?;
        work_out(tx, true)
    };
    Ok(Json(db.write("cmdb.declare", write).await?))
}

/// How far relations are walked.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Far {
    /// Steps, at most 20; 5 when absent.
    depth: Option<u32>,
}

/// What an outage of an item reaches, and what it needs.
#[get("/v1/cis/{name}/impact")]
async fn impact(
    _: Allowed<Read>,
    name: Path<String>,
    far: Query<Far>,
    db: Data<Db>,
) -> Result<Json<Impact>, Error> {
    let (name, depth) = (name.into_inner(), far.into_inner().depth.unwrap_or(FAR.0).min(FAR.1));
    Ok(Json(db.read("cmdb.impact", move |tx| reach(tx, &name, depth)).await?))
}

fn impact_line(
    place: &Reached,
    names: &BTreeMap<i64, CiRef>,
    said: &BTreeMap<i64, (u64, Declared)>,
) -> Option<ImpactLine> {
    let declared = said.get(&place.ci).map(|(_, said)| said);
    Some(ImpactLine {
        item: names.get(&place.ci)?.clone(),
        distance: place.distance,
        via: names.get(&place.via)?.clone(),
        kind: place.kind,
        criticality: declared.and_then(|said| said.criticality),
        owner: declared.and_then(|said| said.owner.clone()),
    })
}

/// What an outage of several entries reaches.
#[derive(Debug, Clone)]
pub struct Wide {
    /// The nearest first, without the entries themselves.
    pub affects: Vec<ImpactLine>,
    pub cut: bool,
    /// The highest one that is declared of them, or of what they reach.
    pub criticality: Option<Criticality>,
    /// Who answers for the entries themselves.
    pub owners: BTreeSet<String>,
}

/// What an outage of all these entries would reach.
pub fn reached(tx: &mut Conn, of: &[CiId]) -> Result<Wide, Error> {
    let starts: Vec<i64> = of.iter().map(|ci| ci.0).collect();
    let (found, cut) = walk(&starts, Way::Affects, (FAR.0, SHOWN), |at: &[i64]| store::edges(tx, at))?;
    let ids: Vec<i64> = found.iter().map(|place| place.ci).chain(starts.iter().copied()).collect();
    let (names, said) = (store::references(tx, ids.iter().copied())?, store::newest(tx, &ids)?);
    let own = starts.iter().filter_map(|id| said.get(id)).filter_map(|(_, said)| said.owner.clone());
    Ok(Wide {
        affects: found.iter().filter_map(|place| impact_line(place, &names, &said)).collect(),
        cut,
        criticality: said.values().filter_map(|(_, said)| said.criticality).max(),
        owners: own.collect(),
    })
}

/// The number of this entry, if it is there.
///
/// # Errors
/// `ci.ambiguous`.
pub fn find_declared(tx: &mut Conn, item: &CiRef) -> Result<Option<i64>, Error> {
    Ok(store::resolve(tx, &BTreeSet::from([item]))?.into_values().next())
}

/// Whether somebody of this name is declared to answer for one of these entries.
pub fn is_owner(tx: &mut Conn, of: &BTreeSet<i64>, name: &str) -> Result<bool, Error> {
    let ids: Vec<i64> = of.iter().copied().collect();
    Ok(store::newest(tx, &ids)?.values().any(|(_, said)| said.owner.as_deref() == Some(name)))
}

/// Whether somebody of this name is declared to answer for anything.
pub fn is_any_owner(tx: &mut Conn, name: &str) -> Result<bool, Error> {
    let (mut from, mut ids) = (0, store::page(tx, 0, PAGE)?);
    while let Some(last) = ids.last().copied() {
        if is_owner(tx, &ids.iter().copied().collect(), name)? {
            return Ok(true);
        }
        if last.cast_unsigned() <= from {
            break;
        }
        from = last.cast_unsigned();
        ids = store::page(tx, from + 1, PAGE)?;
    }
    Ok(false)
}

/// These entries and all that they stand on, at most `most`; `None` where it is more, or further than relations are walked.
pub fn serving(tx: &mut Conn, starts: &[i64], most: usize) -> Result<Option<Vec<i64>>, Error> {
    all_of(tx, starts, Way::Needs, most)
}

/// These entries and all that an outage of theirs reaches, likewise.
pub fn relying(tx: &mut Conn, starts: &[i64], most: usize) -> Result<Option<Vec<i64>>, Error> {
    all_of(tx, starts, Way::Affects, most)
}

fn all_of(tx: &mut Conn, starts: &[i64], way: Way, most: usize) -> Result<Option<Vec<i64>>, Error> {
    let room = most.saturating_sub(starts.len());
    let (found, cut) = walk(starts, way, (FAR.1, room), |at: &[i64]| store::edges(tx, at))?;
    let all = starts.iter().copied().chain(found.iter().map(|place| place.ci)).collect();
    Ok((!cut && starts.len() <= most).then_some(all))
}

fn reach(tx: &mut Conn, name: &str, depth: u32) -> Result<Impact, Error> {
    let line = get(tx, name)?;
    let id: CiId = line.ci.parse().map_err(|error| Error::fault("reading the CMDB", error))?;
    let mut both = BTreeMap::new();
    for way in [Way::Affects, Way::Needs] {
        both.insert(
            way == Way::Affects,
            walk(&[id.0], way, (depth, SHOWN), |at: &[i64]| store::edges(tx, at))?,
        );
    }
    let reached = both.values().flat_map(|(found, _)| found.iter());
    let ids: Vec<i64> = reached.map(|place| place.ci).chain([id.0]).collect();
    let (names, said) = (store::references(tx, ids.iter().copied())?, store::newest(tx, &ids)?);
    let told = |place: &Reached| impact_line(place, &names, &said);
    let side = |affects: bool| both.get(&affects).map(|(found, _)| found.iter().filter_map(told).collect());
    let of = names.get(&id.0).cloned().ok_or_else(|| Error::fault("reading the CMDB", "an entry is gone"))?;
    Ok(Impact {
        of,
        affects: side(true).unwrap_or_default(),
        needs: side(false).unwrap_or_default(),
        cut: both.values().any(|(_, cut)| *cut),
    })
}
