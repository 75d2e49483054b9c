//! All SQL of the fleet. A transaction that changes hosts bumps the generation first, then touches rows.

pub mod hindrance;

use super::board::HOSTS;
use super::model::{ChainHead, Host, Labels, Standing};
use crate::cmdb::CiId;
use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::kernel::generation::{self, generation as generations};
use diesel::prelude::*;
use diesel::upsert::excluded;
use shared::digest::Digest;
use shared::ids::{AgentId, ChangeId, HostClass, PersonId};
use shared::keys::PublicKey;
use shared::request::Request;
use shared::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::str::FromStr;

diesel::table! {
    join_token (sha256) {
        sha256 -> Binary,
        host_class -> Text,
        labels -> Text,
        created -> BigInt,
        created_by -> Text,
        expires -> BigInt,
        used_at -> Nullable<BigInt>,
        used_for -> Nullable<Binary>,
    }
}

diesel::table! {
    host (agent) {
        agent -> Text,
        public_key -> Text,
        ci -> BigInt,
        hostname -> Text,
        host_class -> Text,
        labels -> Text,
        enabled -> Bool,
        held -> Nullable<Text>,
        invited_by -> Text,
        enrolled -> BigInt,
        enrolment -> Binary,
        certificate -> Text,
        not_after -> BigInt,
        renewed_at -> Nullable<BigInt>,
        renewal -> Nullable<Binary>,
        marked -> BigInt,
        retired_by -> Nullable<Text>,
        entry -> Nullable<BigInt>,
    }
}

diesel::table! {
    host_chain (agent, seq) {
        agent -> Text,
        seq -> BigInt,
        statement -> Binary,
    }
}

diesel::table! {
    host_head (agent) {
        agent -> Text,
        seq -> BigInt,
        statement -> Binary,
        gap_allowed -> Bool,
    }
}

diesel::table! {
    host_seen (agent) {
        agent -> Text,
        at -> BigInt,
    }
}

diesel::table! {
    request_used (agent, nonce) {
        agent -> Text,
        nonce -> Text,
        until -> BigInt,
    }
}

diesel::joinable!(host_head -> host (agent));
diesel::joinable!(host_seen -> host (agent));
diesel::allow_tables_to_appear_in_same_query!(host, host_head, host_seen);

/// Rows per statement: below SQLite's 32,766 variables.
const ROWS: usize = 1_000;

#[derive(Queryable, Selectable)]
#[diesel(table_name = host)]
struct HostRow {
    agent: String,
    public_key: String,
    ci: i64,
    hostname: String,
    host_class: String,
    labels: String,
    enabled: bool,
    held: Option<String>,
    invited_by: String,
    enrolled: i64,
    enrolment: Vec<u8>,
    not_after: i64,
    retired_by: Option<String>,
    entry: Option<i64>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = join_token)]
struct TokenRow {
    host_class: String,
    labels: String,
    created_by: String,
    expires: i64,
    used_for: Option<Vec<u8>>,
}

#[derive(Insertable)]
#[diesel(table_name = host_chain, treat_none_as_default_value = false)]
struct NewChainRow {
    agent: String,
    seq: i64,
    statement: Vec<u8>,
}

#[derive(Insertable)]
#[diesel(table_name = host_head, treat_none_as_default_value = false)]
struct NewHeadRow {
    agent: String,
    seq: i64,
    statement: Vec<u8>,
    gap_allowed: bool,
}

#[derive(Insertable)]
#[diesel(table_name = host_seen, treat_none_as_default_value = false)]
struct NewSeenRow {
    agent: String,
    at: i64,
}

/// A join token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub host_class: HostClass,
    pub labels: Labels,
    pub created_by: PersonId,
    pub expires: Timestamp,
    /// The enrolment that it was used for.
    pub used_for: Option<Digest>,
}

/// A host that joins.
pub(super) struct NewHost {
    pub agent: AgentId,
    pub key: PublicKey,
    pub ci: CiId,
    pub hostname: String,
    pub host_class: HostClass,
    pub labels: Labels,
    pub invited_by: PersonId,
    pub enrolment: Digest,
    pub certificate: String,
    pub not_after: Timestamp,
}

/// Certificate of a host, and the renewal that it comes from.
pub(super) struct Certified {
    pub enabled: bool,
    pub certificate: String,
    pub renewal: Option<Digest>,
    /// The change with which the host left for good.
    pub retired: Option<String>,
}

fn damaged(what: &str, text: &str) -> Error {
    Error::fault("reading the fleet", format!("{what} {text:?} in the database is not valid"))
}

fn parse<T: FromStr>(what: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| damaged(what, text))
}

fn digest(bytes: &[u8]) -> Result<Digest, Error> {
    bytes.try_into().map(Digest).map_err(|_| damaged("digest", &shared::digest::hex(bytes)))
}

fn labels_text(labels: &Labels) -> String {
    serde_json::Value::from_iter(labels.iter().map(|(name, value)| (name.clone(), value.clone()))).to_string()
}

fn read_labels(text: &str) -> Result<Labels, Error> {
    serde_json::from_str(text).map_err(|_| damaged("labels", text))
}

/// The generation after this change; serialises with everyone else who changes hosts.
fn next_mark(tx: &mut Conn) -> QueryResult<i64> {
    generation::bump(tx, HOSTS)?;
    generations::table.find(HOSTS).select(generations::value).first(tx)
}

/// True the first time, false for a request that was used before.
pub(super) fn record_request(tx: &mut Conn, request: &Request) -> QueryResult<bool> {
    let row = (
        request_used::agent.eq(request.agent_id.to_string()),
        request_used::nonce.eq(request.nonce.as_str()),
        request_used::until.eq(request.over().0),
    );
    let used = each!(tx, |c| diesel::insert_into(request_used::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(used == 1)
}

/// Lets go of requests that nobody accepts any more, used or not.
pub(super) fn purge_requests(tx: &mut Conn, now: Timestamp) -> QueryResult<()> {
    diesel::delete(request_used::table.filter(request_used::until.le(now.0))).execute(tx).map(drop)
}

pub(super) fn insert_token(tx: &mut Conn, sha256: &Digest, token: &Token, now: Timestamp) -> QueryResult<()> {
    diesel::insert_into(join_token::table)
        .values((
            join_token::sha256.eq(sha256.0.as_slice()),
            join_token::host_class.eq(token.host_class.as_str()),
            join_token::labels.eq(labels_text(&token.labels)),
            join_token::created.eq(now.0),
            join_token::created_by.eq(token.created_by.as_str()),
            join_token::expires.eq(token.expires.0),
        ))
        .execute(tx)
        .map(drop)
}

pub(super) fn find_token(tx: &mut Conn, sha256: &Digest) -> Result<Option<Token>, Error> {
    let row = join_token::table.find(sha256.0.as_slice()).select(TokenRow::as_select());
    let Some(row) = row.first(tx).optional()? else { return Ok(None) };
    Ok(Some(Token {
        host_class: parse("host class", &row.host_class)?,
        labels: read_labels(&row.labels)?,
        created_by: parse("person id", &row.created_by)?,
        expires: Timestamp(row.expires),
        used_for: row.used_for.as_deref().map(digest).transpose()?,
    }))
}

/// Digests of all tokens that have not ended, used ones as well: a lost answer is asked for again.
pub(super) fn list_tokens(tx: &mut Conn, now: Timestamp) -> Result<HashSet<Digest>, Error> {
    let living = join_token::table.filter(join_token::expires.gt(now.0)).select(join_token::sha256);
    living.load::<Vec<u8>>(tx)?.iter().map(|bytes| digest(bytes)).collect()
}

/// Uses a token up; a lost race is a refusal.
pub(super) fn update_token_used(
    tx: &mut Conn,
    sha256: &Digest,
    enrolment: &Digest,
    now: Timestamp,
) -> Result<(), Error> {
    let unused = join_token::table.find(sha256.0.as_slice()).filter(join_token::used_at.is_null());
    let unused = unused.filter(join_token::expires.gt(now.0));
    let used = (join_token::used_at.eq(now.0), join_token::used_for.eq(enrolment.0.as_slice()));
    match diesel::update(unused).set(used).execute(tx)? {
        1 => Ok(()),
        _ => Err(Refusal::forbidden("join.token_used").into()),
    }
}

/// The host, with the enrolment as the first link of its chain.
pub(super) fn insert_host(tx: &mut Conn, new: &NewHost, now: Timestamp) -> QueryResult<()> {
    let marked = next_mark(tx)?;
    let agent = new.agent.to_string();
    diesel::insert_into(host::table)
        .values((
            host::agent.eq(&agent),
            host::public_key.eq(new.key.to_string()),
            host::ci.eq(new.ci.0),
            host::hostname.eq(&new.hostname),
            host::host_class.eq(new.host_class.as_str()),
            host::labels.eq(labels_text(&new.labels)),
            host::enabled.eq(true),
            host::invited_by.eq(new.invited_by.as_str()),
            host::enrolled.eq(now.0),
            host::enrolment.eq(new.enrolment.0.as_slice()),
            host::certificate.eq(&new.certificate),
            host::not_after.eq(new.not_after.0),
            host::marked.eq(marked),
        ))
        .execute(tx)?;
    insert_links(tx, &[(new.agent, 1, new.enrolment)])
}

fn insert_links(tx: &mut Conn, links: &[(AgentId, u64, Digest)]) -> QueryResult<()> {
    for some in links.chunks(ROWS) {
        let rows: Vec<_> = some
            .iter()
            .map(|(agent, seq, statement)| NewChainRow {
                agent: agent.to_string(),
                seq: seq.cast_signed(),
                statement: statement.0.to_vec(),
            })
            .collect();
        each!(tx, |c| diesel::insert_into(host_chain::table).values(&rows).execute(c))?;
    }
    let heads: BTreeMap<AgentId, (u64, Digest)> =
        links.iter().map(|(agent, seq, statement)| (*agent, (*seq, *statement))).collect();
    update_heads(tx, &heads)
}

fn update_heads(tx: &mut Conn, heads: &BTreeMap<AgentId, (u64, Digest)>) -> QueryResult<()> {
    let rows: Vec<_> = heads
        .iter()
        .map(|(agent, (seq, statement))| NewHeadRow {
            agent: agent.to_string(),
            seq: seq.cast_signed(),
            statement: statement.0.to_vec(),
            gap_allowed: false,
        })
        .collect();
    for some in rows.chunks(ROWS) {
        each!(tx, |c| diesel::insert_into(host_head::table)
            .values(some)
            .on_conflict(host_head::agent)
            .do_update()
            .set((
                host_head::seq.eq(excluded(host_head::seq)),
                host_head::statement.eq(excluded(host_head::statement)),
                host_head::gap_allowed.eq(excluded(host_head::gap_allowed)),
            ))
            .execute(c))?;
    }
    Ok(())
}

/// Appends statements to the chains of their hosts, in order. The caller has checked `seq` and `prev` against
/// [`chain_heads`] under the ledger's lock.
pub fn extend_chains(tx: &mut Conn, links: &[(AgentId, u64, Digest)]) -> QueryResult<()> {
    let marked = next_mark(tx)?;
    insert_links(tx, links)?;
    let agents: Vec<String> = links.iter().map(|(agent, ..)| agent.to_string()).collect();
    for some in agents.chunks(ROWS) {
        diesel::update(host::table.filter(host::agent.eq_any(some)))
            .set(host::marked.eq(marked))
            .execute(tx)?;
    }
    Ok(())
}

/// The entry that a host got when it joined, and the one under which it goes on instead, if it follows another host.
type Places = (i64, Option<i64>);
const PLACES: (host::ci, host::entry) = (host::ci, host::entry);

/// The ends of these hosts' chains; a host that is not here is left out.
pub fn chain_heads(tx: &mut Conn, agents: &[AgentId]) -> Result<BTreeMap<AgentId, ChainHead>, Error> {
    let mut all = BTreeMap::new();
    let agents: Vec<String> = agents.iter().map(AgentId::to_string).collect();
    for some in agents.chunks(ROWS) {
        let rows: Vec<(String, Places, i64, Vec<u8>, bool)> = host_head::table
            .inner_join(host::table)
            .filter(host::agent.eq_any(some))
            .select((host::agent, PLACES, host_head::seq, host_head::statement, host_head::gap_allowed))
            .load(tx)?;
        for (agent, (joined_as, entry), seq, last, gap_allowed) in rows {
            let (seq, last) = (seq.cast_unsigned(), digest(&last)?);
            let (ci, joined_as) = (CiId(entry.unwrap_or(joined_as)), CiId(joined_as));
            let head = ChainHead { ci, joined_as, seq, last, gap_allowed };
            all.insert(parse("agent id", &agent)?, head);
        }
    }
    Ok(all)
}

/// For the restore of an older database: each host's next statement may leave a gap, because what the host
/// has proof of it does not keep, and this database has lost it.
pub fn allow_gaps(tx: &mut Conn) -> QueryResult<usize> {
    diesel::update(host_head::table).set(host_head::gap_allowed.eq(true)).execute(tx)
}

/// Sets the head of a chain to its last link, from which it can only differ if someone edited the database.
/// True if it did.
pub fn repair_head(tx: &mut Conn, agent: AgentId) -> Result<bool, Error> {
    let links = host_chain::table.filter(host_chain::agent.eq(agent.to_string()));
    let last: Option<(i64, Vec<u8>)> = links
        .order(host_chain::seq.desc())
        .select((host_chain::seq, host_chain::statement))
        .first(tx)
        .optional()?;
    let Some((seq, last)) = last else { return Ok(false) };
    let head: Option<(i64, Vec<u8>)> = host_head::table
        .find(agent.to_string())
        .select((host_head::seq, host_head::statement))
        .first(tx)
        .optional()?;
    if head.as_ref() == Some(&(seq, last.clone())) {
        return Ok(false);
    }
    update_heads(tx, &BTreeMap::from([(agent, (seq.cast_unsigned(), digest(&last)?))]))?;
    let marked = next_mark(tx)?;
    diesel::update(host::table.find(agent.to_string())).set(host::marked.eq(marked)).execute(tx)?;
    Ok(true)
}

/// Certificate, and what it was last renewed by.
pub(super) fn find_certified(tx: &mut Conn, agent: AgentId) -> Result<Option<Certified>, Error> {
    type Columns = (bool, String, Option<Vec<u8>>, Option<String>);
    let columns = (host::enabled, host::certificate, host::renewal, host::retired_by);
    let row: Option<Columns> = host::table.find(agent.to_string()).select(columns).first(tx).optional()?;
    let Some((enabled, certificate, renewal, retired)) = row else { return Ok(None) };
    let renewal = renewal.as_deref().map(digest).transpose()?;
    Ok(Some(Certified { enabled, certificate, renewal, retired }))
}

/// Stores a new certificate unless a later renewal was faster.
pub(super) fn update_certificate(
    tx: &mut Conn,
    agent: AgentId,
    (certificate, not_after): (&str, Timestamp),
    (renewal, at): (&Digest, Timestamp),
) -> Result<(), Error> {
    let row = host::table.find(agent.to_string());
    let row = row.filter(host::renewed_at.is_null().or(host::renewed_at.lt(at.0)));
    let new = (
        host::certificate.eq(certificate),
        host::not_after.eq(not_after.0),
        host::renewed_at.eq(at.0),
        host::renewal.eq(renewal.0.as_slice()),
    );
    match diesel::update(row).set(new).execute(tx)? {
        1 => Ok(()),
        _ => Err(Refusal::conflict("renew.stale").into()),
    }
}

pub(super) fn update_enabled(tx: &mut Conn, agent: AgentId, enabled: bool) -> Result<(), Error> {
    let marked = next_mark(tx)?;
    let row = host::table.find(agent.to_string()).filter(host::retired_by.is_null());
    let changed = if enabled {
        diesel::update(row)
            .set((host::enabled.eq(true), host::held.eq(None::<String>), host::marked.eq(marked)))
            .execute(tx)?
    } else {
        diesel::update(row).set((host::enabled.eq(false), host::marked.eq(marked))).execute(tx)?
    };
    found(agent, changed)
}

/// Shuts a host out for good.
///
/// # Errors
/// `host.not_found` where no host with this id is left in the register.
pub fn retire(tx: &mut Conn, agent: AgentId, change: &ChangeId) -> Result<(), Error> {
    let marked = next_mark(tx)?;
    let row = host::table.find(agent.to_string()).filter(host::retired_by.is_null());
    let gone = (host::enabled.eq(false), host::retired_by.eq(change.as_str()), host::marked.eq(marked));
    found(agent, diesel::update(row).set(gone).execute(tx)?)
}

/// Lets a host go on under the entry of the one that it follows, with its labels.
///
/// # Errors
/// `host.not_found` where the host has followed another one before.
pub fn go_on(tx: &mut Conn, agent: AgentId, before: &Host) -> Result<(), Error> {
    let marked = next_mark(tx)?;
    let row = host::table.find(agent.to_string()).filter(host::entry.is_null());
    let labels = host::labels.eq(labels_text(&before.labels));
    let place = (host::entry.eq(before.ci.0), labels, host::marked.eq(marked));
    found(agent, diesel::update(row).set(place).execute(tx)?)
}

/// Those of these hosts that have left for good.
pub fn list_retired(tx: &mut Conn, agents: &BTreeSet<AgentId>) -> Result<BTreeSet<AgentId>, Error> {
    let agents: Vec<String> = agents.iter().map(AgentId::to_string).collect();
    let mut retired = BTreeSet::new();
    for some in agents.chunks(ROWS) {
        let rows = host::table.filter(host::agent.eq_any(some)).filter(host::retired_by.is_not_null());
        for agent in rows.select(host::agent).load::<String>(tx)? {
            retired.insert(parse("agent id", &agent)?);
        }
    }
    Ok(retired)
}

/// Gives the host no new work until someone enables it again. False if it was held already.
pub(super) fn update_held(tx: &mut Conn, agent: AgentId, why: &str) -> QueryResult<bool> {
    let marked = next_mark(tx)?;
    let row = host::table.find(agent.to_string()).filter(host::held.is_null());
    Ok(diesel::update(row).set((host::held.eq(why), host::marked.eq(marked))).execute(tx)? == 1)
}

pub(super) fn update_labels(tx: &mut Conn, agent: AgentId, labels: &Labels) -> Result<(), Error> {
    let row = host::table.find(agent.to_string());
    found(agent, diesel::update(row).set(host::labels.eq(labels_text(labels))).execute(tx)?)
}

fn found(agent: AgentId, changed: usize) -> Result<(), Error> {
    if changed == 1 { Ok(()) } else { Err(Refusal::not_found("host.not_found").with("name", agent).into()) }
}

/// Tells the board that something about this host changed which another slice stores.
pub(super) fn touch(tx: &mut Conn, agent: AgentId) -> QueryResult<()> {
    let marked = next_mark(tx)?;
    diesel::update(host::table.find(agent.to_string())).set(host::marked.eq(marked)).execute(tx).map(drop)
}

/// Hosts that changed after the generation `since`.
pub(super) fn list_standings(tx: &mut Conn, since: i64) -> Result<Vec<Standing>, Error> {
    let rows: Vec<(String, Places, bool, Option<String>, i64)> = host_head::table
        .inner_join(host::table)
        .filter(host::marked.gt(since))
        .select((host::agent, PLACES, host::enabled, host::held, host_head::seq))
        .load(tx)?;
    let standing = |(agent, places, enabled, held, seq): (String, Places, bool, Option<String>, i64)| {
        Ok(Standing {
            agent: parse("agent id", &agent)?,
            ci: CiId(places.1.unwrap_or(places.0)),
            enabled,
            held: held.is_some(),
            next_seq: seq.cast_unsigned() + 1,
        })
    };
    rows.into_iter().map(standing).collect()
}

/// A later time is not replaced by an earlier one that another node flushes.
pub(super) fn record_seen(tx: &mut Conn, seen: &[(AgentId, i64)]) -> QueryResult<()> {
    for some in seen.chunks(ROWS) {
        let agents: Vec<String> = some.iter().map(|(agent, _)| agent.to_string()).collect();
        let here = host_seen::table.filter(host_seen::agent.eq_any(&agents));
        let here: BTreeMap<String, i64> = here.load::<(String, i64)>(tx)?.into_iter().collect();
        let is_later = |row: &NewSeenRow| here.get(&row.agent).is_none_or(|at| *at < row.at);
        let rows = agents.into_iter().zip(some).map(|(agent, (_, at))| NewSeenRow { agent, at: *at });
        let rows: Vec<_> = rows.filter(is_later).collect();
        if rows.is_empty() {
            continue;
        }
        each!(tx, |c| diesel::insert_into(host_seen::table)
            .values(&rows)
            .on_conflict(host_seen::agent)
            .do_update()
            .set(host_seen::at.eq(excluded(host_seen::at)))
            .execute(c))?;
    }
    Ok(())
}

/// All hosts by name.
pub fn list(tx: &mut Conn) -> Result<Vec<Host>, Error> {
    let rows: Vec<(HostRow, Option<i64>)> = host::table
        .left_join(host_seen::table)
        .order((host::hostname, host::ci))
        .select((HostRow::as_select(), host_seen::at.nullable()))
        .load(tx)?;
    rows.into_iter().map(read_host).collect()
}

/// At most `limit` hosts by name, of those behind this one.
pub(super) fn list_behind(tx: &mut Conn, after: Option<AgentId>, limit: i64) -> Result<Vec<Host>, Error> {
    let mut rows = host::table.left_join(host_seen::table).into_boxed();
    if let Some(after) = after {
        let Some(last) = find(tx, after)? else {
            return Err(Refusal::not_found("host.not_found").with("name", after).into());
        };
        let same_name = host::hostname.eq(last.hostname.clone()).and(host::agent.gt(after.to_string()));
        rows = rows.filter(host::hostname.gt(last.hostname).or(same_name));
    }
    let rows: Vec<(HostRow, Option<i64>)> = rows
        .order((host::hostname, host::agent))
        .limit(limit)
        .select((HostRow::as_select(), host_seen::at.nullable()))
        .load(tx)?;
    rows.into_iter().map(read_host).collect()
}

pub fn find(tx: &mut Conn, agent: AgentId) -> Result<Option<Host>, Error> {
    let row: Option<(HostRow, Option<i64>)> = host::table
        .left_join(host_seen::table)
        .filter(host::agent.eq(agent.to_string()))
        .select((HostRow::as_select(), host_seen::at.nullable()))
        .first(tx)
        .optional()?;
    row.map(read_host).transpose()
}

/// The host with this CI id, agent id or name: of several that have not left for good, if there is one. A name that
/// several have is refused with their ids.
pub fn get(tx: &mut Conn, name: &str) -> Result<Host, Error> {
    let rows = host::table.left_join(host_seen::table).into_boxed();
    let rows = match (name.parse::<CiId>(), name.parse::<AgentId>()) {
        (Ok(ci), _) => {
            let stays = host::ci.eq(ci.0).and(host::entry.is_null());
            rows.filter(host::entry.eq(ci.0).or(stays))
        }
        (_, Ok(agent)) => rows.filter(host::agent.eq(agent.to_string())),
        _ => rows.filter(host::hostname.eq(name.to_owned())),
    };
    let rows = rows.order(host::ci).limit(20).select((HostRow::as_select(), host_seen::at.nullable()));
    let mut rows: Vec<(HostRow, Option<i64>)> = rows.load(tx)?;
    if rows.iter().any(|(row, _)| row.retired_by.is_none()) {
        rows.retain(|(row, _)| row.retired_by.is_none());
    }
    let shown = shared::strict::shorten(name);
    if rows.len() > 1 {
        let ids: Vec<_> = rows.iter().map(|(row, _)| row.place().to_string()).collect();
        let refusal = Refusal::conflict("ci.ambiguous").with("name", shown).with("ids", ids.join(", "));
        return Err(refusal.into());
    }
    let row = rows.into_iter().next();
    read_host(row.ok_or_else(|| Refusal::not_found("host.not_found").with("name", shown))?)
}

impl HostRow {
    fn place(&self) -> CiId {
        CiId(self.entry.unwrap_or(self.ci))
    }
}

fn read_host((row, seen): (HostRow, Option<i64>)) -> Result<Host, Error> {
    Ok(Host {
        agent: parse("agent id", &row.agent)?,
        key: parse("public key", &row.public_key)?,
        ci: row.place(),
        joined_as: CiId(row.ci),
        hostname: row.hostname,
        host_class: parse("host class", &row.host_class)?,
        labels: read_labels(&row.labels)?,
        enabled: row.enabled,
        held: row.held,
        enrolment: digest(&row.enrolment)?,
        invited_by: parse("person id", &row.invited_by)?,
        enrolled: Timestamp(row.enrolled),
        not_after: Timestamp(row.not_after),
        last_seen: seen.map(Timestamp),
        retired: row.retired_by.map(|change| parse("change id", &change)).transpose()?,
    })
}

/// How many hosts are enabled, and when the first of their certificates ends; `None` without hosts.
pub fn first_certificate_end(tx: &mut Conn) -> QueryResult<Option<(i64, Timestamp)>> {
    let enabled = host::table.filter(host::enabled.eq(true));
    let count: i64 = enabled.count().get_result(tx)?;
    let first: Option<i64> = enabled.select(diesel::dsl::min(host::not_after)).first(tx)?;
    Ok(first.map(|first| (count, Timestamp(first))))
}
