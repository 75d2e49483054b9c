//! Both engines, through the same door, with the same expectations.

use super::{Conn, Connect, Db, DbError};
use crate::kernel::generation::{self, generation as table};
use crate::kernel::testdb::{TestDb, each_engine, each_fresh};
use crate::kernel::{lease, outbox};
use diesel::prelude::*;
use diesel::sql_types::Text;
use shared::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Debug, thiserror::Error)]
enum TestError {
    #[error("rejected")]
    Rejected,
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Query(#[from] diesel::result::Error),
}

fn value(tx: &mut Conn, name: &str) -> QueryResult<i64> {
    let found = table::table.find(name).select(table::value).first(tx).optional()?;
    Ok(found.unwrap_or_default())
}

/// Reads, thinks, writes: loses updates unless transactions are serialised.
fn read_modify_write(tx: &mut Conn, n: u32) -> Result<i64, TestError> {
    tx.lock("counter")?;
    let next = value(tx, "counter")? + 1;
    diesel::update(table::table.find("counter")).set(table::value.eq(next)).execute(tx)?;
    assert!(n % 100 != 7, "this job panics on purpose");
    if n.is_multiple_of(10) { Err(TestError::Rejected) } else { Ok(next) }
}

async fn count_under_contention(test: TestDb) {
    let db = test.db.clone();
    db.write("seed", |tx| generation::bump(tx, "counter").map_err(TestError::from)).await.unwrap();
    let jobs: Vec<_> = (0..400)
        .map(|n| {
            let db = db.clone();
            tokio::spawn(async move { db.write("count", move |tx| read_modify_write(tx, n)).await })
        })
        .collect();
    let (mut done, mut rejected, mut panicked) = (BTreeSet::new(), 0, 0);
    for job in jobs {
        match job.await.unwrap() {
            Ok(n) => assert!(done.insert(n), "{}: two jobs saw the same counter {n}", test.engine),
            Err(TestError::Rejected) => rejected += 1,
            Err(TestError::Db(DbError::Panicked { name: "count" })) => panicked += 1,
            Err(other) => panic!("{}: {other:?}", test.engine),
        }
    }
    let end = db.read("look", |tx| value(tx, "counter").map_err(TestError::from)).await.unwrap();
    assert_eq!((rejected, panicked, done.len(), end), (40, 4, 356, 357), "{}", test.engine);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_and_panicking_jobs_leave_the_others_exact() {
    for test in tokio::task::spawn_blocking(each_engine).await.unwrap() {
        count_under_contention(test).await;
    }
}

#[tokio::test]
async fn a_read_cannot_write() {
    for test in tokio::task::spawn_blocking(each_engine).await.unwrap() {
        let result = test.db.read("sneak", |tx| generation::bump(tx, "x").map_err(TestError::from)).await;
        assert!(matches!(result, Err(TestError::Query(_))), "{}: {result:?}", test.engine);
        let after = test.db.read("look", |tx| value(tx, "x").map_err(TestError::from)).await;
        assert_eq!(after.unwrap(), 0, "{}", test.engine);
    }
}

/// PostgreSQL would turn the COMMIT into a silent rollback here.
#[tokio::test]
async fn a_swallowed_failure_is_never_reported_as_stored() {
    for test in tokio::task::spawn_blocking(each_engine).await.unwrap() {
        let db = &test.db;
        let result: Result<(), TestError> = db
            .write("swallow", |tx| {
                generation::bump(tx, "kept")?;
                let twice =
                    diesel::insert_into(table::table).values((table::name.eq("kept"), table::value.eq(1)));
                assert!(twice.execute(tx).is_err());
                Ok(())
            })
            .await;
        let stored = db.read("look", |tx| value(tx, "kept").map_err(TestError::from)).await.unwrap();
        assert_eq!(result.is_ok(), stored == 1, "{}: {result:?}", test.engine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_retried_until_both_are_through() {
    for test in tokio::task::spawn_blocking(each_engine).await.unwrap() {
        let db = test.db.clone();
        let seed = |tx: &mut Conn| generation::bump(tx, "a").and_then(|()| generation::bump(tx, "b"));
        db.write("seed", move |tx| seed(tx).map_err(TestError::from)).await.unwrap();
        let runs = Arc::new(AtomicU32::new(0));
        let cross = |first: &'static str, second: &'static str| {
            let (db, runs) = (db.clone(), runs.clone());
            tokio::spawn(async move {
                db.write("cross", move |tx| {
                    runs.fetch_add(1, Ordering::Relaxed);
                    generation::bump(tx, first)?;
                    std::thread::sleep(std::time::Duration::from_millis(200));
                    generation::bump(tx, second).map_err(TestError::from)
                })
                .await
            })
        };
        let (one, two) = (cross("a", "b"), cross("b", "a"));
        one.await.unwrap().unwrap();
        two.await.unwrap().unwrap();
        let all = db.read("look", |tx| generation::read_all(tx).map_err(TestError::from)).await.unwrap();
        assert_eq!((all["a"], all["b"]), (3, 3), "{}", test.engine);
        let expected = if test.engine == "postgresql" { 3 } else { 2 };
        assert_eq!(runs.load(Ordering::Relaxed), expected, "{}", test.engine);
    }
}

#[tokio::test]
async fn a_connection_lost_while_idle_is_replaced() {
    for test in tokio::task::spawn_blocking(each_engine).await.unwrap() {
        if test.engine != "postgresql" {
            continue;
        }
        test.db.write("before", |tx| generation::bump(tx, "n").map_err(TestError::from)).await.unwrap();
        let url = test.url.clone();
        let end_all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE datname = current_database() AND pid <> pg_backend_pid()";
        tokio::task::spawn_blocking(move || crate::kernel::testdb::admin(&url, end_all)).await.unwrap();
        test.db.write("after", |tx| generation::bump(tx, "n").map_err(TestError::from)).await.unwrap();
        let n = test.db.read("look", |tx| value(tx, "n").map_err(TestError::from)).await.unwrap();
        assert_eq!(n, 2);
    }
}

#[tokio::test]
async fn a_lease_has_one_holder_and_its_fence_grows() {
    for test in tokio::task::spawn_blocking(each_engine).await.unwrap() {
        let now = Timestamp(1_000);
        test.db
            .write("lease", move |tx| {
                let first = lease::acquire(tx, "publish", "n1", now, 60)?.unwrap();
                assert_eq!(lease::acquire(tx, "publish", "n2", now, 60)?, None);
                assert_eq!(lease::acquire(tx, "publish", "n1", now.plus(30), 60)?, Some(first));
                assert_eq!(lease::acquire(tx, "publish", "n2", now.plus(89), 60)?, None);
                lease::assert_held(tx, "publish", first)?;
                let second = lease::acquire(tx, "publish", "n2", now.plus(90), 60)?.unwrap();
                assert!(second > first);
                assert!(matches!(lease::assert_held(tx, "publish", first), Err(DbError::Busy)));
                lease::release(tx, "publish", first)?;
                lease::assert_held(tx, "publish", second)?;
                lease::release(tx, "publish", second)?;
                assert!(lease::acquire(tx, "publish", "n1", now.plus(91), 60)?.unwrap() > second);
                Ok::<_, TestError>(())
            })
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn an_outbox_message_comes_back_until_it_is_done() {
    for test in tokio::task::spawn_blocking(each_engine).await.unwrap() {
        let now = Timestamp(1_000);
        test.db
            .write("outbox", move |tx| {
                outbox::put(tx, "receipt", "r1", "{}", now)?;
                outbox::put(tx, "receipt", "r2", "{}", now)?;
                outbox::put(tx, "other", "o1", "{}", now)?;
                let keys = |tx: &mut Conn, at| {
                    let due = outbox::take_due(tx, "receipt", at, 60, 10)?;
                    Ok::<_, TestError>(due.into_iter().map(|m| (m.id, m.key, m.attempts)).collect::<Vec<_>>())
                };
                let first = keys(tx, now)?;
                assert_eq!(
                    first.iter().map(|m| (m.1.as_str(), m.2)).collect::<Vec<_>>(),
                    [("r1", 1), ("r2", 1)]
                );
                assert!(keys(tx, now.plus(59))?.is_empty());
                outbox::done(tx, first[0].0)?;
                outbox::retry_later(tx, first[1].0, now.plus(500))?;
                assert!(keys(tx, now.plus(499))?.is_empty());
                let again = keys(tx, now.plus(500))?;
                assert_eq!(again, [(first[1].0, "r2".to_owned(), 2)]);
                Ok::<_, TestError>(())
            })
            .await
            .unwrap();
    }
}

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    name: String,
}

fn columns(tx: &mut Conn) -> QueryResult<BTreeSet<String>> {
    let sql = match tx {
        Conn::Sqlite(_) => {
            "SELECT t.name || '.' || c.name || ' ' || CASE upper(c.type) WHEN 'BLOB' THEN 'BYTES'
                WHEN 'TEXT' THEN 'TEXT' WHEN 'BOOLEAN' THEN 'BOOLEAN' ELSE 'NUMBER' END
                || CASE WHEN c.\"notnull\" OR c.pk THEN '' ELSE ' NULL' END AS name
             FROM sqlite_schema t, pragma_table_info(t.name) c
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' AND t.name NOT LIKE '\\_\\_%' ESCAPE '\\'"
        }
        Conn::Pg(_) => {
            "SELECT table_name || '.' || column_name || ' ' || CASE data_type WHEN 'bytea' THEN 'BYTES'
                WHEN 'text' THEN 'TEXT' WHEN 'boolean' THEN 'BOOLEAN'
                WHEN 'bigint' THEN 'NUMBER' WHEN 'integer' THEN 'NUMBER' ELSE data_type END
                || CASE is_nullable WHEN 'NO' THEN '' ELSE ' NULL' END AS name
             FROM information_schema.columns
             WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_%'"
        }
    };
    Ok(diesel::sql_query(sql).load::<Column>(tx)?.into_iter().map(|column| column.name).collect())
}

#[tokio::test]
async fn both_migration_trees_make_the_same_tables() {
    let mut seen = Vec::new();
    for test in tokio::task::spawn_blocking(each_engine).await.unwrap() {
        let found = test.db.read("columns", |tx| columns(tx).map_err(TestError::from)).await.unwrap();
        assert!(found.contains("lease.fence NUMBER"), "{found:?}");
        seen.push(found);
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:#?}");
}

#[test]
fn a_database_newer_than_the_program_is_refused() {
    for test in each_engine() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')";
        let write = test.db.write("newer", move |tx| {
            diesel::sql_query(newer).execute(tx).map(drop).map_err(TestError::from)
        });
        runtime.block_on(write).unwrap();
        let error = Db::connect(&test.url, Connect { create: false }).err().unwrap();
        assert!(matches!(&error, DbError::Migration(text) if text.contains("9999")), "{error}");
    }
}

#[test]
fn several_nodes_may_start_and_migrate_an_empty_database_at_once() {
    for fresh in each_fresh() {
        let nodes: Vec<_> = (0..4)
            .map(|_| {
                let url = fresh.url.clone();
                std::thread::spawn(move || Db::connect(&url, Connect { create: true }).map(drop))
            })
            .collect();
        for node in nodes {
            node.join().unwrap().unwrap();
        }
    }
}

/// Whoever comes while another node puts the new file into write-ahead mode, or takes long to migrate it, waits.
#[test]
fn a_node_waits_for_the_one_that_makes_the_database() {
    use diesel::connection::SimpleConnection;
    // The second one is longer than anything else waits for a lock.
    for (begin, held) in [("BEGIN EXCLUSIVE", 1_500), ("PRAGMA journal_mode=WAL; BEGIN IMMEDIATE", 10_500)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new.sqlite");
        let mut other = diesel::SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        other.batch_execute(begin).unwrap();
        let url = format!("sqlite://{}", path.display());
        let node = std::thread::spawn(move || Db::connect(&url, Connect { create: true }).map(drop));
        std::thread::sleep(std::time::Duration::from_millis(held));
        assert!(!node.is_finished(), "{begin}");
        other.batch_execute("ROLLBACK").unwrap();
        node.join().unwrap().unwrap();
    }
}

#[test]
fn a_missing_sqlite_file_is_made_only_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/a b#c%.sqlite", dir.path().display());
    let refused = Db::connect(&url, Connect { create: false }).err().unwrap().to_string();
    assert!(refused.contains("assent-server migrate"), "{refused}");
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing was created");
    Db::connect(&url, Connect { create: true }).unwrap();
    Db::connect(&url, Connect { create: false }).unwrap();
    let nowhere = format!("sqlite://{}/missing/db", dir.path().display());
    assert!(Db::connect(&nowhere, Connect { create: true }).is_err());
}

/// Another process holds the file's write lock: callers are told to come back, and the writer recovers.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_file_is_busy_and_not_the_end() {
    let test = tokio::task::spawn_blocking(|| each_engine().swap_remove(0)).await.unwrap();
    let path = test.url.strip_prefix("sqlite://").unwrap().to_owned();
    let mut other = diesel::SqliteConnection::establish(&path).unwrap();
    diesel::connection::SimpleConnection::batch_execute(&mut other, "BEGIN IMMEDIATE").unwrap();
    let blocked = test.db.write("blocked", |tx| generation::bump(tx, "n").map_err(TestError::from)).await;
    assert!(matches!(blocked, Err(TestError::Db(DbError::Busy))), "{blocked:?}");
    diesel::connection::SimpleConnection::batch_execute(&mut other, "ROLLBACK").unwrap();
    test.db.write("after", |tx| generation::bump(tx, "n").map_err(TestError::from)).await.unwrap();
    let n = test.db.read("look", |tx| value(tx, "n").map_err(TestError::from)).await.unwrap();
    assert_eq!(n, 1);
}

/// A full disk makes SQLite drop the whole transaction: nobody in the group may be told that it is stored,
/// and the jobs after it must not slip out of the transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_the_database_rolled_back_is_reported_as_such() {
    let test = tokio::task::spawn_blocking(|| each_engine().swap_remove(0)).await.unwrap();
    let db = &test.db;
    let hold = db.write("hold", |_| {
        // As long as the others may take to stand behind it, on a machine with better things to do.
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        Ok::<_, TestError>(())
    });
    let first = db.write("first", |tx| generation::bump(tx, "first").map_err(TestError::from));
    let full = db.write("full", |tx| {
        diesel::sql_query("ROLLBACK").execute(tx)?;
        Err::<(), _>(TestError::Rejected)
    });
    let last = db.write("last", |tx| generation::bump(tx, "last").map_err(TestError::from));
    let (_, first, full, last) = tokio::join!(hold, first, full, last);
    let seen = db.read("look", |tx| generation::read_all(tx).map_err(TestError::from)).await.unwrap();
    assert!(full.is_err());
    assert!(matches!(first, Err(TestError::Db(DbError::NotCommitted(_)))), "{first:?}");
    assert!(last.is_ok(), "{last:?}");
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["last"]);
}

#[derive(QueryableByName)]
struct Protocol {
    #[diesel(sql_type = Text)]
    version: String,
}

#[test]
fn postgresql_is_reached_only_over_a_verified_connection_when_asked_for() {
    let Some((address, root)) = crate::kernel::testdb::with_tls() else {
        let name = "postgresql_is_reached_only_over_a_verified_connection_when_asked_for";
        return crate::kernel::testdb::skip(name, "no throw-away cluster with TLS");
    };
    crate::kernel::testdb::admin(crate::kernel::testdb::server().unwrap(), "CREATE DATABASE over_tls");
    let address = format!("{address}/over_tls");
    let connect = |address: &str, root: &std::path::Path| {
        let url = format!("{address}?sslmode=verify-full&sslrootcert={}", root.display());
        Db::connect(&url, Connect { create: false })
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let db = connect(&address, &root).unwrap();
    let seen = db.read("tls", |tx| {
        let sql = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        diesel::sql_query(sql).get_result::<Protocol>(tx).map_err(TestError::from)
    });
    assert_eq!(runtime.block_on(seen).unwrap().version, "TLSv1.3");

    let wrong_name = connect(&address.replace("localhost", "127.0.0.1"), &root).err().unwrap().to_string();
    assert!(wrong_name.contains("not valid for name"), "{wrong_name}");
    let dir = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let other =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let other_root = dir.path().join("root.pem");
    std::fs::write(&other_root, other.pem()).unwrap();
    let unknown = connect(&address, &other_root).err().unwrap().to_string();
    assert!(unknown.contains("invalid peer certificate"), "{unknown}");
}
