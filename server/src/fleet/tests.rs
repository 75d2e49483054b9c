use super::board::{Board, CheckIn, Sources, TIMESTAMP, WISHES};
use super::*;
use crate::kernel::db::Conn;
use crate::kernel::generation;
use crate::kernel::http::agent::AgentIdentity;
use crate::testfleet::{Host, NOW, Node, World, code};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::ledger::Proven;
use shared::statement::Statement;
use shared::wire::{Join, Joined, Work};
use std::sync::Arc;

fn identity(joined: &Joined) -> AgentIdentity {
    let der = CertificateDer::from_pem_slice(joined.certificate.as_bytes()).unwrap();
    AgentIdentity::from_der(&der, &Host::site()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_uses_its_token_up_and_a_lost_reply_answers_the_same() {
    for world in World::each().await {
        let (node, mut host) = (&world.node, Host::new(1));
        let token = node.invite("lab").await;
        let join = host.join(&token);
        assert!(!node.board.admits(host.agent()));
        let first = node.join(join.clone(), NOW).await.unwrap();
        assert!(node.board.admits(host.agent()), "at once, on this node");
        let name = identity(&first);
        assert_eq!(name.agent_id, host.agent());
        let until = name.not_after.unwrap();
        assert!((NOW.plus(89 * 86_400)..NOW.plus(92 * 86_400)).contains(&until), "{until}");

        // The reply was lost: the agent sends the same again, even after the token's end.
        let again = node.join(join.clone(), NOW.plus(90_000)).await.unwrap();
        assert_eq!(again.certificate, first.certificate);
        let digest = join.enrolment.digest();
        for joined in [first, again] {
            let recorded = joined.recorded.unwrap();
            let proven =
                Proven::check(&recorded.inclusion, &recorded.checkpoint, &node.log.vkey(), &digest).unwrap();
            // The origin, the record of the invitation, the enrolment.
            assert_eq!((proven.index(), proven.leaf().agent), (2, Some(host.agent())), "{}", world.engine);
        }
        let hosts = node.db.read("hosts", list).await.unwrap();
        assert_eq!(hosts.len(), 1);
        assert_eq!((hosts[0].enrolment, hosts[0].invited_by.as_str()), (digest, "admin"));
        world.check().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_without_the_right_token_is_refused_and_leaves_nothing() {
    for world in World::each().await {
        let node = &world.node;
        let mut taken = Host::new(1);
        world.enrol(&mut taken).await;
        let size = node.db.read("head", crate::ledger::head).await.unwrap().size;
        let refused = async |join: Join| code(node.join(join, NOW).await);

        let (used, good) = (node.invite("lab").await, node.invite("lab").await);
        node.join(Host::new(2).join(&used), NOW).await.unwrap();
        assert_eq!(refused(Host::new(3).join(&used)).await, "join.token_used");
        assert_eq!(refused(Host::new(3).join("0badc0de")).await, "join.token_unknown");
        let late = node.join(Host::new(3).join(&good), NOW.plus(3_600)).await;
        assert_eq!(code(late), "join.token_expired");
        let other_class = Host { class: "production", ..Host::new(3) };
        assert_eq!(refused({ other_class }.join(&good)).await, "join.host_class");
        let known = Host { seq: 0, prev: None, ..taken.copied() };
        assert_eq!(refused({ known }.join(&good)).await, "join.known_host");
        let later = Host { seq: 1, prev: Some(Digest::of(b"x")), ..Host::new(3) };
        assert_eq!(refused({ later }.join(&good)).await, "join.bad_enrolment");
        let swapped = Join { token: good.clone(), ..Host::new(3).join("0badc0de") };
        assert_eq!(refused(swapped).await, "join.bad_enrolment", "the token is part of what is signed");
        let unnamed = Host { name: "a b".into(), ..Host::new(3) };
        assert_eq!(refused({ unnamed }.join(&good)).await, "join.bad_hostname");

        for edit in [
            |body: &mut shared::receipt::Enrolment| body.header.site = "ffffffffffffffff".parse().unwrap(),
            |body: &mut shared::receipt::Enrolment| body.header.key = Host::new(9).key.public(),
            |body: &mut shared::receipt::Enrolment| body.csr = "-----BEGIN CERTIFICATE REQUEST-----".into(),
        ] {
            let mut host = Host::new(3);
            let mut body: Statement<shared::receipt::Enrolment> =
                Statement::open(host.join(&good).enrolment).unwrap();
            edit(&mut body.body);
            let enrolment = Statement::sign(body.body, &host.key).envelope;
            let refusal = refused(Join { enrolment, token: good.clone() }).await;
            assert!(["join.bad_enrolment", "join.bad_csr"].contains(&refusal), "{refusal}");
        }
        let after = node.db.read("head", crate::ledger::head).await.unwrap().size;
        assert_eq!(after, size + 3, "{}: two invitations and host 2", world.engine);
        node.join(Host::new(3).join(&good), NOW).await.unwrap();
        world.check().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_hosts_with_one_token_one_gets_in_whatever_node_they_ask() {
    for world in World::each().await {
        let (one, two) = (world.node.clone(), world.second_node().await);
        let token = one.invite("lab").await;
        let tasks: Vec<_> = (1..=12)
            .map(|n| {
                let (node, join) = (if n % 2 == 0 { &one } else { &two }.clone(), Host::new(n).join(&token));
                tokio::spawn(async move { node.join(join, NOW).await })
            })
            .collect();
        let mut joined = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(_) => joined += 1,
                refused => assert_eq!(code(refused), "join.token_used", "{}", world.engine),
            }
        }
        assert_eq!(joined, 1, "{}", world.engine);
        world.check().await;
        tokio::task::spawn_blocking(move || drop(two)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn renewal_needs_the_hosts_own_key_only_and_works_long_after_expiry() {
    for world in World::each().await {
        let (node, mut host) = (&world.node, Host::new(1));
        let first = world.enrol(&mut host).await;
        let renew = async |envelope: &Envelope, now| {
            let renewal = join::open_renewal(&envelope.to_bytes(), &node.door, now)?;
            join::renew((&node.db, &node.door), &renewal, now).await
        };
        let late = NOW.plus(400 * 86_400);
        let renewal = host.renewal(late);
        let second = renew(&renewal, late).await.unwrap();
        assert_ne!(second.certificate, first.certificate);
        assert!(identity(&second).not_after > Some(late.plus(89 * 86_400)));
        let again = renew(&renewal, late.plus(9)).await.unwrap();
        assert_eq!(again.certificate, second.certificate, "a lost reply");

        assert_eq!(code(renew(&host.renewal(late.plus(-1)), late).await), "renew.stale");
        assert_eq!(code(renew(&host.renewal(late.plus(301)), late).await), "renew.clock");
        assert_eq!(code(renew(&Host::new(2).renewal(late), late).await), "renew.unknown_host");
        let mut foreign: Statement<shared::receipt::Renewal> = Statement::open(host.renewal(late)).unwrap();
        foreign.body.csr = Host::new(2).csr();
        let foreign = Statement::sign(foreign.body, &Host::new(2).key).envelope;
        assert_eq!(code(renew(&foreign, late).await), "renew.bad_request");

        let agent = host.agent();
        node.db.write("disable", move |tx| store::update_enabled(tx, agent, false)).await.unwrap();
        assert_eq!(code(renew(&host.renewal(late.plus(60)), late.plus(60)).await), "agent.not_enabled");
    }
}

/// Gives the wishes of a test; stands for the slices above.
fn wishes(tx: &mut Conn) -> Result<Vec<Wish>, Error> {
    let hosts = list(tx)?;
    let wish = Envelope::sign(b"{\"wish\":1}".to_vec(), &Host::new(99).key);
    let wanted = generation::read_all(tx)?.get(WISHES).is_some_and(|value| value % 2 == 1);
    let hosts = hosts.into_iter().filter(|_| wanted);
    Ok(hosts.map(|host| (host.agent, wish.digest(), Arc::new(wish.clone()))).collect())
}

fn timestamp_version(tx: &mut Conn) -> Result<u64, Error> {
    Ok(generation::read_all(tx)?.get(TIMESTAMP).copied().unwrap_or(0).cast_unsigned())
}

const SOURCES: Sources = Sources { wishes, timestamp_version };

fn news(board: &Board, host: &Host, known: Option<&str>) -> Option<(String, Work)> {
    match board.check_in(host.agent(), known, NOW).unwrap() {
        CheckIn::Same(_) => None,
        CheckIn::News(tag, work) => Some((tag, work)),
    }
}

async fn bump(node: &Node, name: &'static str) {
    node.db.write("bump", move |tx| Ok::<_, Error>(generation::bump(tx, name)?)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_in_is_news_only_when_something_changed_and_all_nodes_agree() {
    for world in World::each().await {
        let mut host = Host::new(1);
        world.enrol(&mut host).await;
        let (node, two) = (&world.node, world.second_node().await);
        let boards = [Board::new(SOURCES), Board::new(SOURCES)];
        let refresh = async || {
            boards[0].refresh(&node.db).await.unwrap();
            boards[1].refresh(&two.db).await.unwrap();
        };
        refresh().await;
        let (mut tag, work) = news(&boards[0], &host, None).unwrap();
        assert_eq!(
            (work.next_seq, work.timestamp_version, work.plan_wishes.len(), work.facts),
            (2, 0, 0, None)
        );

        let mut changed = async |what: &str, boards: &[Board; 2]| {
            let (first, work) =
                news(&boards[0], &host, Some(&tag)).unwrap_or_else(|| panic!("{what} is no news"));
            let second =
                news(&boards[1], &host, Some(&tag)).unwrap_or_else(|| panic!("{what}: not on node 2"));
            assert_eq!(first, second.0, "{}: {what}: the nodes differ", world.engine);
            assert!(news(&boards[1], &host, Some(&first)).is_none(), "{what}: said twice");
            tag = first;
            work
        };
        bump(node, TIMESTAMP).await;
        refresh().await;
        assert_eq!(changed("a new timestamp", &boards).await.timestamp_version, 1);
        bump(node, WISHES).await;
        refresh().await;
        assert_eq!(changed("a wish", &boards).await.plan_wishes.len(), 1);
        let agent = host.agent();
        let held = move |tx: &mut Conn| hold(tx, agent, "two machines", NOW);
        node.db.write("hold", held).await.unwrap();
        refresh().await;
        assert_eq!(changed("a hold", &boards).await.plan_wishes.len(), 0);
        node.db.write("enable", move |tx| store::update_enabled(tx, agent, true)).await.unwrap();
        refresh().await;
        assert_eq!(changed("the end of the hold", &boards).await.plan_wishes.len(), 1);
        bump(node, WISHES).await;
        refresh().await;
        assert_eq!(changed("a wish fulfilled", &boards).await.plan_wishes.len(), 0);
        refresh().await;
        assert!(news(&boards[0], &host, Some(&tag)).is_none());

        node.db.write("disable", move |tx| store::update_enabled(tx, agent, false)).await.unwrap();
        assert!(boards[0].admits(agent), "memory only");
        refresh().await;
        assert!(!boards[0].admits(agent) && !boards[1].admits(agent), "{}", world.engine);
        tokio::task::spawn_blocking(move || drop(two)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_ins_are_stored_in_batches_and_never_turn_back() {
    for world in World::each().await {
        let mut hosts: Vec<Host> = (1..=3).map(Host::new).collect();
        for host in &mut hosts {
            world.enrol(host).await;
        }
        let (node, two) = (&world.node, world.second_node().await);
        let seen = async || {
            let hosts = node.db.read("hosts", list).await.unwrap();
            hosts.iter().map(|host| host.last_seen.map(|at| at.since(NOW))).collect::<Vec<_>>()
        };
        for (host, after) in hosts.iter().zip([10, 20]) {
            node.board.check_in(host.agent(), None, NOW.plus(after)).unwrap();
        }
        assert_eq!(seen().await, [None, None, None]);
        node.board.flush_seen(&node.db).await.unwrap();
        assert_eq!(seen().await, [Some(10), Some(20), None]);
        two.board.check_in(hosts[0].agent(), None, NOW.plus(5)).unwrap();
        two.board.check_in(hosts[2].agent(), None, NOW.plus(30)).unwrap();
        two.board.flush_seen(&two.db).await.unwrap();
        assert_eq!(seen().await, [Some(10), Some(20), Some(30)], "{}", world.engine);
        tokio::task::spawn_blocking(move || drop(two)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_two_hosts_have_is_asked_back() {
    for world in World::each().await {
        let mut hosts = [Host::new(1), Host { name: "host1".into(), ..Host::new(2) }];
        for host in &mut hosts {
            world.enrol(host).await;
        }
        let find = async |name: String| world.node.db.read("get", move |tx| get(tx, &name)).await;
        assert_eq!(code(find("host1".into()).await), "ci.ambiguous");
        assert_eq!(code(find("host3".into()).await), "host.not_found");
        let by_agent = find(hosts[1].agent().to_string()).await.unwrap();
        assert_eq!(find(by_agent.ci.to_string()).await.unwrap(), by_agent);
        assert_eq!(by_agent.key, hosts[1].key.public());
    }
}

/// Three hosts of one name and one of another: a page ends in the middle of the name, and nobody is left out or told twice.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_listed_page_by_page() {
    for world in World::each().await {
        let named = |n, name: &str| Host { name: name.into(), ..Host::new(n) };
        let mut hosts = [named(1, "b"), named(2, "b"), named(3, "a"), named(4, "b")];
        for host in &mut hosts {
            world.enrol(host).await;
        }
        let page = async |after| {
            world.node.db.read("page", move |tx| store::list_behind(tx, after, 2)).await.unwrap()
        };
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let hosts = page(after).await;
            after = hosts.last().map(|host| host.agent);
            seen.extend(hosts.iter().map(|host| (host.hostname.clone(), host.agent)));
            if hosts.len() < 2 {
                break;
            }
        }
        let mut all: Vec<_> = hosts.iter().map(|host| (host.name.clone(), host.agent())).collect();
        all.sort_by_key(|(name, agent)| (name.clone(), agent.to_string()));
        assert_eq!(seen, all, "{}", world.engine);
        let nobody = Host::new(9).agent();
        let found = world.node.db.read("page", move |tx| store::list_behind(tx, Some(nobody), 2)).await;
        assert_eq!(code(found), "host.not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_chain_head_is_set_right_from_the_chain() {
    for world in World::each().await {
        let mut host = Host::new(1);
        world.enrol(&mut host).await;
        let agent = host.agent();
        let repair = async || world.node.db.write("repair", move |tx| repair_head(tx, agent)).await.unwrap();
        assert!(!repair().await);
        for edit in [
            "UPDATE host_head SET seq = 7",
            "UPDATE host_head SET statement = (SELECT hash FROM ledger_leaf WHERE idx = 0)",
            "DELETE FROM host_head",
        ] {
            world.sql(edit).await;
            assert!(repair().await, "{}: {edit}", world.engine);
            let heads = world.node.db.read("heads", move |tx| chain_heads(tx, &[agent])).await.unwrap();
            assert_eq!((heads[&agent].seq, Some(heads[&agent].last)), (1, host.prev), "{edit}");
        }
    }
}

#[test]
fn labels_are_plain_words() {
    let labels =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    assert!(model::check_labels(labels(&[("role", "web"), ("site.room-1", "")])).is_ok());
    for bad in [("", "x"), ("Role", "x"), ("a=b", "x"), ("role", "a\nb"), ("role", &"x".repeat(65))] {
        assert_eq!(code(model::check_labels(labels(&[bad]))), "host.bad_label", "{bad:?}");
    }
    let many = (0..33).map(|n| (format!("l{n}"), String::new())).collect();
    assert_eq!(code(model::check_labels(many)), "host.too_many_labels");
}
