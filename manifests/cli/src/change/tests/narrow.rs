//! Approvals that are not for all hosts.

use super::{NOW, approval, change, file, key, person, plans, review};
use crate::args::{AsJson, SshArgs};
use crate::change::args::ApproveArgs;
use crate::change::narrow::{in_classes, narrowed};
use crate::change::review::Review;
use clap::Parser as _;
use shared::approval::{Approval, Decision};
use shared::ids::AgentId;
use shared::statement::Statement;

#[derive(clap::Parser)]
struct Approving {
    #[command(flatten)]
    args: ApproveArgs,
}

/// Leaving out is for a reason, takes nobody in, and never leaves nobody.
#[test]
fn hosts_are_left_out_for_a_reason_and_nobody_else_comes_in() {
    let review = |approvals: &[Statement<Approval>]| {
        let mut file = file(plans(&change()));
        file.approvals = approvals.iter().map(|word| word.envelope.clone()).collect();
        review(file).unwrap()
    };
    let asked = |review: &Review, skip: &[&str], only: &[&str], comment: &str| {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let args = ApproveArgs {
            change: "C-7".parse().unwrap(),
            expires: None,
            only: owned(only),
            class: Vec::new(),
            instead: false,
            skip: owned(skip),
            comment: comment.into(),
            yes: true,
            diff_to: None,
            accept_unseen: false,
            all_plans: false,
            break_glass: false,
            reason: None,
            ssh: SshArgs { ssh: None },
            json: AsJson::default(),
        };
        narrowed(review, &args, &person("peer")).map(|found| found.agents)
    };
    let fresh = review(&[]);
    let hosts: Vec<AgentId> = fresh.set.plans.keys().copied().collect();
    let name = |agent: &AgentId| fresh.plans[agent].body.hostname.clone();
    let (first, second) = (name(&hosts[0]), name(&hosts[1]));
    assert_eq!(asked(&fresh, &[], &[], "").unwrap(), None, "everybody");
    assert_eq!(asked(&fresh, &[&first], &[], "its disk is dead").unwrap(), Some(hosts[1..].to_vec()));
    for (skip, only, comment, exit) in [
        (vec![first.as_str()], vec![], " ", 2),
        (vec!["nobody"], vec![], "gone", 2),
        (vec![first.as_str()], vec![first.as_str()], "gone", 2),
        (hosts.iter().map(|host| fresh.plans[host].body.hostname.as_str()).collect(), vec![], "gone", 2),
    ] {
        assert_eq!(asked(&fresh, &skip, &only, comment).unwrap_err().exit_code(), exit, "{skip:?} {only:?}");
    }
    // Whoever was for one host only stays with it, less whoever is left out.
    let mut narrow = approval(&fresh, "peer", 2).body;
    narrow.agents = Some(hosts[..2].to_vec());
    let narrowed = review(&[Statement::sign(narrow.clone(), &key(2))]);
    assert_eq!(asked(&narrowed, &[&first], &[], "dead").unwrap(), Some(vec![hosts[1]]));
    assert_eq!(asked(&narrowed, &[&first, &second], &[], "dead").unwrap_err().exit_code(), 2);
    // Somebody else's word, or one that was taken back, is not one's own.
    let other = review(&[Statement::sign(Approval { person: person("lead"), ..narrow.clone() }, &key(1))]);
    assert_eq!(asked(&other, &[&first], &[], "dead").unwrap(), Some(hosts[1..].to_vec()));
    let back = Approval { decision: Decision::Withdraw, at: NOW.plus(1), agents: None, ..narrow.clone() };
    let back = [Statement::sign(narrow, &key(2)), Statement::sign(back, &key(2))];
    assert_eq!(asked(&review(&back), &[&first], &[], "dead").unwrap(), Some(hosts[1..].to_vec()));
}

#[test]
fn one_class_of_plans_is_approved_and_the_others_wait() {
    let review = review(file(plans(&change()))).unwrap();
    let classes = review.classes();
    assert!(classes.len() > 1, "{}", classes.len());
    let hosts =
        |number: usize| classes[number - 1].hosts.iter().map(|plan| plan.agent_id).collect::<Vec<_>>();
    assert_eq!(in_classes(&review, &[]).unwrap(), None, "everybody");
    assert_eq!(in_classes(&review, &[2]).unwrap(), Some(hosts(2)));
    let both = in_classes(&review, &[2, 1]).unwrap().unwrap();
    assert_eq!(both, [hosts(2), hosts(1)].concat());
    for bad in [0, classes.len() + 1] {
        let failure = in_classes(&review, &[bad]).unwrap_err();
        assert_eq!(failure.exit_code(), 2, "{bad}");
    }
}

/// A person's last word counts alone: a class that was approved stays approved when the next one is.
#[test]
fn one_class_after_the_other_holds_nobody_back() {
    let approved = |words: &[Statement<Approval>]| {
        let mut file = file(plans(&change()));
        file.approvals = words.iter().map(|word| word.envelope.clone()).collect();
        review(file).unwrap()
    };
    let asked = |review: &Review, words: &[&str]| {
        let words = ["x", "C-7", "--yes"].iter().chain(words);
        let Approving { args } = Approving::parse_from(words);
        narrowed(review, &args, &person("peer"))
    };
    let fresh = approved(&[]);
    let all: Vec<AgentId> = fresh.set.plans.keys().copied().collect();
    let second = asked(&fresh, &["--class", "2"]).unwrap();
    let second_only = second.agents.clone().unwrap();
    assert_eq!((second_only.len(), second.kept), (1, 0));
    let mut word = approval(&fresh, "peer", 2).body;
    word.agents = asked(&fresh, &["--class", "1"]).unwrap().agents;
    let one = approved(&[Statement::sign(word.clone(), &key(2))]);
    let both = asked(&one, &["--class", "2"]).unwrap();
    assert_eq!((both.agents, both.kept), (Some(all.clone()), 2), "both classes");
    let again = asked(&one, &["--class", "1"]).unwrap();
    assert_eq!((again.agents, again.kept), (word.agents.clone(), 0));
    // Whoever wants to hold them back says so.
    let instead = asked(&one, &["--class", "2", "--instead"]).unwrap();
    assert_eq!((instead.agents.unwrap(), instead.kept), (second_only.clone(), 0));
    // A word for a few hosts that breaks the glass takes nobody else along.
    let glass = asked(&one, &["--class", "2", "--break-glass", "--reason", "the shop is down"]).unwrap();
    assert_eq!((glass.agents.unwrap(), glass.kept), (second_only.clone(), 0));
    // Who has approved for all of them cannot mean to add one.
    word.agents = None;
    let whole = approved(&[Statement::sign(word, &key(2))]);
    let failure = asked(&whole, &["--class", "2"]).unwrap_err();
    assert_eq!(failure.exit_code(), 1);
    assert!(failure.to_string().contains("--instead"), "{failure}");
    assert_eq!(asked(&whole, &["--class", "2", "--instead"]).unwrap().agents.unwrap(), second_only);
}
