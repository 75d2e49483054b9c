//! Telling of a run: in order, signed, and never in the run's way.

use super::*;
use crate::clock::Clock;
use shared::digest::Digest;
use shared::progress::open_progress;
use shared::receipt::TufVersions;
use shared::time::{Interval, Timestamp};
use std::collections::BTreeSet;

const SITE: &str = "00112233aabbccdd";

/// The server's end of the line: what it got, and how it behaves.
#[derive(Default)]
struct Held {
    got: Vec<Envelope>,
    /// So many calls fail first.
    away: usize,
    slow: Duration,
    refuses: Option<u16>,
    news: bool,
    kept: Vec<AskSlots>,
}

#[derive(Clone, Default)]
struct Wire(Arc<Mutex<Held>>);

impl Line for Wire {
    fn tell(&mut self, message: &Envelope) -> Result<(), NetError> {
        let slow = self.0.lock().unwrap().slow;
        thread::sleep(slow);
        let mut held = self.0.lock().unwrap();
        if held.away > 0 {
            held.away -= 1;
            return Err(NetError::Unreachable { address: "test".into(), why: "away".into() });
        }
        if let Some(status) = held.refuses {
            let (what, code, message) = ("x".into(), "x".into(), "x".into());
            return Err(NetError::Refused { what, status, code, message, retry_after_secs: None });
        }
        held.got.push(message.clone());
        Ok(())
    }

    fn keep_slots(&mut self, ask: &AskSlots) -> Result<Slots, NetError> {
        self.0.lock().unwrap().kept.push(*ask);
        Ok(Slots::Returned)
    }

    fn has_news(&mut self) -> Result<bool, NetError> {
        Ok(std::mem::take(&mut self.0.lock().unwrap().news))
    }
}

fn speaker() -> Speaker {
    let running = Running {
        change_id: "C-7".parse().unwrap(),
        revision: 1,
        change: Digest::of(b"change"),
        not_after: Timestamp(9_000),
        wave: 0,
        interval: Interval { from: Timestamp(0), until: Timestamp(9_000) },
        plan: Digest::of(b"plan"),
        plan_set: Digest::of(b"set"),
        approvals: Vec::new(),
        policy: Digest::of(b"policy"),
        policy_version: 1,
        self_approved: false,
        breakglass: false,
        by_hand: false,
        tuf: TufVersions { root: 1, timestamp: 1, snapshot: 1, targets: 1 },
        started: Timestamp(1_000),
        manifests: Vec::new(),
        part: 2,
        slots: BTreeSet::new(),
        correction: None,
    };
    let key = Arc::new(SigningKey::from_seed(&[7; 32]));
    Speaker { site: SITE.parse().unwrap(), key, running }
}

fn start(wire: &Wire) -> Teller {
    Teller::start(Box::new(wire.clone()), speaker(), Clock::fixed(Timestamp(1_001)), true)
}

fn note(n: usize) -> What {
    What::Note { text: n.to_string() }
}

/// All that the server got: numbers, lost events, texts.
fn got(wire: &Wire) -> (Vec<u64>, u64, Vec<String>) {
    let (mut numbers, mut lost, mut texts) = (Vec::new(), 0, Vec::new());
    for envelope in &wire.0.lock().unwrap().got {
        let body = open_progress(&envelope.to_bytes(), &SITE.parse().unwrap()).unwrap().body;
        assert_eq!((body.part, body.change, body.started), (2, Digest::of(b"change"), Timestamp(1_000)));
        numbers.push(body.number);
        lost += body.lost;
        texts.extend(body.events.into_iter().map(|event| match event.what {
            What::Note { text } => text,
            other => panic!("{other:?}"),
        }));
    }
    (numbers, lost, texts)
}

#[test]
fn all_events_arrive_in_their_order_in_few_signed_messages() {
    let wire = Wire::default();
    let teller = start(&wire);
    (0..200).for_each(|n| teller.ear().say(note(n)));
    teller.end();
    let (numbers, lost, texts) = got(&wire);
    assert!(numbers.len() <= 10 && numbers.iter().copied().eq(1..=numbers.len() as u64), "{numbers:?}");
    assert_eq!((lost, texts), (0, (0..200).map(|n| n.to_string()).collect()));
}

#[test]
fn a_server_that_hangs_costs_the_run_no_time_and_what_is_left_out_is_counted() {
    let wire = Wire::default();
    wire.0.lock().unwrap().slow = Duration::from_millis(500);
    let teller = start(&wire);
    let (ear, begun) = (teller.ear(), Instant::now());
    (0..20_000).for_each(|n| ear.say(note(n)));
    assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
    thread::sleep(Duration::from_millis(1_200));
    wire.0.lock().unwrap().slow = Duration::ZERO;
    ear.say(note(20_000));
    let ended = Instant::now();
    teller.end();
    assert!(ended.elapsed() < END + Duration::from_secs(1));
    let (_, lost, texts) = got(&wire);
    assert_eq!(lost + texts.len() as u64, 20_001, "each is told or counted");
    assert!(lost > 0 && texts.last().is_some_and(|last| last == "20000"), "{lost}");
}

#[test]
fn the_end_of_a_run_waits_only_a_moment_for_a_server_that_says_nothing() {
    let wire = Wire::default();
    wire.0.lock().unwrap().slow = Duration::from_secs(8);
    let teller = start(&wire);
    teller.ear().say(note(1));
    thread::sleep(Duration::from_millis(300));
    let ended = Instant::now();
    teller.end();
    assert!(ended.elapsed() < END + Duration::from_secs(1), "{:?}", ended.elapsed());
}

#[test]
fn what_a_server_missed_while_it_was_away_is_told_when_it_is_back() {
    let wire = Wire::default();
    wire.0.lock().unwrap().away = 1;
    let teller = start(&wire);
    teller.ear().say(note(0));
    thread::sleep(Duration::from_millis(300));
    assert!(got(&wire).0.is_empty());
    teller.ear().say(note(1));
    teller.end();
    assert_eq!(got(&wire), (vec![1, 2], 0, vec!["0".into(), "1".into()]));
}

#[test]
fn what_is_refused_for_good_is_let_go_of_and_what_came_too_soon_is_not() {
    for (status, told) in [(404, 0), (429, 1)] {
        let wire = Wire::default();
        wire.0.lock().unwrap().refuses = Some(status);
        let teller = start(&wire);
        teller.ear().say(note(0));
        thread::sleep(Duration::from_millis(300));
        wire.0.lock().unwrap().refuses = None;
        teller.end();
        assert_eq!(got(&wire).2.len(), told, "{status}");
    }
}

#[test]
fn news_of_the_server_are_heard_beside_the_run() {
    let wire = Wire::default();
    wire.0.lock().unwrap().news = true;
    let teller = start(&wire);
    let begun = Instant::now();
    while !teller.has_news() {
        assert!(begun.elapsed() < Duration::from_secs(5));
        thread::sleep(Duration::from_millis(20));
    }
    assert!(!teller.has_news(), "each is told once");
    wire.0.lock().unwrap().news = true;
    thread::sleep(LOOK_EVERY + Duration::from_millis(500));
    assert!(teller.has_news());
    teller.end();
}

#[test]
fn the_slots_of_a_run_are_kept_beside_it_and_one_without_any_asks_for_nothing() {
    for (slots, kept) in [(BTreeSet::new(), false), (BTreeSet::from(["db".parse().unwrap()]), true)] {
        let wire = Wire::default();
        let mut speaker = speaker();
        speaker.running.slots = slots;
        let teller = Teller::start(Box::new(wire.clone()), speaker, Clock::fixed(Timestamp(1_001)), true);
        // A run that went on after a restart asks at once, too.
        thread::sleep(Duration::from_millis(500));
        teller.end();
        let ask = AskSlots { change: Digest::of(b"change"), wish: SlotWish::Keep };
        assert_eq!(wire.0.lock().unwrap().kept, vec![ask; usize::from(kept)]);
    }
}
