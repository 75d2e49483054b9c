//! Somebody breaks the glass: the host starts outside of windows on one word, once, and says so in all it signs.

use super::Bench;
use super::site::{FIRST, NOW, SECOND, approval, key};
use shared::approval::{Approval, BreakGlass};
use shared::bundle::Bundle;
use shared::change::Change;
use shared::receipt::HostOutcome;
use shared::refusal::Code;
use shared::statement::Statement;
use shared::time::Interval;

/// Two ordinary voices would have to wait until tomorrow.
fn tomorrow(change: &mut Change) {
    change.intervals = vec![Interval { from: NOW.plus(86_400), until: NOW.plus(90_000) }];
}

fn broken(bundle: &Bundle, name: &str, number: u8, bend: impl FnOnce(&mut Approval)) -> Statement<Approval> {
    let mut word = Approval {
        expires: NOW.plus(3_600),
        breakglass: Some(BreakGlass { reason: "the shop is down".into(), by_hand: false }),
        ..approval(bundle, name, NOW)
    };
    bend(&mut word);
    Statement::sign(word, &key(number))
}

#[test]
fn one_word_starts_a_change_outside_of_its_window_once() {
    let mut bench = Bench::new();
    let mut bundle = bench.approved(1, tomorrow);
    bench.refuses(&bundle, Code::TimeWindow);
    bundle.approvals = vec![broken(&bundle, "second", SECOND, |_| {})];
    bench.site.list(&bundle);
    let report = bench.tick();
    assert_eq!(report.ran, [("C-1".parse().unwrap(), 1, HostOutcome::Applied)], "{:?}", report.lines);
    let receipt = bench.site.receipts().pop().unwrap();
    assert!(receipt.breakglass);
    assert_eq!(receipt.approvals, [bundle.approvals[0].digest]);
    assert_eq!(receipt.interval, Interval { from: NOW.plus(-30), until: NOW.plus(3_600) });
    assert_eq!(bench.motd().as_deref(), Some("hello"));
    // Neither the same word nor another one runs it again, also after a restart.
    bench.machine.file("/etc/motd", "by hand\n");
    for word in
        [bundle.approvals.clone(), vec![broken(&bundle, "second", SECOND, |a| a.nonce = "again".into())]]
    {
        bundle.approvals = word;
        bench.site.list(&bundle);
        bench.boot().unwrap();
        assert_eq!(bench.tick().ran, []);
    }
    assert_eq!(bench.motd().as_deref(), Some("by hand\n"));
    assert_eq!(bench.site.receipts().len(), 1);
}

#[test]
fn the_host_holds_it_to_every_limit_itself_and_marks_what_it_refuses() {
    type Bend = fn(&mut Approval);
    let cases: [(&str, &str, u8, Bend, Code); 5] = [
        ("no role", "first", FIRST, |_| {}, Code::ApprovalBreakGlass),
        (
            "no reason",
            "second",
            SECOND,
            |a| a.breakglass.as_mut().unwrap().reason.clear(),
            Code::ApprovalBreakGlass,
        ),
        ("too long", "second", SECOND, |a| a.expires = a.at.plus(4 * 3_600 + 1), Code::ApprovalBreakGlass),
        ("over", "second", SECOND, |a| a.expires = NOW, Code::ApprovalExpired),
        ("for others", "second", SECOND, |a| a.agents = Some(vec![]), Code::ApprovalQuorum),
    ];
    for (why, name, number, bend, code) in cases {
        let mut bench = Bench::new();
        let mut bundle = bench.approved(1, tomorrow);
        bundle.approvals = vec![broken(&bundle, name, number, bend)];
        bench.refuses(&bundle, code);
        assert!(bench.site.refusals().iter().all(|refusal| refusal.breakglass), "{why}");
    }
    let mut bench = Bench::new();
    let bundle = bench.approved(1, tomorrow);
    bench.refuses(&bundle, Code::TimeWindow);
    assert!(bench.site.refusals().iter().all(|refusal| !refusal.breakglass));
}
