//! Webhooks on both databases, with real subscribers on loopback.

use super::model::GIVE_UP_SECS;
use super::sender::Sender;
use super::{spread, store};
use crate::changes::tests::world::World;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::kernel::news;
use crate::kernel::testpeer::{Answer, Got, Receiver};
use serde_json::{Value, json};
use shared::news::{About, NewsKind};
use shared::receipt::HostOutcome;
use shared::time::Timestamp;
use shared::webhook::WebhookSecret;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn secret() -> WebhookSecret {
    WebhookSecret::of(&[7; 32]).unwrap()
}

/// Worlds whose server may send to this machine, and trusts the authority of its own certificates.
async fn worlds() -> Vec<World> {
    let mut worlds = World::each(1, 1).await;
    for world in &mut worlds {
        world.config.reach = "127.0.0.0/8 ::1/128".parse().unwrap();
        world.config.outgoing_ca = world.data_dir().join("tls/ca.crt");
        // The host joined before.
        later(world, 1);
    }
    worlds
}

async fn subscribe(world: &World, name: &str, url: &str, kinds: &[&str]) {
    let new = json!({"name": name, "url": url, "kinds": kinds, "secret": *secret().reveal()});
    world.good("POST", "/v1/webhooks", new).await;
}

fn sender(world: &World) -> Sender {
    Sender::new(&world.node.db, &Arc::new(world.config.clone()), &world.clock)
}

/// News are spread, and everything that is due is sent once.
async fn deliver(world: &World) {
    spread(&world.node.db, &Arc::new(world.config.clone()), world.now()).await.unwrap();
    for task in sender(world).send().await.unwrap() {
        task.await.unwrap();
    }
}

async fn tell_held(world: &World, at: Timestamp) {
    let told = move |tx: &mut Conn| Ok::<_, Error>(news::tell(tx, NewsKind::HostHeld, About::default(), at)?);
    world.node.db.write("test", told).await.unwrap();
}

fn later(world: &World, secs: i64) {
    world.clock.set(world.now().plus(secs));
}

async fn only(world: &World, name: &str) -> Value {
    let all = world.good("GET", "/v1/webhooks", ()).await;
    all.as_array().unwrap().iter().find(|line| line["name"] == name).unwrap().clone()
}

async fn sent(world: &World, name: &str) -> Vec<Value> {
    let page = world.good("GET", &format!("/v1/webhooks/{name}/deliveries"), ()).await;
    page["deliveries"].as_array().unwrap().clone()
}

fn kinds(got: &[Got]) -> Vec<String> {
    got.iter().map(|got| got.event().kind.to_string()).collect()
}

#[actix_web::test]
async fn what_happens_to_a_change_is_sent_signed_and_once() {
    for mut world in worlds().await {
        let receiver = Receiver::tls(world.data_dir()).await;
        subscribe(&world, "chat", &receiver.url, &[]).await;
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |change| change.title = "Names of persons and machines".into()).await;
        world.approve(&of, "peer").await;
        later(&world, 3_700);
        world.report(0, &of, HostOutcome::Applied).await;
        deliver(&world).await;
        let got = receiver.take();
        assert_eq!(
            kinds(&got),
            ["change.revised", "change.submitted", "change.approved", "change.started", "change.finished"],
            "{}",
            world.engine
        );
        for (n, one) in got.iter().enumerate() {
            assert_eq!(one.line, "POST /hook?a=b HTTP/1.1");
            assert_eq!(one.headers["content-type"], "application/json");
            assert!(one.is_signed(&secret(), world.now()), "{one:?}");
            let event = one.event();
            assert_eq!((&event.id, &event.site), (&one.headers["webhook-id"], &world.site));
            assert_eq!(event.data.change.as_ref(), Some(&of.change.body.change_id));
            assert_eq!(
                event.url,
                format!("{}/v1/changes/{}", world.config.people.url, of.change.body.change_id)
            );
            assert_eq!(event.data.person.is_some(), n < 3, "hosts are no persons: {event:?}");
            // What people wrote, names of machines and secrets stay here.
            assert!(!one.body.contains("persons and machines") && !one.body.contains(&world.hosts[0].name));
        }
        deliver(&world).await;
        assert!(receiver.take().is_empty(), "once");
        let sent = sent(&world, "chat").await;
        assert_eq!(sent.len(), 5);
        assert!(sent.iter().all(|line| line["delivered"].is_string() && line["attempts"] == 1));
    }
}

#[actix_web::test]
async fn news_of_hosts_findings_and_alarms_reach_those_who_asked_for_them() {
    for mut world in worlds().await {
        let (few, all) = (Receiver::plain().await, Receiver::plain().await);
        subscribe(&world, "few", &few.url, &["finding.opened", "host.held"]).await;
        subscribe(&world, "all", &all.url, &[]).await;
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| {}).await;
        world.find(0, &of, |_| {}).await;
        crate::findings::hear(&world.node.db, world.now()).await.unwrap();
        let agent = world.hosts[0].agent();
        let now = world.now();
        world.write(move |tx| crate::fleet::hold(tx, agent, "a test", now)).await.unwrap();
        let host = world.good("GET", "/v1/hosts", ()).await[0]["ci"].as_str().unwrap().to_owned();
        world.call("POST", &format!("/v1/hosts/{host}/enable"), json!({ "reason": "test" })).await;
        deliver(&world).await;
        let got = few.take();
        assert_eq!(kinds(&got), ["finding.opened", "host.held"], "{}", world.engine);
        let (finding, held) = (got[0].event(), got[1].event());
        assert_eq!(finding.url, format!("{}/v1/findings/1", world.config.people.url));
        assert_eq!((finding.data.agent, held.data.agent), (Some(agent), Some(agent)));
        assert_eq!(held.data.ci.as_deref(), Some(host.as_str()));
        assert_eq!(
            kinds(&all.take()),
            ["change.revised", "change.submitted", "finding.opened", "host.held", "host.enabled"]
        );
        let said = world.hosts[0].name.clone();
        assert!(!got.iter().any(|got| got.body.contains(&said)), "names of machines stay here");
    }
}

#[actix_web::test]
async fn nothing_is_sent_of_what_was_rolled_back_or_happened_before() {
    for world in worlds().await {
        let receiver = Receiver::plain().await;
        let now = world.now();
        tell_held(&world, now.plus(-10)).await;
        subscribe(&world, "chat", &receiver.url, &[]).await;
        let rolled_back = move |tx: &mut Conn| {
            news::tell(tx, NewsKind::HostHeld, About::default(), now)?;
            Err::<(), _>(Error::Busy)
        };
        let failed = world.node.db.write("test", rolled_back).await;
        assert!(failed.is_err());
        deliver(&world).await;
        assert!(receiver.take().is_empty(), "{}", world.engine);
    }
}

#[actix_web::test]
async fn what_does_not_arrive_is_tried_again_with_growing_pauses_until_it_is_given_up() {
    for world in worlds().await {
        let receiver = Receiver::plain().await;
        receiver.status("500 Oh");
        subscribe(&world, "chat", &receiver.url, &["webhook.test"]).await;
        let id = world.good("POST", "/v1/webhooks/chat/test", ()).await["event"].clone();
        let mut tries = Vec::new();
        for second in 0..GIVE_UP_SECS / 600 {
            deliver(&world).await;
            let got = receiver.take();
            assert!(got.len() <= 1);
            for one in got {
                assert!(one.is_signed(&secret(), world.now()), "each attempt is signed for its own time");
                assert_eq!(json!(one.event().id), id, "and is the same event");
                tries.push(second * 600);
            }
            later(&world, 600);
        }
        let now = world.now();
        world.write(move |tx| store::tidy(tx, now)).await.unwrap();
        let gaps: Vec<i64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(tries.len() > 7 && gaps[..8].is_sorted(), "{}: {gaps:?}", world.engine);
        let line = &sent(&world, "chat").await[0];
        assert!(line["gave_up"].is_string() && line["next"].is_null(), "{line}");
        assert_eq!(line["last_error"], "it answered 500");
        let hook = only(&world, "chat").await;
        assert_eq!((&hook["waiting"], &hook["gave_up"]), (&json!(0), &json!(1)));
        assert!(hook["failing_since"].is_string(), "{hook}");
        // By hand it is tried again, at once.
        receiver.answers(Answer::ok());
        let again = format!("/v1/webhooks/chat/deliveries/{}/again", line["number"]);
        assert_eq!(world.call("POST", &again, ()).await.0, 204);
        deliver(&world).await;
        assert_eq!(receiver.take().len(), 1);
        let hook = only(&world, "chat").await;
        assert!(hook["failing_since"].is_null() && hook["last_error"].is_null(), "{hook}");
        assert_eq!(
            world.code("POST", "/v1/webhooks/chat/deliveries/99/again", ()).await,
            "webhook.no_delivery"
        );
    }
}

#[actix_web::test]
async fn a_subscriber_that_asks_for_time_gets_it_and_one_that_is_back_hears_everything() {
    for world in worlds().await {
        let receiver = Receiver::plain().await;
        receiver.status("503 Busy\r\nretry-after: 7200");
        subscribe(&world, "chat", &receiver.url, &["webhook.test"]).await;
        for _ in 0..3 {
            world.good("POST", "/v1/webhooks/chat/test", ()).await;
            later(&world, 1);
        }
        // The tests of people wake it each time.
        deliver(&world).await;
        assert_eq!(receiver.take().len(), 1, "the others are not even tried");
        let until = only(&world, "chat").await["paused_until"].clone();
        assert_eq!(until, json!(world.now().plus(7_200)));
        later(&world, 7_199);
        deliver(&world).await;
        assert!(receiver.take().is_empty(), "{}", world.engine);
        receiver.answers(Answer::ok());
        later(&world, 1);
        deliver(&world).await;
        assert_eq!(receiver.take().len(), 3);
        assert_eq!(only(&world, "chat").await["waiting"], 0);
    }
}

#[actix_web::test]
async fn one_delivery_that_is_never_taken_keeps_back_no_other() {
    for world in worlds().await {
        let receiver = Receiver::plain().await;
        subscribe(&world, "chat", &receiver.url, &["webhook.test"]).await;
        receiver.status("400 Bad");
        let first = world.good("POST", "/v1/webhooks/chat/test", ()).await["event"].clone();
        deliver(&world).await;
        receiver.take();
        receiver.answers(Answer::ok());
        later(&world, 2);
        world.good("POST", "/v1/webhooks/chat/test", ()).await;
        deliver(&world).await;
        let got = receiver.take();
        assert_eq!(got.len(), 1);
        assert_ne!(json!(got[0].event().id), first, "{}: its own pause is not over", world.engine);
    }
}

#[actix_web::test]
async fn a_silent_subscriber_holds_up_nobody_and_an_endless_answer_is_not_read() {
    for world in worlds().await {
        let (silent, endless, good) =
            (Receiver::plain().await, Receiver::plain().await, Receiver::plain().await);
        silent.answers(Answer::Silence);
        endless.answers(Answer::Endless);
        // In the order of their names the good one comes last.
        for (name, receiver) in [("a", &silent), ("b", &endless), ("c", &good)] {
            subscribe(&world, name, &receiver.url, &["host.held"]).await;
        }
        let now = world.now();
        tell_held(&world, now).await;
        spread(&world.node.db, &Arc::new(world.config.clone()), now).await.unwrap();
        let (sender, begun) = (sender(&world), Instant::now());
        let tasks = sender.send().await.unwrap();
        assert_eq!(tasks.len(), 3);
        for receiver in [&good, &endless] {
            while receiver.take().is_empty() {
                assert!(begun.elapsed() < Duration::from_secs(10), "{}: held up", world.engine);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        later(&world, 400);
        let again = sender.send().await.unwrap().len();
        // On a machine that is busy enough the silent one was given up meanwhile.
        let under_way = begun.elapsed() < Duration::from_secs(15);
        assert!(again < 3 || !under_way, "no second task for the one that is still under way");
        for task in tasks {
            task.await.unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(40), "the silent one was given up in time");
        let line = &sent(&world, "a").await[0];
        assert_eq!(line["last_error"], "no answer within 15 seconds");
        assert!(sent(&world, "b").await[0]["delivered"].is_string());
    }
}

#[actix_web::test]
async fn two_nodes_send_once_and_what_a_dead_one_took_is_sent_by_the_other() {
    for world in worlds().await {
        let receiver = Receiver::plain().await;
        subscribe(&world, "chat", &receiver.url, &["webhook.test"]).await;
        world.good("POST", "/v1/webhooks/chat/test", ()).await;
        let (one, two) = (sender(&world), sender(&world));
        let (first, second) = tokio::join!(one.send(), two.send());
        for task in first.unwrap().into_iter().chain(second.unwrap()) {
            task.await.unwrap();
        }
        assert_eq!(receiver.take().len(), 1, "{}", world.engine);
        later(&world, 1);
        world.good("POST", "/v1/webhooks/chat/test", ()).await;
        let now = world.now();
        // A node takes it and dies.
        assert_eq!(world.write(move |tx| store::take(tx, 1, now)).await.unwrap().unwrap().1.len(), 1);
        later(&world, 299);
        deliver(&world).await;
        assert!(receiver.take().is_empty());
        later(&world, 1);
        deliver(&world).await;
        assert_eq!(receiver.take().len(), 1, "{}: at least once", world.engine);
    }
}

#[actix_web::test]
async fn redirects_are_not_followed_and_strange_certificates_are_not_believed() {
    for world in worlds().await {
        let (target, moved) = (Receiver::plain().await, Receiver::plain().await);
        moved.status(&format!("307 Moved\r\nlocation: {}", target.url));
        let strange = Receiver::tls(World::each(1, 0).await[0].data_dir()).await;
        for (name, receiver) in [("moved", &moved), ("strange", &strange)] {
            subscribe(&world, name, &receiver.url, &[]).await;
            world.good("POST", &format!("/v1/webhooks/{name}/test"), ()).await;
        }
        deliver(&world).await;
        assert!(target.take().is_empty() && strange.take().is_empty(), "{}", world.engine);
        assert_eq!(
            sent(&world, "moved").await[0]["last_error"],
            "it answered 307; redirects are not followed"
        );
        let error = sent(&world, "strange").await[0]["last_error"].as_str().unwrap().to_owned();
        assert!(error.starts_with("TLS: ") && error.contains("certificate"), "{error}");
    }
}

/// Whoever may make webhooks does not thereby get into the server's network.
#[actix_web::test]
async fn addresses_inside_are_out_of_reach_by_whatever_name() {
    for mut world in worlds().await {
        let receiver = Receiver::plain().await;
        let port = receiver.url.split(':').nth(2).unwrap().split('/').next().unwrap().to_owned();
        world.config.reach = Default::default();
        let add = |url: String| json!({"name": "chat", "url": url});
        for url in [
            "http://127.0.0.1:1/",
            "https://10.0.0.1/",
            "https://169.254.169.254/x",
            "https://[::1]/",
            "http://a.example/",
        ] {
            assert_eq!(world.code("POST", "/v1/webhooks", add(url.into())).await, "webhook.bad", "{url}");
        }
        // A name is looked up when something is sent.
        for (name, url) in
            [("tls", format!("https://localhost:{port}/")), ("plain", format!("http://localhost:{port}/"))]
        {
            subscribe(&world, name, &url, &[]).await;
            world.good("POST", &format!("/v1/webhooks/{name}/test"), ()).await;
        }
        deliver(&world).await;
        assert!(receiver.take().is_empty(), "{}", world.engine);
        for name in ["tls", "plain"] {
            let error = sent(&world, name).await[0]["last_error"].as_str().unwrap().to_owned();
            assert!(error.contains("localhost is inside of this network"), "{error}");
        }
    }
}

#[actix_web::test]
async fn a_subscription_is_made_once_shows_its_secret_once_and_ends() {
    for world in worlds().await {
        let receiver = Receiver::plain().await;
        let new = json!({"name": "chat", "url": receiver.url, "kinds": ["webhook.test"]});
        let made = world.good("POST", "/v1/webhooks", &new).await;
        let secret: WebhookSecret = made["secret"].as_str().unwrap().parse().unwrap();
        assert_eq!(
            world.code("POST", "/v1/webhooks", &new).await,
            "webhook.taken",
            "another secret is another one"
        );
        let own = json!({"name": "own", "url": receiver.url, "secret": *super::tests::secret().reveal()});
        for _ in 0..2 {
            assert_eq!(world.good("POST", "/v1/webhooks", &own).await, json!({"name": "own"}));
        }
        let listed = world.good("GET", "/v1/webhooks", ()).await.to_string();
        assert!(!listed.contains("whsec_"), "{listed}");
        world.good("POST", "/v1/webhooks/chat/test", ()).await;
        deliver(&world).await;
        assert!(receiver.take()[0].is_signed(&secret, world.now()));
        // What waits when it ends is not sent any more, and its secret is gone.
        receiver.status("500 Oh");
        later(&world, 1);
        world.good("POST", "/v1/webhooks/chat/test", ()).await;
        deliver(&world).await;
        receiver.take();
        assert_eq!(world.call("DELETE", "/v1/webhooks/chat", ()).await.0, 204);
        later(&world, 3_600);
        deliver(&world).await;
        assert!(receiver.take().is_empty(), "{}", world.engine);
        for (method, path) in [
            ("DELETE", "/v1/webhooks/chat"),
            ("POST", "/v1/webhooks/chat/test"),
            ("GET", "/v1/webhooks/chat/deliveries"),
        ] {
            assert_eq!(world.code(method, path, ()).await, "webhook.unknown");
        }
        for bad in [json!({"secret": "whsec_x"}), json!({"url": "ftp://a.example/"})] {
            let mut body = json!({"name": "bad", "url": receiver.url});
            body.as_object_mut().unwrap().extend(bad.as_object().unwrap().clone());
            assert_eq!(world.code("POST", "/v1/webhooks", body).await, "webhook.bad");
        }
        let unknown = json!({"name": "bad", "url": receiver.url, "kinds": ["change.exploded"]});
        assert_eq!(world.code("POST", "/v1/webhooks", unknown).await, "request.bad_json");
        for n in 0..49 {
            subscribe(&world, &format!("n{n}"), &receiver.url, &[]).await;
        }
        let more = json!({"name": "more", "url": receiver.url});
        assert_eq!(world.code("POST", "/v1/webhooks", more).await, "webhook.too_many");
        let token = world.token("peer", "member").await;
        let reply = world.call_on(&world.node, ("GET", "/v1/webhooks"), &token, vec![]).await;
        assert_eq!(reply.0, 403, "addresses often hold a secret");
    }
}

#[actix_web::test]
async fn what_is_over_is_forgotten_after_a_while_and_lists_come_in_pages() {
    for world in worlds().await {
        let receiver = Receiver::plain().await;
        subscribe(&world, "chat", &receiver.url, &["host.held"]).await;
        for n in 0..120_u8 {
            let at = world.now().plus(n.into());
            tell_held(&world, at).await;
        }
        later(&world, 200);
        for _ in 0..20 {
            deliver(&world).await;
        }
        assert_eq!(receiver.take().len(), 120, "{}", world.engine);
        let page = world.good("GET", "/v1/webhooks/chat/deliveries", ()).await;
        assert_eq!(page["deliveries"].as_array().unwrap().len(), 100);
        let older =
            world.good("GET", &format!("/v1/webhooks/chat/deliveries?before={}", page["next"]), ()).await;
        assert_eq!((older["deliveries"].as_array().unwrap().len(), &older["next"]), (20, &Value::Null));
        later(&world, 31 * 86_400);
        let now = world.now();
        world.write(move |tx| store::tidy(tx, now)).await.unwrap();
        assert!(sent(&world, "chat").await.is_empty());
        let left = world.read(|tx| Ok::<_, Error>(store::count_events(tx)?)).await;
        assert_eq!(left, 0, "{}", world.engine);
    }
}
