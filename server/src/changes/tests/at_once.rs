//! Two server processes on one database, and people who want different things of one change at the same moment.
//! SQLite belongs to one process, so there both share its connections.

use super::world::{NOW, Node, Reviewed, TOKEN, World};
use crate::changes::{self, store};
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::approval::Decision;
use shared::digest::Digest;
use shared::evidence::ChangeEvent;
use shared::ids::ChangeId;
use shared::ledger::{Leaf, LeafKind};
use shared::lifecycle::{Event, State};
use shared::statement::Statement;
use shared::strict;
use shared::wire::Approve;
use std::collections::BTreeMap;

/// A wish, and what became of it.
struct Said {
    action: &'static str,
    note: String,
    /// The version of the change that it was meant for.
    meant: Option<u64>,
    status: u16,
    answer: Value,
}

impl Said {
    fn code(&self) -> &str {
        self.answer["code"].as_str().unwrap_or_default()
    }
}

async fn tag(world: &World, of: &Reviewed) -> String {
    let to = format!("/v1/changes/{}", of.id);
    let token = format!("Bearer {TOKEN}");
    world.send_on(&world.node, ("GET", &to), &[("authorization", &token)], Vec::new()).await.1.unwrap()
}

async fn wish(
    world: &World,
    node: &Node,
    of: &Reviewed,
    (action, note): (&'static str, String),
    tag: Option<&str>,
) -> Said {
    let (to, token) = (format!("/v1/changes/{}/{action}", of.id), format!("Bearer {TOKEN}"));
    let mut headers = vec![("authorization", token.as_str())];
    headers.extend(tag.map(|tag| ("if-match", tag)));
    let body = strict::to_json(&json!({ "note": note }));
    let (status, _, answer) = world.insist_on(node, ("POST", &to), &headers, body).await;
    let version = |tag: &str| tag.trim_matches('"').rsplit('.').next().unwrap().parse().unwrap();
    let answer = serde_json::from_slice(&answer).unwrap_or_default();
    Said { action, note, meant: tag.map(version), status, answer }
}

/// The steps of a change as the ledger has them, in the order of its leaves.
async fn steps(world: &World, id: &ChangeId, leaves: &[Leaf]) -> Vec<ChangeEvent> {
    let of = |leaf: &&Leaf| leaf.kind == LeafKind::Audit && leaf.change.as_ref() == Some(id);
    let digests: Vec<Digest> = leaves.iter().filter(of).map(|leaf| leaf.sha256).collect();
    let wanted = digests.clone();
    let found = world.read(move |tx| crate::ledger::find_statements(tx, &wanted)).await;
    let parse = |digest| strict::from_json("a step", &found[digest], 10_000).unwrap();
    digests.iter().map(parse).collect()
}

fn event(step: &ChangeEvent) -> Event {
    use Event::{Halt, QuorumReached, Reject, Resume, Revise, Submit, Withdraw};
    let known = [Submit, Revise, QuorumReached, Reject, Withdraw, Halt, Resume];
    known.into_iter().find(|event| event.to_string() == step.event).unwrap()
}

/// What holds whoever was first: the ledger has each step once and in the order of the versions, and the change is where
/// the steps lead. Gives them back.
async fn accounted(world: &World, id: &ChangeId, leaves: &[Leaf]) -> Vec<ChangeEvent> {
    let steps = steps(world, id, leaves).await;
    let mut state = State::Draft;
    for step in &steps {
        state = state.on(event(step)).unwrap();
        assert_eq!(
            (state.as_str(), state.outcome().map(|o| o.as_str().to_owned())),
            (&*step.state, step.outcome.clone())
        );
    }
    assert!(steps.is_sorted_by(|a, b| a.version < b.version), "{}: by number {steps:?}", world.engine);
    let asked = id.clone();
    let (row, rows) =
        world.read(move |tx| Ok((changes::get(tx, &asked)?, store::list_events(tx, asked.as_str())?))).await;
    assert_eq!(row.state().unwrap(), state, "{}: the fold of what was accepted", world.engine);
    let told: Vec<_> = rows.iter().map(|row| (row.version.cast_unsigned(), &row.event, &row.note)).collect();
    let held: Vec<_> = steps.iter().map(|step| (step.version, &step.event, &step.note)).collect();
    assert_eq!(told, held, "{}: the course and the ledger say the same", world.engine);
    assert!(row.version.cast_unsigned() >= steps.last().unwrap().version);
    steps
}

/// No word of an operator is lost or done twice, and whoever named a version moved that one and no other.
#[actix_web::test]
async fn two_nodes_that_halt_and_resume_at_once_lose_no_word() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| ()).await;
        world.approve(&of, "peer").await;
        let second = world.second_node().await;
        let mut said = Vec::new();
        for round in 0..6 {
            let seen = tag(&world, &of).await;
            let wishes = (0..16).map(|n| {
                let node = if n % 4 < 2 { &world.node } else { &second };
                let what = (["halt", "resume"][n % 2], format!("{round}.{n}"));
                wish(&world, node, &of, what, (n % 8 < 4).then_some(seen.as_str()))
            });
            said.extend(join_all(wishes).await);
            // Of halt and resume one always moves it, so the page that everybody looked at is an old one now.
            let late = wish(&world, &second, &of, ("halt", format!("{round}.late")), Some(&seen)).await;
            assert_eq!((late.status, late.code()), (412, "request.other_version"), "{}", world.engine);
            said.push(late);
        }
        let steps = accounted(&world, &of.id, &world.leaves(0).await).await;
        for said in &said {
            let done: Vec<_> = steps.iter().filter(|step| step.note == said.note).collect();
            let wanted = if said.action == "halt" { "halted" } else { "running" };
            match (said.status, said.code()) {
                (200, _) => {
                    assert_eq!(said.answer["state"], wanted, "{}", said.note);
                    assert!(done.len() <= 1, "{}: {done:?}", said.note);
                    if let (Some(step), Some(meant)) = (done.first(), said.meant) {
                        assert_eq!(step.version, meant + 1, "{}: nothing came between", said.note);
                    }
                    if let (None, Some(meant)) = (done.first(), said.meant) {
                        let then = steps.iter().rfind(|step| step.version <= meant).unwrap();
                        assert_eq!(then.state, wanted, "{}: it was so already", said.note);
                    }
                }
                (409, "change.state") => assert!(done.is_empty(), "{}: refused and done", said.note),
                (412, "request.other_version") => {
                    assert!(done.is_empty() && said.meant.is_some(), "{}: refused and done", said.note);
                }
                (status, _) => panic!("{} {}: {status} {}", world.engine, said.note, said.answer),
            }
        }
        let notes: Vec<_> = said.iter().map(|said| &said.note).collect();
        let moved = steps.iter().filter(|step| notes.contains(&&step.note)).count();
        assert!(moved >= 6, "{}: each round moved it", world.engine);
        assert!(world.read(crate::ledger::check).await.is_empty());
        tokio::task::spawn_blocking(move || drop(second)).await.unwrap();
    }
}

/// The words about a change as they were accepted, one after the other: where each leads, told without the database.
#[derive(Default)]
struct Words(BTreeMap<String, (i64, Decision)>);

impl Words {
    fn add(&mut self, person: &str, at: i64, decision: Decision) {
        let last = self.0.entry(person.to_owned()).or_insert((at, decision));
        if last.0 < at {
            *last = (at, decision);
        }
    }

    /// Both have said yes last.
    fn carried(&self) -> bool {
        self.0.len() == 2 && self.0.values().all(|(_, decision)| *decision == Decision::Approve)
    }

    fn follows(&self, state: State, decision: Decision) -> Option<Event> {
        match (decision, state) {
            (Decision::Approve, State::InReview) if self.carried() => Some(Event::QuorumReached),
            (Decision::Reject, State::InReview | State::Approved) => Some(Event::Reject),
            (Decision::Withdraw, State::Approved | State::Halted) => Some(Event::Withdraw),
            _ => None,
        }
    }
}

/// What the people say about the change of this place, and when they said it.
fn votes(place: usize) -> Vec<(&'static str, i64, Decision)> {
    use Decision::{Approve, Reject, Withdraw};
    let mut votes = vec![("peer", 10, Approve), ("cora", 11, Approve)];
    match place % 4 {
        0 => votes.extend([("peer", 12, Withdraw), ("cora", 13, Reject)]),
        1 => votes.extend([("peer", 12, Withdraw), ("peer", 14, Approve)]),
        2 => votes.push(("cora", 9, Reject)),
        _ => {}
    }
    votes
}

/// Approvals, rejections, withdrawals, halts and resumes of eight changes at once, each word to both nodes: every word
/// that was accepted is in the ledger once, and the changes stand where the words lead in the ledger's order.
#[actix_web::test]
async fn two_nodes_that_hear_yes_and_no_at_once_follow_the_words_in_the_ledgers_order() {
    for mut world in World::each(2, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let mut reviewed = Vec::new();
        for _ in 0..8 {
            reviewed.push(world.in_review(&base, |_| ()).await);
        }
        world.clock.set(NOW.plus(20));
        let second = world.second_node().await;
        let nodes = [&world.node, &second];
        let mut votes_sent = Vec::new();
        let mut wishes = Vec::new();
        for (place, of) in reviewed.iter().enumerate() {
            for (person, at, decision) in votes(place) {
                let mut body = world.approval(of, person, decision);
                body.at = NOW.plus(at);
                let signed = Statement::sign(body, &super::key(super::approver(person)));
                votes_sent.push((place, signed));
            }
            wishes.extend(
                ["halt", "resume", "halt", "resume"].into_iter().enumerate().map(|(n, action)| {
                    wish(&world, nodes[n % 2], of, (action, format!("{place}.{n}")), None)
                }),
            );
        }
        let calls = votes_sent.iter().flat_map(|(place, signed)| {
            let (of, world) = (&reviewed[*place], &world);
            nodes.map(|node| async move {
                let sent = Approve { plan_set: of.plan_set(), approval: signed.envelope.clone() };
                let path = format!("/v1/changes/{}/approvals", of.id);
                let token = format!("Bearer {TOKEN}");
                let (to, headers) = (("POST", path.as_str()), [("authorization", token.as_str())]);
                let (status, _, body) = world.insist_on(node, to, &headers, strict::to_json(&sent)).await;
                (signed.digest, status, serde_json::from_slice::<Value>(&body).unwrap())
            })
        });
        let (told, wished) = tokio::join!(join_all(calls), join_all(wishes));
        let leaves = world.leaves(0).await;
        for (digest, status, answer) in &told {
            let held = leaves.iter().filter(|leaf| leaf.sha256 == *digest).count();
            match status {
                200 => assert_eq!(held, 1, "{}: {answer}", world.engine),
                409 => assert_eq!((held, &answer["code"]), (0, &json!("change.state")), "{}", world.engine),
                _ => panic!("{} {status} {answer}", world.engine),
            }
        }
        for said in &wished {
            assert!(
                matches!((said.status, said.code()), (200, _) | (409, "change.state")),
                "{}",
                said.answer
            );
        }
        let listed = world.listed().await;
        for (place, of) in reviewed.iter().enumerate() {
            let mut steps = accounted(&world, &of.id, &leaves).await.into_iter();
            let mut words = Words::default();
            let (mut state, mut due) = (State::Draft, None);
            for leaf in leaves.iter().filter(|leaf| leaf.change.as_ref() == Some(&of.id)) {
                match leaf.kind {
                    LeafKind::Approval => {
                        assert_eq!(due, None, "{}: what a word leads to comes with it", world.engine);
                        let (_, said) =
                            votes_sent.iter().find(|(_, said)| said.digest == leaf.sha256).unwrap();
                        words.add(said.body.person.as_str(), said.body.at.0 - NOW.0, said.body.decision);
                        due = words.follows(state, said.body.decision);
                    }
                    LeafKind::Audit => {
                        let step = event(&steps.next().unwrap());
                        let wished =
                            matches!(step, Event::Submit | Event::Revise | Event::Halt | Event::Resume);
                        match due.take() {
                            Some(due) => assert_eq!(step, due, "{}", world.engine),
                            None => assert!(wished, "{}: {step} without a word", world.engine),
                        }
                        state = state.on(step).unwrap();
                    }
                    _ => {}
                }
            }
            assert_eq!((due, steps.next()), (None, None), "{}", world.engine);
            let active = matches!(state, State::Approved | State::Running | State::Halted);
            let carried = active && words.carried();
            assert_eq!(listed.contains(&format!("{}.1", of.id)), carried, "{}: change {place}", world.engine);
        }
        assert!(world.read(crate::ledger::check).await.is_empty());
        tokio::task::spawn_blocking(move || drop(second)).await.unwrap();
    }
}
