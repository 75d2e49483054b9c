//! Findings on both databases: what hosts say, what people make of it, and what opens it again.

mod acceptance;
mod retired;

use super::model::{check_rule, covers};
use super::store;
use crate::changes::tests::world::{NOW, Reviewed, World};
use serde_json::{Value, json};
use shared::digest::Digest;
use shared::finding::{About, Finding, Presence, Transaction};
use shared::receipt::HostOutcome;
use shared::time::Timestamp;
use shared::wire::NewIgnoreRule;

const MONTH: Timestamp = Timestamp(NOW.0 + 30 * 86_400);

/// A host that was changed and differs now, on each database.
async fn each() -> Vec<(World, Reviewed)> {
    let mut all = Vec::new();
    for mut world in World::each(1, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| {}).await;
        world.approve(&of, "peer").await;
        world.clock.set(NOW.plus(3_700));
        world.report(0, &of, HostOutcome::Applied).await;
        all.push((world, of));
    }
    all
}

async fn lines(world: &World, query: &str) -> Vec<Value> {
    let page = world.good("GET", &format!("/v1/findings{query}"), ()).await;
    page["findings"].as_array().unwrap().clone()
}

/// The only finding's disposition.
async fn disposition(world: &World) -> String {
    let all = lines(world, "").await;
    assert_eq!(all.len(), 1);
    all[0]["disposition"].as_str().unwrap().to_owned()
}

/// Judges the only finding as it looks now.
async fn judge(world: &World, more: Value) -> Result<(), String> {
    let line = lines(world, "").await.remove(0);
    let mut wish =
        json!({ "findings": [{ "id": line["id"], "fingerprint": line["fingerprint"] }], "reason": "known" });
    wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, body) = world.call("POST", "/v1/finding-dispositions", wish).await;
    if status == 204 { Ok(()) } else { Err(body["code"].as_str().unwrap().to_owned()) }
}

/// Judges these findings together.
async fn judge_all(world: &World, seen: &[Value], more: Value) -> Result<(), String> {
    let mut wish = json!({ "findings": seen, "reason": "the same on both" });
    wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, body) = world.call("POST", "/v1/finding-dispositions", wish).await;
    if status == 204 { Ok(()) } else { Err(body["code"].as_str().unwrap().to_owned()) }
}

/// All findings as they look now.
async fn seen(world: &World) -> Vec<Value> {
    let all = lines(world, "").await;
    all.iter().map(|line| json!({ "id": line["id"], "fingerprint": line["fingerprint"] })).collect()
}

/// Word and number of steps of all findings, newest first.
async fn words(world: &World) -> Vec<(String, usize)> {
    let mut all = Vec::new();
    for line in lines(world, "").await {
        let file = world.good("GET", &format!("/v1/findings/{}", line["id"]), ()).await;
        let steps = file["history"].as_array().unwrap().len();
        all.push((line["disposition"].as_str().unwrap().to_owned(), steps));
    }
    all
}

fn looks_otherwise(finding: &mut Finding) {
    finding.differences[0].observed = Some(Digest::of(b"something else"));
    finding.count = 2;
}

fn gone(finding: &mut Finding) {
    finding.presence = Presence::Gone;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_says_is_one_finding_with_its_signed_words_and_a_place_in_its_history() {
    for (mut world, of) in each().await {
        let first = world.find(0, &of, |_| {}).await;
        let line = lines(&world, "?disposition=open&current=true&host=web1").await.remove(0);
        assert_eq!(
            (line["what"].as_str(), line["statement"].as_str()),
            (Some("file:/etc/motd"), Some(&*first.to_string()))
        );
        assert_eq!(line["about"]["state"]["change_id"], json!(of.id));
        let second = world.find(0, &of, gone).await;
        let file = world.good("GET", &format!("/v1/findings/{}", line["id"]), ()).await;
        assert_eq!(file["line"]["presence"], "gone");
        let envelope = shared::envelope::Envelope::parse(file["statement"].to_string().as_bytes()).unwrap();
        assert_eq!(envelope.digest(), second);
        let ci = world.good("GET", "/v1/cis/web1", ()).await;
        let kinds: Vec<&str> =
            ci["history"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds[..3], ["as_approved", "differs", "applied"]);
        // The other host says the same: another finding with the same fingerprint.
        world.find(1, &of, |_| {}).await;
        let fingerprint = line["fingerprint"].as_str().unwrap();
        assert_eq!(lines(&world, &format!("?fingerprint={fingerprint}")).await.len(), 2);
        assert_eq!(lines(&world, "?host=web2").await.len(), 1);
        assert_eq!(lines(&world, "?manifest=other/base").await.len(), 0);
        assert_eq!(world.code("GET", "/v1/findings/77", ()).await, "finding.unknown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judgement_needs_what_its_word_needs_and_holds_for_what_was_seen() {
    for (mut world, of) in each().await {
        world.find(0, &of, |_| {}).await;
        for (wish, code) in [
            (json!({ "disposition": "accepted" }), "finding.incomplete"),
            (json!({ "disposition": "accepted", "change": "C-999" }), "change.unknown"),
            (json!({ "disposition": "ignored" }), "finding.incomplete"),
            (json!({ "disposition": "ignored", "until": NOW }), "finding.end"),
            (json!({ "disposition": "ignored", "until": NOW.plus(400 * 86_400) }), "finding.end"),
            (json!({ "disposition": "ignored", "until": MONTH, "change": of.id }), "finding.incomplete"),
            (json!({ "disposition": "confirmed", "until": MONTH }), "finding.incomplete"),
            (json!({ "disposition": "confirmed", "reason": " " }), "finding.reason"),
            (json!({ "disposition": "confirmed", "findings": [] }), "finding.count"),
            (
                json!({ "disposition": "confirmed", "findings": [{ "id": 77, "fingerprint": of.change.digest }] }),
                "finding.unknown",
            ),
            (
                json!({ "disposition": "confirmed", "findings": [{ "id": 1, "fingerprint": of.change.digest }] }),
                "finding.moved",
            ),
        ] {
            assert_eq!(judge(&world, wish.clone()).await, Err(code.to_owned()), "{wish}");
        }
        assert_eq!(disposition(&world).await, "open", "a refused judgement leaves nothing");
        judge(&world, json!({ "disposition": "accepted", "change": of.id })).await.unwrap();
        let file = world.good("GET", "/v1/findings/1", ()).await;
        assert_eq!(file["history"].as_array().unwrap().len(), 1);
        assert_eq!(
            (&file["history"][0]["change"], &file["history"][0]["by_person"]),
            (&json!(of.id), &json!("lead"))
        );
        // What looks otherwise was not judged.
        world.find(0, &of, looks_otherwise).await;
        assert_eq!(disposition(&world).await, "open");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_are_judged_together_all_or_none() {
    for (mut world, of) in each().await {
        let first = world.find(0, &of, |_| {}).await;
        world.find(1, &of, |_| {}).await;
        let both = seen(&world).await;
        let rounds = [
            (json!({ "disposition": "confirmed", "change": of.id }), "confirmed"),
            (json!({ "disposition": "open" }), "open"),
            (json!({ "disposition": "ignored", "until": MONTH }), "ignored"),
            (json!({ "disposition": "open" }), "open"),
            (json!({ "disposition": "reverted", "change": of.id }), "reverted"),
            (json!({ "disposition": "accepted", "change": of.id }), "accepted"),
            (json!({ "disposition": "open" }), "open"),
        ];
        for (round, (wish, word)) in rounds.into_iter().enumerate() {
            judge_all(&world, &both, wish).await.unwrap();
            assert_eq!(words(&world).await, vec![(word.to_owned(), round + 1); 2]);
            let marked = lines(&world, "").await.iter().filter(|line| line["change"] == json!(of.id)).count();
            assert_eq!(marked, if ["open", "ignored"].contains(&word) { 0 } else { 2 }, "{word}");
        }
        let file = world.good("GET", "/v1/findings/2", ()).await;
        let last = &file["history"][6];
        assert_eq!((&last["by_person"], &last["reason"]), (&json!("lead"), &json!("the same on both")));
        let unjudged = vec![("open".to_owned(), 7); 2];
        // One of them waits for somebody else's word.
        world.accepting_draft(&[(0, first)]).await;
        let all = ["confirmed", "reverted", "open"].map(|word| json!({ "disposition": word }));
        for wish in all.clone() {
            assert_eq!(judge_all(&world, &both, wish).await, Err("finding.in_review".into()));
        }
        assert_eq!(words(&world).await, unjudged);
        // One of them looks otherwise than it was seen.
        world.find(1, &of, looks_otherwise).await;
        for wish in all {
            assert_eq!(judge_all(&world, &both, wish).await, Err("finding.moved".into()));
        }
        assert_eq!(words(&world).await, unjudged);
        let many = vec![both[0].clone(); 1_001];
        let wish = json!({ "disposition": "confirmed" });
        assert_eq!(judge_all(&world, &many, wish).await, Err("finding.count".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_did_is_shown_and_judged_with_the_difference_that_came_of_it() {
    for (mut world, of) in each().await {
        let upgraded = |finding: &mut Finding| {
            finding.cause = Some(Transaction {
                when: "2026-11-20 17:00:00".into(),
                command: "apt-get upgrade".into(),
                by: "ada (1000)".into(),
            });
            finding.differences[0].resource = "package:alpha".parse().unwrap();
        };
        world.find(0, &of, upgraded).await;
        let line = lines(&world, "?manifest=main/base").await.remove(0);
        assert_eq!(line["cause"]["command"], "apt-get upgrade");
        assert_eq!(
            (&line["presence"], &line["about"]["state"]["change_id"]),
            (&json!("there"), &json!(of.id))
        );
        judge(&world, json!({ "disposition": "reverted" })).await.unwrap();
        // An approved change has brought it back.
        world
            .find(0, &of, |finding| {
                (finding.presence, finding.differences[0].resource) =
                    (Presence::Gone, "package:alpha".parse().unwrap())
            })
            .await;
        let line = lines(&world, "").await.remove(0);
        assert_eq!((line.get("cause"), &line["disposition"]), (None, &json!("reverted")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_reverted_and_comes_back_is_open_again_and_an_old_word_changes_nothing() {
    for (mut world, of) in each().await {
        let first = world.find(0, &of, |_| {}).await;
        judge(&world, json!({ "disposition": "reverted" })).await.unwrap();
        world.find(0, &of, gone).await;
        assert_eq!(disposition(&world).await, "reverted");
        // The first statement is handed over again, as after a crash between two writes.
        let key = first.hex();
        world.write(move |tx| store::take_in(tx, &key, NOW)).await.unwrap();
        assert_eq!(lines(&world, "").await[0]["presence"], "gone");
        world.find(0, &of, |finding| finding.count = 2).await;
        assert_eq!(disposition(&world).await, "open");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_covers_what_is_there_and_what_comes_until_its_end() {
    for (mut world, of) in each().await {
        world.find(0, &of, |_| {}).await;
        let rule = json!({ "manifest": "main/base", "resource": "file:/etc/*", "reason": "written by others", "until": MONTH });
        let made = world.good("POST", "/v1/finding-rules", rule.clone()).await;
        assert_eq!(disposition(&world).await, "ignored");
        world.find(1, &of, |_| {}).await;
        let all = lines(&world, "").await;
        assert!(
            all.iter().all(|line| line["disposition"] == "ignored" && line["rule"] == made["id"]),
            "{all:?}"
        );
        // Another resource is not covered, and neither is what nobody can see the whole of.
        let other = |finding: &mut Finding| {
            finding.number = 2;
            finding.differences[0].resource = "file:/srv/x".parse().unwrap();
        };
        world.find(0, &of, other).await;
        let many = |finding: &mut Finding| (finding.number, finding.more) = (3, 5);
        world.find(0, &of, many).await;
        assert_eq!(lines(&world, "?disposition=open").await.len(), 2);
        world.good("GET", "/v1/finding-rules", ()).await;
        let path = format!("/v1/finding-rules/{}", made["id"]);
        assert_eq!(world.call("DELETE", &path, ()).await.0, 204);
        assert_eq!(world.code("DELETE", &path, ()).await, "finding.unknown_rule");
        assert_eq!(lines(&world, "?disposition=open").await.len(), 4);
        // A rule ends by itself.
        world.good("POST", "/v1/finding-rules", rule).await;
        assert_eq!(lines(&world, "?disposition=open").await.len(), 2);
        world.write(|tx| store::reopen_ended(tx, MONTH)).await.unwrap();
        assert_eq!(lines(&world, "?disposition=open").await.len(), 4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_has_put_back_needs_nobody_and_is_told_apart() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |change| change.correct_until = Some(MONTH)).await;
        world.approve(&of, "peer").await;
        world.clock.set(NOW.plus(3_700));
        world.report(0, &of, HostOutcome::Applied).await;
        world.find(0, &of, |_| {}).await;
        world.correct(0, &of, HostOutcome::RolledBack, 1).await;
        assert_eq!(disposition(&world).await, "open", "it could not");
        world.correct(0, &of, HostOutcome::Applied, 1).await;
        world.find(0, &of, gone).await;
        assert_eq!(disposition(&world).await, "reverted");
        let line = lines(&world, "").await.remove(0);
        assert_eq!((&line["presence"], &line["change"]), (&json!("gone"), &json!(of.id)));
        let ci = world.good("GET", "/v1/cis/web1", ()).await;
        let kinds: Vec<&str> =
            ci["history"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds[..4], ["as_approved", "corrected", "not_corrected", "differs"]);
        // It comes back: somebody has to look.
        world.find(0, &of, |finding| finding.count = 2).await;
        assert_eq!(disposition(&world).await, "open");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_did_to_packages_is_a_finding_of_no_change() {
    for (mut world, of) in each().await {
        let by_others = |finding: &mut Finding| {
            finding.about = About::Packages(Transaction {
                when: "2026-11-20 17:00:00".into(),
                command: "apt-get install nano".into(),
                by: String::new(),
            });
            finding.presence = Presence::Happened;
            finding.differences[0].resource = "package:nano".parse().unwrap();
        };
        world.find(0, &of, by_others).await;
        let line = lines(&world, "?current=true").await.remove(0);
        assert_eq!((&line["presence"], &line["what"]), (&json!("happened"), &json!("package:nano")));
        assert_eq!(line["about"]["packages"]["command"], "apt-get install nano");
        assert_eq!(lines(&world, "?manifest=main/base").await.len(), 0);
        let ci = world.good("GET", "/v1/cis/web1", ()).await;
        assert_eq!(
            (&ci["history"][0]["kind"], ci["history"][0].get("change_id")),
            (&json!("by_others"), None)
        );
        let of_manifest =
            json!({ "manifest": "main/base", "resource": "package:na*", "reason": "x", "until": MONTH });
        world.good("POST", "/v1/finding-rules", of_manifest).await;
        assert_eq!(disposition(&world).await, "open", "a rule about a manifest says nothing of it");
        let any = json!({ "resource": "package:na*", "reason": "x", "until": MONTH });
        world.good("POST", "/v1/finding-rules", any).await;
        assert_eq!(disposition(&world).await, "ignored");
    }
}

#[test]
fn a_rule_names_a_resource_or_its_beginning() {
    let rule = |resource: &str| NewIgnoreRule {
        manifest: Some("main/base".into()),
        resource: resource.into(),
        reason: "known".into(),
        until: MONTH,
    };
    for good in ["file:/etc/motd", "file:/etc/cron.d/*", "package:lib*"] {
        check_rule(&rule(good), NOW).unwrap();
    }
    for bad in ["*", "file", "file:", "file:*", "file:/etc/*/x*", ":x", "file:/etc\n*"] {
        assert_eq!(check_rule(&rule(bad), NOW).unwrap_err().code, "finding.bad_pattern", "{bad}");
    }
    let both = ["file:/etc/cron.d/a".to_owned(), "file:/etc/cron.d/b".to_owned()];
    let other = ["file:/etc/cron.d/a".to_owned(), "file:/etc/motd".to_owned()];
    let own = rule("file:/etc/cron.d/*");
    assert!(covers(&own, Some("main/base"), &both, true));
    assert!(!covers(&own, Some("main/base"), &other, true) && !covers(&own, Some("main/other"), &both, true));
    assert!(!covers(&own, Some("main/base"), &both, false));
    assert!(!covers(&rule("file:/etc/cron.d/a"), Some("main/base"), &both, true));
}
