//! What a person brings to this host by hand while the server is away: judged by what the host has verified before, run
//! once, and told to the server when it is back.
//!
//! Owns the waiting files (`carried/`) and the words that the server does not have yet (`words/`). Never: a start that the
//! word of somebody who breaks the glass does not cover.

use super::change::subject_of_bundle;
use super::start::Origin;
use super::{Agent, Tick};
use crate::decide::{ChangeKey, Chore};
use crate::hands::{Hands, Order};
use crate::net::NetError;
use crate::pull::{self, PullError, Repository};
use crate::receipt::Subject;
use crate::server::Server;
use crate::state::{State, StateError};
use shared::approval::Decision;
use shared::bundle::Bundle;
use shared::carried::Carried;
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::ids::AgentId;
use shared::plan::{Plan, open_plan};
use shared::refusal::{Code, Refused};
use shared::statement::Statement;
use shared::strict;
use shared::tuf::TargetName;
use shared::wire::Approve;

/// Files that wait to be judged, below the state directory.
pub const CARRIED: &str = "carried";
/// Words that came by hand and that the server has not taken in yet.
const WORDS: &str = "words";
/// Where a person's file is waited for while the agent sleeps, on the host.
pub(super) const CARRIED_PATH: &str = "/var/lib/assent/carried";

impl<H: Hands, S: Server> Agent<H, S> {
    pub(super) fn carried_due(&self) -> Chore {
        // A directory that cannot be listed is told of by everything else that is read there.
        let waiting = self.state.list(CARRIED).unwrap_or_default();
        if waiting.is_empty() { Chore::Settled } else { Chore::Due }
    }

    /// Judges the first waiting file, and runs it or says no. Either way it is gone afterwards, unless somebody who was
    /// asked did not answer.
    pub(super) fn take_carried(&mut self, tick: &mut Tick) -> Result<(), StateError> {
        tick.carried = Chore::Failed;
        let Some(name) = self.state.list(CARRIED)?.into_iter().next() else { return Ok(()) };
        let file = format!("{CARRIED}/{name}");
        let bytes = self.state.read_file(&file)?.unwrap_or_default();
        match Carried::parse(&bytes) {
            Ok(carried) => self.judge_carried(&file, carried, tick)?,
            Err(why) => {
                let refused = Refused::new(Code::ChangeInvalid, why.to_string());
                self.refuse(tick, Subject::only(Digest::of(&bytes)), &refused)?;
                self.state.remove(&file)?;
            }
        }
        if !tick.unanswered {
            tick.carried = self.carried_due();
        }
        Ok(())
    }

    fn judge_carried(&mut self, file: &str, carried: Carried, tick: &mut Tick) -> Result<(), StateError> {
        let body = &carried.bundle.change.body;
        let key = (body.change_id.clone(), body.revision);
        self.memory.brought.insert(key.clone());
        let subject = subject_of_bundle(&carried.bundle.to_bytes());
        let repository = match pull::by_hand(&self.state, tick.now) {
            Ok(repository) => repository,
            Err(PullError::State(e)) => return Err(e),
            Err(PullError::Refused(refused)) => return self.put_away(file, (key, subject), &refused, tick),
            Err(PullError::Net(e)) => {
                let refused = Refused::new(Code::TufInvalid, e.to_string());
                return self.put_away(file, (key, subject), &refused, tick);
            }
        };
        self.take_parts(&carried, &repository)?;
        let bundle = with_stops(&self.state, &repository, carried.bundle)?;
        let bytes = bundle.to_bytes();
        tick.repository = Some(repository);
        let origin = Origin::ByHand { bundle: &bytes, ends: &carried.ends };
        let prepared = self.prepare(&key, origin, tick)?;
        let ended = match prepared {
            Err((_, refused)) if tick.unanswered => {
                tick.report.line(format!("{} waits: {refused}", key.0));
                Ok(())
            }
            Err((subject, refused)) => self.put_away(file, (key, subject), &refused, tick),
            Ok((order, mut running)) => {
                running.by_hand = true;
                self.keep_words(&order, &bundle)?;
                self.carry_out(order, running, tick, |agent| agent.state.remove(file))
            }
        };
        // It was not fetched now, so nothing else starts from it.
        tick.repository = None;
        ended
    }

    fn put_away(
        &mut self,
        file: &str,
        (key, subject): (ChangeKey, Subject),
        refused: &Refused,
        tick: &mut Tick,
    ) -> Result<(), StateError> {
        self.no(key, subject, refused, tick)?;
        pull::drop_artifacts(&mut self.state)?;
        self.state.remove(file)
    }

    /// Keeps what the host lacks, each part only if it is the very one that somebody has signed for.
    fn take_parts(&mut self, carried: &Carried, repository: &Repository) -> Result<(), StateError> {
        for named in &carried.bundle.change.body.manifests {
            let target = TargetName::manifest(&named.team, &named.name, &named.version);
            for manifest in &carried.manifests {
                // A team whose metadata is refused is told of when the change is judged.
                match pull::keep_target(&mut self.state, &repository.trusted, &target, manifest.as_bytes()) {
                    Err(PullError::State(e)) => return Err(e),
                    Ok(()) | Err(PullError::Refused(_) | PullError::Net(_)) => {}
                }
            }
        }
        let (me, set) = (self.key.agent_id(), &carried.bundle.plan_set);
        let own = |envelope: &Envelope| own_plan(envelope, me);
        for plan in carried.plans.iter().filter_map(own) {
            if set.plans.get(&me) == Some(&plan.digest) && self.state.plan(&plan.digest)?.is_none() {
                self.state.store_plan(&plan)?;
            }
        }
        for bytes in &carried.artifacts {
            // Looked at again by its digest before it is used.
            self.state.put(&format!("artifacts/{}", Digest::of(bytes)), bytes)?;
        }
        Ok(())
    }

    /// Durable before the run: the server must learn of the word on which its receipt rests.
    fn keep_words(&mut self, order: &Order, bundle: &Bundle) -> Result<(), StateError> {
        for word in &bundle.approvals {
            if order.approved.approvals().contains(&word.digest) {
                let body = Approve { plan_set: bundle.plan_set.clone(), approval: word.envelope.clone() };
                self.state.put(&format!("{WORDS}/{}.json", word.digest), &strict::to_json(&body))?;
            }
        }
        Ok(())
    }

    /// Brings the server the words that came by hand. The inner error: nobody answered.
    pub(super) fn bring_words(&mut self, tick: &mut Tick) -> Result<Result<(), NetError>, StateError> {
        for name in self.state.list(WORDS)? {
            if self.memory.unwanted.contains(&name) {
                continue;
            }
            let file = format!("{WORDS}/{name}");
            let Some(word) = self.state.read_own::<Approve>(&file)? else { continue };
            match self.server.bring_word(&word) {
                Ok(()) => {
                    self.state.remove(&file)?;
                    tick.report.line("the server has taken in the word that came by hand");
                }
                Err(NetError::Refused { status, code, message, .. })
                    if (400..500).contains(&status) && status != 429 =>
                {
                    // It stays here for people, and the next process asks once more.
                    tick.report.line(format!("the server does not take {file} in: {code}: {message}"));
                    self.memory.unwanted.insert(name);
                }
                Err(lost) => return Ok(Err(lost)),
            }
        }
        Ok(Ok(()))
    }
}

/// The bundle to be judged: only words that were given to be carried break the glass here, and a no that this host has
/// heard of counts whether it was brought along or not.
fn with_stops(state: &State, repository: &Repository, mut bundle: Bundle) -> Result<Bundle, StateError> {
    bundle.approvals.retain(|word| word.body.breakglass.as_ref().is_none_or(|glass| glass.by_hand));
    let body = &bundle.change.body;
    let target = TargetName::Change { id: body.change_id.clone(), revision: body.revision };
    let kept = match pull::kept_target(state, &repository.trusted, &target) {
        Ok(kept) => kept,
        Err(PullError::State(e)) => return Err(e),
        Err(PullError::Refused(_) | PullError::Net(_)) => None,
    };
    let kept = kept.and_then(|bytes| Bundle::parse(&bytes).ok());
    for no in kept.into_iter().flat_map(|kept| kept.approvals) {
        let known = bundle.approvals.iter().any(|word| word.digest == no.digest);
        if no.body.decision != Decision::Approve && !known {
            bundle.approvals.push(no);
        }
    }
    Ok(bundle)
}

fn own_plan(envelope: &Envelope, me: AgentId) -> Option<Statement<Plan>> {
    open_plan(&envelope.to_bytes()).ok().filter(|plan| plan.body.agent_id == me)
}
