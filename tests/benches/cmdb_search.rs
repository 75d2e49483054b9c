//! Searches of the CMDB at 1,000, 10,000 and 100,000 entries with 20 packages each, over a kept connection.
//!
//! Reference of the same run: what the database itself needs to count the entries that fit, asked in SQL with the versions
//! written out that a person would have to find first. The exponent tells how the time grows from 10,000 to 100,000.

#![expect(clippy::unwrap_used, reason = "a bench ends at the first surprise, with its place")]

#[path = "measure/built.rs"]
mod built;
#[path = "measure/middle.rs"]
mod middle;
#[path = "measure/page.rs"]
mod page;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use tests::{Database, World};

const SIZES: [u32; 3] = [1_000, 10_000, 100_000];
const PACKAGES: u32 = 20;
/// Of each package.
const VERSIONS: u32 = 20;
const ROUNDS: usize = 15;
/// Versions before 1.10, as they are counted and not as they are spelt.
const BEFORE: &str = "'1.0','1.1','1.2','1.3','1.4','1.5','1.6','1.7','1.8','1.9'";

/// What is asked, on which page, and the same in SQL.
struct Question {
    name: &'static str,
    query: &'static str,
    limit: u32,
    sql: String,
}

fn questions() -> Vec<Question> {
    let has = |field: &str, word: &str, details: &str| {
        format!(
            "ci.id IN (SELECT ci FROM ci_term JOIN term ON term.id = term WHERE until = 9223372036854775807 \
             AND field = '{field}' AND word = '{word}' AND detail IN ({details}))"
        )
    };
    let count =
        |conditions: &[String]| format!("SELECT count(*) AS n FROM ci WHERE {}", conditions.join(" AND "));
    vec![
        Question {
            name: "few hosts",
            query: "package:rare<1.10",
            limit: 1_000,
            sql: count(&[has("deb", "rare", "'1.9'")]),
        },
        Question {
            name: "many hosts, first page",
            query: "os:debian-12 package:p7<1.10 label:stage=prod -class:device",
            limit: 1_000,
            sql: count(&[
                has("os", "debian", "'12'"),
                has("deb", "p7", BEFORE),
                has("label", "stage", "'prod'"),
                "kind <> 'device'".to_owned(),
            ]),
        },
        Question {
            name: "a part of the name",
            query: "t000123",
            limit: 1_000,
            sql: count(&["sought LIKE '%t000123%'".to_owned()]),
        },
    ]
}

fn main() {
    built::require(&["assent", "assent-server"]);
    let Some(world) = World::new("bench cmdb_search", Database::Sqlite) else { return };
    let mut plain = page::database(&world);
    plain.batch_execute(&terms()).unwrap();
    let mut before: Vec<f64> = Vec::new();
    for size in SIZES {
        plain.batch_execute(&entries(size)).unwrap();
        let times: Vec<f64> =
            questions().iter().map(|question| measure(&world, &mut plain, question, size)).collect();
        if size == 100_000 {
            for (question, (small, large)) in questions().iter().zip(before.iter().zip(&times)) {
                println!(
                    "cmdb_search {}: exponent {:.2} from 10,000 to 100,000",
                    question.name,
                    (large / small).log10()
                );
            }
        }
        before = times;
    }
}

/// Milliseconds of one answer.
fn measure(world: &World, plain: &mut SqliteConnection, question: &Question, size: u32) -> f64 {
    let escaped: String = question.query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let path = format!("/v1/cis?limit={}&q={escaped}", question.limit);
    let (mut lines, mut all) = (0, 0);
    let (ours, reference) = page::in_turn(world, plain, (&path, &question.sql), ROUNDS, |reply, counted| {
        (lines, all) = (reply.json().as_array().unwrap().len(), counted);
    });
    let whole = usize::try_from(all).unwrap().min(question.limit as usize);
    assert_eq!(lines, whole, "{}: both find the same", question.name);
    println!(
        "cmdb_search {size} entries x {PACKAGES} packages, {}: {ours:.1} ms for {lines} lines of {all}, SQL count \
         {reference:.1} ms; ratio {:.2}",
        question.name,
        ours / reference
    );
    ours
}

/// 20 versions of 20 packages, and what else is looked for.
fn terms() -> String {
    let mut sql = String::from("BEGIN;");
    let mut insert = |id: u32, field: &str, word: &str, detail: &str| {
        sql.push_str(&format!(
            "INSERT INTO term (id, field, word, detail, source, source_detail) VALUES ({id}, '{field}', '{word}', '{detail}', '', '');"
        ));
    };
    for package in 0..PACKAGES {
        for version in 0..VERSIONS {
            let id = 1_000_000 + package * VERSIONS + version;
            insert(id, "deb", &format!("p{package}"), &format!("1.{version}"));
        }
    }
    for (place, release) in ["11", "12", "13"].iter().enumerate() {
        insert(2_000_000 + u32::try_from(place).unwrap(), "os", "debian", release);
    }
    for (place, stage) in ["prod", "test"].iter().enumerate() {
        insert(3_000_000 + u32::try_from(place).unwrap(), "label", "stage", stage);
    }
    insert(4_000_000, "deb", "rare", "1.9");
    insert(4_000_001, "deb", "rare", "1.11");
    sql + "COMMIT; "
}

/// As many entries as there are to be; those that are there stay.
fn entries(size: u32) -> String {
    let forever = i64::MAX;
    let link = |term: &str, which: &str| {
        format!(
            "INSERT INTO ci_term (ci, term, since, until) SELECT ci, {term}, 1, {forever} FROM fresh {which};"
        )
    };
    let packages: String = (0..PACKAGES)
        .map(|package| {
            let first = 1_000_000 + package * VERSIONS;
            link(&format!("{first} + (n * 7 + {package}) % {VERSIONS}"), "")
        })
        .collect();
    let [os, label] = [link("2000000 + n % 3", ""), link("3000000 + n % 2", "")];
    let rare = link("4000000 + n / 100 % 2", "WHERE n % 100 = 7 AND n < 1000");
    format!(
        "BEGIN; CREATE TEMP TABLE IF NOT EXISTS fresh (n INTEGER, ci INTEGER); DELETE FROM fresh;
         WITH RECURSIVE counted (n) AS (
             SELECT (SELECT count(*) FROM ci WHERE name LIKE 'host%') UNION ALL SELECT n + 1 FROM counted WHERE n + 1 < {size})
         INSERT INTO fresh SELECT n, 5000000 + n FROM counted;
         INSERT INTO ci (id, kind, name, created, os, os_version, sought)
         SELECT ci, 'host', printf('host%06d', n), 1, 'debian', '12', printf('host%06d', n) FROM fresh;
         {packages}{os}{label}{rare} COMMIT; "
    )
}
