//! Walking relations: what an outage reaches, what something needs, and whether relations go in circles. Pure: the edges
//! come from a function, so that only what is walked is read.

use shared::wire::RelationKind;
use std::collections::{BTreeMap, BTreeSet};

/// `source` belongs to `target` in this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    pub source: i64,
    pub kind: RelationKind,
    pub target: i64,
}

/// Which way an outage goes, or the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Affects,
    Needs,
}

impl Way {
    /// The other end of an edge, when it leads away from `at` in this way: who depends on something or runs on it is
    /// affected by it, and so is what it is a part of.
    fn over(self, edge: &Edge, at: i64) -> Option<i64> {
        let to_source = match edge.kind {
            RelationKind::DependsOn | RelationKind::RunsOn => self == Self::Affects,
            RelationKind::PartOf => self == Self::Needs,
        };
        let (from, to) = if to_source { (edge.target, edge.source) } else { (edge.source, edge.target) };
        (from == at && to != at).then_some(to)
    }
}

/// A place that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reached {
    pub ci: i64,
    pub distance: u32,
    pub via: i64,
    pub kind: RelationKind,
}

/// All that is reached from `starts` within `depth` steps, the nearest first, at most `most`; and whether there is more.
/// `edges` gives all edges that begin or end at one of these.
pub(super) fn walk<E>(
    starts: &[i64],
    way: Way,
    (depth, most): (u32, usize),
    mut edges: impl FnMut(&[i64]) -> Result<Vec<Edge>, E>,
) -> Result<(Vec<Reached>, bool), E> {
    let mut seen: BTreeSet<i64> = starts.iter().copied().collect();
    let (mut found, mut front) = (Vec::new(), seen.iter().copied().collect::<Vec<_>>());
    for distance in 1..=depth.saturating_add(1) {
        let mut next = BTreeMap::new();
        let all = edges(&front)?;
        for edge in &all {
            for at in [edge.source, edge.target].into_iter().filter(|at| front.binary_search(at).is_ok()) {
                if let Some(to) = way.over(edge, at).filter(|to| !seen.contains(to)) {
                    next.entry(to).or_insert(Reached { ci: to, distance, via: at, kind: edge.kind });
                }
            }
        }
        if next.is_empty() {
            return Ok((found, false));
        }
        if distance > depth {
            return Ok((found, true));
        }
        seen.extend(next.keys());
        front = next.keys().copied().collect();
        found.extend(next.into_values());
        if found.len() > most {
            found.truncate(most);
            return Ok((found, true));
        }
    }
    Ok((found, false))
}

/// A circle of relations of one kind that goes through one of `starts`, if there is one: its places in order.
pub(super) fn circle<E>(
    starts: &BTreeSet<i64>,
    kind: RelationKind,
    mut edges: impl FnMut(&[i64]) -> Result<Vec<Edge>, E>,
) -> Result<Option<Vec<i64>>, E> {
    // All that lies ahead of the starts, read in layers; a circle through one of them lies in it whole.
    let mut ahead: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    let mut front: Vec<i64> = starts.iter().copied().collect();
    while !front.is_empty() {
        for at in &front {
            ahead.entry(*at).or_default();
        }
        for edge in edges(&front)?.into_iter().filter(|edge| edge.kind == kind) {
            if let Some(targets) =
                ahead.get_mut(&edge.source).filter(|targets| !targets.contains(&edge.target))
            {
                targets.push(edge.target);
            }
        }
        let next: BTreeSet<i64> =
            ahead.values().flatten().copied().filter(|at| !ahead.contains_key(at)).collect();
        front = next.into_iter().collect();
    }
    // Depth first, with the way kept: a place that is on it already closes a circle.
    let mut done = BTreeSet::new();
    for start in starts {
        let mut way: Vec<(i64, usize)> = vec![(*start, 0)];
        while let Some((at, next)) = way.last_mut() {
            let at = *at;
            let Some(to) = ahead.get(&at).and_then(|targets| targets.get(*next)).copied() else {
                done.insert(at);
                way.pop();
                continue;
            };
            *next += 1;
            if let Some(place) = way.iter().position(|(on, _)| *on == to) {
                return Ok(Some(way.iter().skip(place).map(|(at, _)| *at).collect()));
            }
            if !done.contains(&to) {
                way.push((to, 0));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn touching<'e>(all: &'e [Edge]) -> impl FnMut(&[i64]) -> Result<Vec<Edge>, Infallible> + 'e {
        |of| Ok(all.iter().filter(|e| of.contains(&e.source) || of.contains(&e.target)).copied().collect())
    }

    fn edge(source: i64, kind: RelationKind, target: i64) -> Edge {
        Edge { source, kind, target }
    }

    #[test]
    fn an_outage_reaches_what_depends_runs_on_it_or_contains_it() {
        use RelationKind::{DependsOn, PartOf, RunsOn};
        // 1 shop depends on 2 database, which runs on 3 host; 4 disk is a part of 3; 5 depends on 1.
        let all = [edge(1, DependsOn, 2), edge(2, RunsOn, 3), edge(4, PartOf, 3), edge(5, DependsOn, 1)];
        let walk = |from, way, depth| {
            let (found, cut) = walk(&[from], way, (depth, 100), touching(&all)).unwrap();
            (found.iter().map(|r| (r.ci, r.distance)).collect::<Vec<_>>(), cut)
        };
        assert_eq!(walk(4, Way::Affects, 9), (vec![(3, 1), (2, 2), (1, 3), (5, 4)], false));
        assert_eq!(walk(4, Way::Affects, 2), (vec![(3, 1), (2, 2)], true));
        assert_eq!(walk(1, Way::Needs, 9), (vec![(2, 1), (3, 2), (4, 3)], false));
        assert_eq!(walk(5, Way::Affects, 9), (vec![], false));
        let both = super::walk(&[4, 2], Way::Affects, (9, 100), touching(&all)).unwrap().0;
        let both: Vec<_> = both.iter().map(|r| (r.ci, r.distance)).collect();
        assert_eq!(both, [(1, 1), (3, 1), (5, 2)], "from several places at once, each reached once");
        assert_eq!(
            walk(3, Way::Affects, 3),
            (vec![(2, 1), (1, 2), (5, 3)], false),
            "just deep enough is not cut"
        );
    }

    #[test]
    fn circles_of_dependence_are_walked_once() {
        use RelationKind::DependsOn;
        let all = [edge(1, DependsOn, 2), edge(2, DependsOn, 3), edge(3, DependsOn, 1)];
        let (found, cut) = walk(&[1], Way::Needs, (9, 100), touching(&all)).unwrap();
        assert_eq!((found.len(), cut), (2, false));
    }

    proptest! {
        /// A circle is found exactly when the places can reach themselves, and it is one.
        #[test]
        fn circles_are_found_and_real(pairs in proptest::collection::vec((0..8i64, 0..8i64), 0..16)) {
            let all: Vec<_> = pairs.iter().map(|(a, b)| edge(*a, RelationKind::RunsOn, *b)).collect();
            let starts: BTreeSet<i64> = (0..8).collect();
            let found = circle(&starts, RelationKind::RunsOn, touching(&all)).unwrap();
            // Warshall's closure says who reaches whom.
            let mut reach = [[false; 8]; 8];
            for (a, b) in &pairs { reach[*a as usize][*b as usize] = true; }
            for k in 0..8 { for i in 0..8 { for j in 0..8 { reach[i][j] |= reach[i][k] && reach[k][j]; } } }
            prop_assert_eq!(found.is_some(), (0..8).any(|i| reach[i][i]));
            if let Some(way) = found {
                let next = way.iter().skip(1).chain(way.first());
                for (from, to) in way.iter().zip(next) {
                    prop_assert!(pairs.contains(&(*from, *to)), "{:?}", way);
                }
            }
            prop_assert_eq!(circle(&starts, RelationKind::PartOf, touching(&all)).unwrap(), None);
        }
    }
}
