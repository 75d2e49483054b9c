use super::*;
use crate::kernel::db::{Conn, Connect, Db};
use crate::kernel::error::Error;
use crate::kernel::testdb::{TestDb, admin, each_engine};
use diesel::prelude::*;
use shared::digest::Digest;
use shared::keys::SigningKey;
use shared::ledger::{
    Checkpoint, LeafKind, Opening, Proven, SignedNote, Tile, TileKind, VerifierKey, WitnessKey,
};
use shared::receipt::LogSeen;
use shared::time::Timestamp;
use std::collections::BTreeSet;

const NOW: Timestamp = Timestamp(1_800_000_000);

fn log(origin: &str) -> Log {
    Log::new(SigningKey::from_seed(&[9; 32]), origin.parse().unwrap())
}

fn document(n: u32) -> Document {
    let bytes = format!("{{\"n\":{n}}}").into_bytes();
    Document::of_site(LeafKind::Export, Digest::of(&bytes), None, bytes).unwrap()
}

async fn opened() -> Vec<(TestDb, Log)> {
    let mut all = Vec::new();
    for test in tokio::task::spawn_blocking(each_engine).await.unwrap() {
        let log = log("assent.test");
        log.open(&test.db, NOW).await.unwrap();
        log.open(&test.db, NOW).await.unwrap();
        all.push((test, log));
    }
    all
}

async fn write(db: &Db, documents: Vec<Document>) -> Result<Vec<Placed>, Error> {
    db.write("test.record", move |tx| record(tx, &documents, NOW)).await
}

async fn prove(db: &Db, log: &Log, questions: Vec<Question>) -> Vec<Option<Answer>> {
    let log = log.clone();
    db.read("test.prove", move |tx| log.prove(tx, &questions)).await.unwrap()
}

async fn problems(db: &Db) -> Vec<String> {
    db.read("test.check", check).await.unwrap()
}

fn ask(document: &Document, since: Option<u64>) -> Question {
    Question { statement: document.leaf.sha256, since, seen: None }
}

async fn sql(db: &Db, text: &'static str) {
    let run = move |tx: &mut Conn| diesel::sql_query(text).execute(tx).map(drop).map_err(Error::from);
    db.write("test.sql", run).await.unwrap();
}

/// Proves every document against the newest checkpoint and that checkpoint against the older one.
async fn verify_all(db: &Db, log: &Log, documents: &[Document], older: &Checkpoint) -> Checkpoint {
    verify_with(db, log, &log.vkey(), documents, older).await
}

async fn verify_with(
    db: &Db,
    log: &Log,
    vkey: &VerifierKey,
    documents: &[Document],
    older: &Checkpoint,
) -> Checkpoint {
    let questions = documents.iter().map(|d| ask(d, Some(older.size))).collect();
    let mut newest = older.clone();
    for (answer, document) in prove(db, log, questions).await.into_iter().zip(documents) {
        let recorded = answer.unwrap().recorded;
        let digest = document.leaf.sha256;
        let proven = Proven::check(&recorded.inclusion, &recorded.checkpoint, vkey, &digest).unwrap();
        recorded.consistency.unwrap().check(older, proven.checkpoint()).unwrap();
        newest = proven.checkpoint().clone();
    }
    newest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_has_one_leaf_and_every_proof_holds_as_the_log_grows() {
    for (test, log) in opened().await {
        let documents: Vec<_> = (0..600).map(document).collect();
        let mut seen = test.db.read("head", head).await.unwrap();
        let (mut size, mut recorded) = (1, Vec::new());
        for batch in [1, 1, 3, 250, 1, 300, 44] {
            let new = documents[recorded.len()..][..batch].to_vec();
            let again = documents.first().cloned();
            let placed = write(&test.db, new.iter().cloned().chain(again).collect()).await.unwrap();
            let expected = (size..).take(batch).map(|index| Placed { index, fresh: true });
            let repeated = Placed { index: 1, fresh: false };
            assert_eq!(placed, expected.chain([repeated]).collect::<Vec<_>>(), "{}", test.engine);
            size += batch as u64;
            recorded.extend(new);
            seen = verify_all(&test.db, &log, &recorded, &seen).await;
            assert_eq!(seen.size, size);
        }
        assert_eq!(problems(&test.db).await, [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_server_processes_make_one_chain() {
    for (test, log) in opened().await {
        // SQLite has one process by design; on PostgreSQL the second one has connections of its own.
        let url = test.url.clone();
        let second = match test.engine {
            "postgresql" => {
                let connect = move || Db::connect(&url, Connect { create: false }).unwrap();
                tokio::task::spawn_blocking(connect).await.unwrap()
            }
            _ => test.db.clone(),
        };
        let tasks: Vec<_> = (0..120_u32)
            .map(|n| {
                let db = if n.is_multiple_of(2) { test.db.clone() } else { second.clone() };
                // Every document is sent twice, in overlapping batches, through different processes.
                let batch = vec![document(n), document((n + 1) % 120)];
                tokio::spawn(async move { write(&db, batch).await.unwrap() })
            })
            .collect();
        let (mut fresh, mut indexes) = (0, BTreeSet::new());
        for task in tasks {
            for placed in task.await.unwrap() {
                fresh += u32::from(placed.fresh);
                indexes.insert(placed.index);
            }
        }
        assert_eq!((fresh, indexes), (120, (1..=120).collect()), "{}", test.engine);
        let all: Vec<_> = (0..120).map(document).collect();
        let start = Checkpoint { origin: "assent.test".parse().unwrap(), size: 0, root: Digest::of(b"") };
        let (one, two) =
            (verify_all(&test.db, &log, &all, &start).await, verify_all(&second, &log, &all, &start).await);
        assert_eq!((one.size, &one), (121, &two));
        assert_eq!(problems(&test.db).await, [""; 0]);
        tokio::task::spawn_blocking(move || drop(second)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tiles_alone_give_the_same_root() {
    for (test, log) in opened().await {
        write(&test.db, (0..699).map(document).collect()).await.unwrap();
        let head = test.db.read("head", head).await.unwrap();
        let (mut leaves, mut entries) = (Vec::new(), Vec::new());
        for index in 0..3 {
            for kind in [TileKind::Hashes { level: 0 }, TileKind::Entries] {
                let tile = Tile::at(kind, index, head.size).unwrap();
                let log = log.clone();
                let bytes = test.db.read("tile", move |tx| log.tile(tx, tile)).await.unwrap().unwrap();
                match kind {
                    TileKind::Entries => entries.extend(
                        tile.read_entries(&bytes).unwrap().into_iter().map(shared::ledger::merkle::leaf_hash),
                    ),
                    TileKind::Hashes { .. } => leaves.extend(tile.read_hashes(&bytes).unwrap()),
                }
            }
        }
        assert_eq!(shared::ledger::merkle::root_of(&leaves), head.root, "{}", test.engine);
        assert_eq!(leaves, entries);
        let high: Tile = "tile/1/000.p/2".parse().unwrap();
        let parents: Vec<_> = leaves.chunks_exact(256).map(shared::ledger::merkle::root_of).collect();
        let reader = log.clone();
        let bytes = test.db.read("tile", move |tx| reader.tile(tx, high)).await.unwrap().unwrap();
        assert_eq!(high.read_hashes(&bytes).unwrap(), parents);
        for beyond in ["tile/1/000.p/3", "tile/0/002", "tile/entries/003.p/1"] {
            let (log, tile): (_, Tile) = (log.clone(), beyond.parse().unwrap());
            assert_eq!(test.db.read("tile", move |tx| log.tile(tx, tile)).await.unwrap(), None, "{beyond}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_edited_by_hand_is_noticed_and_never_grows_into_a_fork() {
    let edits = [
        ("UPDATE ledger_leaf SET entry = '{\"v\":1}' WHERE idx = 3", "leaf 3", true),
        (
            "UPDATE ledger_leaf SET hash = (SELECT hash FROM ledger_leaf WHERE idx = 1) WHERE idx = 4",
            "leaf 4",
            true,
        ),
        ("DELETE FROM ledger_leaf WHERE idx = 299", "the last leaf is", true),
        ("DELETE FROM ledger_node WHERE level = 8", "node 0 of level 8", true),
        ("DELETE FROM statement WHERE kind = 'origin'", "1 leaves stand for documents", true),
        ("UPDATE ledger_log SET size = size - 1", "the head of size", false),
        (
            "UPDATE ledger_log SET frontier = (SELECT hash FROM ledger_leaf WHERE idx = 1)",
            "the head of size",
            false,
        ),
    ];
    for (edit, expected, may_grow) in edits {
        for (test, _) in opened().await {
            write(&test.db, (0..299).map(document).collect()).await.unwrap();
            assert_eq!(problems(&test.db).await, [""; 0]);
            sql(&test.db, edit).await;
            let found = problems(&test.db).await;
            assert!(
                found.iter().any(|problem| problem.contains(expected)),
                "{}: {edit}: {found:?}",
                test.engine
            );
            assert_eq!(
                write(&test.db, vec![document(999)]).await.is_ok(),
                may_grow,
                "{}: {edit}",
                test.engine
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_origin_is_another_log_and_is_never_opened_by_accident() {
    for test in tokio::task::spawn_blocking(each_engine).await.unwrap() {
        // Two keys, as after a restore; the policy says which log counts.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.key");
        std::fs::write(&path, SigningKey::from_seed(&[9; 32]).to_pem().unwrap().as_bytes()).unwrap();
        crate::kernel::keys::make_next(&path, |_| false).unwrap();
        let log = Log::load(&path, &"0123456789abcdef".parse().unwrap()).unwrap();
        log.open(&test.db, NOW).await.unwrap();
        write(&test.db, vec![document(1), document(2)]).await.unwrap();
        let refused = self::log("assent.other").open(&test.db, NOW).await.unwrap_err().chain();
        assert!(refused.contains("none of this server's keys signs it"), "{}: {refused}", test.engine);

        let before = log.clone();
        let before = test.db.read("checkpoint", move |tx| before.checkpoint(tx)).await.unwrap();
        let next = log.clone();
        let next = test.db.read("next", move |tx| next.next(tx)).await.unwrap().unwrap();
        let go_on = |vkey: String| {
            let log = log.clone();
            test.db.write("log", move |tx| log.go_on_as(tx, &vkey, NOW))
        };
        let stranger = VerifierKey::new(next.name().clone(), *log.vkey().public());
        for odd in [String::new(), stranger.to_string()] {
            assert!(go_on(odd).await.unwrap_err().chain().contains("site.log_key"), "{}", test.engine);
        }
        go_on(log.vkey().to_string()).await.unwrap();
        for _ in 0..2 {
            go_on(next.to_string()).await.unwrap();
        }
        assert!(go_on(log.vkey().to_string()).await.is_err(), "there is no way back to an old log");
        log.open(&test.db, NOW).await.unwrap();
        let unasked = log.clone();
        assert_eq!(test.db.read("next", move |tx| unasked.next(tx)).await.unwrap(), None);

        // It names the log before, and proves what was in that one as well.
        let placed = write(&test.db, vec![document(2), document(3)]).await.unwrap();
        let expected = [Placed { index: 2, fresh: false }, Placed { index: 3, fresh: true }];
        assert_eq!(placed, expected, "nothing is there twice");
        let opening = Opening { origin: next.name().clone(), previous: Some(before) };
        let wanted = opening.leaf().sha256;
        let stored =
            test.db.read("opening", move |tx| Ok::<_, Error>(find_statement(tx, &wanted)?)).await.unwrap();
        assert_eq!(stored, Some(opening.to_bytes()), "{}", test.engine);
        let empty = Checkpoint { origin: next.name().clone(), size: 0, root: Digest::of(b"") };
        verify_with(&test.db, &log, &next, &[document(1), document(2), document(3)], &empty).await;
        assert_eq!(problems(&test.db).await, [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_saw_is_compared_with_what_is_here() {
    for (test, log) in opened().await {
        write(&test.db, vec![document(1)]).await.unwrap();
        let true_root = test.db.read("head", head).await.unwrap().root;
        write(&test.db, (2..300).map(document).collect()).await.unwrap();
        let other = Digest::of(b"another log");
        let table = [
            ("assent.test", 2, true_root, None),
            ("assent.test", 2, other, Some("at 2 leaves it saw the root")),
            ("assent.test", 301, other, Some("it saw 301 leaves, this log has 300")),
            ("assent.other", 1, other, Some("does not know")),
        ];
        for (origin, size, root, expected) in table {
            let seen = Some(LogSeen { origin: origin.into(), size, root });
            let question = Question { statement: document(7).leaf.sha256, since: Some(size), seen };
            let answer = prove(&test.db, &log, vec![question]).await.remove(0).unwrap();
            match (expected, &answer.contradiction) {
                (None, None) => {}
                (Some(part), Some(said)) if said.contains(part) => {}
                other => panic!("{}: {origin} {size}: {other:?}", test.engine),
            }
            assert_eq!(answer.recorded.consistency.is_some(), size <= 300, "no proof of what is not so");
        }
    }
}

/// The same transaction may reach PostgreSQL twice: the connection breaks and the caller tries again.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_write_after_a_lost_connection_adds_nothing() {
    for (test, _) in opened().await {
        let first = write(&test.db, vec![document(1)]).await.unwrap();
        if test.engine == "postgresql" {
            let url = test.url.clone();
            let end_all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                           WHERE datname = current_database() AND pid <> pg_backend_pid()";
            tokio::task::spawn_blocking(move || admin(&url, end_all)).await.unwrap();
        }
        let again = write(&test.db, vec![document(1)]).await.unwrap();
        assert_eq!((first[0].index, first[0].fresh), (1, true));
        assert_eq!((again[0].index, again[0].fresh), (1, false), "{}", test.engine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn witnesses_of_the_policy_and_nobody_else_sign_this_log_and_the_larger_look_is_kept() {
    let witness = |n: u8| {
        let key = SigningKey::from_seed(&[60 + n; 32]);
        (WitnessKey::new(format!("w{n}.test").parse().unwrap(), key.public()), key)
    };
    for (test, log) in opened().await {
        write(&test.db, (1..20).map(document).collect()).await.unwrap();
        let keys = vec![witness(0).0, witness(1).0];
        test.db.write("set", move |tx| Ok::<_, Error>(set_witnesses(tx, &keys)?)).await.unwrap();
        let listed = || {
            let log = log.clone();
            test.db.read("list", move |tx| log.witnesses(tx))
        };
        assert!(listed().await.unwrap().witnesses.iter().all(|witness| witness.seen.is_none()));
        let take = |note: String| {
            let log = log.clone();
            test.db.write("take", move |tx| log.take_cosigned(tx, &note, NOW))
        };
        let own = SigningKey::from_seed(&[9; 32]);
        let small = test.db.read("head", head).await.unwrap();
        let signed = |checkpoint: &Checkpoint, n: u8, at: i64| {
            let mut note = checkpoint.sign(&own).unwrap();
            let (public, key) = witness(n);
            note.cosign(public.name(), &key, NOW.plus(at));
            note
        };
        write(&test.db, (20..300).map(document).collect()).await.unwrap();
        let large = test.db.read("head", head).await.unwrap();
        take(signed(&large, 0, 0).to_string()).await.unwrap();
        take(signed(&small, 0, 0).to_string()).await.unwrap();
        let mut both = signed(&small, 1, 0);
        both.cosign(&"stranger".parse().unwrap(), &SigningKey::from_seed(&[1; 32]), NOW);
        take(both.to_string()).await.unwrap();

        // Each is shown with a proof that leads to the newest checkpoint, and with nobody else's line.
        write(&test.db, vec![document(300)]).await.unwrap();
        let list = listed().await.unwrap();
        let now = Checkpoint::open(&list.checkpoint, &log.vkey()).unwrap();
        let sizes: Vec<u64> = list
            .witnesses
            .iter()
            .zip([0, 1])
            .map(|(shown, n)| {
                let seen = shown.seen.as_ref().unwrap();
                let old = Checkpoint::open(&seen.checkpoint, &log.vkey()).unwrap();
                seen.consistency.check(&old, &now).unwrap();
                let note = SignedNote::parse(&seen.checkpoint).unwrap();
                assert_eq!(note.cosigned(&witness(n).0).unwrap(), Some(NOW));
                assert!(!seen.checkpoint.contains("stranger"), "{}", test.engine);
                old.size
            })
            .collect();
        assert_eq!(sizes, [300, 20], "{}", test.engine);

        let forked = Checkpoint { root: Digest::of(b"other"), ..small.clone() };
        let ahead = Checkpoint { size: 999, ..large.clone() };
        let renamed = Checkpoint { origin: "assent.other".parse().unwrap(), ..small.clone() };
        let mut bent = signed(&small, 0, 0).to_string();
        bent = bent.replace("w0.test", "w1.test");
        for (what, note, code) in [
            ("another tree", signed(&forked, 0, 0).to_string(), "ledger.other_log"),
            ("more than is here", signed(&ahead, 0, 0).to_string(), "ledger.other_log"),
            ("another log", signed(&renamed, 0, 0).to_string(), "ledger.bad_cosignature"),
            ("a stranger", signed(&small, 2, 0).to_string(), "ledger.bad_cosignature"),
            ("another name", bent, "ledger.bad_cosignature"),
            ("tomorrow", signed(&small, 0, 86_400).to_string(), "ledger.bad_cosignature"),
            ("no note", "x".to_owned(), "ledger.bad_cosignature"),
        ] {
            let refused = take(note).await.unwrap_err().chain();
            assert!(refused.contains(code), "{}: {what}: {refused}", test.engine);
        }
        // Who stays keeps what was signed; who goes takes it along.
        let keys = vec![witness(1).0, witness(2).0];
        test.db.write("set", move |tx| Ok::<_, Error>(set_witnesses(tx, &keys)?)).await.unwrap();
        let list = listed().await.unwrap().witnesses;
        let seen: Vec<_> = list.iter().map(|shown| (&shown.witness[..2], shown.seen.is_some())).collect();
        assert_eq!(seen, [("w1", true), ("w2", false)], "{}", test.engine);
    }
}
