//! All SQL of the site repository: metadata by role and version, target files by name and digest.

use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use diesel::prelude::*;
use shared::digest::Digest;
use shared::ids::{ManifestName, PersonId, Team};
use shared::time::Timestamp;
use shared::tuf::Role;

diesel::table! {
    site_file (role, version) {
        role -> Text,
        version -> BigInt,
        bytes -> Binary,
        expires -> BigInt,
        snapshot -> BigInt,
        stored -> BigInt,
    }
}

diesel::table! {
    site_target (name, sha256) {
        name -> Text,
        sha256 -> Binary,
        bytes -> Binary,
        stored -> BigInt,
        unlisted -> Nullable<BigInt>,
    }
}

diesel::table! {
    manifest (team, name, version) {
        team -> Text,
        name -> Text,
        version -> Text,
        statement -> Binary,
        target -> Text,
        sha256 -> Binary,
        publisher -> Text,
        published -> BigInt,
    }
}

diesel::table! {
    policy_edition (version) {
        version -> BigInt,
        sha256 -> Binary,
        stored -> BigInt,
    }
}

diesel::table! {
    upload (id) {
        id -> Text,
        sha256 -> Binary,
        length -> BigInt,
        person -> Text,
        started -> BigInt,
    }
}

/// A metadata file as stored.
#[derive(Debug, Clone, Queryable)]
pub(super) struct File {
    pub version: i64,
    pub bytes: Vec<u8>,
    pub expires: i64,
    /// The first snapshot that pins it.
    pub snapshot: i64,
    /// Seconds, by the clock of the server that stored it.
    pub stored: i64,
}

type Columns =
    (site_file::version, site_file::bytes, site_file::expires, site_file::snapshot, site_file::stored);
const COLUMNS: Columns =
    (site_file::version, site_file::bytes, site_file::expires, site_file::snapshot, site_file::stored);

pub(super) fn signed(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn damaged(what: &str) -> Error {
    Error::fault(
        "reading the site repository",
        format!("{what} is damaged; restore the database from a backup"),
    )
}

/// The newest version of a role's metadata.
pub(super) fn find_newest(tx: &mut Conn, role: &Role) -> QueryResult<Option<File>> {
    let rows = site_file::table.filter(site_file::role.eq(role.to_string()));
    rows.order(site_file::version.desc()).select(COLUMNS).first(tx).optional()
}

pub(super) fn find_file(tx: &mut Conn, role: &Role, version: i64) -> QueryResult<Option<File>> {
    site_file::table.find((role.to_string(), version)).select(COLUMNS).first(tx).optional()
}

/// All stored versions of a role, oldest first.
pub(super) fn list_files(tx: &mut Conn, role: &Role) -> QueryResult<Vec<File>> {
    let rows = site_file::table.filter(site_file::role.eq(role.to_string()));
    rows.order(site_file::version).select(COLUMNS).load(tx)
}

/// The roles that have metadata, by their names.
pub(super) fn list_roles(tx: &mut Conn) -> Result<Vec<Role>, Error> {
    let names: Vec<String> =
        site_file::table.select(site_file::role).distinct().order(site_file::role).load(tx)?;
    names.iter().map(|name| name.parse().map_err(|_| damaged("the name of a role"))).collect()
}

/// Fails on a version that is there already: versions are never written twice.
pub(super) fn insert_file(tx: &mut Conn, role: &Role, file: &File) -> QueryResult<()> {
    let row = (
        site_file::role.eq(role.to_string()),
        site_file::version.eq(file.version),
        site_file::bytes.eq(&file.bytes),
        site_file::expires.eq(file.expires),
        site_file::snapshot.eq(file.snapshot),
        site_file::stored.eq(file.stored),
    );
    diesel::insert_into(site_file::table).values(row).execute(tx).map(drop)
}

/// Forgets versions below `below` that were stored before `before`. Only for roles whose past proves nothing.
pub(super) fn purge_files(tx: &mut Conn, role: &Role, below: i64, before: Timestamp) -> QueryResult<()> {
    let old = site_file::table.filter(site_file::role.eq(role.to_string()));
    let old = old.filter(site_file::version.lt(below)).filter(site_file::stored.lt(before.0));
    diesel::delete(old).execute(tx).map(drop)
}

/// Stores a target file, or lists it again if it was unlisted.
pub(super) fn record_target(tx: &mut Conn, name: &str, bytes: &[u8], now: Timestamp) -> QueryResult<()> {
    let sha256 = Digest::of(bytes);
    let row = (
        site_target::name.eq(name),
        site_target::sha256.eq(sha256.0.as_slice()),
        site_target::bytes.eq(bytes),
        site_target::stored.eq(now.0),
    );
    each!(tx, |c| diesel::insert_into(site_target::table)
        .values(row)
        .on_conflict((site_target::name, site_target::sha256))
        .do_update()
        .set(site_target::unlisted.eq(None::<i64>))
        .execute(c))
    .map(drop)
}

/// From now on no metadata lists this file; it stays for clients in the middle of a refresh.
pub(super) fn update_unlisted(tx: &mut Conn, name: &str, sha256: &Digest, now: Timestamp) -> QueryResult<()> {
    diesel::update(site_target::table.find((name, sha256.0.as_slice())))
        .set(site_target::unlisted.eq(now.0))
        .execute(tx)
        .map(drop)
}

/// Forgets target files that were unlisted before `before`.
pub(super) fn purge_targets(tx: &mut Conn, before: Timestamp) -> QueryResult<()> {
    diesel::delete(site_target::table.filter(site_target::unlisted.lt(before.0))).execute(tx).map(drop)
}

pub(super) fn find_target(tx: &mut Conn, name: &str, sha256: &Digest) -> QueryResult<Option<Vec<u8>>> {
    site_target::table.find((name, sha256.0.as_slice())).select(site_target::bytes).first(tx).optional()
}

/// A published manifest as others name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Digest of the publication statement.
    pub statement: Digest,
    /// The repository's name for it.
    pub target: String,
    /// Digest of the file.
    pub sha256: Digest,
    pub publisher: PersonId,
    /// The file: the publication's envelope.
    pub bytes: Vec<u8>,
}

pub(super) struct NewManifest<'a> {
    pub team: &'a Team,
    pub name: &'a ManifestName,
    pub version: &'a semver::Version,
    pub statement: &'a Digest,
    pub target: &'a str,
    pub sha256: &'a Digest,
    pub publisher: &'a PersonId,
}

/// True the first time.
pub(super) fn record_manifest(tx: &mut Conn, new: &NewManifest<'_>, now: Timestamp) -> QueryResult<bool> {
    let row = (
        manifest::team.eq(new.team.as_str()),
        manifest::name.eq(new.name.as_str()),
        manifest::version.eq(new.version.to_string()),
        manifest::statement.eq(new.statement.0.as_slice()),
        manifest::target.eq(new.target),
        manifest::sha256.eq(new.sha256.0.as_slice()),
        manifest::publisher.eq(new.publisher.as_str()),
        manifest::published.eq(now.0),
    );
    let inserted =
        each!(tx, |c| diesel::insert_into(manifest::table).values(row).on_conflict_do_nothing().execute(c))?;
    Ok(inserted == 1)
}

/// The manifest that has this publication statement.
pub(super) fn find_published(tx: &mut Conn, statement: &Digest) -> Result<Option<Published>, Error> {
    let row = manifest::table.filter(manifest::statement.eq(statement.0.as_slice()));
    let row: Option<(String, Vec<u8>, String)> =
        row.select((manifest::target, manifest::sha256, manifest::publisher)).first(tx).optional()?;
    let Some((target, sha256, publisher)) = row else { return Ok(None) };
    let sha256 = digest(&sha256)?;
    let bytes = find_target(tx, &target, &sha256)?.ok_or_else(|| damaged("a published manifest"))?;
    let publisher = publisher.parse().map_err(|_| damaged("a publisher"))?;
    Ok(Some(Published { statement: *statement, target, sha256, publisher, bytes }))
}

pub(super) fn digest(bytes: &[u8]) -> Result<Digest, Error> {
    bytes.try_into().map(Digest).map_err(|_| damaged("a digest"))
}

/// The newest policy edition: its digest and bytes.
pub(super) fn find_policy(tx: &mut Conn) -> Result<Option<(Digest, Vec<u8>)>, Error> {
    let newest = policy_edition::table.order(policy_edition::version.desc());
    let row: Option<Vec<u8>> = newest.select(policy_edition::sha256).first(tx).optional()?;
    let Some(sha256) = row else { return Ok(None) };
    let sha256 = digest(&sha256)?;
    let bytes = find_target(tx, POLICY, &sha256)?.ok_or_else(|| damaged("the policy"))?;
    Ok(Some((sha256, bytes)))
}

const POLICY: &str = "policy.json";

pub(super) fn insert_policy(tx: &mut Conn, version: u64, sha256: &Digest, now: Timestamp) -> QueryResult<()> {
    let row = (
        policy_edition::version.eq(signed(version)),
        policy_edition::sha256.eq(sha256.0.as_slice()),
        policy_edition::stored.eq(now.0),
    );
    diesel::insert_into(policy_edition::table).values(row).execute(tx).map(drop)
}

/// Every policy edition, oldest first.
pub(super) fn list_policies(tx: &mut Conn) -> Result<Vec<(u64, Vec<u8>)>, Error> {
    let rows: Vec<(i64, Vec<u8>)> = policy_edition::table
        .order(policy_edition::version)
        .select((policy_edition::version, policy_edition::sha256))
        .load(tx)?;
    let mut editions = Vec::with_capacity(rows.len());
    for (version, sha256) in rows {
        let bytes = find_target(tx, POLICY, &digest(&sha256)?)?.ok_or_else(|| damaged("a policy edition"))?;
        editions.push((version.cast_unsigned(), bytes));
    }
    Ok(editions)
}

/// An upload in progress.
#[derive(Debug, Clone, Queryable)]
pub(super) struct Upload {
    pub id: String,
    pub sha256: Vec<u8>,
    pub length: i64,
    pub person: String,
}

type UploadColumns = (upload::id, upload::sha256, upload::length, upload::person);
const UPLOAD: UploadColumns = (upload::id, upload::sha256, upload::length, upload::person);

pub(super) fn find_upload(tx: &mut Conn, id: &str) -> QueryResult<Option<Upload>> {
    upload::table.find(id).select(UPLOAD).first(tx).optional()
}

/// The upload of this file that this person has begun.
pub(super) fn find_upload_of(
    tx: &mut Conn,
    sha256: &Digest,
    person: &PersonId,
) -> QueryResult<Option<Upload>> {
    let row = upload::table.filter(upload::sha256.eq(sha256.0.as_slice()));
    row.filter(upload::person.eq(person.as_str())).select(UPLOAD).first(tx).optional()
}

/// True if it is the only one of this file and person.
pub(super) fn record_upload(tx: &mut Conn, new: &Upload, now: Timestamp) -> QueryResult<bool> {
    let row = (
        upload::id.eq(&new.id),
        upload::sha256.eq(&new.sha256),
        upload::length.eq(new.length),
        upload::person.eq(&new.person),
        upload::started.eq(now.0),
    );
    let inserted =
        each!(tx, |c| diesel::insert_into(upload::table).values(row).on_conflict_do_nothing().execute(c))?;
    Ok(inserted == 1)
}

pub(super) fn count_uploads(tx: &mut Conn, person: &PersonId) -> QueryResult<i64> {
    upload::table.filter(upload::person.eq(person.as_str())).count().get_result(tx)
}

pub(super) fn delete_upload(tx: &mut Conn, id: &str) -> QueryResult<()> {
    diesel::delete(upload::table.find(id)).execute(tx).map(drop)
}

/// Ids of uploads begun before `before`.
pub(super) fn list_stale_uploads(tx: &mut Conn, before: Timestamp) -> QueryResult<Vec<String>> {
    upload::table.filter(upload::started.lt(before.0)).select(upload::id).limit(100).load(tx)
}
