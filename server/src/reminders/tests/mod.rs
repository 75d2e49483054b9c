//! Reminders on both databases, with a real mail server on loopback.

mod smtp;
mod time;

use super::look::look;
use super::{TOPIC, send};
use crate::changes::tests::world::{NOW, World};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::kernel::mail::MailServer;
use crate::kernel::{news, outbox};
use serde_json::{Value, json};
use shared::change::ChangeType;
use shared::news::{News, NewsKind};
use shared::receipt::HostOutcome;
use shared::refusal::Code;
use shared::time::Timestamp;
use smtp::{Got, MailBox, Says, Way};
use std::sync::Arc;

const DAY: i64 = 86_400;

/// A world whose server sends mail over this way to a mail server of the test.
async fn with_mail(world: &mut World, way: Way) -> MailBox {
    let mail = MailBox::start(way, world.data_dir()).await;
    world.config.outgoing_ca = world.data_dir().join("tls/ca.crt");
    serve(world, way, mail.port);
    mail
}

fn serve(world: &mut World, way: Way, port: u16) {
    let scheme = if way == Way::Tls { "smtps" } else { "smtp" };
    let url = format!("{scheme}://localhost:{port}");
    let mut server = MailServer::parse(&url, "Assent <assent@example.org>").unwrap();
    if way == Way::StartTls {
        server.security = crate::kernel::mail::Security::StartTls;
    }
    world.config.mail = Some(server);
}

async fn address(world: &World, person: &str, language: &str) {
    let body = json!({"address": format!("{person}@example.org"), "language": language});
    let (status, _) = world.call("PUT", &format!("/v1/people/{person}/mail"), body).await;
    assert_eq!(status, 204);
}

/// One turn of both jobs.
async fn turn(world: &World) -> Result<(), Error> {
    look(&world.node.db, world.config.mail.is_some(), world.now()).await?;
    send(&world.node.db, &Arc::new(world.config.clone()), &world.clock).await
}

/// The text as somebody reads it.
fn read(got: &Got) -> String {
    let (_, body) = got.data.split_once("\r\n\r\n").unwrap();
    if !got.data.contains("quoted-printable") {
        return body.replace("\r\n", "\n");
    }
    let body = body.replace("=\r\n", "").replace("\r\n", "\n");
    let mut bytes = Vec::new();
    let mut rest = body.as_str();
    while let Some((before, after)) = rest.split_once('=') {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(&after[..2], 16).unwrap());
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).unwrap()
}

async fn told(world: &World) -> Vec<News> {
    let now = world.now();
    let take = move |tx: &mut Conn| {
        let all = outbox::take_due(tx, news::TOPIC, now, 10 * DAY, 100)?;
        Ok::<_, Error>(all.into_iter().map(|message| message.body).collect::<Vec<_>>())
    };
    let bodies = world.node.db.write("test", take).await.unwrap();
    let all = bodies.iter().map(|body| serde_json::from_str::<News>(body).unwrap());
    let own = [
        NewsKind::ApprovalReminder,
        NewsKind::ReviewOverdue,
        NewsKind::ChangeRefused,
        NewsKind::CalendarOld,
        NewsKind::CalendarWaits,
        NewsKind::CalendarEnds,
        NewsKind::SeriesEnds,
        NewsKind::WindowsDiffer,
    ];
    all.filter(|news| own.contains(&news.kind)).collect()
}

async fn waits(world: &World, token: &str) -> Vec<Value> {
    let (status, body) = world.call_on(&world.node, ("GET", "/v1/inbox"), token, vec![]).await;
    assert_eq!(status, 200);
    serde_json::from_slice(&body).unwrap()
}

/// Whether a letter is still to be sent, now or ever.
async fn is_owed(world: &World) -> bool {
    world.read(|tx| Ok(outbox::is_due(tx, TOPIC, Timestamp(i64::MAX))?)).await
}

#[actix_web::test]
async fn whoever_the_policy_asks_finds_it_in_the_inbox_until_the_word_is_given() {
    for mut world in World::each(2, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| {}).await;
        let (peer, cora, pia) = (
            world.token("peer", "member").await,
            world.token("cora", "member").await,
            world.token("pia", "member").await,
        );
        let lead = world.good("GET", "/v1/inbox", ()).await;
        assert_eq!(lead, json!([]), "{}: its author does not count", world.engine);
        assert_eq!(waits(&world, &pia).await, [] as [Value; 0], "nor whoever only publishes");
        let item = waits(&world, &peer).await[0].clone();
        assert_eq!((&item["kind"], &item["change"]), (&json!("approve"), &json!(of.change.body.change_id)));
        assert_eq!(item["due"], json!(of.change.body.not_after));
        assert_eq!(waits(&world, &cora).await.len(), 1);
        world.approve(&of, "peer").await;
        assert!(waits(&world, &peer).await.is_empty(), "the word is given");
        assert_eq!(waits(&world, &cora).await.len(), 1);
        world.approve(&of, "cora").await;
        assert!(waits(&world, &cora).await.is_empty(), "{}: nobody else is asked", world.engine);
    }
}

#[actix_web::test]
async fn mail_is_one_letter_a_day_in_the_persons_language_and_ends_when_nothing_waits() {
    for mut world in World::each(1, 1).await {
        let mail = with_mail(&mut world, Way::StartTls).await;
        let base = world.publish("base", "1.0.0").await;
        for person in ["peer", "cora"] {
            world.token(person, "member").await;
        }
        address(&world, "peer", "de").await;
        let mut all = Vec::new();
        for n in 0..3 {
            let bend = |change: &mut shared::change::Change| {
                change.title = format!("Größe {n}\u{202e}\r\nBcc: x@example.org");
                change.title.retain(|c| !c.is_control());
            };
            all.push(world.in_review(&base, bend).await);
        }
        let morning = Timestamp(NOW.0.div_euclid(DAY) * DAY + 6 * 3_600);
        world.clock.set(Timestamp(morning.0.max(NOW.0) + 1));
        for _ in 0..3 {
            turn(&world).await.unwrap();
        }
        let got = mail.take();
        assert_eq!(got.len(), 1, "{}: one letter for all of it", world.engine);
        assert!(got[0].encrypted && got[0].to.contains("<peer@example.org>"), "{:?}", got[0]);
        assert!(got[0].from.contains("<assent@example.org>"));
        let text = read(&got[0]);
        for of in &all {
            assert!(text.contains(&format!("assent approve {}", of.change.body.change_id)), "{text}");
        }
        assert!(text.contains("Ihre Genehmigung fehlt") && text.contains("Größe 2"), "{text}");
        assert!(!text.contains('\u{202e}'), "titles turn no text round");
        assert!(!got[0].data.split("\r\n\r\n").next().unwrap().contains("Bcc"), "titles are no headers");
        address(&world, "peer", "en").await;
        world.clock.set(Timestamp((world.now().0.div_euclid(DAY) + 1) * DAY + 6 * 3_600 - 1));
        turn(&world).await.unwrap();
        assert!(mail.take().is_empty(), "{}: not at night", world.engine);
        world.clock.set(world.now().plus(1));
        turn(&world).await.unwrap();
        let got = mail.take();
        assert!(got.len() == 1 && read(&got[0]).contains("Your word is missing"), "{got:?}");
        for of in &all {
            let id = &of.change.body.change_id;
            world.good("POST", &format!("/v1/changes/{id}/withdraw"), json!({"note": "no"})).await;
        }
        world.clock.set(world.now().plus(DAY));
        turn(&world).await.unwrap();
        assert!(mail.take().is_empty(), "{}: nothing waits", world.engine);
    }
}

#[actix_web::test]
async fn an_emergency_is_told_at_once_and_once() {
    for mut world in World::each(1, 1).await {
        let mail = with_mail(&mut world, Way::Tls).await;
        let base = world.publish("base", "1.0.0").await;
        world.token("peer", "member").await;
        address(&world, "peer", "en").await;
        // Night: only what is urgent goes.
        world.clock.set(Timestamp((NOW.0.div_euclid(DAY) + 1) * DAY + 60));
        world.in_review(&base, |change| change.change_type = ChangeType::Emergency).await;
        for _ in 0..3 {
            turn(&world).await.unwrap();
        }
        let got = mail.take();
        assert_eq!(got.len(), 1, "{}", world.engine);
        assert!(got[0].data.contains("URGENT") && read(&got[0]).contains("EMERGENCY"), "{}", got[0].data);
    }
}

#[actix_web::test]
async fn an_emergency_right_before_midnight_is_told_after_it() {
    for mut world in World::each(1, 1).await {
        let mail = with_mail(&mut world, Way::Tls).await;
        let base = world.publish("base", "1.0.0").await;
        world.token("peer", "member").await;
        address(&world, "peer", "en").await;
        let midnight = Timestamp((NOW.0.div_euclid(DAY) + 1) * DAY);
        world.clock.set(midnight.plus(-2));
        world.in_review(&base, |change| change.change_type = ChangeType::Emergency).await;
        look(&world.node.db, true, world.now()).await.unwrap();
        world.clock.set(midnight.plus(5));
        turn(&world).await.unwrap();
        let got = mail.take();
        assert!(got.len() == 1 && got[0].data.contains("URGENT"), "{}: {got:?}", world.engine);
    }
}

#[actix_web::test]
async fn whoever_has_no_access_any_more_hears_nothing_and_comes_off_the_list() {
    for mut world in World::each(1, 1).await {
        let mail = with_mail(&mut world, Way::Tls).await;
        let base = world.publish("base", "1.0.0").await;
        world.token("peer", "member").await;
        address(&world, "peer", "en").await;
        world.in_review(&base, |_| {}).await;
        world.clock.set(Timestamp((NOW.0.div_euclid(DAY) + 1) * DAY + 7 * 3_600));
        // Written, and the access ends before it is sent.
        look(&world.node.db, true, world.now()).await.unwrap();
        world.call("DELETE", "/v1/people/peer", ()).await;
        turn(&world).await.unwrap();
        world.clock.set(world.now().plus(DAY - 3_600));
        turn(&world).await.unwrap();
        assert!(mail.take().is_empty(), "{}", world.engine);
        assert_eq!(world.call("PUT", "/v1/people/peer/mail", json!({"language": "en"})).await.0, 204);
        assert_eq!(world.good("GET", "/v1/mail-addresses", ()).await, json!([]), "{}", world.engine);
    }
}

#[actix_web::test]
async fn without_a_mail_server_no_letter_waits() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        world.token("peer", "member").await;
        address(&world, "peer", "en").await;
        world.in_review(&base, |_| {}).await;
        world.clock.set(Timestamp((NOW.0.div_euclid(DAY) + 1) * DAY + 7 * 3_600));
        turn(&world).await.unwrap();
        assert!(!is_owed(&world).await, "{}", world.engine);
    }
}

#[actix_web::test]
async fn a_mail_server_that_is_gone_busy_or_dies_in_between_gets_it_again_and_one_that_refuses_does_not() {
    for mut world in World::each(1, 1).await {
        let mail = with_mail(&mut world, Way::Plain).await;
        let base = world.publish("base", "1.0.0").await;
        world.token("peer", "member").await;
        address(&world, "peer", "en").await;
        world.in_review(&base, |change| change.not_after = NOW.plus(20 * DAY)).await;
        let mut day = NOW.0.div_euclid(DAY);
        let mut next_day = |world: &World| {
            day += 1;
            world.clock.set(Timestamp(day * DAY + 7 * 3_600));
        };
        let error =
            async |world: &World| world.good("GET", "/v1/mail-addresses", ()).await[0]["last_error"].clone();
        // Busy, then well.
        next_day(&world);
        mail.says(Says { end: "451 later", ..Says::ok() });
        turn(&world).await.unwrap();
        assert!(mail.take().is_empty());
        assert!(error(&world).await.as_str().unwrap().contains("451"), "{}", world.engine);
        mail.says(Says::ok());
        turn(&world).await.unwrap();
        assert!(mail.take().is_empty(), "not at once");
        world.clock.set(world.now().plus(60));
        turn(&world).await.unwrap();
        assert_eq!(mail.take().len(), 1, "{}", world.engine);
        assert_eq!(error(&world).await, Value::Null);
        // It takes the letter and dies before it says so: at least once, and the same one.
        next_day(&world);
        mail.says(Says { vanishes: true, ..Says::ok() });
        turn(&world).await.unwrap();
        mail.says(Says::ok());
        world.clock.set(world.now().plus(60));
        turn(&world).await.unwrap();
        let got = mail.take();
        assert_eq!(got.len(), 2, "{}", world.engine);
        let id =
            |got: &Got| got.data.lines().find(|line| line.starts_with("Message-ID:")).unwrap().to_owned();
        assert_eq!(id(&got[0]), id(&got[1]));
        // It refuses the recipient: no second try today, another one tomorrow.
        next_day(&world);
        mail.says(Says { recipient: "550 nobody", ..Says::ok() });
        turn(&world).await.unwrap();
        assert!(error(&world).await.as_str().unwrap().contains("550"));
        mail.says(Says::ok());
        world.clock.set(world.now().plus(3_600));
        turn(&world).await.unwrap();
        assert!(mail.take().is_empty(), "{}", world.engine);
        // It is gone for longer than a day: yesterday's letter is not sent beside today's.
        next_day(&world);
        let port = mail.port;
        serve(&mut world, Way::Plain, 1);
        turn(&world).await.unwrap();
        next_day(&world);
        serve(&mut world, Way::Plain, port);
        turn(&world).await.unwrap();
        world.clock.set(world.now().plus(3_600));
        turn(&world).await.unwrap();
        assert_eq!(mail.take().len(), 1, "{}", world.engine);
        assert!(!is_owed(&world).await, "{}: nothing is owed", world.engine);
    }
}

#[actix_web::test]
async fn nothing_goes_out_in_the_clear_or_to_a_stranger() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        world.token("peer", "member").await;
        address(&world, "peer", "en").await;
        world.in_review(&base, |_| {}).await;
        world.clock.set(Timestamp((NOW.0.div_euclid(DAY) + 1) * DAY + 7 * 3_600));
        // It offers no STARTTLS although it has to.
        let mail = with_mail(&mut world, Way::Plain).await;
        serve(&mut world, Way::StartTls, mail.port);
        turn(&world).await.unwrap();
        assert!(mail.take().is_empty(), "{}", world.engine);
        // Its certificate is of an authority that nobody trusts here.
        let strange = MailBox::start(Way::Tls, World::each(1, 0).await[0].data_dir()).await;
        serve(&mut world, Way::Tls, strange.port);
        world.clock.set(world.now().plus(600));
        turn(&world).await.unwrap();
        assert!(strange.take().is_empty(), "{}", world.engine);
        let error = world.good("GET", "/v1/mail-addresses", ()).await[0]["last_error"].to_string();
        assert!(error.contains("certificate"), "{error}");
    }
}

#[actix_web::test]
async fn news_remind_once_before_a_change_could_start_and_ends_and_of_reviews_that_are_overdue() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world
            .in_review(&base, |change| {
                change.intervals[1].from = NOW.plus(5 * DAY);
                change.intervals[1].until = NOW.plus(5 * DAY + 3_600);
                change.intervals.remove(0);
                change.not_after = NOW.plus(8 * DAY);
            })
            .await;
        let mut seen = Vec::new();
        for hours in 0..8 * 24 {
            world.clock.set(NOW.plus(hours * 3_600 + 1));
            look(&world.node.db, false, world.now()).await.unwrap();
            for news in told(&world).await {
                assert_eq!(news.kind, NewsKind::ApprovalReminder);
                assert_eq!(news.about.asked.len(), 2, "peer and cora: {news:?}");
                assert_eq!(news.about.change.as_ref(), Some(&of.change.body.change_id));
                seen.push(hours / 24);
            }
        }
        assert_eq!(seen, [4, 7], "{}", world.engine);
        // Nobody approved it: its author is told.
        world.clock.set(NOW.plus(8 * DAY));
        crate::changes::tend(&world.node.db, world.now()).await.unwrap();
        let inbox = world.good("GET", "/v1/inbox", ()).await;
        assert_eq!(inbox[0]["kind"], "expired", "{}: {inbox}", world.engine);
    }
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| {}).await;
        world.approve(&of, "peer").await;
        world.clock.set(NOW.plus(3_700));
        world.report(0, &of, HostOutcome::Failed).await;
        let inbox = world.good("GET", "/v1/inbox", ()).await;
        assert_eq!(inbox[0]["kind"], "review", "{}: {inbox}", world.engine);
        let due: Timestamp = serde_json::from_value(inbox[0]["due"].clone()).unwrap();
        for (at, count) in [(due.plus(-1), 0), (due, 1), (due.plus(DAY), 0)] {
            world.clock.set(at);
            look(&world.node.db, false, at).await.unwrap();
            assert_eq!(told(&world).await.len(), count, "{}", world.engine);
        }
    }
}

#[actix_web::test]
async fn an_address_is_checked_set_and_ended() {
    for world in World::each(1, 0).await {
        world.token("peer", "member").await;
        let put = async |person: &str, body: Value| {
            world.code("PUT", &format!("/v1/people/{person}/mail"), body).await
        };
        for bad in [
            "",
            "peer",
            "peer@example.org\r\nRCPT TO:<x@example.org>",
            "a b@example.org",
            "<peer@example.org>",
        ] {
            assert_eq!(put("peer", json!({"address": bad, "language": "en"})).await, "mail.bad", "{bad:?}");
        }
        assert_eq!(put("peer", json!({"address": "p@example.org", "language": "fr"})).await, "mail.bad");
        assert_eq!(
            put("nobody", json!({"address": "p@example.org", "language": "en"})).await,
            "mail.unknown_person"
        );
        address(&world, "peer", "de").await;
        let listed = world.good("GET", "/v1/mail-addresses", ()).await;
        assert_eq!(listed, json!([{"person": "peer", "address": "peer@example.org", "language": "de"}]));
        assert_eq!(world.call("PUT", "/v1/people/peer/mail", json!({"language": "de"})).await.0, 204);
        assert_eq!(world.good("GET", "/v1/mail-addresses", ()).await, json!([]));
        let token = world.token("cora", "member").await;
        let reply = world.call_on(&world.node, ("GET", "/v1/mail-addresses"), &token, vec![]).await;
        assert_eq!(reply.0, 403, "addresses are nobody else's");
    }
}

/// What a reading would have noted.
async fn noted(world: &World, columns: String) {
    use diesel::RunQueryDsl as _;
    let text = format!("UPDATE calendar_subscription SET {columns}");
    world.write(move |tx| Ok(diesel::sql_query(&text).execute(tx).map(drop)?)).await.unwrap();
}

#[actix_web::test]
async fn of_a_calendar_that_is_old_or_waits_its_subscriber_hears_once() {
    for mut world in World::each(1, 0).await {
        let mail = with_mail(&mut world, Way::StartTls).await;
        address(&world, "lead", "en").await;
        let calendar = json!({ "title": "Office freeze", "mode": "hard", "holds": ["normal"] });
        let wish = json!({
            "url": "https://calendar.example.org/secret.ics", "every_s": 3_600, "zone": "UTC", "reason": "x",
            "calendar": calendar,
        });
        world.good("PUT", "/v1/calendars/freeze/subscription", wish).await;
        let morning = |days: i64| Timestamp((NOW.0.div_euclid(DAY) + days) * DAY + 6 * 3_600 + 1);
        let turns = async |days: i64| {
            world.clock.set(morning(days));
            for _ in 0..3 {
                turn(&world).await.unwrap();
            }
            let news: Vec<_> = told(&world).await.into_iter().map(|news| (news.kind, news.about)).collect();
            (news, mail.take())
        };
        let inbox = async || world.good("GET", "/v1/inbox", ()).await;
        assert_eq!(inbox().await, json!([]), "{}: it is not old yet", world.engine);
        let (news, letters) = turns(2).await;
        let [(NewsKind::CalendarOld, about)] = news.as_slice() else { panic!("{}: {news:?}", world.engine) };
        assert_eq!(about.calendar.as_ref().map(|name| name.as_str()), Some("freeze"));
        assert_eq!((about.asked.len(), about.due), (1, Some(NOW.plus(DAY))));
        let item = inbox().await[0].clone();
        assert_eq!((&item["kind"], &item["calendar"]), (&json!("calendar_old"), &json!("freeze")));
        assert!(item.get("change").is_none(), "{item}");
        let [letter] = letters.as_slice() else { panic!("{}: {}", world.engine, letters.len()) };
        let text = read(letter);
        assert!(
            text.contains("freeze: Office freeze") && text.contains("assent calendar show freeze"),
            "{text}"
        );
        assert!(
            !text.contains("secret") && letter.data.contains("a calendar needs somebody"),
            "{}",
            letter.data
        );
        // It goes on to be old, and nobody hears of it again.
        let (news, letters) = turns(3).await;
        assert_eq!((news.len(), letters.len()), (0, 0), "{}", world.engine);
        assert_eq!(inbox().await[0]["kind"], "calendar_old");
        // It was read, and grows old again.
        noted(&world, format!("read_at = {}", morning(3).0)).await;
        assert_eq!(inbox().await, json!([]));
        let (news, letters) = turns(5).await;
        assert_eq!((news.len(), letters.len()), (1, 1), "{}: another time", world.engine);
        // What was read waits.
        let waiting = r#"{"title":"x","mode":"hard","holds":["normal"]}"#;
        let (read, since) = (morning(6).0, morning(6).0);
        noted(&world, format!("read_at = {read}, waiting = '{waiting}', waiting_since = {since}")).await;
        for letters in [1, 0] {
            let (news, sent) = turns(7 - letters).await;
            let kinds: Vec<_> = news.iter().map(|(kind, _)| *kind).collect();
            let expected = vec![NewsKind::CalendarWaits; usize::try_from(letters).unwrap()];
            assert_eq!(
                (kinds, sent.len()),
                (expected, usize::try_from(letters).unwrap()),
                "{}",
                world.engine
            );
        }
        assert_eq!(inbox().await[0]["due"], json!(Timestamp(since)), "it waits on");
    }
}

/// Hosts stop and ask: who asked for the change and who approved it hear once for each class, until it is over.
#[actix_web::test]
async fn hosts_that_refuse_what_was_approved_are_in_the_inbox_once_for_each_class() {
    for mut world in World::each(1, 3).await {
        let mail = with_mail(&mut world, Way::Plain).await;
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| {}).await;
        let peer = world.token("peer", "member").await;
        address(&world, "peer", "de").await;
        // Why it had no plan at first is over with the plan.
        world.clock.set(NOW.plus(-10));
        world.refuse(2, &of, Code::PlanFailed, None).await;
        world.clock.set(NOW);
        world.approve(&of, "peer").await;
        let departed = async |world: &World| {
            let all = world.good("GET", "/v1/inbox", ()).await;
            let all = all.as_array().unwrap().iter().filter(|item| item["kind"] == "departed").cloned();
            all.collect::<Vec<_>>()
        };
        let day = Timestamp((NOW.0.div_euclid(DAY) + 1) * DAY + 6 * 3_600);
        world.clock.set(day);
        turn(&world).await.unwrap();
        assert_eq!(departed(&world).await, [] as [Value; 0], "{}", world.engine);
        world.refuse(0, &of, Code::WaveGate, None).await;
        assert_eq!(departed(&world).await, [] as [Value; 0], "{}: it only waits", world.engine);
        world.refuse(0, &of, Code::PlanDrift, None).await;
        world.clock.set(day.plus(60));
        world.refuse(1, &of, Code::PlanRoom, None).await;
        let items = departed(&world).await;
        assert_eq!(items.len(), 1, "{}: one class {items:?}", world.engine);
        let item = &items[0];
        assert_eq!((&item["hosts"], &item["change"], &item["due"]), (&json!(2), &json!(of.id), &json!(day)));
        assert!(item["class"].is_string());
        assert!(
            waits(&world, &peer).await.iter().any(|item| item["kind"] == "departed"),
            "who approved as well"
        );
        for n in 1..4 {
            turn(&world).await.unwrap();
            world.clock.set(day.plus(n * DAY));
        }
        let news = told(&world).await;
        let news: Vec<_> = news.iter().filter(|news| news.kind == NewsKind::ChangeRefused).collect();
        assert_eq!(news.len(), 1, "{}: {news:?}", world.engine);
        assert_eq!(news[0].about.change.as_ref(), Some(&of.id));
        let got = mail.take();
        assert_eq!(got.len(), 1, "{}: {got:?}", world.engine);
        let text = read(&got[0]);
        assert!(text.contains("assent waiting C-1\n"), "{text}");
        assert!(text.contains("die ablehnen: 2"), "{text}");
        world.clock.set(NOW.plus(3_700));
        world.report(0, &of, HostOutcome::Applied).await;
        assert_eq!(departed(&world).await[0]["hosts"], 1, "{}", world.engine);
        world.report(1, &of, HostOutcome::Applied).await;
        assert_eq!(departed(&world).await, [] as [Value; 0], "{}: they have run it", world.engine);
    }
}

#[actix_web::test]
async fn an_objection_waits_for_the_author_until_somebody_answers() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| {}).await;
        let peer = world.token("peer", "member").await;
        let objected = async |world: &World| {
            let all = world.good("GET", "/v1/inbox", ()).await;
            let all = all.as_array().unwrap().iter().filter(|item| item["kind"] == "objection").cloned();
            all.collect::<Vec<_>>()
        };
        assert_eq!(objected(&world).await, [] as [Value; 0]);
        let comments = format!("/v1/changes/{}/comments", of.id);
        world.clock.set(NOW.plus(60));
        world
            .good("POST", &comments, json!({"kind": "objection", "text": "no", "speaks_for": "host:web1"}))
            .await;
        world.clock.set(NOW.plus(120));
        world.good("POST", &comments, json!({"kind": "objection", "text": "never"})).await;
        let items = objected(&world).await;
        assert_eq!(items.len(), 1, "{}: {items:?}", world.engine);
        assert_eq!((&items[0]["change"], &items[0]["due"]), (&json!(of.id), &json!(NOW.plus(60))));
        let others = waits(&world, &peer).await;
        assert!(others.iter().all(|item| item["kind"] != "objection"), "it is the author's to answer");
        for number in [1, 2] {
            world.good("POST", &comments, json!({"kind": "answer", "to": number, "text": "moved"})).await;
        }
        assert_eq!(objected(&world).await, [] as [Value; 0], "{}", world.engine);
    }
}
