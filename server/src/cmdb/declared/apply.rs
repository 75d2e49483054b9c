//! From a declaration to what it changes: worked out first, stored afterwards or not at all.

use super::graph::{Edge, circle};
use super::{model, store};
use crate::cmdb::model::{CiId, EventKind, NewEvent};
use crate::cmdb::store::insert_events;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use shared::ids::PersonId;
use shared::time::Timestamp;
use shared::wire::{CiClass, CiRef, Declare, DeclareDone, Declared, ItemDiff, RelationKind};
use std::collections::{BTreeMap, BTreeSet};

/// What a declaration comes to. New items have numbers below zero until they are stored.
#[derive(Debug, Default)]
pub(super) struct Work<'d> {
    new: BTreeMap<i64, &'d CiRef>,
    declared: Vec<(i64, &'d Declared)>,
    gone: BTreeSet<Edge>,
    added: Vec<Edge>,
    changed: Vec<(i64, ItemDiff)>,
    same: u32,
}

impl<'d> Work<'d> {
    /// Reads only.
    ///
    /// # Errors
    /// `ci.bad_declaration`, `ci.moved`, `ci.unknown_item`, `ci.circle`, `ci.ambiguous`.
    pub(super) fn of(tx: &mut Conn, declare: &'d Declare) -> Result<Self, Error> {
        model::check(declare)?;
        let related = declare.items.iter().flat_map(|item| item.relations.iter().flatten().map(|r| &r.to));
        let named: BTreeSet<&CiRef> = declare.items.iter().map(|item| &item.item).chain(related).collect();
        let mut ids = store::resolve(tx, &named)?;
        let mut work = Self::default();
        for (item, number) in declare.items.iter().zip(1..) {
            if ids.contains_key(&item.item) {
                continue;
            }
            if item.item.class == CiClass::Host {
                return Err(unknown(&item.item));
            }
            ids.insert(item.item.clone(), -number);
            work.new.insert(-number, &item.item);
        }
        let id_of = |item: &CiRef| ids.get(item).copied().ok_or_else(|| unknown(item));
        let known: Vec<i64> = ids.values().copied().filter(|id| *id > 0).collect();
        let before = store::newest(tx, &known)?;
        let edges = store::edges(tx, &known)?;
        let names = store::references(tx, edges.iter().map(|edge| edge.target))?;
        let mut from: BTreeMap<i64, BTreeSet<Edge>> = BTreeMap::new();
        for edge in edges {
            from.entry(edge.source).or_default().insert(edge);
        }
        for item in &declare.items {
            let id = id_of(&item.item)?;
            let (number, said) = before.get(&id).map_or((0, None), |(number, said)| (*number, Some(said)));
            let mut lines = model::differences(said.unwrap_or(&Declared::default()), &item.declared);
            let is_new = work.new.contains_key(&id);
            if said.is_none_or(|said| *said != item.declared) && (is_new || !lines.is_empty()) {
                work.declared.push((id, &item.declared));
            }
            if let Some(relations) = &item.relations {
                let wanted = relations
                    .iter()
                    .map(|to| Ok(Edge { source: id, kind: to.kind, target: id_of(&to.to)? }))
                    .collect::<Result<BTreeSet<_>, Error>>()?;
                let has = from.remove(&id).unwrap_or_default();
                work.gone.extend(has.difference(&wanted));
                work.added.extend(wanted.difference(&has));
                for edge in has.difference(&wanted) {
                    let other = names.get(&edge.target).map(ToString::to_string).unwrap_or_default();
                    lines.push(format!("- {} {other}", edge.kind.as_str()));
                }
                for to in relations {
                    if !has.contains(&Edge { source: id, kind: to.kind, target: id_of(&to.to)? }) {
                        lines.push(format!("+ {} {}", to.kind.as_str(), to.to));
                    }
                }
            }
            if lines.is_empty() && !is_new {
                work.same = work.same.saturating_add(1);
                continue;
            }
            if declare.after.is_some_and(|after| number > after) {
                return Err(Refusal::conflict("ci.moved").with("item", &item.item).into());
            }
            work.changed.push((id, ItemDiff { item: item.item.clone(), new: is_new, lines }));
        }
        work.check_circles(tx, &ids)?;
        Ok(work)
    }

    fn check_circles(&self, tx: &mut Conn, ids: &BTreeMap<CiRef, i64>) -> Result<(), Error> {
        for kind in RelationKind::ALL.into_iter().filter(|kind| kind.is_acyclic()) {
            let starts: BTreeSet<i64> =
                self.added.iter().filter(|edge| edge.kind == kind).map(|edge| edge.source).collect();
            let found = circle(&starts, kind, |at: &[i64]| {
                let mut all = store::edges(tx, at)?;
                all.retain(|edge| !self.gone.contains(edge));
                all.extend(self.added.iter().filter(|edge| at.contains(&edge.source)));
                Ok::<_, Error>(all)
            })?;
            let Some(way) = found else { continue };
            let mut names = store::references(tx, way.iter().copied())?;
            names.extend(ids.iter().map(|(item, id)| (*id, item.clone())));
            let told: Vec<_> = way.iter().chain(way.first()).filter_map(|at| names.get(at)).collect();
            let told: Vec<_> = told.iter().map(ToString::to_string).collect();
            let refusal = Refusal::unprocessable("ci.circle").with("kind", kind.as_str());
            return Err(refusal.with("way", told.join(" -> ")).into());
        }
        Ok(())
    }

    /// Items that change.
    pub(super) fn len(&self) -> usize {
        self.changed.len()
    }

    pub(super) fn items(&self) -> impl Iterator<Item = &CiRef> {
        self.changed.iter().map(|(_, diff)| &diff.item)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }

    pub(super) fn done(self) -> DeclareDone {
        DeclareDone { changed: self.changed.into_iter().map(|(_, diff)| diff).collect(), same: self.same }
    }

    /// Stores all of it, and says so in the history of each item.
    pub(super) fn store(
        &self,
        tx: &mut Conn,
        (person, reason): (&PersonId, &str),
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut made = BTreeMap::new();
        for (id, item) in &self.new {
            made.insert(*id, store::insert_item(tx, item, now)?);
        }
        let real = |id: i64| made.get(&id).copied().unwrap_or(id);
        for (id, declared) in &self.declared {
            store::insert(tx, real(*id), declared, (person, reason), now)?;
        }
        for edge in &self.gone {
            store::delete_edge(tx, edge, now)?;
        }
        let added: Vec<_> = self
            .added
            .iter()
            .map(|edge| Edge { source: real(edge.source), target: real(edge.target), ..*edge })
            .collect();
        store::insert_edges(tx, &added, now)?;
        let event = |(id, diff): &(i64, ItemDiff)| {
            let what = if diff.lines.is_empty() { "declared".to_owned() } else { diff.lines.join("; ") };
            let mut event =
                NewEvent::new(CiId(real(*id)), now, EventKind::Declared, format!("{reason}: {what}"));
            event.by = Some(person.clone());
            event
        };
        let events: Vec<_> = self.changed.iter().map(event).collect();
        Ok(insert_events(tx, &events)?)
    }
}

fn unknown(item: &CiRef) -> Error {
    Refusal::unprocessable("ci.unknown_item").with("item", item).into()
}
