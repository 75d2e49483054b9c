//! Bundles in the repository: what hosts pull to run a change. Nothing gets there by a column of a table:
//! before a bundle is listed, every signature in it is verified again, and one host's admission is gone through.

use super::course::{is_listed, stands};
use super::judging::{Papers, judge_hosts, plan_set};
use super::revise::refused;
use super::store::{self, End, Row};
use crate::budgets;
use crate::calendars;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::ledger;
use crate::manifests::{self, Online};
use shared::admit::{self, Me, Tally};
use shared::approval::{Approval, Decision, last_words};
use shared::bundle::{Bundle, Control, GateFile};
use shared::change::Change;
use shared::envelope::Envelope;
use shared::ids::{AgentId, ChangeId};
use shared::lifecycle::State;
use shared::limits;
use shared::plan::open_plan;
use shared::policy::Purpose;
use shared::statement::Statement;
use shared::strict;
use shared::time::Timestamp;
use shared::tuf::TargetName;

/// A file of the repository.
type File = (TargetName, Vec<u8>);

/// Brings the repository in line with these changes. The caller holds the locks.
///
/// A change whose approvals do not carry it is not listed, whatever its row says.
pub(super) fn refresh(tx: &mut Conn, online: &Online, rows: &mut [Row], now: Timestamp) -> Result<(), Error> {
    let (mut whole, mut files) = (Vec::new(), Vec::new());
    for row in rows.iter_mut().filter(|row| row.unpublished) {
        if is_listed(row.state()?) || stands(row, now)? {
            files.extend(assemble(tx, row, now)?);
        }
        whole.push(row.change_id()?);
        store::update_published(tx, &row.id)?;
        row.unpublished = false;
    }
    if whole.is_empty() {
        return Ok(());
    }
    files.push((TargetName::Control, control(tx, now)?));
    manifests::set_changes(tx, online, &whole, &files, now)
}

/// Brings only the control file in line: a blackout begins to count, or another day has come.
pub(super) fn refresh_control(tx: &mut Conn, online: &Online, now: Timestamp) -> Result<(), Error> {
    let control = control(tx, now)?;
    manifests::set_changes(tx, online, &[], &[(TargetName::Control, control)], now)
}

/// What the control file has to say now.
pub(super) fn control(tx: &mut Conn, now: Timestamp) -> Result<Vec<u8>, Error> {
    let halted = store::list_in(tx, &[State::Halted])?;
    let halted = halted.iter().map(Row::change_id).collect::<Result<_, _>>()?;
    let (blackouts, budgets) = (calendars::published(tx, now)?, budgets::published(tx)?);
    let control = strict::to_json(&Control { halted, blackouts, budgets });
    if control.len() > limits::ENVELOPE_BYTES {
        let why = format!("it has {} bytes, and hosts read {}", control.len(), limits::ENVELOPE_BYTES);
        return Err(Error::fault(
            "writing the control file; let calendars and budgets be about all hosts instead of many by label",
            why,
        ));
    }
    Ok(control)
}

/// The bundle with its gates, if at least one host would accept it; the reason why not is logged.
fn assemble(tx: &mut Conn, row: &Row, now: Timestamp) -> Result<Vec<File>, Error> {
    match verified(tx, row, now) {
        Ok(bundle) => {
            let (id, revision) = (row.change_id()?, row.revision());
            let mut files = vec![(TargetName::Change { id, revision }, bundle.to_bytes())];
            if row.gated {
                files.extend(gates(tx, &bundle)?);
            }
            Ok(files)
        }
        Err(Error::Refusal(refusal)) => {
            tracing::warn!(change = row.id, code = refusal.code, facts = ?refusal.with, "the change is not listed");
            Ok(Vec::new())
        }
        Err(other) => Err(other),
    }
}

fn verified(tx: &mut Conn, row: &Row, now: Timestamp) -> Result<Bundle, Error> {
    let papers = Papers::load(tx, row)?;
    admit::check_author(&papers.policy, &papers.change, now).map_err(refused)?;
    let nobody = || Refusal::conflict("change.not_carried").with("change", &row.id);
    let digest = row.plan_set()?.ok_or_else(nobody)?;
    let set = plan_set(tx, &digest)?;
    // Where nobody may start any more, hosts may still have to put something back.
    let runs = is_listed(row.state()?).then_some(Purpose::Start);
    let corrects = row.correct_until.filter(|end| now.0 < *end).map(|_| Purpose::Correction);
    let mut carried = None;
    for purpose in runs.into_iter().chain(corrects) {
        let allowed = judge_hosts(tx, &papers, &set, purpose, now)?.allowed;
        carried = carried.or(allowed.first().map(|host| (*host, purpose)));
    }
    let (first, purpose) = carried.ok_or_else(nobody)?;
    let bundle =
        Bundle { change: papers.change.clone(), plan_set: set, approvals: latest(&papers.approvals) };
    as_host(tx, &papers, &bundle, (first, purpose), now)?;
    let size = bundle.to_bytes().len();
    if size > limits::BUNDLE_BYTES {
        let refusal = Refusal::too_large("change.bundle_too_large").with("size", size);
        return Err(refusal.with("limit", limits::BUNDLE_BYTES).into());
    }
    Ok(bundle)
}

/// The last word of each person, refusals before approvals: what is judged, within the limit of a bundle.
fn latest(approvals: &[Statement<Approval>]) -> Vec<Statement<Approval>> {
    let read = |a: &Statement<Approval>| (a.body.person.clone(), a.body.at, a.body.decision, a.digest);
    let mut kept: Vec<_> = last_words(approvals, read).into_values().cloned().collect();
    kept.sort_by_key(|a| (a.body.decision == Decision::Approve, std::cmp::Reverse(a.body.at), a.digest));
    kept.truncate(limits::BUNDLE_APPROVALS);
    kept
}

/// Goes through the admission of one host with its own signed plan.
fn as_host(
    tx: &mut Conn,
    papers: &Papers,
    bundle: &Bundle,
    (agent, purpose): (AgentId, Purpose),
    now: Timestamp,
) -> Result<(), Error> {
    let digest = bundle.plan_set.plans.get(&agent).copied();
    let digest = digest.ok_or_else(|| store::damaged("a plan set"))?;
    let bytes = ledger::find_statement(tx, &digest)?.ok_or_else(|| store::damaged("a plan"))?;
    let plan = open_plan(&bytes).map_err(|_| store::damaged("a plan"))?;
    let me = Me { key: plan.body.key, host_class: &plan.body.host_class };
    let addressed = admit::address(&papers.policy, bundle.change.clone(), &me, now).map_err(refused)?;
    let sources = papers.sources(tx, now)?;
    let judge = match purpose {
        Purpose::Start => admit::approve,
        Purpose::Correction => admit::stand,
    };
    judge(&papers.policy, &addressed, bundle, &plan, &sources, &me, now).map_err(refused)?;
    Ok(())
}

/// What the gates of waves are judged by, of those that are decided. Before that nobody learns anything from it, and every
/// host of the site would fetch new metadata for each receipt.
fn gates(tx: &mut Conn, bundle: &Bundle) -> Result<Vec<File>, Error> {
    let change = &bundle.change.body;
    let ends = store::list_ends(tx, &bundle.change.digest)?;
    let words = || bundle.approvals.iter().filter_map(|word| word.body.agents.as_ref());
    // Whose words count for whom is for each host to say: one that anybody left out is perhaps not waited for.
    let left_out = |host| words().any(|only| !only.contains(&host));
    let mut files = Vec::new();
    for wave in 0..change.waves.len() {
        let Some(gate) = change.gate_of(wave) else { continue };
        let earlier = change.before(wave);
        let mine = ends.iter().filter(|(host, _)| earlier.contains(host));
        let told = mine.clone().map(|(host, end)| (*host, end.good)).collect();
        let tally = Tally::of(gate, &earlier, &told, left_out);
        if tally.has_failed() || tally.is_enough() {
            let (id, revision) = (change.change_id.clone(), change.revision);
            let wave = u32::try_from(wave).unwrap_or(u32::MAX);
            let file = gate_file(tx, &id, mine.map(|(_, end)| end))?;
            files.push((TargetName::Gate { id, revision, wave }, file.to_bytes()));
        }
    }
    Ok(files)
}

/// As much as there is room for; failures come first.
fn gate_file<'a>(
    tx: &mut Conn,
    id: &ChangeId,
    ends: impl Iterator<Item = &'a End>,
) -> Result<GateFile, Error> {
    let mut ends = told(tx, ends)?;
    let mut room = limits::GATE_BYTES - GateFile::default().to_bytes().len();
    let fits = |end: &&Envelope| {
        let left = room.checked_sub(end.to_bytes().len() + 1);
        room = left.unwrap_or(room);
        left.is_some()
    };
    let (kept, count) = (ends.iter().take_while(fits).count(), ends.len());
    if kept < count {
        tracing::warn!(change = %id, kept, count, "not all ends fit the gate's file");
    }
    ends.truncate(kept);
    Ok(GateFile { ends })
}

/// How hosts of the waves before this one ended, as they have signed it.
pub fn ends_before(tx: &mut Conn, change: &Statement<Change>, wave: usize) -> Result<Vec<Envelope>, Error> {
    let earlier = change.body.before(wave);
    let ends = store::list_ends(tx, &change.digest)?;
    told(tx, ends.iter().filter(|(host, _)| earlier.contains(host)).map(|(_, end)| end))
}

/// Ends as hosts have signed them, failures first: their summaries, and whole receipts where they sent none.
fn told<'a>(tx: &mut Conn, ends: impl Iterator<Item = &'a End>) -> Result<Vec<Envelope>, Error> {
    let mut ends: Vec<&End> = ends.collect();
    ends.sort_by_key(|end| (end.good, end.report));
    let whole: Vec<_> = ends.iter().filter(|end| end.summary.is_none()).map(|end| end.report).collect();
    let receipts = ledger::find_statements(tx, &whole)?;
    let bytes = |end: &&End| end.summary.as_ref().or_else(|| receipts.get(&end.report)).cloned();
    let read = |end| Envelope::parse(&bytes(end)?).ok();
    ends.iter().map(|end| read(end).ok_or_else(|| store::damaged("how a host ended"))).collect()
}
