//! Hosts that leave for good and machines that go on with another key, on both databases: who decides, what follows at once, and
//! what is refused.

use super::world::{Host, NOW, Node, Reviewed, TOKEN, World, answer, key};
use crate::kernel::db::Conn;
use crate::kernel::{news, outbox};
use crate::{cmdb, fleet, receipts};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use shared::approval::Decision;
use shared::digest::Digest;
use shared::facts::Facts;
use shared::ids::AgentId;
use shared::news::{News, NewsKind};
use shared::receipt::{HostOutcome, Renewal};
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::wire::{Approve, Invitation, Invite, Renew};

/// The machine of the first host, installed anew.
fn again() -> Host {
    Host::named(7, "web1")
}

async fn host(world: &World, n: usize) -> fleet::Host {
    let agent = world.hosts[n].agent();
    world.read(move |tx| Ok(fleet::find(tx, agent)?.unwrap())).await
}

async fn entry(world: &World, name: &str) -> Value {
    world.good("GET", &format!("/v1/cis/{name}"), ()).await
}

fn kinds(file: &Value) -> Vec<&str> {
    file["history"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect()
}

async fn renew(world: &World, n: usize) -> String {
    let csr = CertificateParams::new(Vec::new()).unwrap();
    let csr = csr.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    let host = &world.hosts[n];
    let (site, agent_id, key) = (world.site.clone(), host.agent(), host.key.public());
    let body = Renewal { site, agent_id, key, at: world.now(), csr };
    world.code("POST", "/v1/renew", Renew { envelope: Statement::sign(body, &host.key).envelope }).await
}

#[actix_web::test]
async fn a_host_that_leaves_is_out_at_once_and_for_good_by_the_word_of_a_second_person() {
    for mut world in World::each(1, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let running = world.in_review(&base, |_| {}).await;
        world.approve(&running, "peer").await;
        world.clock.set(NOW.plus(3_700));
        world.report(0, &running, HostOutcome::Applied).await;
        let of = world.retiring(&[(1, None)]).await;
        let (id, agent) = (of.id.to_string(), world.hosts[1].agent());
        let path = format!("/v1/changes/{id}/approvals");
        let file = world.good("GET", &format!("/v1/changes/{id}"), ()).await;
        assert_eq!(file["enrolments"].as_array().unwrap().len(), 1, "reviewers see how it joined");
        let why = world.good("GET", &format!("/v1/why/web2/{id}"), ()).await;
        assert_eq!(why["code"], "change.retires");
        // The author is an approver of this site, and does not count here.
        let own = Statement::sign(world.approval(&of, "lead", Decision::Approve), &key(1));
        let own = Approve { plan_set: of.plan_set(), approval: own.envelope };
        let told = answer(&world.good("POST", &path, &own).await);
        assert_eq!(told.state, "review", "{}", world.engine);
        assert!(told.lines.iter().any(|line| line.contains("is the author")), "{:?}", told.lines);
        assert!(world.node.board.admits(agent) && host(&world, 1).await.retired.is_none());

        assert_eq!(world.good("GET", "/v1/inbox", ()).await, json!([]), "{}: nor is it asked", world.engine);
        let peer = world.token("peer", "member").await;
        let inbox = async || {
            let (_, inbox) = world.call_on(&world.node, ("GET", "/v1/inbox"), &peer, vec![]).await;
            serde_json::from_slice::<Value>(&inbox).unwrap()
        };
        let item = inbox().await[0].clone();
        assert_eq!((&item["kind"], &item["change"]), (&json!("approve"), &json!(id)), "{}", world.engine);

        let told = answer(&world.approve(&of, "peer").await);
        assert_eq!(inbox().await, json!([]));
        assert_eq!(
            (told.state.as_str(), world.node.board.admits(agent)),
            ("closed", false),
            "{}",
            world.engine
        );
        assert!(told.lines.contains(&"accepted by peer".to_owned()), "{:?}", told.lines);
        let left = host(&world, 1).await;
        assert_eq!((left.enabled, left.retired.as_ref()), (false, Some(&of.id)));
        // What still ran waits for it no longer.
        assert_eq!(world.state(&running.id).await, "review", "{}", world.engine);
        let course = world.good("GET", &format!("/v1/changes/{}/course", running.id), ()).await;
        let last = course.as_array().unwrap().last().unwrap();
        assert_eq!(last["note"], "the hosts that it waited for have left the site");
        // Nothing brings it back: no enabling, no certificate, no second joining with that key.
        for door in ["enable", "disable"] {
            let path = format!("/v1/hosts/{agent}/{door}");
            let why = json!({ "reason": "test" });
            assert_eq!(world.code("POST", &path, why).await, "host.retired", "{door}");
        }
        assert_eq!(renew(&world, 1).await, "host.retired");
        let invite =
            Invite { host_class: "production".parse().unwrap(), labels: Default::default(), minutes: 10 };
        let invitation = world.good("POST", "/v1/join-tokens", invite).await;
        let invitation: Invitation = serde_json::from_value(invitation).unwrap();
        let join = world.joining(&mut Host::new(1), invitation);
        assert_eq!(world.code("POST", "/v1/join", join).await, "host.retired");
        let line = &world.good("GET", "/v1/hosts", ()).await[1];
        assert_eq!((&line["enabled"], &line["retired_by"]), (&json!(false), &json!(id)));
        let ci = entry(&world, "web2").await;
        assert_eq!(ci["declared"]["declared"]["lifecycle"], "retired");
        assert_eq!(ci["declared"]["reason"], format!("{id}: web1 was installed anew"));
        assert_eq!(ci["history"][0]["change_id"], json!(id));
        assert_eq!(kinds(&ci)[0], "retired");
        // Neither a change that runs nor another one of this kind is about it any more.
        let next = world.number().await;
        let change = world.sign(world.change(&next, 1, &base));
        assert_eq!(world.propose(&change).await, Err("change.bad_targets".into()));
        let twice = world.sign(world.retired(&next, 1, &[(1, None)]).await);
        assert_eq!(world.propose(&twice).await, Err("host.retired".into()));
        assert!(world.read(crate::ledger::check).await.is_empty());
        assert!(world.listed().await.iter().all(|name| !name.starts_with(&format!("{id}."))));
    }
}

/// What a host says of itself, and that it runs on this kernel.
async fn reports(world: &World, n: usize, kernel: &str) {
    let mut facts = Facts::empty(semver::Version::new(0, 1, 0), "production".parse().unwrap());
    facts.kernel.release = kernel.into();
    let (ci, now) = (host(world, n).await.ci, world.now());
    world.write(move |tx| cmdb::record_facts(tx, ci, now, &facts, now)).await.unwrap();
}

async fn receipts_of(world: &World, name: &str) -> Vec<Digest> {
    let file = entry(world, name).await;
    let states = file["states"].as_array().unwrap().iter();
    states.map(|state| state["receipt"].as_str().unwrap().parse().unwrap()).collect()
}

/// What the outside hears of hosts that leave and go on, all under the entry that goes on.
async fn told(world: &World) -> Vec<(NewsKind, AgentId)> {
    let now = world.now();
    let take = move |tx: &mut Conn| {
        let all = outbox::take_due(tx, news::TOPIC, now, 60, 100)?;
        Ok(all.into_iter().map(|message| message.body).collect::<Vec<_>>())
    };
    let bodies = world.write(take).await.unwrap();
    let all = bodies.iter().map(|body| serde_json::from_str::<News>(body).unwrap());
    let left = all.filter(|news| matches!(news.kind, NewsKind::HostRetired | NewsKind::HostSucceeded));
    left.map(|news| {
        assert_eq!(
            (news.about.ci.as_deref(), news.about.person),
            (Some("CI-1"), Some("lead".parse().unwrap()))
        );
        (news.kind, news.about.agent.unwrap())
    })
    .collect()
}

#[actix_web::test]
async fn a_machine_goes_on_under_its_entry_with_another_key_and_the_past_stays_as_it_was() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let first = world.in_review(&base, |_| {}).await;
        world.approve(&first, "peer").await;
        world.clock.set(NOW.plus(3_700));
        let old_receipt = world.report(0, &first, HostOutcome::Applied).await;
        reports(&world, 0, "5.10").await;
        world
            .good("PUT", "/v1/hosts/CI-1/labels", json!({ "reason": "test", "labels": { "role": "web" } }))
            .await;
        let declared = json!([{ "item": "host:web1", "declared": { "owner": "shop" } }]);
        world.good("POST", "/v1/declarations", json!({ "reason": "x", "items": declared })).await;
        let before = world.now();

        world.clock.set(before.plus(600));
        world.join_as(again(), "production").await;
        let (old, new) = (world.hosts[0].agent(), world.hosts[1].agent());
        reports(&world, 1, "6.1").await;
        let second = world
            .in_review(&base, |change| {
                change.targets.retain(|target| target.agent == new);
                change.not_after = NOW.plus(3 * 86_400);
            })
            .await;
        world.approve(&second, "peer").await;
        let new_receipt = world.report(1, &second, HostOutcome::Applied).await;
        assert_eq!(receipts_of(&world, "CI-2").await, [new_receipt]);

        world.clock.set(before.plus(1_200));
        let of = world.retiring(&[(0, Some(1))]).await;
        let then = world.now();
        world.approve(&of, "peer").await;
        assert!(!world.node.board.admits(old) && world.node.board.admits(new), "{}", world.engine);
        assert_eq!((world.entry_of(new).await, world.entry_of(old).await), ("CI-1".into(), "CI-1".into()));
        assert_eq!(host(&world, 1).await.labels, host(&world, 0).await.labels, "labels choose targets");
        assert_eq!(told(&world).await, [(NewsKind::HostRetired, old), (NewsKind::HostSucceeded, new)]);
        // The name means the entry that goes on, and nothing else.
        let file = entry(&world, "web1").await;
        assert_eq!((&file["line"]["ci"], &file["line"]["agent"]), (&json!("CI-1"), &json!(new)));
        assert_eq!(
            (&file["declared"]["declared"]["owner"], &file["line"]["kernel"]),
            (&json!("shop"), &json!("6.1"))
        );
        assert_eq!(receipts_of(&world, "web1").await, [new_receipt], "what is there now the new one brought");
        let told = file["history"][0]["summary"].as_str().unwrap();
        assert_eq!(told, format!("{new} goes on in place of {old}; it was CI-2 before"), "{}", world.engine);
        let ended = entry(&world, "CI-2").await;
        assert_eq!(ended["line"].get("agent"), None);
        assert_eq!(ended["declared"]["declared"]["lifecycle"], "retired");
        assert_eq!((&ended["states"], ended.get("facts")), (&json!([]), None));
        let told = ended["history"][0]["summary"].as_str().unwrap();
        assert_eq!(told, format!("its host {new} goes on as CI-1, in place of {old}"));

        let past = async |name: &str, at: Timestamp| entry(&world, &format!("{name}?at={at}")).await;
        let was = past("CI-1", then.plus(-1)).await;
        assert_eq!((&was["line"]["agent"], &was["line"]["kernel"]), (&json!(old), &json!("5.10")));
        assert_eq!(was["states"][0]["receipt"], json!(old_receipt), "{}", world.engine);
        let newcomer = past("CI-2", then.plus(-1)).await;
        assert_eq!((&newcomer["line"]["agent"], &newcomer["line"]["kernel"]), (&json!(new), &json!("6.1")));
        assert_eq!(newcomer["states"][0]["receipt"], json!(new_receipt));
        world.clock.set(then.plus(10));
        let is = past("CI-1", then.plus(1)).await;
        assert_eq!((&is["line"]["agent"], &is["states"][0]["receipt"]), (&json!(new), &json!(new_receipt)));
        assert_eq!(past("CI-2", then.plus(1)).await["states"], json!([]));
        // The same again from the ledger gives the same.
        world.sql("DELETE FROM ci_state_past").await;
        receipts::make_again(&world.node.db, world.now()).await.unwrap();
        assert_eq!(past("CI-1", then.plus(-1)).await, was, "{}", world.engine);
        assert_eq!(receipts_of(&world, "CI-1").await, [new_receipt]);
        // What it does from now on is its entry's.
        world.find(1, &second, |_| {}).await;
        assert_eq!(kinds(&entry(&world, "CI-1").await)[0], "differs");
        assert_eq!(world.good("GET", "/v1/findings?host=web1", ()).await["findings"][0]["ci"], "CI-1");
    }
}

/// A host that left without a successor is followed later: its machine came back with another key.
#[actix_web::test]
async fn a_machine_that_comes_back_follows_the_host_that_left() {
    for mut world in World::each(1, 1).await {
        let gone = world.retiring(&[(0, None)]).await;
        world.approve(&gone, "peer").await;
        world.join_as(again(), "production").await;
        let of = world.retiring(&[(0, Some(1))]).await;
        world.approve(&of, "peer").await;
        let (old, new) = (host(&world, 0).await, host(&world, 1).await);
        assert_eq!((old.retired, new.retired), (Some(gone.id), None), "the first one retired it");
        assert_eq!((new.ci.to_string(), new.enabled), ("CI-1".into(), true), "{}", world.engine);
        let ci = entry(&world, "web1").await;
        assert_eq!(ci["declared"]["declared"]["lifecycle"], "in_use");
        assert_eq!(kinds(&ci)[..2], ["succeeded", "retired"]);
    }
}

#[actix_web::test]
async fn what_cannot_come_about_is_refused_with_its_reason() {
    for mut world in World::each(1, 2).await {
        world.join_as(again(), "production").await;
        world.join_as(Host::named(8, "lab1"), "lab").await;
        let id = world.number().await;
        let before = world.checkpoint().await;
        let retired = |pairs| world.retired(&id, 1, pairs);
        let mut stranger = retired(&[(0, None)]).await;
        stranger.targets[0] = Host::stranger(99).target();
        stranger.retires[0].host.agent = stranger.targets[0].agent;
        let mut unknown = retired(&[(0, None)]).await;
        unknown.retires[0].host.enrolment = Digest::of(b"never recorded");
        let mut emergency = retired(&[(0, None)]).await;
        emergency.change_type = shared::change::ChangeType::Emergency;
        for (what, change, code) in [
            ("a host of nobody", stranger, "change.bad_targets"),
            ("an enrolment that is not on record", unknown, "change.refused"),
            ("an emergency", emergency, "change.refused"),
            ("a successor of another class", retired(&[(0, Some(3))]).await, "change.refused"),
        ] {
            assert_eq!(
                world.propose(&world.sign(change)).await,
                Err(code.into()),
                "{}: {what}",
                world.engine
            );
        }
        assert_eq!(world.checkpoint().await, before, "refusals leave nothing behind");
        world.switch(2, "disable").await;
        let change = world.sign(retired(&[(0, Some(2))]).await);
        assert_eq!(world.propose(&change).await, Err("change.successor".into()));
        world.switch(2, "enable").await;
        world.propose(&change).await.unwrap();
        // One change at a time is about a host, as one that leaves or as a successor.
        for pairs in [&[(0, None)], &[(2, None)], &[(1, Some(2))]] {
            let other = world.number().await;
            let change = world.sign(world.retired(&other, 1, pairs).await);
            assert_eq!(world.propose(&change).await, Err("change.host_taken".into()), "{pairs:?}");
        }
        // It stays what it is, and is accepted only while what it says can come about.
        let base = world.publish("base", "1.0.0").await;
        let turned = world.sign(world.change(&id, 2, &base));
        assert_eq!(world.propose(&turned).await, Err("change.refused".into()));
        world.good("POST", &format!("/v1/changes/{id}/submit"), json!({})).await;
        let of = Reviewed { id: id.clone(), change, plans: Default::default() };
        world.switch(2, "disable").await;
        let path = format!("/v1/changes/{id}/approvals");
        let yes = world.approving(&of, "peer", Decision::Approve);
        assert_eq!(world.code("POST", &path, &yes).await, "change.successor");
        world.switch(2, "enable").await;
        world.good("POST", &path, &yes).await;
        // Who has followed one host does not follow another, and a host is followed once.
        let next = world.number().await;
        for (pairs, code) in [(&[(1, Some(2))], "change.successor"), (&[(0, Some(3))], "change.refused")] {
            let change = world.sign(world.retired(&next, 1, pairs).await);
            assert_eq!(world.propose(&change).await, Err(code.into()), "{pairs:?}");
        }
        world.join_as(Host::named(9, "web1"), "production").await;
        let change = world.sign(world.retired(&next, 1, &[(0, Some(4))]).await);
        assert_eq!(world.propose(&change).await, Err("host.followed".into()));
        let change = world.sign(world.retired(&next, 1, &[(2, Some(4))]).await);
        world.propose(&change).await.unwrap();
    }
}

#[actix_web::test]
async fn a_no_and_time_leave_the_host_where_it_is() {
    for world in World::each(1, 2).await {
        let post = |of: &Reviewed, what: &str| format!("/v1/changes/{}/{what}", of.id);
        let rejected = world.retiring(&[(0, None)]).await;
        let no = world.approving(&rejected, "peer", Decision::Reject);
        world.good("POST", &post(&rejected, "approvals"), &no).await;
        let late = world.approving(&rejected, "cora", Decision::Approve);
        assert_eq!(world.code("POST", &post(&rejected, "approvals"), &late).await, "change.state");
        let forgotten = world.retiring(&[(0, None)]).await;
        for action in ["halt", "resume"] {
            assert_eq!(world.code("POST", &post(&forgotten, action), json!({})).await, "change.state");
        }
        let close = json!({ "outcome": "successful" });
        assert_eq!(world.code("POST", &post(&forgotten, "close"), close).await, "change.state");
        world.clock.set(forgotten.change.body.not_after);
        let late = world.approving(&forgotten, "peer", Decision::Approve);
        assert_eq!(world.code("POST", &post(&forgotten, "approvals"), &late).await, "change.over");
        super::super::tend(&world.node.db, world.now()).await.unwrap();
        assert_eq!(world.state(&forgotten.id).await, "closed");
        assert!(host(&world, 0).await.retired.is_none() && world.node.board.admits(world.hosts[0].agent()));
    }
}

/// Quorum and effect are one write: where one of them cannot be made, neither is there, and the same word does both later.
#[actix_web::test]
async fn a_crash_before_the_effect_leaves_neither_approval_nor_effect() {
    for mut world in World::each(1, 1).await {
        world.join_as(again(), "production").await;
        let of = world.retiring(&[(0, Some(1))]).await;
        let yes = world.approving(&of, "peer", Decision::Approve);
        let path = format!("/v1/changes/{}/approvals", of.id);
        let size = world.checkpoint().await.size;
        world.sql("ALTER TABLE ci_succession RENAME TO ci_away").await;
        assert_eq!(world.call("POST", &path, &yes).await.0, 500, "{}", world.engine);
        world.sql("ALTER TABLE ci_away RENAME TO ci_succession").await;
        assert_eq!((world.state(&of.id).await.as_str(), world.checkpoint().await.size), ("review", size));
        assert!(host(&world, 0).await.retired.is_none(), "{}", world.engine);
        world.good("POST", &path, &yes).await;
        assert_eq!(
            (world.state(&of.id).await.as_str(), world.entry_of(world.hosts[1].agent()).await.as_str()),
            ("closed", "CI-1")
        );
        // Sent once more, as after a lost answer, it changes nothing.
        let size = world.checkpoint().await.size;
        world.good("POST", &path, &yes).await;
        assert_eq!(world.checkpoint().await.size, size);
        assert_eq!(
            kinds(&entry(&world, "CI-1").await).iter().filter(|kind| **kind == "succeeded").count(),
            1
        );
    }
}

#[actix_web::test]
async fn of_two_nodes_that_take_the_last_words_at_once_one_lets_the_host_go() {
    for world in World::each(1, 2).await {
        let of = world.retiring(&[(1, None)]).await;
        let second = world.second_node().await;
        let path = format!("/v1/changes/{}/approvals", of.id);
        let calls = ["peer", "cora"].iter().enumerate().map(|(n, who)| {
            let node: &Node = if n == 0 { &world.node } else { &second };
            let body = shared::strict::to_json(&world.approving(&of, who, Decision::Approve));
            let (world, path) = (&world, &path);
            async move { world.call_on(node, ("POST", path), TOKEN, body).await.0 }
        });
        let mut statuses: Vec<u16> = futures_util::future::join_all(calls).await;
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{}", world.engine);
        let agent = world.hosts[1].agent();
        assert_eq!(kinds(&entry(&world, "web2").await).iter().filter(|kind| **kind == "retired").count(), 1);
        for node in [&world.node, &second] {
            node.board.refresh(&node.db).await.unwrap();
            assert!(!node.board.admits(agent), "{}", world.engine);
        }
    }
}
