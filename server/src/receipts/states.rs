//! What receipts put on record in the CMDB, from them alone: the same again from the ledger gives the same.

use crate::cmdb::{self, CiId, NewEffect, NewState};
use crate::fleet;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::Error;
use crate::ledger;
use shared::approval::Approval;
use shared::change::Change;
use shared::digest::Digest;
use shared::ids::{PersonId, ResourceId};
use shared::plan::{Plan, Verb};
use shared::policy::REVIEW_SECS;
use shared::receipt::{Receipt, StepResult, StepStatus};
use shared::statement::Statement;
use shared::time::Timestamp;
use std::collections::{BTreeMap, HashMap};

/// Kinds of steps that are events and leave no state of a resource.
const PASSING: [&str; 3] = ["hook:", "services:", "host:"];
/// Receipts that are read from the ledger at once.
const READ: usize = 500;

/// A receipt, the entry that its host got when it joined, and its place in the ledger.
pub(super) type Taken<'r> = (&'r Statement<Receipt>, CiId, u64);

/// Puts on record what receipts say of resources, in their order.
pub(super) fn record(
    tx: &mut Conn,
    context: &Context,
    receipts: &[Taken<'_>],
    now: Timestamp,
) -> Result<(), Error> {
    let states: Vec<NewState> = receipts.iter().flat_map(|taken| context.states(*taken)).collect();
    cmdb::record_states(tx, &states, now)?;
    for (statement, ci, _) in receipts {
        let receipt = &statement.body;
        if let (Some(earlier), Some(patched)) = (receipt.follows, &receipt.patched) {
            let (effective, verified) = (patched.effective, patched.verified);
            let (seq, at) = (receipt.header.seq, receipt.finished);
            cmdb::record_effect(tx, &NewEffect { ci: *ci, receipt: earlier, seq, at, effective, verified })?;
        }
    }
    Ok(())
}

/// Makes the states of all hosts again from the ledger where they are not all kept, as at the first start of a server
/// that keeps those of the past.
pub async fn make_again(db: &Db, now: Timestamp) -> Result<(), Error> {
    let kept = db.read("receipts.states_kept", |tx| Ok::<_, Error>(cmdb::states_are_kept(tx)?)).await?;
    if kept { Ok(()) } else { db.write("receipts.replay", move |tx| replay(tx, now)).await }
}

/// Forgets all states and makes them again from the receipts of the ledger, and what those refer to.
pub(super) fn replay(tx: &mut Conn, now: Timestamp) -> Result<(), Error> {
    ledger::lock(tx)?;
    cmdb::forget_states(tx)?;
    let mut after = None;
    let mut hosts = BTreeMap::new();
    loop {
        let leaves = ledger::list_receipts(tx, after, READ)?;
        let Some(last) = leaves.last() else { return Ok(()) };
        after = Some(last.place);
        let mut taken = Vec::with_capacity(leaves.len());
        for leaf in &leaves {
            let statement = Statement::<Receipt>::parse(&leaf.body)
                .map_err(|error| Error::fault("reading a receipt of the ledger", error))?;
            let agent = statement.body.header.agent_id;
            if let std::collections::btree_map::Entry::Vacant(place) = hosts.entry(agent) {
                place.insert(fleet::find(tx, agent)?.map(|host| host.joined_as));
            }
            if let Some(Some(ci)) = hosts.get(&agent) {
                taken.push((statement, *ci, leaf.place.1));
            }
        }
        let context = Context::load(tx, taken.iter().map(|(statement, ..)| &statement.body))?;
        let receipts: Vec<Taken<'_>> =
            taken.iter().map(|(statement, ci, index)| (statement, *ci, *index)).collect();
        record(tx, &context, &receipts, now)?;
    }
}

/// The times of a package that this step has brought.
fn software(
    receipt: &Receipt,
    step: &StepResult,
) -> Option<(Timestamp, Option<Timestamp>, Option<Timestamp>)> {
    let brings = matches!(step.verb, Verb::Install | Verb::Upgrade | Verb::Downgrade);
    let patched = receipt.patched.as_ref().filter(|_| brings)?;
    Some((patched.installed, patched.effective, patched.verified))
}

/// What the statements refer to, as far as this server has it: who approved, and what the plans say.
pub(super) struct Context {
    persons: HashMap<Digest, PersonId>,
    summaries: HashMap<(Digest, ResourceId, Verb), String>,
    manifests: HashMap<Digest, Vec<String>>,
}

impl Context {
    pub fn load<'r>(tx: &mut Conn, receipts: impl IntoIterator<Item = &'r Receipt>) -> Result<Self, Error> {
        let mut wanted: Vec<Digest> = Vec::new();
        for receipt in receipts {
            wanted.extend(receipt.approvals.iter().copied());
            wanted.extend([receipt.plan, receipt.change]);
        }
        wanted.sort_unstable();
        wanted.dedup();
        let (mut persons, mut summaries, mut manifests) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (digest, bytes) in ledger::find_statements(tx, &wanted)? {
            if let Ok(approval) = Statement::<Approval>::parse(&bytes) {
                persons.insert(digest, approval.body.person);
            } else if let Ok(plan) = Statement::<Plan>::parse(&bytes) {
                let actions = plan.body.actions.into_iter();
                summaries
                    .extend(actions.map(|action| ((digest, action.resource, action.verb), action.summary)));
            } else if let Ok(change) = Statement::<Change>::parse(&bytes) {
                let used = change.body.manifests.iter();
                let used = used.map(|used| format!("{}/{}@{}", used.team, used.name, used.version));
                manifests.insert(digest, used.collect());
            }
        }
        Ok(Self { persons, summaries, manifests })
    }

    /// Who broke the glass, for what, and until when people look at it.
    pub fn broken_glass(&self, receipt: &Receipt) -> String {
        let persons = receipt.approvals.iter().filter_map(|digest| self.persons.get(digest));
        let persons: Vec<&str> = persons.map(PersonId::as_str).collect();
        let who = if persons.is_empty() { "somebody".to_owned() } else { persons.join(", ") };
        let (id, due) = (&receipt.change_id, receipt.started.plus(REVIEW_SECS));
        format!("{id} ran because {who} broke the glass; review it by {due}")
    }

    fn states(&self, (statement, ci, index): Taken<'_>) -> Vec<NewState> {
        let is_state =
            |step: &&StepResult| !PASSING.iter().any(|kind| step.resource.as_str().starts_with(kind));
        let known = |step: &StepResult| self.state(statement, step, (ci, index));
        statement.body.results.iter().filter(is_state).filter_map(known).collect()
    }

    /// What a step says about its resource now; `None` when nothing changed.
    fn state(
        &self,
        statement: &Statement<Receipt>,
        step: &StepResult,
        (ci, ledger_index): (CiId, u64),
    ) -> Option<NewState> {
        let state = match step.status {
            StepStatus::Done | StepStatus::Unneeded => Some(step.after),
            // It may be as before, as wanted, or neither.
            StepStatus::Failed | StepStatus::UndoFailed | StepStatus::Unknown => None,
            StepStatus::NotStarted | StepStatus::Undone => return None,
        };
        let receipt = &statement.body;
        let planned = self.summaries.get(&(receipt.plan, step.resource.clone(), step.verb));
        let mut approved_by: Vec<PersonId> =
            receipt.approvals.iter().filter_map(|digest| self.persons.get(digest)).cloned().collect();
        approved_by.sort_unstable();
        approved_by.dedup();
        Some(NewState {
            ci,
            resource: step.resource.clone(),
            state,
            verb: step.verb,
            outcome: step.status,
            summary: planned.cloned().unwrap_or_else(|| format!("{} {}", step.verb.as_str(), step.resource)),
            change: (receipt.change_id.clone(), receipt.revision),
            approved_by,
            applied_at: receipt.finished,
            receipt: statement.digest,
            ledger_index,
            seq: receipt.header.seq,
            manifests: self.manifests.get(&receipt.change).cloned().unwrap_or_default(),
            software: software(receipt, step),
        })
    }
}
