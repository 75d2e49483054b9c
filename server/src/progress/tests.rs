//! Messages about running changes, on both databases.

use super::store;
use crate::changes::tests::world::{Host, NOW, Reviewed, World};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::progress::{Event, Progress, What};
use shared::statement::Statement;
use shared::time::Timestamp;

fn message(host: &Host, of: &Reviewed, number: u64, text: &str) -> Statement<Progress> {
    let body = &of.change.body;
    let progress = Progress {
        site: body.site.clone(),
        agent_id: host.agent(),
        key: host.key.public(),
        change_id: of.id.clone(),
        revision: body.revision,
        change: of.change.digest,
        started: NOW,
        part: 1,
        number,
        lost: 0,
        events: vec![Event { at: NOW, what: What::Note { text: text.into() } }],
    };
    Statement::sign(progress, &host.key)
}

/// A change in review for two hosts, on each database.
async fn each() -> Vec<(World, Reviewed)> {
    let mut all = Vec::new();
    for mut world in World::each(1, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| {}).await;
        all.push((world, of));
    }
    all
}

async fn record(world: &World, message: Statement<Progress>, at: Timestamp) -> Result<bool, Error> {
    world.node.db.write("test", move |tx| store::record(tx, &message, at)).await
}

/// Numbers of the stored messages behind a place, with the place of the last.
async fn numbers(world: &World, of: &Reviewed, after: u64, host: Option<&Host>) -> (Vec<u64>, u64, bool) {
    let (id, host) = (of.id.clone(), host.map(Host::agent));
    let read = move |tx: &mut Conn| store::page(tx, &id, after, host);
    let page = world.node.db.read("test", read).await.unwrap();
    assert_eq!(page.hosts.len(), if host.is_some() { 1 } else { 2 });
    let last = page.messages.last().map_or(after, |line| line.place);
    let read = |line| Statement::<Progress>::open(line).unwrap().body.number;
    (page.messages.into_iter().map(|line| read(line.statement)).collect(), last, page.more)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_read_on_from_a_place_and_a_replay_changes_nothing() {
    for (world, of) in each().await {
        let [one, two] = [&world.hosts[0], &world.hosts[1]];
        for n in [1, 2] {
            assert!(record(&world, message(one, &of, n, "x"), NOW).await.unwrap());
            assert!(!record(&world, message(one, &of, n, "x"), NOW).await.unwrap(), "a replay");
            assert!(
                !record(&world, message(one, &of, n, "another"), NOW).await.unwrap(),
                "the first one stays"
            );
        }
        let (found, place, more) = numbers(&world, &of, 0, None).await;
        assert_eq!((found, more), (vec![1, 2], false));
        assert!(record(&world, message(two, &of, 1, "x"), NOW).await.unwrap());
        assert!(record(&world, message(one, &of, 3, "x"), NOW).await.unwrap());
        assert_eq!(numbers(&world, &of, place, None).await.0, [1, 3]);
        assert_eq!(numbers(&world, &of, 0, Some(two)).await.0, [1]);
        assert!(numbers(&world, &of, u64::MAX, None).await.0.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_host_of_the_change_is_not_listened_to() {
    for (world, of) in each().await {
        let stranger = Host::stranger(77);
        let refused = record(&world, message(&stranger, &of, 1, "x"), NOW).await.unwrap_err();
        assert!(matches!(refused, Error::Refusal(r) if r.code == "progress.not_expected"));
        let mut other = message(&world.hosts[0], &of, 1, "x").body;
        other.change = shared::digest::Digest::of(b"another");
        let other = Statement::sign(other, &world.hosts[0].key);
        assert!(record(&world, other, NOW).await.is_err());
        assert!(numbers(&world, &of, 0, None).await.0.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_has_a_bounded_share_in_pages_and_old_messages_go() {
    for (world, of) in each().await {
        let [one, two] = [&world.hosts[0], &world.hosts[1]];
        assert!(record(&world, message(two, &of, 1, "x"), NOW).await.unwrap());
        let messages: Vec<_> = (1..=1_010).map(|n| message(one, &of, n, "x")).collect();
        let all = move |tx: &mut Conn| -> Result<(), Error> {
            messages.iter().try_for_each(|message| store::record(tx, message, NOW.plus(100)).map(drop))
        };
        world.node.db.write("test", all).await.unwrap();
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let (page, place, more) = numbers(&world, &of, after, Some(one)).await;
            assert!(page.len() <= 100);
            found.extend(page);
            after = place;
            if !more {
                break;
            }
        }
        assert!(found.iter().copied().eq(11..=1_010), "{} from {:?}", found.len(), found.first());
        assert_eq!(numbers(&world, &of, 0, Some(two)).await.0, [1], "nobody else's share is touched");
        world.node.db.write("test", |tx| store::purge(tx, NOW.plus(50))).await.unwrap();
        assert!(numbers(&world, &of, 0, Some(two)).await.0.is_empty());
        assert_eq!(numbers(&world, &of, 0, Some(one)).await.0.len(), 100);
    }
}
