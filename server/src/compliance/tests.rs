//! Bundles of a real site verify offline; whatever is done to them afterwards is found and named.

use super::Wish;
use crate::changes::tests::world::{NOW, Reviewed, TOKEN, World, in_waves};
use serde_json::json;
use shared::approval::Decision;
use shared::change::ManifestUse;
use shared::digest::Digest;
use shared::evidence::{Files, follows, verify};
use shared::receipt::HostOutcome;
use shared::refusal::Code;
use shared::time::Timestamp;
use std::process::Command;

const DAY: i64 = 86_400;

fn of_change(id: &shared::ids::ChangeId) -> Wish {
    Wish { change_id: Some(id.clone()), from: None, to: None }
}

async fn files(world: &World, wish: &Wish) -> Files {
    let (exporter, wish) = (world.node.exporter.clone(), wish.clone());
    world.read(move |tx| super::export(tx, &exporter, &wish, &"lead".parse().unwrap())).await.1
}

async fn tar(world: &World, wish: &Wish) -> Vec<u8> {
    let body = shared::strict::to_json(wish);
    let (status, bytes) = world.call_on(&world.node, ("POST", "/v1/exports"), TOKEN, body).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
    bytes
}

/// Two hosts in waves: one refused first and then applied, the other failed; one approver said no in between.
async fn story(world: &mut World) -> shared::ids::ChangeId {
    let base = world.publish("base", "1.0.0").await;
    let of = world.in_review(&base, in_waves).await;
    world.approve(&of, "peer").await;
    world.clock.set(NOW.plus(3_700));
    world.refuse(0, &of, Code::PlanDrift, None).await;
    world.report(0, &of, HostOutcome::Applied).await;
    world.clock.set(NOW.plus(3_750));
    let path = format!("/v1/changes/{}/approvals", of.id);
    world.good("POST", &path, world.approving(&of, "cora", Decision::Reject)).await;
    world.clock.set(NOW.plus(3_800));
    world.good("POST", &path, world.approving(&of, "cora", Decision::Approve)).await;
    world.report(1, &of, HostOutcome::Failed).await;
    world.find(0, &of, |_| {}).await;
    world
        .good(
            "POST",
            &format!("/v1/changes/{}/close", of.id),
            json!({"outcome": "failed", "note": "the disk is broken"}),
        )
        .await;
    of.id
}

/// A change of one manifest that the first host has applied.
async fn applied(world: &mut World) -> (ManifestUse, Reviewed) {
    let base = world.publish("base", "1.0.0").await;
    let of = world.in_review(&base, |_| {}).await;
    world.approve(&of, "peer").await;
    world.clock.set(NOW.plus(3_700));
    world.report(0, &of, HostOutcome::Applied).await;
    (base, of)
}

fn root(world: &World) -> Digest {
    Digest::of(&std::fs::read(world.data_dir().join("site/1.root.json")).unwrap())
}

#[actix_web::test]
async fn an_export_verifies_without_the_server() {
    for mut world in World::each(1, 2).await {
        let id = story(&mut world).await;
        let files = files(&world, &of_change(&id)).await;
        let report = verify(&files, Some(root(&world)));
        assert_eq!(report.flaws, [], "{}", world.engine);
        let count = |what: &str| report.checked.iter().find(|(_, text)| text.starts_with(what)).unwrap().0;
        assert_eq!(count("receipts"), 2);
        assert_eq!(count("refusals"), 1);
        assert_eq!(count("findings"), 1);
        assert_eq!(count("places in the hosts"), 2 + 1 + 2 + 1, "enrolments, refusal, receipts, finding");
        assert!(count("checkpoints seen by hosts") >= 2);
        let csv = String::from_utf8(files["data/applications.csv"].clone()).unwrap();
        assert_eq!(csv.lines().count(), 3, "{csv}");
        assert!(csv.contains("web1") && csv.contains(",applied,"), "{csv}");
    }
}

/// The ledger and what is signed know pseudonyms: the server's table of people can be emptied, and everything is proven as before.
#[actix_web::test]
async fn people_are_erased_without_breaking_a_proof() {
    for mut world in World::each(1, 2).await {
        let id = story(&mut world).await;
        world.sql("DELETE FROM person_token").await;
        world.sql("DELETE FROM person").await;
        assert!(world.read(crate::ledger::check).await.is_empty(), "{}", world.engine);
        for leaf in world.leaves(0).await {
            let entry = String::from_utf8(leaf.to_bytes()).unwrap();
            assert!(["lead", "peer", "cora", "pia"].iter().all(|person| !entry.contains(person)), "{entry}");
        }
        let files = files(&world, &of_change(&id)).await;
        let report = verify(&files, Some(root(&world)));
        assert_eq!(report.flaws, [], "{}", world.engine);
    }
}

/// What a host claims about a change that does not name it is kept, but is no evidence of that change.
#[actix_web::test]
async fn claims_of_hosts_that_are_no_targets_stay_outside() {
    for mut world in World::each(1, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |change| change.targets.truncate(1)).await;
        world.approve(&of, "peer").await;
        world.clock.set(NOW.plus(3_700));
        world.report(0, &of, HostOutcome::Applied).await;
        world.report(1, &of, HostOutcome::Applied).await;
        let files = files(&world, &of_change(&of.id)).await;
        assert_eq!(verify(&files, Some(root(&world))).flaws, [], "{}", world.engine);
        let csv = String::from_utf8(files["data/applications.csv"].clone()).unwrap();
        assert_eq!(csv.lines().count(), 2, "{csv}");
    }
}

#[actix_web::test]
async fn whatever_is_changed_afterwards_is_found_and_named() {
    for mut world in World::each(1, 1).await {
        let (_, of) = applied(&mut world).await;
        let good = files(&world, &of_change(&of.id)).await;
        assert_eq!(verify(&good, Some(root(&world))).flaws, []);
        for (path, bytes) in &good {
            for at in [0, bytes.len() / 2, bytes.len() - 1] {
                let mut bad = good.clone();
                bad.get_mut(path).unwrap()[at] ^= 1;
                let report = verify(&bad, Some(root(&world)));
                let named = report.flaws.iter().any(|flaw| flaw.path == *path);
                assert!(named, "{} {path} at {at}: {:?}", world.engine, report.flaws);
            }
            let mut less = good.clone();
            less.remove(path);
            let flaws = verify(&less, Some(root(&world))).flaws;
            assert!(
                flaws.iter().any(|flaw| flaw.path == *path),
                "{} without {path}: {flaws:?}",
                world.engine
            );
        }
        let mut more = good.clone();
        more.insert("statements/extra.txt".into(), b"hello".to_vec());
        more.insert("data/extra.csv".into(), b"hello".to_vec());
        let flaws = verify(&more, None).flaws;
        assert!(flaws.iter().any(|flaw| flaw.path.ends_with("extra.txt")), "{flaws:?}");
        assert!(!verify(&good, Some(Digest::of(b"another site"))).is_good());
    }
}

#[actix_web::test]
async fn the_same_question_gives_the_same_bytes_until_the_ledger_grows() {
    for mut world in World::each(1, 2).await {
        let id = story(&mut world).await;
        let first = tar(&world, &of_change(&id)).await;
        world.clock.set(NOW.plus(5 * DAY));
        let node = &world.node;
        node.repository.prepare(&node.db, &world.config, world.now()).await.unwrap();
        let second = world.second_node().await;
        assert_eq!(tar(&world, &of_change(&id)).await, first, "{}", world.engine);
        let body = shared::strict::to_json(&of_change(&id));
        let (_, elsewhere) = world.call_on(&second, ("POST", "/v1/exports"), TOKEN, body).await;
        assert_eq!(elsewhere, first, "{}: another node", world.engine);
        world.publish("more", "1.0.0").await;
        assert_ne!(tar(&world, &of_change(&id)).await, first);
        let taken = world.good("GET", "/v1/exports", ()).await;
        assert!(taken.as_array().unwrap().iter().all(|line| line["person"] == "lead"));
        assert!(!taken.as_array().unwrap().is_empty());
    }
}

fn unpacked(tar: &[u8]) -> Files {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bundle.tar"), tar).unwrap();
    let done = Command::new("tar").args(["xf", "bundle.tar"]).current_dir(dir.path()).status().unwrap();
    assert!(done.success());
    let mut files = Files::new();
    let mut open = vec![dir.path().to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if !path.ends_with("bundle.tar") {
            let name = path.strip_prefix(dir.path()).unwrap().display().to_string();
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
    files
}

/// Each bundle leads on from the last one that left, so that nobody can rewrite the ledger between two audits.
#[actix_web::test]
async fn a_bundle_follows_the_one_before() {
    for mut world in World::each(1, 2).await {
        let id = story(&mut world).await;
        let first = unpacked(&tar(&world, &of_change(&id)).await);
        world.publish("more", "1.0.0").await;
        let second = unpacked(&tar(&world, &of_change(&id)).await);
        world.publish("again", "1.0.0").await;
        let third = unpacked(&tar(&world, &of_change(&id)).await);
        for bundle in [&first, &second, &third] {
            assert_eq!(verify(bundle, Some(root(&world))).flaws, [], "{}", world.engine);
        }
        let (old, now) = follows(&first, &second).unwrap();
        assert!(old < now, "{old} {now}");
        assert_eq!(follows(&second, &second).unwrap(), (now, now));
        follows(&second, &third).unwrap();
        let mut gap = third.clone();
        gap.remove(&format!("proofs/consistency/{now}.json"));
        assert!(follows(&second, &gap).unwrap_err().message.contains("is missing"));
        let mut other = World::each(1, 1).await.remove(0);
        let base = other.publish("base", "1.0.0").await;
        let of = other.in_review(&base, |_| {}).await;
        let foreign = unpacked(&tar(&other, &of_change(&of.id)).await);
        assert!(follows(&foreign, &second).is_err(), "a bundle of another site");
    }
}

/// Who halted and closed a change, when and why, is the server's word; the ledger keeps it to it.
#[actix_web::test]
async fn steps_of_operators_are_in_the_tables() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| {}).await;
        world.approve(&of, "peer").await;
        world.clock.set(NOW.plus(3_700));
        let path = |what: &str| format!("/v1/changes/{}/{what}", of.id);
        world.good("POST", &path("halt"), json!({"note": "the shop is down"})).await;
        world.good("POST", &path("resume"), json!({})).await;
        world.report(0, &of, HostOutcome::Applied).await;
        world.good("POST", &path("close"), json!({"outcome": "successful", "note": "looked at"})).await;
        let files = files(&world, &of_change(&of.id)).await;
        assert_eq!(verify(&files, Some(root(&world))).flaws, [], "{}", world.engine);
        let table: serde_json::Value = serde_json::from_slice(&files["data/changes.json"]).unwrap();
        let row = &table["rows"][0];
        assert_eq!(row["halt_reason"], "the shop is down");
        assert_eq!(row["halted_at"], NOW.plus(3_700).to_string());
        assert_eq!((&row["post_review_by"], &row["approvals_required"]), (&json!("lead"), &json!("1")));
    }
}

#[actix_web::test]
async fn common_tools_check_the_outer_layer() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| {}).await;
        world.approve(&of, "peer").await;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("bundle.tar"), tar(&world, &of_change(&of.id)).await).unwrap();
        let run = |script: &str| {
            let out = Command::new("bash").arg("-ec").arg(script).current_dir(dir.path()).output().unwrap();
            let told = String::from_utf8_lossy(&out.stderr).into_owned();
            (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned() + &told)
        };
        let commands = "tar xf bundle.tar && rm bundle.tar && sha256sum -c --strict --quiet SHA256SUMS && \
            openssl pkeyutl -verify -pubin -inkey signer.pub -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig && \
            comm -3 <(cut -c67- SHA256SUMS | LC_ALL=C sort) <(find . -type f ! -name 'SHA256SUMS*' ! -name signer.pub | cut -c3- | LC_ALL=C sort)";
        let (good, told) = run(commands);
        assert!(good && told.trim() == "Signature Verified Successfully", "{}: {told}", world.engine);
        assert!(!run("echo x >> data/changes.csv; sha256sum -c --strict --quiet SHA256SUMS").0);
    }
}

#[actix_web::test]
async fn a_period_holds_what_was_created_or_reported_in_it() {
    for mut world in World::each(1, 1).await {
        let (base, of) = applied(&mut world).await;
        world.clock.set(NOW.plus(DAY));
        let later = world.in_review(&base, |change| {
            change.intervals.remove(0);
        });
        let later = later.await;
        let period =
            |from: Timestamp, to: Timestamp| Wish { change_id: None, from: Some(from), to: Some(to) };
        for (from, to, expected) in [
            (NOW, NOW.plus(1), vec![&of.id]),
            (NOW.plus(3_600), NOW.plus(7_200), vec![&of.id]),
            (NOW.plus(1), NOW.plus(3_600), vec![]),
            (NOW.plus(DAY), NOW.plus(2 * DAY), vec![&later.id]),
            (NOW, NOW.plus(2 * DAY), vec![&of.id, &later.id]),
        ] {
            let files = files(&world, &period(from, to)).await;
            assert_eq!(verify(&files, None).flaws, [], "{} {from}", world.engine);
            let csv = String::from_utf8(files["data/changes.csv"].clone()).unwrap();
            let ids: Vec<_> = csv.lines().skip(1).map(|line| line.split(',').nth(3).unwrap()).collect();
            assert_eq!(
                ids,
                expected.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
                "{} {from}",
                world.engine
            );
        }
        for bad in [
            json!({}),
            json!({"change_id": of.id, "from": NOW, "to": NOW.plus(1)}),
            json!({"from": NOW}),
            json!({"from": NOW, "to": NOW}),
            json!({"from": NOW, "to": NOW.plus(401 * DAY)}),
        ] {
            assert_eq!(world.code("POST", "/v1/exports", &bad).await, "export.bad_scope", "{bad}");
        }
        assert_eq!(world.code("POST", "/v1/exports", json!({"change_id": "C-99"})).await, "change.unknown");
        assert_eq!(world.code("POST", "/v1/exports", json!({"change": "C-1"})).await, "request.bad_json");
    }
}

/// What a retroactive change accepted is evidence of it: the host's own words, and who said that they may stay.
#[actix_web::test]
async fn a_retroactive_change_verifies_with_the_findings_that_it_accepts() {
    for mut world in World::each(1, 1).await {
        let (_, of) = applied(&mut world).await;
        let found = world.find(0, &of, |_| {}).await;
        let retro = world.accepting(&[(0, found)]).await;
        let review = files(&world, &of_change(&retro.id)).await;
        assert_eq!(verify(&review, Some(root(&world))).flaws, [], "{}", world.engine);
        world.approve(&retro, "peer").await;
        let files = files(&world, &of_change(&retro.id)).await;
        let report = verify(&files, Some(root(&world)));
        assert_eq!(report.flaws, [], "{}", world.engine);
        assert!(report.checked.iter().any(|(count, what)| *count == 1 && what.starts_with("retroactive")));
        let csv = String::from_utf8(files["data/changes.csv"].clone()).unwrap();
        for cell in [",retroactive,", ",accepted,", &found.to_string(), ",closed,successful,"] {
            assert!(csv.contains(cell), "{cell}: {csv}");
        }
        let period = Wish { change_id: None, from: Some(NOW.plus(-DAY)), to: Some(NOW.plus(DAY)) };
        let both = self::files(&world, &period).await;
        assert_eq!(verify(&both, Some(root(&world))).flaws, [], "{}", world.engine);
    }
}
