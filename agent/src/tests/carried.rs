//! A person brings a word by hand while the server is away: the host verifies it by what it knows, runs it once, and tells
//! the server when it is back.

use super::Bench;
use super::site::{
    AUTHOR, FIRST, HOST, NOW, SECOND, approval, approve, behind_a_canary, canary_said, host_id, key,
};
use crate::disk::Disk;
use crate::run::Report;
use shared::approval::{Approval, BreakGlass, Decision};
use shared::bundle::Bundle;
use shared::carried::Carried;
use shared::change::Change;
use shared::digest::Digest;
use shared::receipt::HostOutcome;
use shared::refusal::Code;
use shared::statement::Statement;
use shared::time::{Interval, Timestamp};

const DAY: i64 = 86_400;
/// Long after the server's own keys have vouched for anything.
const LATER: Timestamp = Timestamp(NOW.0 + 20 * DAY);

/// A change on the shelf: its only window is weeks after everything here.
fn on_the_shelf(change: &mut Change) {
    change.intervals = vec![Interval { from: NOW.plus(80 * DAY), until: NOW.plus(80 * DAY + 3_600) }];
    change.not_after = NOW.plus(85 * DAY);
}

fn word(bundle: &Bundle, now: Timestamp, bend: impl FnOnce(&mut Approval)) -> Statement<Approval> {
    let mut word = Approval {
        expires: now.plus(3_600),
        agents: Some(vec![host_id()]),
        breakglass: Some(BreakGlass { reason: "the shop is down".into(), by_hand: true }),
        ..approval(bundle, "second", now)
    };
    bend(&mut word);
    Statement::sign(word, &key(SECOND))
}

/// What is carried, with the manifests of the site and this host's plan.
fn carried(bench: &Bench, bundle: &Bundle) -> Carried {
    let held = bench.site.0.borrow();
    let manifests = held.manifests.values().map(|bytes| String::from_utf8(bytes.clone()).unwrap()).collect();
    let plans = held.plans.values().cloned().collect();
    Carried { bundle: bundle.clone(), ends: Vec::new(), manifests, plans, artifacts: Vec::new() }
}

impl Bench {
    /// Hands these bytes over, as `assent-agent glass` does, and lets the agent work alone.
    fn hand(&mut self, bytes: &[u8]) -> Report {
        let name = format!("carried/{}.json", Digest::of(bytes));
        self.disk.write(&super::dir().join(name), bytes).unwrap();
        self.alone()
    }

    fn alone(&mut self) -> Report {
        if self.agent.is_none() {
            self.boot().unwrap();
        }
        self.agent.as_mut().unwrap().carried()
    }

    fn waiting(&self) -> Vec<String> {
        self.disk.list(&super::dir().join("carried")).unwrap()
    }

    fn goes_away(&self, now: Timestamp) {
        self.site.0.borrow_mut().online = false;
        self.at(now);
    }

    fn comes_back(&self, now: Timestamp) {
        self.site.0.borrow_mut().online = true;
        self.at(now);
        self.site.publish();
    }
}

/// A host with a plan for a change on the shelf, and the change as it would be carried to it, without a word.
fn shelf(bend: impl FnOnce(&mut Change)) -> (Bench, Bundle) {
    let mut bench = Bench::new();
    let change = bench.planned(1, |change| {
        on_the_shelf(change);
        bend(change);
    });
    let bundle = bench.site.bundle(&change);
    (bench, bundle)
}

/// Whoever breaks the glass by hand brings along how earlier hosts ended.
#[test]
fn a_carried_word_does_not_open_the_gate_of_a_later_wave() {
    let (mut bench, mut bundle) = shelf(behind_a_canary);
    bench.goes_away(LATER);
    bench.boot().unwrap();
    bench.tick();
    bundle.approvals = vec![word(&bundle, LATER, |_| {})];
    let mut file = carried(&bench, &bundle);
    assert_eq!(bench.hand(&file.to_bytes()).codes(), [Code::WaveGate]);
    file.ends = vec![canary_said(&bundle.change, HostOutcome::RolledBack, LATER.plus(-60))];
    assert_eq!(bench.hand(&file.to_bytes()).codes(), [Code::WaveGate]);
    file.ends = vec![canary_said(&bundle.change, HostOutcome::Unchanged, LATER.plus(-60))];
    let report = bench.hand(&file.to_bytes());
    assert_eq!(report.ran.len(), 1, "{:?}", report.lines);
}

#[test]
fn a_carried_word_starts_a_change_once_and_the_server_hears_of_it_when_it_is_back() {
    let (mut bench, mut bundle) = shelf(|_| {});
    bench.goes_away(LATER);
    // The host says itself that nothing starts from metadata that has ended.
    bench.boot().unwrap();
    assert_eq!(bench.tick().codes(), [Code::TufExpired]);
    bundle.approvals = vec![word(&bundle, LATER, |_| {})];
    let file = carried(&bench, &bundle).to_bytes();
    let report = bench.hand(&file);
    assert_eq!(report.ran, [("C-1".parse().unwrap(), 1, HostOutcome::Applied)], "{:?}", report.lines);
    assert_eq!((bench.motd().as_deref(), bench.waiting()), (Some("hello"), vec![]));
    // The same file again, another word for the same revision, and both after a restart: refused, on record.
    bench.machine.file("/etc/motd", "by hand\n");
    let again = word(&bundle, LATER, |w| w.nonce = "again".into());
    let other = carried(&bench, &Bundle { approvals: vec![again], ..bundle.clone() }).to_bytes();
    for (file, restarts) in [(&file, false), (&other, false), (&file, true), (&other, true)] {
        if restarts {
            bench.boot().unwrap();
        }
        assert_eq!(bench.hand(file).codes(), [Code::ChangeReplay]);
        assert_eq!(bench.waiting(), Vec::<String>::new());
    }
    assert_eq!(bench.motd().as_deref(), Some("by hand\n"));
    // Back again: the word comes before the receipt that rests on it, and only once.
    let before = bench.site.0.borrow().statements.len();
    bench.comes_back(LATER.plus(DAY));
    let report = bench.tick();
    assert_eq!(report.troubles, Vec::<String>::new());
    assert_eq!(bench.site.0.borrow().words, [(bundle.approvals[0].digest, before)]);
    let receipt = bench.site.receipts().pop().unwrap();
    assert!(receipt.breakglass);
    assert_eq!(receipt.approvals, [bundle.approvals[0].digest]);
    assert_eq!(receipt.interval, Interval { from: LATER.plus(-30), until: LATER.plus(3_600) });
    let replays = bench.site.refusals().into_iter().filter(|no| no.reason.code == Code::ChangeReplay);
    assert!(replays.inspect(|no| assert!(no.breakglass)).count() >= 1);
    bench.site.check_chain();
    // What the server lists afterwards is no replay, and runs no more.
    let told = bench.site.refusals().len();
    approve(&mut bundle, &[("first", FIRST)], LATER.plus(DAY));
    for round in 1..4 {
        bench.at(LATER.plus(DAY + round * 60));
        if round == 3 {
            bench.site.unlist_all()
        } else {
            bench.site.list(&bundle)
        }
        let report = bench.tick();
        assert_eq!((report.ran.len(), report.codes()), (0, vec![]), "{round}");
    }
    assert_eq!(bench.site.0.borrow().words.len(), 1);
    assert_eq!((bench.site.receipts().len(), bench.site.refusals().len()), (1, told));
}

#[test]
fn a_service_that_runs_takes_it_with_its_next_tick_whether_the_server_answers_or_not() {
    for online in [false, true] {
        let (mut bench, mut bundle) = shelf(|_| {});
        if online {
            bench.comes_back(LATER)
        } else {
            bench.goes_away(LATER)
        }
        bench.boot().unwrap();
        bundle.approvals = vec![word(&bundle, LATER, |_| {})];
        let file = carried(&bench, &bundle).to_bytes();
        bench.disk.write(&super::dir().join("carried/x.json"), &file).unwrap();
        let report = bench.agent.as_mut().unwrap().tick();
        assert_eq!(report.ran.len(), 1, "{:?}", report.lines);
        assert_eq!(bench.site.receipts().len(), usize::from(online));
        assert_eq!(bench.site.0.borrow().words.len(), usize::from(online));
    }
}

#[test]
fn a_host_that_lost_its_plan_and_the_manifest_gets_them_with_the_word_and_nothing_bent() {
    let lose = |bench: &mut Bench| {
        for dir in ["plans", "cache"] {
            for name in bench.disk.list(&super::dir().join(dir)).unwrap() {
                // Its policy and the stop orders are what it judges by.
                let bytes = bench.disk.read(&super::dir().join(dir).join(&name), u64::MAX).unwrap().unwrap();
                if dir == "plans" || String::from_utf8(bytes).unwrap().contains("payload") {
                    bench.disk.remove(&super::dir().join(dir).join(name)).unwrap();
                }
            }
        }
    };
    let (mut bench, mut bundle) = shelf(|_| {});
    bench.goes_away(LATER);
    bundle.approvals = vec![word(&bundle, LATER, |_| {})];
    let whole = carried(&bench, &bundle);
    lose(&mut bench);
    let mut bent = whole.clone();
    bent.manifests[0] = bent.manifests[0].replacen('A', "B", 1);
    // What is missing could only come from the server, so nothing is said and the file waits.
    for part in [Carried { plans: Vec::new(), ..whole.clone() }, bent] {
        lose(&mut bench);
        bench.boot().unwrap();
        let report = bench.hand(&part.to_bytes());
        assert_eq!((report.ran.len(), report.codes(), bench.waiting().len()), (0, vec![], 1));
        assert!(report.lines.iter().any(|line| line.contains("C-1 waits")), "{:?}", report.lines);
        let waiting = bench.waiting().remove(0);
        bench.disk.remove(&super::dir().join("carried").join(waiting)).unwrap();
    }
    lose(&mut bench);
    bench.boot().unwrap();
    assert_eq!(bench.hand(&whole.to_bytes()).ran.len(), 1);
}

/// A host with the change and its word, bent before the server goes away and after it; what it says to the file.
fn refusal(
    prepare: impl FnOnce(&mut Bench, &mut Bundle),
    now: Timestamp,
    bend: impl FnOnce(&mut Bundle),
) -> Vec<Code> {
    let (mut bench, mut bundle) = shelf(|_| {});
    prepare(&mut bench, &mut bundle);
    bench.goes_away(now);
    bench.boot().unwrap();
    bundle.approvals.push(word(&bundle, now, |_| {}));
    bend(&mut bundle);
    let before = bench.machine.world.borrow().clone();
    let report = bench.hand(&carried(&bench, &bundle).to_bytes());
    assert_eq!(report.ran, []);
    assert_eq!(*bench.machine.world.borrow(), before, "what is refused changes nothing");
    assert_eq!((bench.waiting().len(), bench.disk.list(&super::dir().join("words")).unwrap().len()), (0, 0));
    bench.comes_back(now.plus(60));
    bench.tick();
    let told: Vec<Code> = bench.site.refusals().iter().map(|no| no.reason.code).collect();
    assert!(report.codes().iter().all(|code| told.contains(code)), "it is on record: {told:?}");
    report.codes()
}

#[test]
fn every_bent_word_is_refused_and_on_record() {
    type Bend = fn(&mut Approval);
    let bends: [(&str, Bend, Code); 9] = [
        ("for other hosts", |w| w.agents = Some(vec![key(21).public().agent_id()]), Code::ApprovalQuorum),
        ("for all hosts", |w| w.agents = None, Code::ApprovalBreakGlass),
        ("not to be carried", |w| w.breakglass.as_mut().unwrap().by_hand = false, Code::ApprovalMissing),
        ("no broken glass", |w| w.breakglass = None, Code::ApprovalQuorum),
        ("no reason", |w| w.breakglass.as_mut().unwrap().reason.clear(), Code::ApprovalBreakGlass),
        ("too long", |w| w.expires = w.at.plus(4 * 3_600 + 1), Code::ApprovalBreakGlass),
        ("over", |w| (w.at, w.expires) = (LATER.plus(-7_200), LATER), Code::ApprovalExpired),
        ("not yet", |w| (w.at, w.expires) = (LATER.plus(301), LATER.plus(600)), Code::ApprovalInvalid),
        ("another plan set", |w| w.saw.plan_set = Digest::of(b"x"), Code::ApprovalQuorum),
    ];
    for (what, bend, code) in bends {
        let said = refusal(|_, _| {}, LATER, |b| b.approvals = vec![word(b, LATER, bend)]);
        assert_eq!(said, [code], "{what}");
    }
    let by = |number: u8, name: &'static str| {
        move |b: &mut Bundle| {
            let mut body = word(b, LATER, |w| w.person = name.parse().unwrap()).body;
            body.nonce = "by another key".into();
            b.approvals = vec![Statement::sign(body, &key(number))];
        }
    };
    assert_eq!(refusal(|_, _| {}, LATER, by(FIRST, "first")), [Code::ApprovalBreakGlass], "no role");
    assert_eq!(refusal(|_, _| {}, LATER, by(99, "second")), [Code::ApprovalUnknownKey], "a stranger's key");
    assert_eq!(
        refusal(|_, _| {}, LATER, by(HOST, "second")),
        [Code::ApprovalUnknownKey],
        "the host's own key"
    );
    let reject = |b: &mut Bundle| {
        let no = Approval { decision: Decision::Reject, ..approval(b, "first", LATER) };
        b.approvals.push(Statement::sign(no, &key(FIRST)));
    };
    assert_eq!(refusal(|_, _| {}, LATER, reject), [Code::ApprovalWithdrawn], "somebody said no");
}

#[test]
fn a_change_that_is_bent_or_of_another_site_is_refused() {
    let signed = |number: u8, bend: fn(&mut Change)| {
        move |b: &mut Bundle| {
            let mut body = b.change.body.clone();
            bend(&mut body);
            b.change = Statement::sign(body, &key(number));
            b.plan_set.change = b.change.digest;
            b.approvals = vec![word(b, LATER, |_| {})];
        }
    };
    let other_site: fn(&mut Change) = |c| c.site = "ffffffffffffffff".parse().unwrap();
    let other_host: fn(&mut Change) = |c| c.targets[0].key = Digest::of(b"another key");
    for (what, code, said) in [
        ("another author", Code::ChangeAuthor, refusal(|_, _| {}, LATER, signed(SECOND, |_| {}))),
        ("another site", Code::ChangeSite, refusal(|_, _| {}, LATER, signed(AUTHOR, other_site))),
        ("another host", Code::ChangeNotForMe, refusal(|_, _| {}, LATER, signed(AUTHOR, other_host))),
        // The same revision, signed twice, is not the one that this host has planned.
        (
            "other words",
            Code::ChangeRevision,
            refusal(|_, _| {}, LATER, signed(AUTHOR, |c| c.title.push('!'))),
        ),
    ] {
        assert_eq!(said, [code], "{what}");
    }
}

#[test]
fn what_the_host_knew_last_still_counts() {
    let halted = |bench: &mut Bench, _: &mut Bundle| {
        bench.site.0.borrow_mut().control.halted = vec!["C-1".parse().unwrap()];
        bench.site.publish();
        bench.tick();
    };
    assert_eq!(refusal(halted, LATER, |_| {}), [Code::ChangeHalted]);
    let rejected = |bench: &mut Bench, bundle: &mut Bundle| {
        let no = Approval { decision: Decision::Reject, ..approval(bundle, "first", NOW) };
        let listed = Bundle { approvals: vec![Statement::sign(no, &key(FIRST))], ..bundle.clone() };
        bench.site.list(&listed);
        assert_eq!(bench.tick().codes(), [Code::ApprovalWithdrawn]);
    };
    assert_eq!(refusal(rejected, LATER, |_| {}), [Code::ApprovalWithdrawn], "not brought along, and known");
    let unpublished = |bench: &mut Bench, _: &mut Bundle| {
        bench.site.0.borrow_mut().manifests.clear();
        bench.site.publish();
        bench.tick();
    };
    assert_eq!(refusal(unpublished, LATER, |_| {}), [Code::ManifestUnknown]);
    let left = |bench: &mut Bench, _: &mut Bundle| {
        let mut held = bench.site.0.borrow_mut();
        held.policy.version += 1;
        held.policy.persons.retain(|person| person.id.as_str() != "second");
        drop(held);
        bench.site.publish();
        bench.tick();
    };
    assert_eq!(refusal(left, LATER, |_| {}), [Code::ApprovalUnknownKey], "whoever gave it has left");
    let demanding = |bench: &mut Bench, _: &mut Bundle| {
        let mut held = bench.site.0.borrow_mut();
        (held.policy.version, held.policy.log.proof_before_start) = (held.policy.version + 1, true);
        drop(held);
        bench.site.publish();
        bench.tick();
    };
    assert_eq!(refusal(demanding, LATER, |_| {}), [Code::LogUnproven]);
    // Governance and publishers have signed for 400 days and not for ever.
    assert_eq!(refusal(|_, _| {}, NOW.plus(400 * DAY), |_| {}), [Code::TufExpired]);
}

#[test]
fn approvals_in_a_file_start_nothing_without_a_word() {
    let (mut bench, mut bundle) = shelf(|change| change.intervals[0].from = NOW.plus(60));
    approve(&mut bundle, &[("first", FIRST), ("second", SECOND)], NOW);
    bench.goes_away(NOW.plus(120));
    let report = bench.hand(&carried(&bench, &bundle).to_bytes());
    assert_eq!(report.codes(), [Code::ApprovalBreakGlass], "{:?}", report.lines);
    // What is no such file is refused as well, and a clock that cannot be right judges nothing.
    assert_eq!(bench.hand(b"{}").codes(), [Code::ChangeInvalid]);
    bundle.approvals = vec![word(&bundle, NOW.plus(120), |_| {})];
    let file = carried(&bench, &bundle).to_bytes();
    bench.at(NOW.plus(-7_200));
    assert_eq!((bench.hand(&file).ran.len(), bench.waiting().len(), bench.motd()), (0, 1, None));
    bench.at(NOW.plus(120));
    assert_eq!(bench.alone().ran.len(), 1);
}

#[test]
fn a_word_that_the_server_does_not_take_stays_here_and_holds_nothing_up() {
    let (mut bench, mut bundle) = shelf(|_| {});
    bench.goes_away(LATER);
    bundle.approvals = vec![word(&bundle, LATER, |_| {})];
    let file = carried(&bench, &bundle).to_bytes();
    assert_eq!(bench.hand(&file).ran.len(), 1);
    bench.comes_back(LATER.plus(60));
    bench.site.0.borrow_mut().refuse_words = true;
    assert_eq!(bench.tick().troubles, Vec::<String>::new());
    assert_eq!(bench.site.receipts().len(), 1, "the receipt does not wait for it");
    bench.site.0.borrow_mut().refuse_words = false;
    bench.tick();
    assert_eq!(bench.site.0.borrow().words, [], "nobody is asked each minute");
    bench.boot().unwrap();
    bench.tick();
    assert_eq!(bench.site.0.borrow().words.len(), 1);
}

/// Who brings a file asks the status for the reason, and no list of the server has such a change.
#[test]
fn why_a_brought_file_was_refused_stays_in_the_status() {
    let (mut bench, mut bundle) = shelf(|_| {});
    bundle.approvals.clear();
    let file = carried(&bench, &bundle).to_bytes();
    bench.disk.write(&super::dir().join("carried/a.json"), &file).unwrap();
    for minute in 0..3 {
        bench.at(super::NOW.plus(60 * minute));
        let report = bench.tick();
        let told: Vec<_> =
            report.standings.values().map(|told| (told.standing.as_str(), told.code)).collect();
        assert_eq!(told, [("refused", Some(Code::ApprovalMissing))], "{minute}: {:?}", report.lines);
    }
}
