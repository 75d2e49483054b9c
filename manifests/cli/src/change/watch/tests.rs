//! What is shown of messages, and what is not shown at all.

use super::super::tests::{NOW, change, key, policy};
use super::scene::Scene;
use crate::lang::Lang;
use crate::window;
use shared::health::HealthState;
use shared::ids::{AgentId, SiteId};
use shared::keys::SigningKey;
use shared::plan::Verb;
use shared::progress::{Event, Progress, What};
use shared::receipt::{HostOutcome, StepStatus};
use shared::statement::Statement;
use shared::wire::ProgressHost;
use std::collections::BTreeMap;

fn agent(n: u8) -> AgentId {
    key(n).public().agent_id()
}

fn scene(site: &SiteId) -> Scene<'_> {
    let names = BTreeMap::from([(agent(10), "web1".to_owned()), (agent(11), "web2".to_owned())]);
    Scene::new(site, &change(), &[agent(10), agent(11)], &names)
}

fn progress(key: &SigningKey, number: u64, what: Vec<What>) -> Progress {
    let change = change();
    Progress {
        site: change.body.site.clone(),
        agent_id: key.public().agent_id(),
        key: key.public(),
        change_id: change.body.change_id.clone(),
        revision: 1,
        change: change.digest,
        started: NOW,
        part: 1,
        number,
        lost: 0,
        events: what.into_iter().map(|what| Event { at: NOW, what }).collect(),
    }
}

fn shown(scene: &mut Scene<'_>, message: Progress, signer: &SigningKey) -> String {
    let told = scene.take(&Statement::sign(message, signer).envelope).unwrap();
    scene.lines(&told, Lang::En, &window::zone(Some("UTC")).unwrap())
}

#[test]
fn a_run_is_told_line_by_line() {
    let site = policy().site;
    let mut scene = scene(&site);
    let service = || "service:nginx".parse().unwrap();
    let first = vec![
        What::Began { steps: 3 },
        What::Under { first: 1, last: 2, resource: "file:/a".parse().unwrap(), verb: Verb::Create },
        What::Step {
            step: 1,
            resource: "file:/a".parse().unwrap(),
            verb: Verb::Create,
            status: StepStatus::Done,
            ms: 4,
            note: String::new(),
        },
        What::Under { first: 3, last: 3, resource: service(), verb: Verb::Restart },
    ];
    assert_eq!(
        shown(&mut scene, progress(&key(10), 1, first), &key(10)),
        "11:07:16  web1  begins, 3 steps\n11:07:16  web1  1/3 create file:/a done (4 ms)\n\
         11:07:16  web1  3/3 restart service:nginx …\n"
    );
    assert_eq!(
        scene.table(Lang::De, "C-7"),
        "C-7\n  web1  läuft: Schritt 3/3 service:nginx\n  web2  noch nicht begonnen\n"
    );
    let note = "unit \u{1b}[2Jfailed".to_owned();
    let step = What::Step {
        step: 3,
        resource: service(),
        verb: Verb::Restart,
        status: StepStatus::Failed,
        ms: 9,
        note,
    };
    let (name, output) = ("app".to_owned(), "status 500".to_owned());
    let rest = vec![
        What::Output { text: "line 1\nline\u{202e} 2\n".into() },
        step,
        What::Check { name, state: HealthState::Critical, ok: false, output },
        What::Failed { why: "step 3".into() },
        What::Undone { step: 1, resource: "file:/a".parse().unwrap(), error: None },
        What::Undone { step: 2, resource: "file:/b".parse().unwrap(), error: Some("busy".into()) },
        What::Ended { outcome: HostOutcome::Failed, note: "step 3".into() },
    ];
    let last = Progress { lost: 7, ..progress(&key(10), 3, rest) };
    let lines = shown(&mut scene, last, &key(10));
    let lines: Vec<&str> = lines.lines().map(|line| line.split_once("web1  ").unwrap().1).collect();
    assert_eq!(
        lines,
        [
            "! 1 messages are missing",
            "! 7 events could not be told in time",
            "  | line 1",
            "  | line\\u{202e} 2",
            "! 3/3 restart service:nginx failed (9 ms): unit \\u{1b}[2Jfailed",
            "! health check app: critical: status 500",
            "! FAILED: step 3",
            "1/3 file:/a taken back",
            "! 2/3 file:/b NOT taken back: busy",
            "ended: failed: step 3",
        ]
    );
}

#[test]
fn what_no_host_of_the_change_has_signed_is_not_shown() {
    let site = policy().site;
    let note = || vec![What::Note { text: "x".into() }];
    let mut forged = progress(&key(10), 1, note());
    forged.key = key(12).public();
    let mut elsewhere = progress(&key(10), 1, note());
    elsewhere.change = shared::digest::Digest::of(b"another change");
    for (message, signer) in [
        (progress(&key(10), 1, note()), key(11)),
        (forged, key(12)),
        (elsewhere, key(10)),
        (progress(&key(12), 1, note()), key(12)),
    ] {
        assert!(scene(&site).take(&Statement::sign(message, &signer).envelope).is_err());
    }
}

#[test]
fn it_ends_when_nothing_more_can_come() {
    let site = policy().site;
    let mut scene = scene(&site);
    assert!(!scene.is_over("approved") && !scene.is_over("running"));
    assert!(scene.is_over("halted"), "nobody runs, nobody will begin");
    shown(&mut scene, progress(&key(10), 1, vec![What::Began { steps: 1 }]), &key(10));
    assert!(!scene.is_over("halted"), "a run is brought to its end");
    let reported = |n| ProgressHost {
        agent: agent(n),
        receipt: Some(shared::digest::Digest::of(b"receipt")),
        succeeded: Some(true),
    };
    scene.reported(&[reported(10)]);
    assert!(scene.is_over("halted") && !scene.is_over("running") && scene.is_over("closed"));
    scene.reported(&[reported(11)]);
    assert!(scene.is_over("running"));
    let outcomes = BTreeMap::from([(agent(10), HostOutcome::Applied)]);
    assert_eq!(scene.failed(&outcomes), ["web2"], "only a receipt counts");
    scene.ended(&outcomes);
    assert!(scene.table(Lang::En, "C-7").contains("web1  applied, by its signed receipt\n"));
}
