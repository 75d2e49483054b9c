//! A change with everything that was said about it, verified on this machine before anybody looks at it.
//!
//! Pure: the server's file, the verified policy and `now` are arguments. What the server says without a
//! signature (state, counts) is kept apart in `line`.

use crate::error::{Context as _, Done, Failure};
use crate::text::clean;
use shared::acceptance::Grounds;
use shared::admit::{Sources, Verified, check_author};
use shared::approval::Approval;
use shared::change::{Change, ManifestUse};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::ids::{AgentId, ChangeId};
use shared::manifest::Manifest;
use shared::plan::{Plan, PlanSet, open_plan};
use shared::policy::{Policy, VerifiedApproval, verify_approval};
use shared::receipt::{Receipt, Refusal, open_chained};
use shared::refusal::Refused;
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::wire::{ChangeFile, ChangeLine};
use std::collections::BTreeMap;

pub struct Review {
    /// The server's word.
    pub line: ChangeLine,
    pub change: Statement<Change>,
    pub manifests: Vec<Verified<Manifest>>,
    /// Signed by the hosts that the change names, for exactly this revision.
    pub plans: BTreeMap<AgentId, Statement<Plan>>,
    /// What an approval covers: the proposed set, or all plans when nobody has proposed one.
    pub set: PlanSet,
    /// Each host's latest refusal.
    pub refusals: BTreeMap<AgentId, Statement<Refusal>>,
    pub approvals: Vec<Spoken>,
    pub receipts: BTreeMap<AgentId, Statement<Receipt>>,
    /// What a change is about that brings nothing to hosts, signed by the hosts that it names, in its order.
    pub grounds: Grounds,
    /// Why this may be shown but not approved now: author or manifests are not (or no longer) accepted.
    pub doubts: Vec<Failure>,
}

/// An approval, rejection or withdrawal, and why it does not count, if so.
pub struct Spoken {
    pub statement: Statement<Approval>,
    pub checked: Result<VerifiedApproval, Refused>,
}

/// Hosts whose plans in the set are equal.
pub struct PlanClass<'r> {
    pub plan: &'r Plan,
    pub hosts: Vec<&'r Plan>,
}

impl Review {
    /// Verifies `file`; `manifest` finds a manifest through the verified repository.
    ///
    /// # Errors
    /// Refused when the server shows something that its signer did not say: another change, a plan that is
    /// forged, of another host or revision, or a proposed set that names other plans than those shown.
    pub fn of(
        policy: &Policy,
        asked: &ChangeId,
        file: ChangeFile,
        manifest: impl FnMut(&ManifestUse) -> Done<Verified<Manifest>>,
        now: Timestamp,
    ) -> Done<Self> {
        let ChangeFile { line, change, plans, refusals, plan_set, approvals, receipts, .. } = file;
        let mut said = file.findings;
        said.extend(file.enrolments);
        let change = opened(asked, &line, change)?;
        let mut doubts: Vec<Failure> = Vec::new();
        doubts.extend(
            check_author(policy, &change, now).or_refuse("the author's signature is not accepted").err(),
        );
        let mut manifests = Vec::new();
        for found in change.body.manifests.iter().map(manifest) {
            match found {
                Ok(manifest) => manifests.push(manifest),
                Err(failure) if failure.exit_code() == 1 => doubts.push(failure),
                Err(failure) => return Err(failure),
            }
        }
        let plans = checked_plans(&change, plans)?;
        let grounds = checked_grounds(&change, &said)?;
        let set = match plan_set {
            Some(set) => checked_set(&change, &plans, set)?,
            None => PlanSet {
                change: change.digest,
                plans: plans.iter().map(|(id, plan)| (*id, plan.digest)).collect(),
            },
        };
        let approvals =
            approvals.into_iter().map(|a| spoken(policy, &change, a, now)).collect::<Done<_>>()?;
        let refusals = checked_refusals(&change, refusals)?;
        let receipts = checked_receipts(&change, receipts)?;
        Ok(Self { line, change, manifests, plans, set, refusals, approvals, receipts, grounds, doubts })
    }

    /// Covers all plans instead of those that somebody has proposed; true when that is more. Approvals of the smaller
    /// set do not count for it. Only until a change is approved.
    pub fn widen(&mut self) -> bool {
        let wider = self.line.state == "in_review" && self.plans.len() > self.set.plans.len();
        if wider {
            self.set.plans = self.plans.iter().map(|(id, plan)| (*id, plan.digest)).collect();
        }
        wider
    }

    /// Largest class first; equal sizes by their content.
    pub fn classes(&self) -> Vec<PlanClass<'_>> {
        let mut classes: BTreeMap<_, Vec<&Plan>> = BTreeMap::new();
        for plan in self.set.plans.keys().filter_map(|id| self.plans.get(id)) {
            classes.entry(plan.body.class_digest()).or_default().push(&plan.body);
        }
        let mut classes: Vec<_> = classes
            .into_values()
            .filter_map(|mut hosts| {
                hosts.sort_by(|a, b| (&a.hostname, a.agent_id).cmp(&(&b.hostname, b.agent_id)));
                Some(PlanClass { plan: *hosts.first()?, hosts })
            })
            .collect();
        classes.sort_by_key(|class| std::cmp::Reverse(class.hosts.len()));
        classes
    }

    /// Targets without any plan, and targets whose plan is not in the proposed set.
    pub fn uncovered(&self) -> (Vec<AgentId>, Vec<AgentId>) {
        let outside =
            self.change.body.targets.iter().map(|t| t.agent).filter(|id| !self.set.plans.contains_key(id));
        outside.partition(|id| !self.plans.contains_key(id))
    }

    /// What the manifests bring to the judgement besides the plans.
    pub fn sources(&self) -> Sources {
        Sources::of(&self.manifests)
    }

    /// The first reason why nobody should approve this now.
    pub fn check_approvable(&self) -> Done {
        if let Some(doubt) = self.doubts.first() {
            return Err(doubt.clone());
        }
        let id = &self.change.body.change_id;
        if self.change.body.is_record() {
            return self.check_acceptable();
        }
        if !matches!(self.line.state.as_str(), "in_review" | "approved" | "running" | "halted") {
            let failure =
                Failure::refused(format!("change {id} is {}, approving needs in_review", self.line.state));
            let draft = self.line.state == "draft";
            return Err(if draft { failure.remedy(format!("assent change submit {id}")) } else { failure });
        }
        if self.set.plans.is_empty() {
            return Err(Failure::refused(format!("no host has sent a plan for {id} yet"))
                .why("an approval names what each host will do; without a plan it would cover nothing")
                .remedy(format!(
                    "wait for the hosts' next check-in, then look at `assent change show {id}`"
                )));
        }
        Ok(())
    }

    fn check_acceptable(&self) -> Done {
        let (id, state) = (&self.change.body.change_id, self.line.state.as_str());
        if state == "review" {
            return Ok(());
        }
        let failure = Failure::refused(format!("change {id} is {}, accepting needs review", clean(state)));
        Err(if state == "draft" { failure.remedy(format!("assent change submit {id}")) } else { failure })
    }

    /// The host's name as it signed it, with its id where several hosts have that name; else the id.
    pub fn host_name(&self, id: AgentId) -> String {
        let Some(plan) = self.plans.get(&id) else { return id.to_string() };
        let name = clean(&plan.body.hostname);
        let namesakes = self.plans.values().filter(|other| other.body.hostname == plan.body.hostname).count();
        if namesakes > 1 { format!("{name} ({id})") } else { name }
    }
}

fn opened(asked: &ChangeId, line: &ChangeLine, change: Envelope) -> Done<Statement<Change>> {
    let change = Statement::<Change>::open(change)
        .or_refuse(format!("{asked} as sent by the server cannot be read"))?;
    let body = &change.body;
    if body.change_id != *asked || line.change_id != *asked || body.revision != line.revision {
        return Err(Failure::refused(format!("the server sent another change than {asked}"))
            .why(format!("the signed document is {} revision {}", body.change_id, body.revision)));
    }
    Ok(change)
}

fn checked_plans(
    change: &Statement<Change>,
    envelopes: Vec<Envelope>,
) -> Done<BTreeMap<AgentId, Statement<Plan>>> {
    let mut plans = BTreeMap::new();
    for envelope in envelopes {
        let plan = open_plan(&envelope.to_bytes())
            .or_refuse("a plan that the server sent is not one of its host")?;
        let body = &plan.body;
        let what = format!("the plan of {} ({})", body.hostname, body.agent_id);
        let refuse = |why: &str| {
            Err(Failure::refused(format!("{what} does not belong to this change"))
                .why(why)
                .remedy("approve nothing; look into the server"))
        };
        let Some(target) = change.body.targets.iter().find(|target| target.agent == body.agent_id) else {
            return refuse("the change does not name this host");
        };
        if target.key != body.key.digest() {
            return refuse("it is signed with another key than the one that the change names");
        }
        let same = body.change == change.digest
            && body.site == change.body.site
            && body.change_id == change.body.change_id
            && body.revision == change.body.revision;
        if !same {
            return refuse("it was made for another change or revision");
        }
        let id = body.agent_id;
        if plans.insert(id, plan).is_some() {
            return Err(Failure::refused(format!("{what} was sent twice"))
                .why("only one of two plans can be approved"));
        }
    }
    Ok(plans)
}

/// What is accepted, and who leaves, is exactly what is shown.
fn checked_grounds(change: &Statement<Change>, envelopes: &[Envelope]) -> Done<Grounds> {
    let sent: BTreeMap<Digest, &Envelope> = envelopes.iter().map(|e| (e.digest(), e)).collect();
    Grounds::of(&change.body, |digest| sent.get(digest).map(|envelope| envelope.to_bytes()))
        .or_refuse("the server did not send what hosts signed that the change is about")
}

/// A proposed set is approved only if every plan in it is the one that is shown here.
fn checked_set(
    change: &Statement<Change>,
    plans: &BTreeMap<AgentId, Statement<Plan>>,
    set: PlanSet,
) -> Done<PlanSet> {
    let refuse = |why: String| {
        Err(Failure::refused("the proposed plan set is not the one that is shown")
            .why(why)
            .remedy("approve nothing; look into the server"))
    };
    if set.change != change.digest {
        return refuse("it belongs to another change or revision".into());
    }
    for (id, digest) in set.plans.iter() {
        match plans.get(id) {
            None => return refuse(format!("it covers the host {id}, whose plan was not sent")),
            Some(plan) if plan.digest != *digest => {
                return refuse(format!(
                    "for {} it names the plan {digest}, the plan sent is {}",
                    plan.body.hostname, plan.digest
                ));
            }
            Some(_) => {}
        }
    }
    Ok(set)
}

fn spoken(policy: &Policy, change: &Statement<Change>, envelope: Envelope, now: Timestamp) -> Done<Spoken> {
    let statement =
        Statement::<Approval>::open(envelope).or_refuse("an approval that the server sent cannot be read")?;
    let checked = verify_approval(policy, change, &statement, now);
    Ok(Spoken { statement, checked })
}

fn checked_refusals(
    change: &Statement<Change>,
    envelopes: Vec<Envelope>,
) -> Done<BTreeMap<AgentId, Statement<Refusal>>> {
    let mut latest: BTreeMap<AgentId, Statement<Refusal>> = BTreeMap::new();
    for envelope in envelopes {
        let refusal = open_chained::<Refusal>(&envelope.to_bytes(), &change.body.site)
            .or_refuse("a refusal that the server sent is not one of its host")?;
        let header = &refusal.body.header;
        let about_this = refusal.body.change_id.as_ref().is_none_or(|id| *id == change.body.change_id);
        let named =
            change.body.targets.iter().any(|t| t.agent == header.agent_id && t.key == header.key.digest());
        if !about_this || !named {
            return Err(Failure::refused("the server sent a refusal that is about another change or host"));
        }
        let id = header.agent_id;
        if latest.get(&id).is_none_or(|other| other.body.header.seq < header.seq) {
            latest.insert(id, refusal);
        }
    }
    Ok(latest)
}

fn checked_receipts(
    change: &Statement<Change>,
    envelopes: Vec<Envelope>,
) -> Done<BTreeMap<AgentId, Statement<Receipt>>> {
    let mut latest: BTreeMap<AgentId, Statement<Receipt>> = BTreeMap::new();
    for envelope in envelopes {
        let receipt = open_chained::<Receipt>(&envelope.to_bytes(), &change.body.site)
            .or_refuse("a receipt that the server sent is not one of its host")?;
        let header = &receipt.body.header;
        let named =
            change.body.targets.iter().any(|t| t.agent == header.agent_id && t.key == header.key.digest());
        if receipt.body.change_id != change.body.change_id || !named {
            return Err(Failure::refused("the server sent a receipt that is about another change or host"));
        }
        if receipt.body.change != change.digest || receipt.body.corrects.is_some() {
            continue; // of an earlier revision, or of something that was put back since
        }
        let id = header.agent_id;
        if latest.get(&id).is_none_or(|other| other.body.header.seq < header.seq) {
            latest.insert(id, receipt);
        }
    }
    Ok(latest)
}
