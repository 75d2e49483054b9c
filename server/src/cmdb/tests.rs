use super::marks::Wanted;
use super::*;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::testfleet::{Host, NOW, World, code};
use shared::digest::Digest;
use shared::facts::{Certificate, Clock, Does, Facts, Kernel, Os, Protocol, Socket, Support, Updater};
use shared::plan::Verb;
use shared::receipt::StepStatus;
use shared::search::Query;

fn facts(kernel: &str, version: &str) -> Facts {
    let os = Os { id: "debian".into(), version: version.into(), codename: "x".into(), name: "Debian".into() };
    Facts {
        hostname: "host1".into(),
        fqdn: "host1".into(),
        os,
        kernel: Kernel { release: kernel.into(), installed: vec![] },
        arch: "amd64".into(),
        ..Facts::empty(semver::Version::new(0, 1, 0), "lab".parse().unwrap())
    }
}

async fn host(world: &World) -> CiId {
    let new =
        NewHost { name: "host1".into(), agent: Host::new(1).agent(), host_class: "lab".parse().unwrap() };
    let insert = move |tx: &mut Conn| insert_host(tx, &new, NOW);
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
        assert_eq!(history, [(NOW.plus(3), "os version: 12 → 13; kernel: 6.1 → 6.2")], "{}", world.engine);
        let digests =
            world.node.db.read("digests", move |tx| facts_digests(tx, &[id, CiId(99)])).await.unwrap();
        assert_eq!(digests.into_iter().collect::<Vec<_>>(), [(id, file.line.facts.unwrap())]);
    }
}

fn full() -> Facts {
    let socket = |port| Socket {
        port,
        protocol: Protocol::Tcp,
        address: "::".into(),
        program: Some("sshd".into()),
        unit: None,
    };
    let certificate = |path: &str, days: i64| Certificate {
        path: path.into(),
        subject: "CN=web".into(),
        issuer: "CN=ca".into(),
        not_after: NOW.plus(days * 86_400),
        sha256: Digest::of(path.as_bytes()),
    };
    let updater = |name: &str, enabled| Updater {
        name: name.into(),
        version: Some("1".into()),
        enabled,
        does: Does::Installs,
    };
    Facts {
        support: Some(Support { ends: NOW.plus(-86_400), extended: None, source: "assent".into() }),
        reboot: vec!["kernel 6.2 is installed and 6.1 runs".into()],
        listening: vec![socket(22), socket(80)],
        certificates: vec![certificate("/etc/a.pem", 10), certificate("/etc/b.pem", 100)],
        updaters: vec![updater("snapd", false), updater("unattended-upgrades", true)],
        clock: Some(Clock { synchronised: Some(false), source: None, ahead_s: Some(-45) }),
        ..facts("6.1", "12")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_found_by_what_they_reported_last() {
    for world in World::each().await {
        let id = host(&world).await;
        let report = async |facts: Facts| {
            let record = move |tx: &mut Conn| record_facts(tx, id, NOW, &facts, NOW);
            world.node.db.write("facts", record).await.unwrap();
        };
        let find = async |wanted: &[Wanted]| {
            let wanted = wanted.to_vec();
            let read =
                move |tx: &mut Conn| search::fitting(tx, &Query::All(vec![]), (&wanted, NOW), None, 10);
            let lines = world.node.db.read("fitting", read).await.unwrap();
            lines.into_iter().map(|line| line.matched.join("; ")).collect::<Vec<_>>()
        };
        let days = |days: i64| Wanted::CertificateEnds { within_s: days * 86_400 };
        let updater = |name: &str| Wanted::Updater { name: name.into() };
        report(full()).await;
        for (wanted, found) in [
            (vec![Wanted::OutdatedOs], vec!["Debian: security support until 2027-01-14"]),
            (vec![Wanted::RebootNeeded], vec!["kernel 6.2 is installed and 6.1 runs"]),
            (vec![days(30)], vec!["/etc/a.pem (CN=web) ends 2027-01-25"]),
            (vec![days(5)], vec![]),
            (vec![Wanted::Listening { port: 22 }], vec!["tcp [::]:22 sshd"]),
            (vec![Wanted::Listening { port: 23 }], vec![]),
            (vec![updater("snapd")], vec!["snapd (not enabled)"]),
            (vec![updater("snap%")], vec![]),
            (
                vec![Wanted::ClockWrong],
                vec!["the clock is 45 s behind the server's; the clock is not synchronised"],
            ),
            (
                vec![updater("unattended-upgrades"), Wanted::Listening { port: 80 }],
                vec!["unattended-upgrades (enabled); tcp [::]:80 sshd"],
            ),
            (vec![updater("snapd"), Wanted::Listening { port: 23 }], vec![]),
            (vec![], vec![""]),
        ] {
            assert_eq!(find(&wanted).await, found, "{} {wanted:?}", world.engine);
        }
        let calm = Facts { support: None, updaters: vec![], listening: vec![], ..full() };
        report(Facts { reboot: vec![], clock: None, certificates: vec![], ..calm }).await;
        for wanted in
            [Wanted::OutdatedOs, Wanted::RebootNeeded, Wanted::ClockWrong, days(1_000), updater("snapd")]
        {
            assert_eq!(find(std::slice::from_ref(&wanted)).await, [""; 0], "{} {wanted:?}", world.engine);
        }
    }
}

#[test]
fn history_tells_what_changed_and_not_what_comes_and_goes() {
    use super::differences::differences;
    let old = full();
    let mut new = full();
    new.listening.remove(0);
    new.listening.push(Socket { port: 8_080, program: None, ..old.listening[0].clone() });
    new.reboot.clear();
    new.updaters[0].enabled = true;
    new.certificates[0].not_after = NOW.plus(400 * 86_400);
    new.clock = Some(Clock { synchronised: Some(true), ahead_s: Some(3), source: None });
    let package = |n: u32, version: &str| shared::facts::Package {
        name: format!("p{n}"),
        version: version.into(),
        arch: "all".into(),
        source: "p".into(),
        source_version: version.into(),
        vendor: None,
        status: shared::facts::PackageStatus::Installed,
        origin: None,
    };
    let old = Facts { packages: (0..9).map(|n| package(n, "1")).collect(), ..old };
    new.packages = (1..9).map(|n| package(n, "2")).collect();
    assert_eq!(
        differences(&old, &new),
        [
            "reboot: kernel 6.2 is installed and 6.1 runs → not needed",
            "clock: not synchronised → synchronised",
            "packages: -p0:all 1, p1:all 1 → 2, p2:all 1 → 2, p3:all 1 → 2 and 5 more",
            "listening: -tcp [::]:22 sshd, +tcp [::]:8080",
            "certificates: /etc/a.pem until 2027-01-25 → until 2028-02-19",
            "other updaters: snapd not enabled → enabled",
        ]
    );
    let mount = |percent| shared::facts::Mount {
        path: "/".into(),
        source: "/dev/sda1".into(),
        fstype: "ext4".into(),
        options: vec![],
        size_mib: Some(1),
        used_percent: Some(percent),
    };
    let service = |active: &str| shared::facts::Service {
        name: "apt-daily".into(),
        active: active.into(),
        enabled: "static".into(),
    };
    let quiet = |percent, active: &str, ahead_s| Facts {
        mounts: vec![mount(percent)],
        services: vec![service(active)],
        clock: Some(Clock { ahead_s, ..Clock::default() }),
        ..full()
    };
    assert_eq!(differences(&quiet(10, "active", Some(0)), &quiet(90, "inactive", Some(9))), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_state_of_a_resource_wins_even_within_one_batch() {
    for world in World::each().await {
        let id = host(&world).await;
        let state = move |resource: &str, after: &str, seq: u64| NewState {
            ci: id,
            resource: resource.parse().unwrap(),
            state: Some(Digest::of(after.as_bytes())),
            verb: Verb::Create,
            outcome: StepStatus::Done,
            summary: "two\nlines".into(),
            change: ("C-7".parse().unwrap(), 2),
            approved_by: vec!["lead".parse().unwrap()],
            applied_at: NOW.plus(seq.cast_signed()),
            receipt: Digest::of(after.as_bytes()),
            ledger_index: 4,
            seq,
            manifests: vec!["web/base@1.0.0".into()],
            software: Some((NOW, None, None)),
        };
        for batch in
            [vec![("file:/a", "1", 1), ("file:/b", "2", 2), ("file:/a", "3", 3)], vec![("file:/b", "4", 4)]]
        {
            let batch: Vec<_> = batch.into_iter().map(|(name, after, seq)| state(name, after, seq)).collect();
            let record = move |tx: &mut Conn| record_states(tx, &batch, NOW);
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
        // Every state is there at its time, and the last of them is the one on record.
        let at = async |at: i64| {
            let states = move |tx: &mut Conn| states_at(tx, id, NOW.plus(at));
            let states = world.node.db.read("past", states).await.unwrap();
            let told = |s: &shared::wire::CiState| {
                let place =
                    [b"1", b"2", b"3", b"4"].iter().position(|after| s.state == Some(Digest::of(*after)));
                (s.resource.to_string(), place.unwrap() + 1, s.effective_at.map(|at| at.since(NOW)))
            };
            states.iter().map(told).collect::<Vec<_>>()
        };
        let on = |resource: &str, state, effective| (resource.to_owned(), state, effective);
        // Later receipts say since when the first and the fourth were in effect; the first one is gone by then.
        for (receipt, seq) in [(b"1", 5), (b"4", 6)] {
            let effective = Some(NOW.plus(5));
            let effect = NewEffect {
                ci: id,
                receipt: Digest::of(receipt),
                seq,
                at: NOW.plus(seq.cast_signed()),
                effective,
                verified: None,
            };
            let record = move |tx: &mut Conn| Ok::<_, Error>(record_effect(tx, &effect)?);
            world.node.db.write("effect", record).await.unwrap();
        }
        for (time, expected) in [
            (0, vec![]),
            (1, vec![on("file:/a", 1, None)]),
            (2, vec![on("file:/a", 1, None), on("file:/b", 2, None)]),
            (3, vec![on("file:/a", 3, None), on("file:/b", 2, None)]),
            (5, vec![on("file:/a", 3, None), on("file:/b", 4, None)]),
            (6, vec![on("file:/a", 3, None), on("file:/b", 4, Some(5))]),
        ] {
            assert_eq!(at(time).await, expected, "{} {time}", world.engine);
        }
        let now = world.node.db.read("states", move |tx| list_states(tx, id)).await.unwrap();
        let last = world.node.db.read("past", move |tx| states_at(tx, id, NOW.plus(99))).await.unwrap();
        assert_eq!(now, last, "what is on record is the end of what was");
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
        let insert = move |tx: &mut Conn| insert_host(tx, &twin, NOW);
        world.node.db.write("insert", insert).await.unwrap();
        assert_eq!(code(find("host1".into()).await), "ci.ambiguous", "{}", world.engine);
        let all = |tx: &mut Conn| search::fitting(tx, &Query::All(vec![]), (&[], NOW), None, 10);
        assert_eq!(world.node.db.read("list", all).await.unwrap().len(), 2);
    }
}

#[test]
fn ids_have_one_text() {
    assert_eq!("CI-7".parse(), Ok(CiId(7)));
    for bad in ["CI-07", "CI-0", "CI--7", "ci-7", "CI-", "7", "CI-99999999999999999999"] {
        assert_eq!(bad.parse::<CiId>(), Err(NotACi), "{bad}");
    }
}
