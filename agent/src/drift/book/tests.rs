//! Which differences are one finding, and when it is said.

use super::*;
use shared::digest::Digest;

const PACE: Pace = Pace { quiet_secs: 3_600, flapping_secs: 86_400 };

fn expected(manifest: &str) -> Expected {
    Expected {
        manifest: manifest.into(),
        version: semver::Version::new(1, 0, 0),
        change_id: "C-1".parse().unwrap(),
        revision: 1,
        change: Digest::of(b"change"),
    }
}

fn differs(manifest: &str, resource: &str, observed: &str) -> (Expected, Difference) {
    let difference = Difference {
        resource: resource.parse().unwrap(),
        expected: Digest::of(b"approved"),
        observed: Some(Digest::of(observed.as_bytes())),
        summary: observed.into(),
        diff: Some("- a\n+ b\n".into()),
    };
    (expected(manifest), difference)
}

/// Numbers and presence of what is said at this moment.
fn say(book: &mut Book, at: i64) -> Vec<(u64, Presence, u32)> {
    let due = book.due(Timestamp(at), PACE);
    for entry in &due {
        book.said(entry.number, Timestamp(at));
    }
    due.iter().map(|e| (e.number, e.presence, e.count)).collect()
}

#[test]
fn what_is_noticed_together_is_one_finding_and_what_comes_later_is_another() {
    let mut book = Book::default();
    let (a, b) = (differs("ops/base", "file:/a", "x"), differs("ops/base", "file:/b", "x"));
    let other = differs("ops/web", "file:/c", "x");
    assert!(book.update(vec![a.clone(), b.clone(), other.clone()], Timestamp(100)));
    assert_eq!(say(&mut book, 100), [(1, Presence::There, 1), (2, Presence::There, 1)]);
    assert_eq!(book.entries()[0].differences.len(), 2);
    // Nothing new: nothing to keep and nothing to say, but it is still there.
    assert!(!book.update(vec![a.clone(), b.clone(), other.clone()], Timestamp(200)));
    assert_eq!(say(&mut book, 200), []);
    assert_eq!(book.entries()[0].last_seen, Timestamp(200));
    let later = differs("ops/base", "file:/d", "x");
    assert!(book.update(vec![a, b, other, later], Timestamp(300)));
    assert_eq!(say(&mut book, 300), [(3, Presence::There, 1)]);
}

#[test]
fn a_finding_that_looks_otherwise_is_said_again_after_the_quiet_time() {
    let mut book = Book::default();
    book.update(vec![differs("ops/base", "file:/a", "x")], Timestamp(0));
    assert_eq!(say(&mut book, 0), [(1, Presence::There, 1)]);
    for at in 1..10 {
        assert!(book.update(vec![differs("ops/base", "file:/a", &at.to_string())], Timestamp(at)));
        assert_eq!(say(&mut book, at), []);
    }
    assert_eq!(say(&mut book, 3_600), [(1, Presence::There, 10)]);
    assert_eq!(book.entries()[0].differences[0].summary, "9");
    // One of two differences went: the finding looks otherwise.
    book.update(
        vec![differs("ops/base", "file:/z", "x"), differs("ops/base", "file:/y", "x")],
        Timestamp(4_000),
    );
    assert_eq!(say(&mut book, 4_000), [(1, Presence::Gone, 10), (2, Presence::There, 1)]);
    book.update(vec![differs("ops/base", "file:/z", "x")], Timestamp(9_000));
    assert_eq!(say(&mut book, 9_000), [(2, Presence::There, 2)]);
}

#[test]
fn a_finding_that_is_gone_is_said_at_once_and_is_the_same_when_it_comes_back() {
    let mut book = Book::default();
    let a = || vec![differs("ops/base", "file:/a", "x")];
    book.update(a(), Timestamp(0));
    assert_eq!(say(&mut book, 0), [(1, Presence::There, 1)]);
    book.update(vec![], Timestamp(10));
    assert_eq!(say(&mut book, 10), [(1, Presence::Gone, 1)]);
    book.update(a(), Timestamp(5_000));
    assert_eq!(say(&mut book, 5_000), [(1, Presence::There, 2)]);
    book.update(vec![], Timestamp(6_000));
    assert_eq!(say(&mut book, 6_000), [(1, Presence::Gone, 2)]);
    // From now on it flaps: one statement a day, with the whole count.
    for round in 0..20 {
        let at = 7_000 + round * 1_000;
        book.update(if round % 2 == 0 { a() } else { vec![] }, Timestamp(at));
        let said = say(&mut book, at);
        assert!(said.is_empty() || book.entries()[0].turns.len() < FLAPS, "{at}: {said:?}");
    }
    assert!(book.entries()[0].is_flapping());
    assert_eq!(say(&mut book, 7_000 + 86_400).len(), 1);
    // Long gone, it is forgotten; its number is not given away again.
    book.update(vec![], Timestamp(400_000));
    say(&mut book, 400_000);
    book.update(vec![], Timestamp(600_000));
    assert!(book.entries().is_empty());
    book.update(a(), Timestamp(600_001));
    assert_eq!(say(&mut book, 600_001), [(2, Presence::There, 1)]);
}

#[test]
fn a_clock_that_was_ahead_silences_nothing() {
    let mut book = Book::default();
    book.update(vec![differs("ops/base", "file:/a", "x")], Timestamp(1_000_000));
    say(&mut book, 1_000_000);
    book.update(vec![differs("ops/base", "file:/a", "y")], Timestamp(10));
    assert_eq!(say(&mut book, 10), [(1, Presence::There, 2)]);
}

fn event(
    when: &str,
    name: &str,
    from: Option<&str>,
    to: Option<&str>,
    command: Option<&str>,
) -> PackageEvent {
    let cause = command.map(|command| crate::host::Cause {
        began: "2026-11-20 17:00:00".into(),
        command: command.into(),
        by: "app (1001)".into(),
    });
    let text = |version: Option<&str>| version.map(str::to_owned);
    PackageEvent { when: when.into(), name: name.into(), from: text(from), to: text(to), cause }
}

#[test]
fn what_the_agent_did_itself_is_no_finding_and_the_rest_is_one_for_each_transaction() {
    let mut book = Book::default();
    let at = |transaction| Place { transaction, ..Place::default() };
    assert!(book.reconcile(vec![], at(1), Timestamp(0)));
    assert!(!book.reconcile(vec![], at(1), Timestamp(1)), "nothing new is nothing to keep");
    let own = |name: &str, to: Option<&str>| Own { name: name.into(), to: to.map(str::to_owned) };
    book.expect(vec![own("curl", Some("2")), own("wget", None)]);
    let events = vec![
        event("2026-11-20 17:00:01", "curl", Some("1"), Some("2"), Some("assent")),
        event("2026-11-20 17:00:02", "nano", None, Some("7"), Some("apt-get install nano")),
        event("2026-11-20 17:00:03", "dash", Some("1"), Some("1"), None),
        event("2026-11-20 17:00:04", "vim", Some("8"), Some("9"), Some("apt-get install nano")),
        event("2026-11-20 17:00:05", "wget", Some("1"), None, None),
        event("2026-11-20 17:00:06", "curl", Some("2"), Some("3"), None),
        event("2026-11-20 17:00:59", "curl", Some("3"), Some("2"), None),
        event("2026-11-20 17:05:00", "tar", Some("1"), None, None),
    ];
    assert!(book.reconcile(events, at(9), Timestamp(100)));
    let told: Vec<_> =
        book.entries().iter().map(|e| (e.differences.len(), e.differences[0].summary.as_str())).collect();
    assert_eq!(
        told,
        [(2, "nano 7 was installed"), (1, "curl was changed from 2 to 2"), (1, "tar 1 was removed")]
    );
    let About::Packages(first) = &book.entries()[0].about else { panic!("a transaction") };
    assert_eq!((first.command.as_str(), first.by.as_str()), ("apt-get install nano", "app (1001)"));
    // A check of states leaves them alone; once said they are over.
    book.update(vec![], Timestamp(200));
    assert_eq!(
        say(&mut book, 200),
        [(1, Presence::Happened, 1), (2, Presence::Happened, 1), (3, Presence::Happened, 1)]
    );
    assert_eq!(book.entries(), []);
    // What the agent had expected and what did not come explains nothing later.
    book.expect(vec![own("git", Some("2"))]);
    assert!(book.reconcile(vec![], at(9), Timestamp(300)));
    book.reconcile(
        vec![event("2026-11-20 18:00:00", "git", Some("1"), Some("2"), None)],
        at(10),
        Timestamp(400),
    );
    assert_eq!(say(&mut book, 400), [(4, Presence::Happened, 1)]);
}

#[test]
fn a_package_of_a_foreign_architecture_is_another_than_the_machine_s_own() {
    let mut book = Book::default();
    book.expect(vec![Own { name: "libc6:i386".into(), to: Some("2.36".into()) }]);
    let at = "2026-11-20 17:00:00";
    let events = ["libc6:i386", "libc6", "libz:i386", "libz"]
        .map(|name| event(at, name, Some("2.35"), Some("2.36"), None))
        .to_vec();
    book.reconcile(events, Place::default(), Timestamp(100));
    let told: Vec<&str> = book.entries()[0].differences.iter().map(|d| d.resource.as_str()).collect();
    assert_eq!(told, ["package:libc6", "package:libz", "package:libz:i386"]);
}

#[test]
fn thousands_of_differences_fit_into_one_statement() {
    let found = (0..1_500).map(|n| {
        let (expected, mut difference) = differs("ops/base", &format!("file:/{n:04}"), "x");
        difference.diff = Some("x".repeat(16 << 10));
        (expected, difference)
    });
    let mut book = Book::default();
    book.update(found.collect(), Timestamp(0));
    let entry = &book.entries()[0];
    assert_eq!((entry.differences.len(), entry.more), (KEPT, 1_300));
    let shown: usize = entry.differences.iter().filter_map(|d| d.diff.as_ref()).map(String::len).sum();
    assert!((DIFFS_BYTES / 2..=DIFFS_BYTES).contains(&shown), "{shown}");
    // What several steps of one resource say together may be longer than one of them.
    let (expected, mut joined) = differs("ops/base", "timer:x", "x");
    joined.diff = Some("x".repeat(40 << 10));
    let mut other = Book::default();
    other.update(vec![(expected, joined)], Timestamp(0));
    assert_eq!(other.entries()[0].differences[0].diff, None);
    assert!(shared::strict::to_json(&book.stripped()).len() < 100_000);
    let long = (0..1_500).map(|n| differs("ops/base", &format!("file:/{}{n:04}", "x".repeat(280)), "x"));
    let mut book = Book::default();
    book.update(long.collect(), Timestamp(0));
    assert_eq!((book.entries()[0].differences.len(), book.entries()[0].more), (112, 1_388));
}

fn of_package(name: &str, version: &str) -> (Expected, Difference) {
    differs("ops/base", &format!("package:{name}"), version)
}

fn by(command: &str, name: &str, from: &str, to: &str) -> PackageEvent {
    event("2026-11-20 17:00:01", name, Some(from), Some(to), Some(command))
}

/// What is said now: number, presence, resources and the command that was behind it.
fn words(book: &mut Book, at: i64) -> Vec<(u64, Presence, Vec<String>, Option<String>)> {
    let due = book.due(Timestamp(at), PACE);
    due.iter().for_each(|entry| book.said(entry.number, Timestamp(at)));
    let words = |entry: &Entry| {
        let what = entry.told().iter().map(|d| d.resource.to_string()).collect();
        let about = if let About::Packages(done) = &entry.about { Some(done) } else { entry.cause() };
        (entry.number, entry.presence, what, about.map(|done| done.command.clone()))
    };
    due.iter().map(words).collect()
}

fn said(
    number: u64,
    presence: Presence,
    what: &[&str],
    command: Option<&str>,
) -> (u64, Presence, Vec<String>, Option<String>) {
    (number, presence, what.iter().map(|id| (*id).to_owned()).collect(), command.map(str::to_owned))
}

#[test]
fn a_difference_and_what_others_did_that_it_comes_from_are_one_finding() {
    let mut book = Book::default();
    book.reconcile(vec![], Place::default(), Timestamp(0));
    let upgrade = "apt-get upgrade";
    let events = vec![
        by(upgrade, "curl", "1", "2"),
        by(upgrade, "nano", "6", "7"),
        by("apt install wget", "wget", "1", "2"),
    ];
    book.reconcile(events, Place::default(), Timestamp(100));
    // As it would be read again after a crash between the two.
    let mut book: Book = serde_json::from_slice(&strict::to_json(&book.stripped())).unwrap();
    let there = || vec![of_package("curl", "2"), differs("ops/base", "file:/a", "x")];
    assert!(book.update(there(), Timestamp(100)));
    assert_eq!(
        words(&mut book, 100),
        [
            said(2, Presence::Happened, &["package:wget"], Some("apt install wget")),
            said(3, Presence::There, &["file:/a"], None),
            said(4, Presence::There, &["package:curl", "package:nano"], Some(upgrade)),
        ]
    );
    assert!(!book.update(there(), Timestamp(200)), "it lasts");
    assert_eq!(words(&mut book, 200), []);
    // An approved change brings it back: nobody else ended it, and what was told beside it stays with it.
    book.update(vec![differs("ops/base", "file:/a", "x")], Timestamp(300));
    assert_eq!(words(&mut book, 300), [said(4, Presence::Gone, &["package:curl", "package:nano"], None)]);
    // Others do it again: the same finding with the new doing.
    book.reconcile(vec![by("apt install curl", "curl", "1", "2")], Place::default(), Timestamp(400));
    book.update(there(), Timestamp(400));
    assert_eq!(
        words(&mut book, 400),
        [said(4, Presence::There, &["package:curl"], Some("apt install curl"))]
    );
}

#[test]
fn every_doing_is_told_once_whatever_else_comes_before_it_is_told() {
    let mut book = Book::default();
    book.reconcile(vec![], Place::default(), Timestamp(0));
    // Somebody used the package manager: the difference is there before its record can be read.
    book.update(vec![of_package("curl", "2")], Timestamp(100));
    assert_eq!(words(&mut book, 100), [said(1, Presence::There, &["package:curl"], None)]);
    book.reconcile(vec![by("first", "curl", "1", "2")], Place::default(), Timestamp(200));
    assert!(book.update(vec![of_package("curl", "2")], Timestamp(200)));
    // Nothing could be said yet, and there comes another one.
    book.reconcile(vec![by("second", "curl", "2", "3")], Place::default(), Timestamp(300));
    book.update(vec![of_package("curl", "3")], Timestamp(300));
    assert_eq!(
        words(&mut book, 300),
        [
            said(1, Presence::There, &["package:curl"], Some("first")),
            said(3, Presence::Happened, &["package:curl"], Some("second")),
        ]
    );
    // Who brings back by hand what was approved ends the finding, and begins no other one.
    book.reconcile(vec![by("back", "curl", "3", "1")], Place::default(), Timestamp(400));
    book.update(vec![], Timestamp(400));
    assert_eq!(words(&mut book, 400), [said(1, Presence::Gone, &["package:curl"], Some("back"))]);
    // What else was done at that is for people to judge.
    book.reconcile(vec![by("again", "curl", "1", "2")], Place::default(), Timestamp(500));
    book.update(vec![of_package("curl", "2")], Timestamp(500));
    words(&mut book, 500);
    let events = vec![by("back", "curl", "2", "1"), by("back", "telnetd", "1", "2")];
    book.reconcile(events, Place::default(), Timestamp(600));
    book.update(vec![], Timestamp(600));
    let all = words(&mut book, 600);
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all.contains(&said(1, Presence::Gone, &["package:curl"], None)), "{all:?}");
    assert_eq!((all[1].1, all[1].2.len()), (Presence::Happened, 2));
}

#[test]
fn what_two_approved_states_differ_by_has_one_doing_and_what_it_did_beside_is_told_once() {
    let mut book = Book::default();
    book.reconcile(vec![], Place::default(), Timestamp(0));
    let all = ["curl", "nano", "wget"].map(|name| by("apt-get upgrade", name, "1", "2"));
    book.reconcile(all.to_vec(), Place::default(), Timestamp(100));
    book.update(vec![of_package("curl", "2"), differs("ops/web", "package:wget", "2")], Timestamp(100));
    let upgrade = Some("apt-get upgrade");
    assert_eq!(
        words(&mut book, 100),
        [
            said(2, Presence::There, &["package:curl", "package:nano"], upgrade),
            said(3, Presence::There, &["package:wget"], upgrade),
        ]
    );
}

#[test]
fn a_book_that_a_later_agent_kept_is_read_and_goes_on_from_the_same_place() {
    let mut book = Book::default();
    book.reconcile(vec![], Place { transaction: 7, ..Place::default() }, Timestamp(0));
    book.update(vec![of_package("curl", "2")], Timestamp(100));
    let mut kept = serde_json::to_value(&book).unwrap();
    let later = serde_json::json!({ "of": "a later version" });
    kept["later"] = later.clone();
    kept["entries"][0]["later"] = later.clone();
    kept["read"]["later"] = later;
    let read: Book = serde_json::from_value(kept).unwrap();
    assert_eq!(read, book);
}
