use super::*;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::testfleet::{Host, NOW, World, code};
use shared::digest::Digest;
use shared::facts::{Facts, Kernel, Os};
use shared::plan::Verb;
use shared::receipt::StepStatus;

fn facts(kernel: &str, version: &str) -> Facts {
    let os = Os { id: "debian".into(), version: version.into(), codename: "x".into(), name: "Debian".into() };
    Facts {
        hostname: "host1".into(),
        fqdn: "host1".into(),
        os,
        kernel: Kernel { release: kernel.into() },
        arch: "amd64".into(),
        packages: vec![],
        services: vec![],
        addresses: vec![],
        agent_version: semver::Version::new(0, 1, 0),
        host_class: "lab".parse().unwrap(),
    }
}

async fn host(world: &World) -> CiId {
    let new =
        NewHost { name: "host1".into(), agent: Host::new(1).agent(), host_class: "lab".parse().unwrap() };
    let insert = move |tx: &mut Conn| Ok::<_, Error>(insert_host(tx, &new, NOW)?);
    world.node.db.write("insert", insert).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_are_replaced_and_only_a_changed_system_is_history() {
    for world in World::each().await {
        let id = host(&world).await;
        let report = async |facts: Facts, at: i64| {
            let record = move |tx: &mut Conn| record_facts(tx, id, NOW.plus(at), &facts, NOW.plus(at));
            world.node.db.write("facts", record).await.unwrap()
        };
        assert!(report(facts("6.1", "12"), 1).await);
        assert!(!report(facts("6.1", "12"), 2).await, "the same facts again");
        assert!(report(facts("6.2", "13"), 3).await);
        let other = Facts { addresses: vec!["192.0.2.1".into()], ..facts("6.2", "13") };
        assert!(report(other.clone(), 4).await);
        let file = world.node.db.read("file", |tx| get_file(tx, "host1")).await.unwrap();
        assert_eq!(
            (file.line.facts_at, file.line.facts),
            (Some(NOW.plus(4)), Some(Digest::of(&other.to_json())))
        );
        assert_eq!((file.line.os_version.as_deref(), file.facts), (Some("13"), Some(other)));
        let history: Vec<_> = file.history.iter().map(|e| (e.at, e.summary.as_str())).collect();
        assert_eq!(history, [(NOW.plus(3), "os version: 12 → 13, kernel: 6.1 → 6.2")], "{}", world.engine);
        let digests =
            world.node.db.read("digests", move |tx| facts_digests(tx, &[id, CiId(99)])).await.unwrap();
        assert_eq!(digests.into_iter().collect::<Vec<_>>(), [(id, file.line.facts.unwrap())]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_state_of_a_resource_wins_even_within_one_batch() {
    for world in World::each().await {
        let id = host(&world).await;
        let state = move |resource: &str, after: &str| NewState {
            ci: id,
            resource: resource.parse().unwrap(),
            state: Some(Digest::of(after.as_bytes())),
            verb: Verb::Create,
            outcome: StepStatus::Done,
            summary: "two\nlines".into(),
            change: ("C-7".parse().unwrap(), 2),
            approved_by: vec!["lead".parse().unwrap()],
            applied_at: NOW,
            receipt: Digest::of(after.as_bytes()),
            ledger_index: 4,
            software: None,
        };
        for batch in [vec![("file:/a", "1"), ("file:/b", "2"), ("file:/a", "3")], vec![("file:/b", "4")]] {
            let batch: Vec<_> = batch.into_iter().map(|(resource, after)| state(resource, after)).collect();
            let record = move |tx: &mut Conn| Ok::<_, Error>(record_states(tx, &batch)?);
            world.node.db.write("states", record).await.unwrap();
        }
        let states = world.node.db.read("states", move |tx| list_states(tx, id)).await.unwrap();
        let found: Vec<_> = states.iter().map(|s| (s.resource.as_str(), s.state.unwrap())).collect();
        assert_eq!(found, [("file:/a", Digest::of(b"3")), ("file:/b", Digest::of(b"4"))], "{}", world.engine);
        assert_eq!(
            (states[0].summary.as_str(), states[0].revision, states[0].ledger_index),
            ("two lines", 2, 4)
        );
        assert_eq!(states[0].approved_by[0].as_str(), "lead");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ci_is_found_by_id_and_by_a_name_of_its_own() {
    for world in World::each().await {
        let id = host(&world).await;
        let find = async |name: String| world.node.db.read("get", move |tx| get(tx, &name)).await;
        assert_eq!(find("host1".into()).await.unwrap(), find(id.to_string()).await.unwrap());
        assert_eq!(code(find("CI-99".into()).await), "ci.not_found");
        let twin =
            NewHost { name: "host1".into(), agent: Host::new(2).agent(), host_class: "lab".parse().unwrap() };
        let insert = move |tx: &mut Conn| Ok::<_, Error>(insert_host(tx, &twin, NOW)?);
        world.node.db.write("insert", insert).await.unwrap();
        assert_eq!(code(find("host1".into()).await), "ci.ambiguous", "{}", world.engine);
        assert_eq!(world.node.db.read("list", list).await.unwrap().len(), 2);
    }
}

#[test]
fn ids_have_one_text() {
    assert_eq!("CI-7".parse(), Ok(CiId(7)));
    for bad in ["CI-07", "CI-0", "CI--7", "ci-7", "CI-", "7", "CI-99999999999999999999"] {
        assert_eq!(bad.parse::<CiId>(), Err(NotACi), "{bad}");
    }
}
