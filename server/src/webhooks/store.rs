//! All SQL of webhooks.

use super::model::{self, GIVE_UP_SECS, KEPT_SECS, MOST};
use crate::each;
use crate::kernel::config::Config;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal, one_line};
use crate::kernel::outbox::Message;
use diesel::prelude::*;
use shared::ids::{PersonId, WebhookName};
use shared::news::{About, News, NewsEvent, NewsKind};
use shared::strict;
use shared::time::Timestamp;
use shared::webhook::WebhookSecret;
use shared::wire::{DeliveryLine, DeliveryPage, NewWebhook, WebhookLine};
use std::collections::BTreeSet;

diesel::table! {
    webhook (id) {
        id -> BigInt,
        name -> Text,
        url -> Text,
        /// Names of kinds with blanks between them; all when empty.
        kinds -> Text,
        secret -> Binary,
        person -> Text,
        created -> BigInt,
        ended -> Nullable<BigInt>,
        /// In a row.
        failures -> Integer,
        failing_since -> Nullable<BigInt>,
        paused_until -> BigInt,
        last_error -> Nullable<Text>,
    }
}

diesel::table! {
    webhook_event (id) {
        id -> Text,
        kind -> Text,
        at -> BigInt,
        body -> Text,
    }
}

diesel::table! {
    webhook_delivery (number) {
        number -> BigInt,
        webhook -> BigInt,
        event -> Text,
        since -> BigInt,
        next_at -> Nullable<BigInt>,
        attempts -> Integer,
        delivered -> Nullable<BigInt>,
        gave_up -> Nullable<BigInt>,
        error -> Nullable<Text>,
    }
}

diesel::joinable!(webhook_delivery -> webhook_event (event));
diesel::allow_tables_to_appear_in_same_query!(webhook, webhook_delivery, webhook_event);

/// Deliveries that one task sends at most, one after the other.
const BATCH: i64 = 10;
/// What a task took is hidden for so long: longer than all of them take.
const HOLD_SECS: i64 = 300;
/// Deliveries in one answer.
const PAGE: i64 = 100;
/// Rows of one clean-up.
const SWEEP: i64 = 1_000;

#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = webhook)]
struct Row {
    id: i64,
    name: String,
    url: String,
    kinds: String,
    secret: Vec<u8>,
    person: String,
    created: i64,
    failing_since: Option<i64>,
    paused_until: i64,
    last_error: Option<String>,
}

#[cfg(test)]
pub(super) fn count_events(tx: &mut Conn) -> QueryResult<i64> {
    webhook_event::table.count().get_result(tx)
}

/// Where a subscriber's deliveries go.
pub(super) struct Hook {
    pub id: i64,
    pub url: String,
    pub secret: WebhookSecret,
}

/// A delivery that is due.
pub(super) struct Due {
    pub number: i64,
    pub event: String,
    pub body: String,
    pub attempts: i32,
}

fn damaged(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::fault("reading webhooks", what)
}

impl Row {
    fn kinds(&self) -> Result<BTreeSet<NewsKind>, Error> {
        self.kinds.split_whitespace().map(|kind| kind.parse().map_err(damaged)).collect()
    }

    fn wants(&self, kind: NewsKind) -> Result<bool, Error> {
        let kinds = self.kinds()?;
        Ok(kinds.is_empty() || kinds.contains(&kind))
    }

    fn secret(&self) -> Result<WebhookSecret, Error> {
        WebhookSecret::of(&self.secret).map_err(damaged)
    }
}

fn open(tx: &mut Conn) -> QueryResult<Vec<Row>> {
    let rows = webhook::table.filter(webhook::ended.is_null());
    rows.order(webhook::name).select(Row::as_select()).load(tx)
}

/// # Errors
/// `webhook.unknown`.
fn get(tx: &mut Conn, name: &WebhookName) -> Result<Row, Error> {
    let row = webhook::table.filter(webhook::ended.is_null()).filter(webhook::name.eq(name.as_str()));
    let row: Option<Row> = row.select(Row::as_select()).first(tx).optional()?;
    row.ok_or_else(|| Refusal::not_found("webhook.unknown").with("webhook", name).into())
}

/// The same subscription again changes nothing.
///
/// # Errors
/// `webhook.taken` when the name leads elsewhere, `webhook.too_many`.
pub(super) fn insert(
    tx: &mut Conn,
    (new, secret): (&NewWebhook, &WebhookSecret),
    person: &PersonId,
    now: Timestamp,
) -> Result<(), Error> {
    tx.lock("webhooks")?;
    let all = open(tx)?;
    if let Some(row) = all.iter().find(|row| row.name == new.name.as_str()) {
        let same = row.url == new.url && row.kinds()? == new.kinds && row.secret()? == *secret;
        let taken = || Refusal::conflict("webhook.taken").with("webhook", &new.name);
        return if same { Ok(()) } else { Err(taken().into()) };
    }
    if i64::try_from(all.len()).unwrap_or(MOST) >= MOST {
        return Err(Refusal::conflict("webhook.too_many").with("limit", MOST).into());
    }
    let kinds: Vec<&str> = new.kinds.iter().map(|kind| kind.as_str()).collect();
    let row = (
        webhook::name.eq(new.name.as_str()),
        webhook::url.eq(&new.url),
        webhook::kinds.eq(kinds.join(" ")),
        webhook::secret.eq(secret.bytes()),
        webhook::person.eq(person.as_str()),
        webhook::created.eq(now.0),
        webhook::failures.eq(0),
        webhook::paused_until.eq(0),
    );
    Ok(each!(tx, |c| diesel::insert_into(webhook::table).values(row).execute(c)).map(drop)?)
}

/// Ends a subscription: its secret goes, and its address, which may hold one; nothing more is sent.
pub(super) fn end(tx: &mut Conn, name: &WebhookName, now: Timestamp) -> Result<(), Error> {
    tx.lock("webhooks")?;
    let id = get(tx, name)?.id;
    let none: &[u8] = &[];
    let ended = (webhook::ended.eq(now.0), webhook::secret.eq(none), webhook::url.eq(""));
    diesel::update(webhook::table.find(id)).set(ended).execute(tx)?;
    let waiting = webhook_delivery::table.filter(webhook_delivery::webhook.eq(id));
    let waiting = waiting.filter(webhook_delivery::next_at.is_not_null());
    let over = (webhook_delivery::next_at.eq(None::<i64>), webhook_delivery::gave_up.eq(now.0));
    diesel::update(waiting).set(over).execute(tx)?;
    Ok(())
}

/// Subscriptions that have not ended, by name.
pub(super) fn list(tx: &mut Conn, now: Timestamp) -> Result<Vec<WebhookLine>, Error> {
    let mut lines = Vec::new();
    for row in open(tx)? {
        let of = webhook_delivery::table.filter(webhook_delivery::webhook.eq(row.id));
        let waiting: i64 = of.filter(webhook_delivery::next_at.is_not_null()).count().get_result(tx)?;
        let gave_up: i64 = of.filter(webhook_delivery::gave_up.is_not_null()).count().get_result(tx)?;
        lines.push(WebhookLine {
            kinds: row.kinds()?,
            name: row.name.parse().map_err(damaged)?,
            url: row.url,
            by: row.person.parse().map_err(damaged)?,
            created: Timestamp(row.created),
            waiting: waiting.cast_unsigned(),
            gave_up: gave_up.cast_unsigned(),
            failing_since: row.failing_since.map(Timestamp),
            paused_until: Some(Timestamp(row.paused_until)).filter(|until| *until > now),
            last_error: row.last_error,
        });
    }
    Ok(lines)
}

/// Makes an event of a message of the outbox, and a delivery for everybody who wants it and subscribed before it happened.
pub(super) fn spread(tx: &mut Conn, message: &Message, config: &Config, now: Timestamp) -> Result<(), Error> {
    let news: News = serde_json::from_str(&message.body).map_err(damaged)?;
    let mut hooks = Vec::new();
    for row in open(tx)? {
        if row.created <= message.created && row.wants(news.kind)? {
            hooks.push(row.id);
        }
    }
    insert_event(tx, &NewsEvent::of(news, &config.site_id, &config.people.url), &hooks, now)
}

/// An event that is there, and deliveries that are, stay as they are.
fn insert_event(tx: &mut Conn, event: &NewsEvent, hooks: &[i64], now: Timestamp) -> Result<(), Error> {
    if hooks.is_empty() {
        return Ok(());
    }
    let row = (
        webhook_event::id.eq(&event.id),
        webhook_event::kind.eq(event.kind.as_str()),
        webhook_event::at.eq(event.timestamp.0),
        webhook_event::body.eq(strict::to_text(event)),
    );
    each!(tx, |c| diesel::insert_into(webhook_event::table)
        .values(&row)
        .on_conflict_do_nothing()
        .execute(c))?;
    for hook in hooks {
        let delivery = (
            webhook_delivery::webhook.eq(*hook),
            webhook_delivery::event.eq(&event.id),
            webhook_delivery::since.eq(now.0),
            webhook_delivery::next_at.eq(now.0),
            webhook_delivery::attempts.eq(0),
        );
        each!(tx, |c| diesel::insert_into(webhook_delivery::table)
            .values(delivery)
            .on_conflict_do_nothing()
            .execute(c))?;
    }
    Ok(())
}

/// An event for one subscription, to try it, at once even where it is paused. The id of the event.
pub(super) fn insert_test(
    tx: &mut Conn,
    name: &WebhookName,
    person: &PersonId,
    config: &Config,
    now: Timestamp,
) -> Result<String, Error> {
    let row = get(tx, name)?;
    let about = About { person: Some(person.clone()), ..About::default() };
    let news = News { kind: NewsKind::WebhookTest, at: now, about };
    let event = NewsEvent::of(news, &config.site_id, &config.people.url);
    insert_event(tx, &event, &[row.id], now)?;
    wake(tx, row.id)?;
    Ok(event.id)
}

fn wake(tx: &mut Conn, id: i64) -> QueryResult<()> {
    diesel::update(webhook::table.find(id)).set(webhook::paused_until.eq(0)).execute(tx).map(drop)
}

/// Newest first; `before` is a number of the page before.
pub(super) fn list_deliveries(
    tx: &mut Conn,
    name: &WebhookName,
    before: Option<u64>,
) -> Result<DeliveryPage, Error> {
    let id = get(tx, name)?.id;
    let before = before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
    type Line = (i64, String, String, i64, i32, Option<i64>, Option<i64>, Option<i64>, Option<String>);
    let mut rows: Vec<Line> = webhook_delivery::table
        .inner_join(webhook_event::table)
        .filter(webhook_delivery::webhook.eq(id))
        .filter(webhook_delivery::number.lt(before))
        .order(webhook_delivery::number.desc())
        .limit(PAGE + 1)
        .select((
            webhook_delivery::number,
            webhook_event::id,
            webhook_event::kind,
            webhook_event::at,
            webhook_delivery::attempts,
            webhook_delivery::delivered,
            webhook_delivery::gave_up,
            webhook_delivery::next_at,
            webhook_delivery::error,
        ))
        .load(tx)?;
    let more = rows.len() > usize::try_from(PAGE).unwrap_or(usize::MAX);
    rows.truncate(usize::try_from(PAGE).unwrap_or(usize::MAX));
    let line = |(number, event, kind, at, attempts, delivered, gave_up, next, error): Line| {
        Ok(DeliveryLine {
            number: number.cast_unsigned(),
            event,
            kind: kind.parse().map_err(damaged)?,
            at: Timestamp(at),
            attempts: attempts.cast_unsigned(),
            delivered: delivered.map(Timestamp),
            gave_up: gave_up.map(Timestamp),
            next: next.map(Timestamp),
            last_error: error,
        })
    };
    let deliveries = rows.into_iter().map(line).collect::<Result<Vec<_>, Error>>()?;
    let next = deliveries.last().filter(|_| more).map(|line| line.number);
    Ok(DeliveryPage { deliveries, next })
}

/// A delivery is tried again from now on, whatever became of it.
///
/// # Errors
/// `webhook.no_delivery`.
pub(super) fn again(tx: &mut Conn, name: &WebhookName, number: u64, now: Timestamp) -> Result<(), Error> {
    let id = get(tx, name)?.id;
    let own = webhook_delivery::table.filter(webhook_delivery::webhook.eq(id));
    let own = own.filter(webhook_delivery::number.eq(i64::try_from(number).unwrap_or(i64::MAX)));
    let anew = (
        webhook_delivery::since.eq(now.0),
        webhook_delivery::next_at.eq(now.0),
        webhook_delivery::attempts.eq(0),
        webhook_delivery::delivered.eq(None::<i64>),
        webhook_delivery::gave_up.eq(None::<i64>),
        webhook_delivery::error.eq(None::<String>),
    );
    if diesel::update(own).set(anew).execute(tx)? == 0 {
        let refusal = Refusal::not_found("webhook.no_delivery").with("webhook", name);
        return Err(refusal.with("number", number).into());
    }
    Ok(wake(tx, id)?)
}

/// Subscriptions to which something is due.
pub(super) fn list_due(tx: &mut Conn, now: Timestamp) -> Result<Vec<i64>, Error> {
    let due = webhook_delivery::table.filter(webhook_delivery::next_at.le(now.0));
    let due = due.select(webhook_delivery::webhook).distinct();
    let hooks = webhook::table.filter(webhook::ended.is_null()).filter(webhook::paused_until.le(now.0));
    Ok(hooks.filter(webhook::id.eq_any(due)).order(webhook::id).select(webhook::id).load(tx)?)
}

/// Takes the oldest deliveries that are due and hides them; none where the subscription is paused or has ended.
pub(super) fn take(tx: &mut Conn, id: i64, now: Timestamp) -> Result<Option<(Hook, Vec<Due>)>, Error> {
    tx.lock(&format!("webhook {id}"))?;
    let row =
        webhook::table.find(id).filter(webhook::ended.is_null()).filter(webhook::paused_until.le(now.0));
    let row: Option<Row> = row.select(Row::as_select()).first(tx).optional()?;
    let Some(row) = row else { return Ok(None) };
    let due: Vec<(i64, String, String, i32)> = webhook_delivery::table
        .inner_join(webhook_event::table)
        .filter(webhook_delivery::webhook.eq(id))
        .filter(webhook_delivery::next_at.le(now.0))
        .order(webhook_delivery::number)
        .limit(BATCH)
        .select((
            webhook_delivery::number,
            webhook_event::id,
            webhook_event::body,
            webhook_delivery::attempts,
        ))
        .load(tx)?;
    let numbers: Vec<i64> = due.iter().map(|(number, ..)| *number).collect();
    let taken = webhook_delivery::table.filter(webhook_delivery::number.eq_any(&numbers));
    diesel::update(taken).set(webhook_delivery::next_at.eq(now.plus(HOLD_SECS).0)).execute(tx)?;
    let read = |(number, event, body, attempts)| Due { number, event, body, attempts };
    let hook = Hook { id, secret: row.secret()?, url: row.url };
    Ok(Some((hook, due.into_iter().map(read).collect())))
}

/// It arrived: the subscriber is well.
pub(super) fn record_delivered(tx: &mut Conn, hook: i64, number: i64, now: Timestamp) -> Result<(), Error> {
    let row = webhook_delivery::table.find(number);
    diesel::update(row)
        .set((
            webhook_delivery::attempts.eq(webhook_delivery::attempts + 1),
            webhook_delivery::next_at.eq(None::<i64>),
            webhook_delivery::delivered.eq(now.0),
            webhook_delivery::gave_up.eq(None::<i64>),
            webhook_delivery::error.eq(None::<String>),
        ))
        .execute(tx)?;
    let well = (
        webhook::failures.eq(0),
        webhook::paused_until.eq(0),
        webhook::failing_since.eq(None::<i64>),
        webhook::last_error.eq(None::<String>),
    );
    Ok(diesel::update(webhook::table.find(hook)).set(well).execute(tx).map(drop)?)
}

/// It did not arrive: it is tried again later, and so is everything else of this subscriber. `spread` are random.
pub(super) fn record_failed(
    tx: &mut Conn,
    hook: i64,
    one: &Due,
    (why, wait): (&str, Option<i64>),
    spread: [u8; 2],
    now: Timestamp,
) -> Result<(), Error> {
    let why = one_line(why);
    let asked = wait.unwrap_or_default();
    let next = now.plus(model::pause(one.attempts + 1, spread[0]).max(asked));
    let open = webhook_delivery::table.find(one.number).filter(webhook_delivery::delivered.is_null());
    // Ended in between: it stays given up.
    let open = open.filter(webhook_delivery::next_at.is_not_null());
    diesel::update(open)
        .set((
            webhook_delivery::attempts.eq(one.attempts + 1),
            webhook_delivery::next_at.eq(next.0),
            webhook_delivery::error.eq(&why),
        ))
        .execute(tx)?;
    let row = webhook::table.find(hook);
    let (failures, since): (i32, Option<i64>) =
        row.select((webhook::failures, webhook::failing_since)).first(tx)?;
    let failures = failures.saturating_add(1);
    let until = now.plus(model::rest(failures, spread[1]).max(asked));
    diesel::update(row)
        .set((
            webhook::failures.eq(failures),
            webhook::failing_since.eq(Some(since.unwrap_or(now.0))),
            webhook::paused_until.eq(until.0),
            webhook::last_error.eq(Some(why)),
        ))
        .execute(tx)?;
    Ok(())
}

/// What was taken and not tried is due again.
pub(super) fn release(tx: &mut Conn, numbers: &[i64], now: Timestamp) -> QueryResult<()> {
    let taken = webhook_delivery::table.filter(webhook_delivery::number.eq_any(numbers));
    let taken = taken.filter(webhook_delivery::next_at.is_not_null());
    diesel::update(taken).set(webhook_delivery::next_at.eq(now.0)).execute(tx).map(drop)
}

/// Gives up what its time is over for, and forgets what was over long ago.
pub(super) fn tidy(tx: &mut Conn, now: Timestamp) -> Result<(), Error> {
    let late = webhook_delivery::table.filter(webhook_delivery::next_at.is_not_null());
    let late = late.filter(webhook_delivery::since.le(now.plus(-GIVE_UP_SECS).0));
    let over = (webhook_delivery::next_at.eq(None::<i64>), webhook_delivery::gave_up.eq(now.0));
    diesel::update(late).set(over).execute(tx)?;
    let old = webhook_delivery::table.filter(webhook_delivery::next_at.is_null());
    let old = old.filter(webhook_delivery::since.le(now.plus(-KEPT_SECS).0));
    let old: Vec<i64> = old.limit(SWEEP).select(webhook_delivery::number).load(tx)?;
    diesel::delete(webhook_delivery::table.filter(webhook_delivery::number.eq_any(&old))).execute(tx)?;
    let used = webhook_delivery::table.select(webhook_delivery::event);
    let unused = webhook_event::table.filter(webhook_event::at.le(now.plus(-KEPT_SECS).0));
    let unused: Vec<String> = unused
        .filter(diesel::dsl::not(webhook_event::id.eq_any(used)))
        .limit(SWEEP)
        .select(webhook_event::id)
        .load(tx)?;
    diesel::delete(webhook_event::table.filter(webhook_event::id.eq_any(&unused))).execute(tx)?;
    Ok(())
}
