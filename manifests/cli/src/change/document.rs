//! `assent change show --json`: what the page shows, for programs. What was verified here stands apart from the server's word.

use super::forecast::Forecast;
use super::review::Review;
use super::{assessment, conflicts};
use crate::author::list::print_json;
use crate::error::Done;
use crate::session::Session;
use crate::trust::Site;
use serde::Serialize;
use shared::approval::Approval;
use shared::change::Change;
use shared::conflict::Conflict;
use shared::digest::Digest;
use shared::ids::AgentId;
use shared::plan::Action;
use shared::policy::Policy;
use shared::receipt::{Receipt, Refusal};
use shared::time::Timestamp;
use shared::wire::{Assessment, ChangeLine};

#[derive(Serialize)]
struct Document<'a> {
    change: &'a Change,
    digest: Digest,
    /// Why nobody should approve it now.
    doubts: Vec<String>,
    /// As the page numbers them, from 1.
    classes: Vec<Class<'a>>,
    without_plan: Vec<AgentId>,
    /// Their plans came after the set was proposed.
    not_in_set: Vec<AgentId>,
    approvals: Vec<Word<'a>>,
    /// Each host's latest one.
    refusals: Vec<&'a Refusal>,
    receipts: Vec<&'a Receipt>,
    counts: Option<Counts>,
    server: Server<'a>,
}

#[derive(Serialize)]
struct Class<'a> {
    number: usize,
    hosts: Vec<Named<'a>>,
    actions: &'a [Action],
}

#[derive(Serialize)]
struct Named<'a> {
    agent: AgentId,
    hostname: &'a str,
}

#[derive(Serialize)]
struct Word<'a> {
    said: &'a Approval,
    /// Why it does not count, if so.
    refused: Option<String>,
}

/// What the policy makes of the approvals now, as hosts judge it.
#[derive(Serialize)]
struct Counts {
    allowed: usize,
    of: usize,
    lines: Vec<String>,
    reasons: Vec<String>,
}

/// Nothing of it is signed.
#[derive(Serialize)]
struct Server<'a> {
    line: &'a ChangeLine,
    assessment: Option<Assessment>,
    conflicts: Vec<Conflict>,
}

pub fn print(session: &Session, site: &Site, review: &Review) -> Done {
    let server = Server {
        line: &review.line,
        assessment: assessment::find(session, review)?,
        conflicts: conflicts::list(session, review)?,
    };
    print_json(&document(&site.policy, review, server, session.now))
}

fn document<'a>(policy: &Policy, review: &'a Review, server: Server<'a>, now: Timestamp) -> Document<'a> {
    let (without_plan, not_in_set) = match review.change.body.is_record() {
        true => (Vec::new(), Vec::new()),
        false => review.uncovered(),
    };
    let planned = !review.change.body.is_record() && !review.plans.is_empty();
    let classes = review.classes().into_iter().enumerate().map(|(place, class)| Class {
        number: place + 1,
        hosts: class.hosts.iter().map(|p| Named { agent: p.agent_id, hostname: &p.hostname }).collect(),
        actions: &class.plan.actions,
    });
    let approvals = review.approvals.iter().map(|spoken| Word {
        said: &spoken.statement.body,
        refused: spoken.checked.as_ref().err().map(ToString::to_string),
    });
    Document {
        change: &review.change.body,
        digest: review.change.digest,
        doubts: review.doubts.iter().map(ToString::to_string).collect(),
        classes: classes.collect(),
        without_plan,
        not_in_set,
        approvals: approvals.collect(),
        refusals: review.refusals.values().map(|refusal| &refusal.body).collect(),
        receipts: review.receipts.values().map(|receipt| &receipt.body).collect(),
        counts: planned.then(|| counts(&Forecast::of(policy, review, None, now))),
        server,
    }
}

fn counts(forecast: &Forecast) -> Counts {
    Counts {
        allowed: forecast.allowed(),
        of: forecast.hosts.len(),
        lines: forecast.lines.clone(),
        reasons: forecast.reasons().into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, planned, policy};
    use super::*;

    /// What a program needs to decide as a person would at the page, and what of it is only the server's word.
    #[test]
    fn programs_get_what_the_page_shows() {
        let review = planned();
        let server = Server { line: &review.line, assessment: None, conflicts: Vec::new() };
        let shown = serde_json::to_value(document(&policy(), &review, server, NOW)).unwrap();
        assert_eq!(shown["change"]["change_id"], "C-7");
        assert_eq!(shown["digest"], review.change.digest.to_string());
        let hosts = |class: usize| {
            let hosts = shown["classes"][class]["hosts"].as_array().unwrap().iter();
            hosts.map(|host| host["hostname"].as_str().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!((hosts(0), hosts(1)), (vec!["web1", "web2"], vec!["db1"]));
        assert_eq!(shown["classes"][1]["number"], 2);
        assert_eq!(shown["classes"][1]["actions"].as_array().unwrap().len(), 3);
        assert_eq!(shown["without_plan"].as_array().unwrap().len(), 1);
        assert_eq!(shown["refusals"][0]["reason"]["code"], "plan.failed");
        assert_eq!((&shown["counts"]["allowed"], &shown["counts"]["of"]), (&0.into(), &3.into()));
        assert_eq!(shown["server"]["line"]["state"], "in_review");
    }
}
