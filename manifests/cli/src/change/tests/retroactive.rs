//! What a reviewer sees of a retroactive change, and what is refused before anybody is asked: findings of others.

use super::record::{Bend, check_refused, check_review};
use super::*;
use shared::finding::{About, Difference, Expected, Finding, Presence, Transaction};

/// What hosts 10, 11 (the same) and 12 (another text, brought about by packages) found and signed.
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
        cause: (n == 12).then(|| Transaction {
            when: "2026-11-20 17:00:00".into(),
            command: "apt-get \u{1b}[2Jupgrade".into(),
            by: "ada (1000)".into(),
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

fn sent() -> ChangeFile {
    let words = record::words("Hotfix of last night", "the mail queue was full", "a change brings it back");
    let target = |k: &shared::keys::PublicKey| Target { agent: k.agent_id(), key: k.digest() };
    let found = found();
    let mut file =
        record::sent(words.accepting(found.iter().map(|f| (target(&f.body.header.key), f.digest))));
    file.line.retroactive = true;
    file.findings = found.into_iter().map(|found| found.envelope).collect();
    file
}

#[test]
fn the_reviewer_sees_what_hosts_found_and_that_nothing_is_run() {
    check_review("retroactive", sent);
}

#[test]
fn findings_that_the_change_does_not_accept_are_refused() {
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
    check_refused(sent, &bends);
}
