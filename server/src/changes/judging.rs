//! Judging approvals for every host of a plan set, as the hosts will do it again for themselves.

use super::revise::refused;
use super::store::papers::{self, PlanRow};
use super::store::{self, Row};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::ledger;
use crate::manifests;
use shared::admit::{self, Sources};
use shared::approval::{Approval, Decision, Reach};
use shared::change::Change;
use shared::digest::Digest;
use shared::ids::{AgentId, PersonId};
use shared::plan::PlanSet;
use shared::policy::{Case, Hearing, Policy, Purpose, Verdict, judge};
use shared::refusal::{Code, Refused};
use shared::risk::{ActionClass, risk_of};
use shared::statement::Statement;
use shared::strict;
use shared::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// The signed papers of a change's current revision. Read from the statements, never from columns.
pub(super) struct Papers {
    pub policy: Policy,
    pub change: Statement<Change>,
    pub approvals: Vec<Statement<Approval>>,
}

fn statement(tx: &mut Conn, digest: &Digest) -> Result<Vec<u8>, Error> {
    ledger::find_statement(tx, digest)?.ok_or_else(|| store::damaged("a signed statement"))
}

impl Papers {
    pub fn load(tx: &mut Conn, row: &Row) -> Result<Self, Error> {
        let digest = row.statement()?;
        let change = Statement::<Change>::parse(&statement(tx, &digest)?);
        let change = change.ok().filter(|change| change.digest == digest);
        let change = change.ok_or_else(|| store::damaged("a revision"))?;
        let known = papers::list_approvals(tx, &digest)?;
        let found = ledger::find_statements(tx, &known)?;
        let mut approvals = Vec::with_capacity(known.len());
        for digest in known {
            let read = found.get(&digest).and_then(|bytes| Statement::<Approval>::parse(bytes).ok());
            let read =
                read.filter(|read| read.digest == digest).ok_or_else(|| store::damaged("an approval"))?;
            approvals.push(read);
        }
        Ok(Self { policy: manifests::policy(tx)?.policy, change, approvals })
    }

    /// What counts for anything at `now`.
    pub fn heard(&self, now: Timestamp) -> Hearing {
        Hearing::of(&self.policy, &self.change, &self.approvals, now)
    }

    /// The plan set that somebody stands behind now: the latest word of that person is yes. Where persons stand behind
    /// several, the one that the change has now, or else any of them.
    pub fn standing(&self, current: Option<Digest>, now: Timestamp) -> Option<Digest> {
        let heard = self.heard(now);
        let yes = heard.words().filter(|a| a.body().decision == Decision::Approve);
        let sets: Vec<Digest> = yes.map(|a| a.body().saw.plan_set).collect();
        current.filter(|current| sets.contains(current)).or_else(|| sets.first().copied())
    }

    /// Whoever broke the glass for it.
    pub fn who_broke_glass(&self) -> BTreeSet<&PersonId> {
        let broke = self.approvals.iter().filter(|approval| approval.body.breakglass.is_some());
        broke.map(|approval| &approval.body.person).collect()
    }

    /// The hosts that whoever stands behind this plan set has approved.
    pub fn reach(&self, set: Option<Digest>, now: Timestamp) -> Reach {
        let heard = self.heard(now);
        let yes = heard.words().map(|word| word.body()).filter(|word| word.decision == Decision::Approve);
        Reach::of(yes.filter(|word| word.breakglass.is_none() && Some(word.saw.plan_set) == set))
    }

    /// What the manifests of the change bring to its judgement; each is verified as it is listed now.
    pub fn sources(&self, tx: &mut Conn, now: Timestamp) -> Result<Sources, Error> {
        self.accepted_sources(tx, now)?.map_err(|why| refused(why).into())
    }

    /// As [`Self::sources`], with why one of them does not count.
    pub fn accepted_sources(&self, tx: &mut Conn, now: Timestamp) -> Result<Result<Sources, Refused>, Error> {
        let mut all = Vec::with_capacity(self.change.body.manifests.len());
        for named in &self.change.body.manifests {
            let published = manifests::find_published(tx, &named.sha256)?;
            let published = published.ok_or_else(|| store::damaged("a published manifest"))?;
            match admit::verify_manifest(&self.policy, &published.bytes, named, now) {
                Ok(verified) => all.push(verified),
                Err(refused) => return Ok(Err(refused)),
            }
        }
        Ok(Ok(Sources::of(&all)))
    }
}

/// The plan set with this digest, as it was approved.
pub fn plan_set(tx: &mut Conn, digest: &Digest) -> Result<PlanSet, Error> {
    let bytes = statement(tx, digest)?;
    let read = strict::from_json::<PlanSet>("the plan set", &bytes, shared::limits::BUNDLE_BYTES).ok();
    read.filter(|set| set.digest() == *digest).ok_or_else(|| store::damaged("a plan set"))
}

/// What the approvals come to.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// Hosts that may change, in the order of their ids.
    pub allowed: Vec<AgentId>,
    /// For people: what counted, once for all hosts to which the same applies.
    pub lines: Vec<String>,
}

/// Judges each host of the plan set by its own plan.
pub(super) fn judge_hosts(
    tx: &mut Conn,
    papers: &Papers,
    set: &PlanSet,
    purpose: Purpose,
    now: Timestamp,
) -> Result<Judged, Error> {
    let sources = papers.sources(tx, now)?;
    let heard = papers.heard(now);
    let digests: Vec<Digest> = set.plans.values().copied().collect();
    let plans = papers::find_plans(tx, &papers.change.digest, &digests)?;
    let plan_set = set.digest();
    let mut judged = Judged::default();
    let mut alike: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for (agent, digest) in set.plans.iter() {
        let plan = plans.get(digest).filter(|plan| plan.agent == *agent);
        let plan = plan.ok_or_else(|| store::damaged("the plan of a host"))?;
        let (verdict, lines) = judge_host(papers, (plan, plan_set, purpose), &sources, &heard, now);
        if verdict.is_ok() {
            judged.allowed.push(*agent);
        }
        *alike.entry(lines).or_default() += 1;
    }
    for (lines, hosts) in alike {
        let shown = if hosts == 1 { "1 host".to_owned() } else { format!("{hosts} hosts") };
        judged.lines.extend(lines.into_iter().map(|line| format!("{shown}: {line}")));
    }
    Ok(judged)
}

/// The hosts that persons stand behind with the plan set that the change has now.
pub fn reach(tx: &mut Conn, row: &Row, now: Timestamp) -> Result<Reach, Error> {
    let set = row.plan_set()?;
    Ok(Papers::load(tx, row)?.reach(set, now))
}

/// Whether the approvals of the change's current revision carry it on one host of its plan set now.
pub fn carried(
    tx: &mut Conn,
    row: &Row,
    agent: AgentId,
    now: Timestamp,
) -> Result<Result<(), Refused>, Error> {
    let missing = || Refused::new(Code::PlanMissing, "the host is not in the plan set that was approved");
    let Some(set) = row.plan_set()? else { return Ok(Err(missing())) };
    let plans = plan_set(tx, &set)?.plans;
    let Some(digest) = plans.get(&agent).copied() else { return Ok(Err(missing())) };
    let papers = Papers::load(tx, row)?;
    let plan = papers::find_plans(tx, &papers.change.digest, &[digest])?.remove(&digest);
    let plan = plan.filter(|plan| plan.agent == agent).ok_or_else(|| store::damaged("the plan of a host"))?;
    match papers.accepted_sources(tx, now)? {
        Ok(sources) => {
            let host = (&plan, set, Purpose::Start);
            Ok(judge_host(&papers, host, &sources, &papers.heard(now), now).0)
        }
        Err(refused) => Ok(Err(refused)),
    }
}

/// The same for every host of its plan set, with the approvals read once.
pub fn all_carried(
    tx: &mut Conn,
    row: &Row,
    now: Timestamp,
) -> Result<BTreeMap<AgentId, Result<(), Refused>>, Error> {
    let Some(set) = row.plan_set()? else { return Ok(BTreeMap::new()) };
    let plans = plan_set(tx, &set)?.plans;
    let papers = Papers::load(tx, row)?;
    let digests: Vec<Digest> = plans.values().copied().collect();
    let found = papers::find_plans(tx, &papers.change.digest, &digests)?;
    let (sources, heard) = (papers.accepted_sources(tx, now)?, papers.heard(now));
    let judged = |(agent, digest): (&AgentId, &Digest)| {
        let plan = found.get(digest).filter(|plan| plan.agent == *agent);
        let plan = plan.ok_or_else(|| store::damaged("the plan of a host"))?;
        let verdict = match &sources {
            Ok(sources) => judge_host(&papers, (plan, set, Purpose::Start), sources, &heard, now).0,
            Err(refused) => Err(refused.clone()),
        };
        Ok((*agent, verdict))
    };
    plans.iter().map(judged).collect()
}

/// What is judged of the host of a plan; or why it is not: the plan goes beyond what the author allowed.
pub(super) fn case_of<'a>(
    papers: &'a Papers,
    (plan, plan_set, purpose): (&'a PlanRow, Digest, Purpose),
    sources: &'a Sources,
    classes: &'a BTreeSet<ActionClass>,
) -> Result<Case<'a>, Refused> {
    let change = &papers.change.body;
    if let Some(class) = classes.iter().find(|class| !change.action_classes.contains(class)) {
        let why = format!("the change would run {class}, which its author did not allow");
        return Err(Refused::new(Code::PlanClass, why));
    }
    Ok(Case {
        purpose,
        change,
        publishers: sources.publishers(),
        agent: plan.agent,
        host_class: &plan.host_class,
        classes,
        risk: risk_of(classes),
        plan_set,
    })
}

fn judge_host(
    papers: &Papers,
    (plan, plan_set, purpose): (&PlanRow, Digest, Purpose),
    sources: &Sources,
    heard: &Hearing,
    now: Timestamp,
) -> (Result<(), Refused>, Vec<String>) {
    let classes = sources.classes_with(plan.action_classes.iter().copied());
    let case = match case_of(papers, (plan, plan_set, purpose), sources, &classes) {
        Ok(case) => case,
        Err(refused) => {
            let line = refused.to_string();
            return (Err(refused), vec![line]);
        }
    };
    let judgement = judge(&papers.policy, &case, heard, now);
    let mut lines = judgement.lines;
    match judgement.verdict {
        Verdict::Allowed { voices, .. } => {
            let voices: Vec<String> = voices.iter().map(ToString::to_string).collect();
            if !voices.is_empty() {
                lines.push(format!("approved by {}", voices.join(", ")));
            }
            (Ok(()), lines)
        }
        Verdict::Denied(refused) => {
            if !lines.contains(&refused.message) {
                lines.push(refused.to_string());
            }
            (Err(refused), lines)
        }
    }
}
