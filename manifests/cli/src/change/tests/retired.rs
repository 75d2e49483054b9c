//! What a reviewer sees of a change that retires hosts, and what is refused before anybody is asked: enrolments of others.

use super::record::{Bend, check_refused, check_review};
use super::*;
use shared::receipt::Enrolment;

/// How a host joined.
fn joined(n: u8, hostname: &str, class: &str) -> Statement<Enrolment> {
    let header = Header {
        agent_id: key(n).public().agent_id(),
        key: key(n).public(),
        host_class: class.parse().unwrap(),
        seq: 1,
        prev: None,
        at: NOW.plus(-i64::from(n) * 86_400),
        ..refusal().body.header
    };
    let (hostname, token) = (hostname.into(), Digest::of(b"token"));
    let body = Enrolment { header, hostname, token, csr: "csr".into(), recipient: None, came_from: None };
    Statement::sign(body, &key(n))
}

/// Host 10 goes on as host 11, and host 12 is gone.
fn hosts() -> [Statement<Enrolment>; 3] {
    [
        joined(10, "web1", "production"),
        joined(11, "web1", "production"),
        joined(12, "db1 \u{1b}[2J", "production"),
    ]
}

fn sent() -> ChangeFile {
    let words = record::words("web1 was installed anew", "the disk had failed", "the machine joins again");
    let hosts = hosts();
    let [old, new, gone] = &hosts;
    let named = |one: &Statement<Enrolment>| {
        let header = &one.body.header;
        (Target { agent: header.agent_id, key: header.key.digest() }, one.digest)
    };
    let mut file = record::sent(words.retiring([(named(old), Some(named(new))), (named(gone), None)]));
    file.line.retires = true;
    file.enrolments = hosts.into_iter().map(|joined| joined.envelope).collect();
    file
}

#[test]
fn the_reviewer_sees_who_leaves_and_who_goes_on_and_that_nothing_is_run() {
    check_review("retired", sent);
}

#[test]
fn hosts_that_joined_otherwise_than_the_author_says_are_refused() {
    let bends: [(&str, Bend); 4] = [
        ("one is missing", |f| drop(f.enrolments.pop())),
        ("another one of the same host, of another class", |f| {
            f.enrolments[0] = joined(10, "web1", "lab").envelope;
        }),
        ("signed by another host", |f| {
            f.enrolments[0] = Statement::sign(joined(10, "web1", "production").body, &key(11)).envelope;
        }),
        ("altered after signing", |f| {
            let text = String::from_utf8(f.enrolments[0].payload.clone()).unwrap();
            f.enrolments[0].payload = text.replace("web1", "web2").into_bytes();
        }),
    ];
    check_refused(sent, &bends);
}
