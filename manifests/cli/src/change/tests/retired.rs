//! What a reviewer sees of a change that retires hosts, and what is refused before anybody is asked: enrolments of others.

use super::*;
use crate::change::forecast;
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

fn retiring() -> Statement<Change> {
    let words = Change {
        change_id: "C-8".parse().unwrap(),
        title: "web1 was installed anew".into(),
        reason: "the disk had failed".into(),
        undo: UndoPlan { text: "the machine joins again".into(), automatic: false },
        ..change().body
    };
    let [old, new, gone] = &hosts();
    let named = |one: &Statement<Enrolment>| {
        let header = &one.body.header;
        (Target { agent: header.agent_id, key: header.key.digest() }, one.digest)
    };
    let body = words.retiring([(named(old), Some(named(new))), (named(gone), None)]);
    assert_eq!(body.problems(), Vec::<String>::new());
    Statement::sign(body, &key(1))
}

fn sent() -> ChangeFile {
    let change = retiring();
    let mut file = file(vec![]);
    file.line.change_id = change.body.change_id.clone();
    (file.line.state, file.line.retires) = ("review".into(), true);
    (file.change, file.refusals) = (change.envelope, vec![]);
    file.enrolments = hosts().into_iter().map(|joined| joined.envelope).collect();
    file
}

fn reviewed(file: ChangeFile) -> Done<Review> {
    Review::of(&policy(), &"C-8".parse().unwrap(), file, manifest, NOW)
}

#[test]
fn the_reviewer_sees_who_leaves_and_who_goes_on_and_that_nothing_is_run() {
    let review = reviewed(sent()).unwrap();
    review.check_approvable().unwrap();
    check_golden("retired.en.txt", &page(&review, Lang::En));
    check_golden("retired.de.txt", &page(&review, Lang::De));
    assert!(!page(&review, Lang::En).contains('\u{1b}'), "a host steers the terminal");
    let mut draft = sent();
    draft.line.state = "draft".into();
    let failure = reviewed(draft).unwrap().check_approvable().unwrap_err();
    assert!(failure.to_string().contains("assent change submit C-8"), "{failure}");
    let verdict = |who: &str, n: u8| {
        let yes = approval(&review, who, n);
        forecast::acceptance(&policy(), &review, &yes, NOW).verdict.map_err(|refused| refused.code)
    };
    assert_eq!(verdict("peer", 2), Ok([person("peer")].into()));
    assert_eq!(verdict("lead", 1), Err(Code::ApprovalQuorum));
}

/// Each entry bends what the server sends; nothing of it may reach the question.
#[test]
fn hosts_that_joined_otherwise_than_the_author_says_are_refused() {
    type Bend = fn(&mut ChangeFile);
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
    for (what, bend) in bends {
        let mut bent = sent();
        bend(&mut bent);
        let failure = reviewed(bent).err().unwrap_or_else(|| panic!("accepted: {what}"));
        assert_eq!(failure.exit_code(), 1, "{what}: {failure}");
    }
}
