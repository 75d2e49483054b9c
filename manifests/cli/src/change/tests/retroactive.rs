//! What a reviewer sees of a retroactive change, and what is refused before anybody is asked: findings of others.

use super::*;
use crate::change::forecast;
use shared::finding::{About, Difference, Expected, Finding, Presence};

/// What hosts 10, 11 (the same) and 12 (another text) found and signed.
fn found() -> Vec<Statement<Finding>> {
    [(10, "by hand"), (11, "by hand"), (12, "by others \u{1b}[2J")].map(|(n, text)| finding(n, text)).into()
}

fn finding(n: u8, text: &str) -> Statement<Finding> {
    let header =
        Header { agent_id: key(n).public().agent_id(), key: key(n).public(), ..refusal().body.header };
    let body = Finding {
        header,
        number: 1,
        about: About::State(Expected {
            manifest: "main/web-base".into(),
            version: semver::Version::new(1, 2, 0),
            change_id: "C-7".parse().unwrap(),
            revision: 1,
            change: change().digest,
        }),
        differences: vec![Difference {
            resource: "file:/etc/motd".parse().unwrap(),
            expected: Digest::of(b"approved"),
            observed: Some(Digest::of(text.as_bytes())),
            summary: "content".into(),
            diff: Some(format!("-{text}\n+hello\n")),
        }],
        more: 0,
        first_seen: NOW.plus(-1_000),
        last_seen: NOW.plus(-900),
        count: 1,
        flapping: false,
        presence: Presence::There,
        note: String::new(),
    };
    Statement::sign(body, &key(n))
}

fn accepting(found: &[Statement<Finding>]) -> Statement<Change> {
    let words = Change {
        change_id: "C-8".parse().unwrap(),
        title: "Hotfix of last night".into(),
        reason: "the mail queue was full".into(),
        undo: UndoPlan { text: "a change brings it back".into(), automatic: false },
        ..change().body
    };
    let target = |k: &shared::keys::PublicKey| Target { agent: k.agent_id(), key: k.digest() };
    let body = words.accepting(found.iter().map(|f| (target(&f.body.header.key), f.digest)));
    assert_eq!(body.problems(), Vec::<String>::new());
    Statement::sign(body, &key(1))
}

fn sent() -> ChangeFile {
    let change = accepting(&found());
    let mut file = file(vec![]);
    file.line.change_id = change.body.change_id.clone();
    (file.line.state, file.line.retroactive) = ("review".into(), true);
    (file.change, file.refusals) = (change.envelope, vec![]);
    file.findings = found().into_iter().map(|found| found.envelope).collect();
    file
}

fn reviewed(file: ChangeFile) -> Done<Review> {
    Review::of(&policy(), &"C-8".parse().unwrap(), file, manifest, NOW)
}

#[test]
fn the_reviewer_sees_what_hosts_found_and_that_nothing_is_run() {
    let review = reviewed(sent()).unwrap();
    review.check_approvable().unwrap();
    check_golden("retroactive.en.txt", &page(&review, Lang::En));
    check_golden("retroactive.de.txt", &page(&review, Lang::De));
    assert!(!page(&review, Lang::En).contains('\u{1b}'), "a host steers the terminal");
    let mut draft = sent();
    draft.line.state = "draft".into();
    let failure = reviewed(draft).unwrap().check_approvable().unwrap_err();
    assert!(failure.to_string().contains("assent change submit C-8"), "{failure}");
}

#[test]
fn what_an_approval_would_come_to_is_told_before_the_server_says_anything() {
    let review = reviewed(sent()).unwrap();
    let verdict = |who: &str, n: u8| {
        let yes = approval(&review, who, n);
        forecast::acceptance(&policy(), &review, &yes, NOW).verdict.map_err(|refused| refused.code)
    };
    assert_eq!(verdict("peer", 2), Ok([person("peer")].into()));
    assert_eq!(verdict("lead", 1), Err(Code::ApprovalQuorum));
}

/// Each entry bends what the server sends; nothing of it may reach the question.
#[test]
fn findings_that_the_change_does_not_accept_are_refused() {
    type Bend = fn(&mut ChangeFile);
    let bends: [(&str, Bend); 4] = [
        ("one is missing", |f| drop(f.findings.pop())),
        ("another one of the same host", |f| f.findings[0] = finding(10, "something else").envelope),
        ("signed by another host", |f| {
            f.findings[0] = Statement::sign(finding(10, "by hand").body, &key(11)).envelope;
        }),
        ("altered after signing", |f| {
            let text = String::from_utf8(f.findings[0].payload.clone()).unwrap();
            f.findings[0].payload = text.replace("by hand", "by hanx").into_bytes();
        }),
    ];
    for (what, bend) in bends {
        let mut bent = sent();
        bend(&mut bent);
        let failure = reviewed(bent).err().unwrap_or_else(|| panic!("accepted: {what}"));
        assert_eq!(failure.exit_code(), 1, "{what}: {failure}");
    }
}
