//! What people say of changes, on both databases: kept, settled once, in the ledger; it moves nothing but the review does.

use crate::changes::tests::world::{NOW, Reviewed, TOKEN, World};
use crate::ledger;
use serde_json::{Value, json};
use shared::change::ChangeType;
use shared::digest::Digest;
use shared::policy::REVIEW_SECS;
use shared::receipt::HostOutcome;
use shared::strict;
use shared::wire::{ChangeLine, ChangeNotes};

async fn notes(world: &World, of: &Reviewed) -> ChangeNotes {
    let answer = world.good("GET", &format!("/v1/changes/{}/notes", of.id), ()).await;
    serde_json::from_value(answer).unwrap()
}

async fn line(world: &World, of: &Reviewed) -> ChangeLine {
    let file = world.good("GET", &format!("/v1/changes/{}", of.id), ()).await;
    serde_json::from_value(file["line"].clone()).unwrap()
}

/// A change that its host has run, with this outcome.
async fn run(world: &mut World, kind: ChangeType, outcomes: &[HostOutcome]) -> Reviewed {
    world.clock.set(NOW);
    let base = world.publish("base", "1.0.0").await;
    let of = world.in_review(&base, |change| change.change_type = kind).await;
    world.approve(&of, "peer").await;
    world.clock.set(NOW.plus(3_700));
    for (n, outcome) in outcomes.iter().enumerate() {
        world.report(n, &of, *outcome).await;
    }
    assert_eq!(world.state(&of.id).await, "review");
    of
}

/// Who speaks for something speaks for what the change is about, what is near it, or as who answers for that.
#[actix_web::test]
async fn whoever_objects_speaks_for_something_that_is_near_the_change() {
    for mut world in World::each(1, 2).await {
        let items = json!([
            { "item": "service:shop", "declared": { "owner": "sales" }, "relations": [{ "kind": "runs_on", "to": "host:web1" }] },
            { "item": "service:desk", "declared": { "owner": "office" }, "relations": [{ "kind": "depends_on", "to": "service:shop" }] },
            { "item": "service:far", "declared": { "owner": "elsewhere" }, "relations": [{ "kind": "runs_on", "to": "host:web2" }] },
        ]);
        world.good("POST", "/v1/declarations", json!({ "reason": "x", "items": items })).await;
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |change| change.targets.truncate(1)).await;
        let draft = world.good("POST", "/v1/changes", json!({})).await["change_id"].clone();
        let draft = draft.as_str().unwrap().to_owned();
        let says = |name: &str| json!({"kind": "objection", "text": "no", "speaks_for": name});
        let path = |id: &str| format!("/v1/changes/{id}/comments");
        for name in ["host:web1", "service:shop", "service:desk", "sales", "office"] {
            world.good("POST", &path(of.id.as_str()), says(name)).await;
        }
        for name in ["host:web2", "service:far", "service:none", "elsewhere", "nobody", "everything:x"] {
            let code = world.code("POST", &path(of.id.as_str()), says(name)).await;
            assert_eq!(code, "note.not_concerned", "{}: {name}", world.engine);
        }
        // Of a draft nobody knows yet what it is about.
        world.good("POST", &path(&draft), says("service:far")).await;
        world.good("POST", &path(&draft), says("elsewhere")).await;
        assert_eq!(world.code("POST", &path(&draft), says("service:none")).await, "note.not_concerned");
        assert_eq!(world.code("POST", &path(&draft), says("nobody")).await, "note.not_concerned");
    }
}

#[actix_web::test]
async fn objections_stay_open_until_somebody_answers_and_hold_nothing_up() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| ()).await;
        let comments = format!("/v1/changes/{}/comments", of.id);
        let objection = json!({"kind": "objection", "text": "not on a Friday", "speaks_for": "host:web1"});
        assert_eq!(world.good("POST", &comments, &objection).await["number"], 1);
        assert_eq!(
            world.good("POST", &comments, json!({"kind": "comment", "text": "ok"})).await["number"],
            2
        );
        assert_eq!(line(&world, &of).await.objections, 1, "{}", world.engine);
        for (body, code) in [
            (json!({"kind": "answer", "to": 2, "text": "x"}), "note.unknown"),
            (json!({"kind": "answer", "to": 9, "text": "x"}), "note.unknown"),
            (json!({"kind": "answer", "to": 1, "text": " "}), "note.text"),
            (json!({"kind": "comment", "text": "a".repeat(5_000)}), "note.text"),
            (json!({"kind": "review", "outcome": "successful"}), "request.bad_json"),
            (json!({"kind": "comment", "text": "x", "by": "peer"}), "request.bad_json"),
        ] {
            assert_eq!(world.code("POST", &comments, &body).await, code, "{body}");
        }
        let before = world.read(ledger::head).await.size;
        let answer = json!({"kind": "answer", "to": 1, "text": "moved to Monday"});
        world.good("POST", &comments, &answer).await;
        assert_eq!(world.read(ledger::head).await.size, before + 1, "an answer has its leaf");
        assert_eq!(world.code("POST", &comments, &answer).await, "note.settled");
        assert_eq!(line(&world, &of).await.objections, 0);
        let said = notes(&world, &of).await.notes;
        let told: Vec<_> = said.iter().map(|note| (note.number, note.said.kind())).collect();
        assert_eq!(told, [(1, "objection"), (2, "comment"), (3, "answer")]);
        // People decide; the server holds nothing up because somebody does not like it.
        world.good("POST", &comments, &objection).await;
        world.approve(&of, "peer").await;
        assert_eq!(world.state(&of.id).await, "approved", "{}", world.engine);
        assert_eq!(world.code("GET", "/v1/changes/C-99/notes", ()).await, "change.unknown");
        assert_eq!(world.code("POST", "/v1/changes/C-99/comments", &objection).await, "change.unknown");
    }
}

/// Whoever may only read may speak, and nothing else.
#[actix_web::test]
async fn readers_may_object_but_not_link() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| ()).await;
        let token = world.token("owner", "reader").await;
        let call = async |path: &str, body: Value| {
            let path = format!("/v1/changes/{}/{path}", of.id);
            world.call_on(&world.node, ("POST", &path), &token, strict::to_json(&body)).await.0
        };
        assert_eq!(call("comments", json!({"kind": "objection", "text": "not yet"})).await, 200);
        assert_eq!(call("notes", json!({"kind": "link", "relation": "external", "to": "INC-1"})).await, 403);
        assert_eq!(call("withdraw", json!({})).await, 403);
        let said = notes(&world, &of).await.notes;
        assert_eq!((said.len(), said[0].person.as_str()), (1, "owner"), "{}", world.engine);
    }
}

#[actix_web::test]
async fn links_lead_both_ways_and_end_once() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let [one, two] = [world.in_review(&base, |_| ()).await, world.in_review(&base, |_| ()).await];
        let path = format!("/v1/changes/{}/notes", two.id);
        let link = json!({"kind": "link", "relation": "fixes", "to": one.id});
        for _ in 0..2 {
            assert_eq!(world.good("POST", &path, &link).await["number"], 1, "the same link is there once");
        }
        world.good("POST", &path, json!({"kind": "link", "relation": "external", "to": "INC-7"})).await;
        for (body, code) in [
            (json!({"kind": "link", "relation": "fixes", "to": two.id}), "note.own_link"),
            (json!({"kind": "link", "relation": "fixes", "to": "C-99"}), "change.unknown"),
            (json!({"kind": "link", "relation": "replaces", "to": "INC-7"}), "note.text"),
            (json!({"kind": "link", "relation": "likes", "to": "C-1"}), "request.bad_json"),
            (json!({"kind": "unlink", "link": 7, "text": "x"}), "note.unknown"),
        ] {
            assert_eq!(world.code("POST", &path, &body).await, code, "{body}");
        }
        let from = notes(&world, &one).await.linked_from;
        assert_eq!(from.iter().map(|note| &note.change).collect::<Vec<_>>(), [&two.id]);
        let unlink = json!({"kind": "unlink", "link": 1, "text": "was another one"});
        world.good("POST", &path, &unlink).await;
        assert_eq!(world.code("POST", &path, &unlink).await, "note.settled");
        assert_eq!(notes(&world, &one).await.linked_from, [], "{}", world.engine);
        let again = world.good("POST", &path, &link).await;
        assert_eq!(again["number"], 4, "what has ended may begin anew");
    }
}

#[actix_web::test]
async fn files_are_attached_by_their_digest() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| ()).await;
        let path = format!("/v1/changes/{}/notes", of.id);
        let record = b"all 14 tests passed";
        let file =
            |bytes: &[u8]| json!({"kind": "attachment", "name": "test.txt", "sha256": Digest::of(bytes)});
        assert_eq!(world.code("POST", &path, file(record)).await, "object.not_found");
        let put = async |bytes: Vec<u8>| {
            let digest = Digest::of(&bytes);
            let body = futures_util::stream::iter([Ok(actix_web::web::Bytes::from(bytes))]);
            world.objects.put(digest, body).await.unwrap();
        };
        put(record.to_vec()).await;
        for _ in 0..2 {
            let note = world.good("POST", &path, file(record)).await;
            assert_eq!((&note["number"], &note["said"]["length"]), (&json!(1), &json!(record.len())));
        }
        let large = vec![0; 10 * 1024 * 1024 + 1];
        put(large.clone()).await;
        assert_eq!(world.code("POST", &path, file(&large)).await, "note.attachment_too_large");
        let fetch = format!("/v1/artifacts/{}", Digest::of(record));
        let (status, bytes) = world.call_on(&world.node, ("GET", &fetch), TOKEN, vec![]).await;
        assert_eq!((status, bytes.as_slice()), (200, record.as_slice()), "{}", world.engine);
    }
}

#[actix_web::test]
async fn emergencies_and_failures_are_reviewed_in_time_and_with_words() {
    for mut world in World::each(1, 1).await {
        for (kind, outcome) in
            [(ChangeType::Emergency, HostOutcome::Applied), (ChangeType::Normal, HostOutcome::RolledBack)]
        {
            let of = run(&mut world, kind, &[outcome]).await;
            let due = line(&world, &of).await.review_due;
            assert_eq!(due, Some(world.now().plus(REVIEW_SECS)), "{} {kind:?}", world.engine);
            let close = format!("/v1/changes/{}/close", of.id);
            let silent = json!({"outcome": "successful_with_issues", "note": " "});
            assert_eq!(world.code("POST", &close, silent).await, "change.review_note");
            let review = json!({
                "outcome": "successful_with_issues", "note": "the shop answers", "deviation": "took an hour longer",
                "lessons": "test on the reference host first", "follow_ups": ["INC-9"],
            });
            world.good("POST", &close, &review).await;
            let closed = line(&world, &of).await;
            assert_eq!((closed.state.as_str(), closed.review_due), ("closed", None));
            let said = serde_json::to_value(notes(&world, &of).await.notes).unwrap();
            assert_eq!(said[0]["said"], json!({"kind": "link", "relation": "external", "to": "INC-9"}));
            assert_eq!(said[1]["said"]["deviation"], "took an hour longer");
            // A lost answer: the same again changes nothing.
            world.good("POST", &close, &review).await;
            assert_eq!(notes(&world, &of).await.notes.len(), 2, "{}", world.engine);
        }
        let of = run(&mut world, ChangeType::Normal, &[HostOutcome::Applied]).await;
        assert_eq!(line(&world, &of).await.review_due, None, "what went as planned needs no more");
        let close = format!("/v1/changes/{}/close", of.id);
        assert_eq!(world.code("POST", &close, json!({"outcome": "failed"})).await, "change.review_note");
        world.good("POST", &close, json!({"outcome": "successful"})).await;
    }
}

/// "Successful" is what every host reported, or somebody says of each other one why it does not count.
#[actix_web::test]
async fn nothing_is_successful_that_hosts_did_not_report_so() {
    for mut world in World::each(1, 2).await {
        let of = run(&mut world, ChangeType::Normal, &[HostOutcome::Applied, HostOutcome::Failed]).await;
        let [good, bad] = [0, 1].map(|n| world.hosts[n].agent().to_string());
        let close = format!("/v1/changes/{}/close", of.id);
        let review = |waived: Value| json!({"outcome": "successful", "note": "looked at", "waived": waived});
        for (waived, code) in [
            (json!({}), "change.not_successful"),
            (json!({&good: "x"}), "change.waived_needlessly"),
            (json!({&bad: ""}), "note.text"),
            (json!({&bad: "disk is broken", &good: "x"}), "change.waived_needlessly"),
        ] {
            assert_eq!(world.code("POST", &close, review(waived.clone())).await, code, "{waived}");
            assert_eq!(world.state(&of.id).await, "review", "{}", world.engine);
        }
        world.good("POST", &close, review(json!({&bad: "disk is broken"}))).await;
        assert_eq!(world.state(&of.id).await, "closed");
    }
}

/// Numbers by which auditors count: without gaps for each kind and year, given once, also over revisions and drafts.
#[actix_web::test]
async fn numbers_of_a_year_have_no_gaps() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let mut given = Vec::new();
        for (n, kind) in [ChangeType::Normal, ChangeType::Emergency, ChangeType::Normal].iter().enumerate() {
            // Drafts that nobody submits use up nothing.
            world.number().await;
            let of = world.in_review(&base, |change| change.change_type = *kind).await;
            given.push(line(&world, &of).await.register.unwrap());
            if n == 0 {
                let second = world.sign(shared::change::Change {
                    change_type: ChangeType::Emergency,
                    ..world.change(&of.id, 2, &base)
                });
                let put = format!("/v1/changes/{}/revisions/2", of.id);
                world.good("PUT", &put, &second.envelope).await;
                world.good("POST", &format!("/v1/changes/{}/submit", of.id), json!({})).await;
                assert_eq!(line(&world, &of).await.register.as_ref(), given.first(), "it keeps its number");
            }
        }
        let year = &NOW.to_string()[..4];
        let expected = ["N", "E", "N"].iter().zip(["0001", "0001", "0002"]);
        let expected: Vec<_> = expected.map(|(kind, n)| format!("{kind}-{year}-{n}")).collect();
        assert_eq!(given, expected, "{}", world.engine);
        let text = serde_json::to_string(&world.good("GET", "/v1/changes", ()).await).unwrap();
        assert!(text.contains(&expected[2]), "{text}");
    }
}

/// An earlier revision can be had again, so that its author can sign the same once more.
#[actix_web::test]
async fn earlier_revisions_stay() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| ()).await;
        let second = world.sign(world.change(&of.id, 2, &base));
        world.good("PUT", &format!("/v1/changes/{}/revisions/2", of.id), &second.envelope).await;
        for (n, wanted) in [(1, &of.change.envelope), (2, &second.envelope)] {
            let got = world.good("GET", &format!("/v1/changes/{}/revisions/{n}", of.id), ()).await;
            assert_eq!(got, serde_json::to_value(wanted).unwrap(), "{}", world.engine);
        }
        let gone = format!("/v1/changes/{}/revisions/3", of.id);
        assert_eq!(world.code("GET", &gone, ()).await, "change.unknown_revision");
    }
}
