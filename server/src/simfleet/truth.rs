//! What has to hold after every step, worked out from the ledger and from nothing that the server or a host concluded.

use super::host::Begun;
use crate::changes::tests::world::World;
use crate::ledger;
use shared::change::Change;
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::ids::{AgentId, ChangeId};
use shared::ledger::{Frontier, LeafKind};
use shared::limits::CLOCK_SKEW_SECS;
use shared::plan::PlanSet;
use shared::receipt::Receipt;
use shared::statement::Statement;
use shared::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// A change as its people signed it.
pub struct Course {
    pub id: ChangeId,
    pub change: Statement<Change>,
    pub plan_set: PlanSet,
    pub approval: Digest,
}

/// How one host's run ended, and where that stands in the ledger.
struct End {
    place: usize,
    wave: usize,
    good: bool,
    finished: Timestamp,
}

#[derive(Default)]
pub struct Truth {
    frontier: Frontier,
    size: usize,
    /// The end of each host's chain.
    chains: BTreeMap<AgentId, (u64, Digest)>,
    approvals: BTreeMap<Digest, usize>,
    ends: BTreeMap<ChangeId, BTreeMap<AgentId, End>>,
    begun: BTreeMap<ChangeId, BTreeSet<AgentId>>,
    /// Changes that are halted, and the first version of the repository that says so.
    pub halted: BTreeMap<ChangeId, u64>,
}

impl Truth {
    pub fn size(&self) -> usize {
        self.size
    }

    pub fn ended(&self, id: &ChangeId) -> usize {
        self.ends.get(id).map_or(0, BTreeMap::len)
    }

    pub fn has_ended(&self, id: &ChangeId, agent: AgentId) -> bool {
        self.ends.get(id).is_some_and(|ends| ends.contains_key(&agent))
    }

    /// Hosts of waves before this one whose failure is in the ledger.
    pub fn failed_before(&self, id: &ChangeId, wave: usize) -> usize {
        let ends = self.ends.get(id).into_iter().flat_map(BTreeMap::values);
        ends.filter(|end| end.wave < wave && !end.good).count()
    }

    pub fn begun_in(&self, course: &Course, wave: usize) -> usize {
        let begun = self.begun.get(&course.id).into_iter().flatten();
        begun.filter(|agent| course.change.body.wave_of(**agent) == Some(wave)).count()
    }

    /// Reads what is new in the ledger: it only grows, its head follows from its leaves, each host's statements are one
    /// chain, and each host ends each change at most once, as it was approved for it.
    pub async fn read(&mut self, world: &World, courses: &[Course]) {
        let leaves = world.leaves(self.size).await;
        let wanted: Vec<Digest> =
            leaves.iter().filter(|leaf| leaf.agent.is_some()).map(|leaf| leaf.sha256).collect();
        let said = world.read(move |tx| ledger::find_statements(tx, &wanted)).await;
        for leaf in leaves {
            let place = self.size;
            self.size += 1;
            self.frontier.append(leaf.hash());
            if leaf.kind == LeafKind::Approval {
                assert_eq!(self.approvals.insert(leaf.sha256, place), None, "an approval stands twice");
            }
            let Some(agent) = leaf.agent else { continue };
            let bytes = &said[&leaf.sha256];
            self.follow(agent, leaf.seq.unwrap(), leaf.sha256, bytes);
            if leaf.kind == LeafKind::Receipt {
                self.end(place, agent, Statement::parse(bytes).unwrap(), courses);
            }
        }
        let head = world.checkpoint().await;
        assert_eq!(
            (head.size, head.root),
            (self.size as u64, self.frontier.root()),
            "the head of the ledger"
        );
    }

    fn follow(&mut self, agent: AgentId, seq: u64, digest: Digest, bytes: &[u8]) {
        let payload: serde_json::Value =
            serde_json::from_slice(&Envelope::parse(bytes).unwrap().payload).unwrap();
        let prev = &payload["predicate"]["header"]["prev"];
        let prev: Option<Digest> = serde_json::from_value(prev.clone()).unwrap();
        let before = self.chains.insert(agent, (seq, digest));
        let expected = before.map_or((1, None), |(seq, digest)| (seq + 1, Some(digest)));
        assert_eq!((seq, prev), expected, "the chain of {agent}");
    }

    fn end(&mut self, place: usize, agent: AgentId, receipt: Statement<Receipt>, courses: &[Course]) {
        let body = receipt.body;
        let course = courses.iter().find(|course| course.id == body.change_id).unwrap();
        assert_eq!(body.change, course.change.digest, "{agent} ran another revision");
        assert_eq!(body.plan_set, course.plan_set.digest(), "{agent} ran another plan set");
        assert_eq!(Some(&body.plan), course.plan_set.plans.get(&agent), "{agent} ran another plan");
        assert!(body.approvals.contains(&course.approval), "{agent} ran without the approval");
        assert!(
            self.approvals.get(&course.approval).is_some_and(|at| *at < place),
            "{agent}: approved later"
        );
        assert!(self.begun[&course.id].contains(&agent), "{agent} reports what it has not begun");
        let wave = course.change.body.wave_of(agent).unwrap();
        let good = body.outcome.succeeded().unwrap();
        let end = End { place, wave, good, finished: body.finished };
        let before = self.ends.entry(body.change_id).or_default().insert(agent, end);
        assert!(before.is_none(), "{agent} has two receipts of {}", course.id);
    }

    /// A host has begun: it was in the approved plan set, for the first time, in a window by its clock, not against a halt
    /// that it could know, and the gate of its wave held by what the ledger had when its view was published.
    pub fn begin(&mut self, begun: &Begun, courses: &[Course]) {
        let Begun { change: id, agent, wave, view, told, at } = begun;
        let course = courses.iter().find(|course| course.id == *id).unwrap();
        let change = &course.change.body;
        assert!(course.plan_set.plans.contains_key(agent), "{agent} begins without an approved plan");
        assert!(
            change.intervals.iter().any(|open| open.contains(*at)),
            "{agent} begins outside of the window"
        );
        assert!(self.begun.entry(id.clone()).or_default().insert(*agent), "{agent} begins {id} twice");
        assert!(!view.control.halted.contains(id), "{agent} begins what it knows to be halted");
        assert!(view.version >= *told, "{agent} begins by an older repository than it was told of");
        if let Some(since) = self.halted.get(id) {
            assert!(view.version < *since, "{agent} begins {id}, which is halted since version {since}");
        }
        let Some(gate) = change.waves[*wave].gate else { return };
        let ends = self.ends.get(id).into_iter().flat_map(BTreeMap::values);
        let seen: Vec<&End> = ends.filter(|end| end.wave < *wave && end.place < view.size).collect();
        let count = |good: bool| seen.iter().filter(|end| end.good == good).count();
        assert!(count(true) >= gate.min_success as usize, "{agent} begins wave {wave} too early");
        assert!(count(false) <= gate.max_fail as usize, "{agent} begins wave {wave} after too many failures");
        let possible = seen.iter().map(|end| end.finished).filter(|end| *end <= at.plus(CLOCK_SKEW_SECS));
        let last = possible.max().unwrap();
        assert!(*at >= last.plus(i64::from(gate.soak_s)), "{agent} begins wave {wave} while it is watched");
    }
}
