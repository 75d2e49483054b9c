//! A letter to one person: everything that waits for that person at the moment in which it is sent, in plain text.

use super::post::{Post, Undelivered};
use super::waiting::waiting;
use super::{day, store};
use crate::calendars;
use crate::kernel::config::Config;
use crate::kernel::db::Db;
use crate::kernel::error::Error;
use crate::kernel::i18n::Language;
use crate::kernel::outbox::Message;
use crate::people;
use shared::ids::PersonId;
use shared::time::{Interval, Timestamp};
use shared::visible;
use shared::windows::{Differs, ZoneName};
use shared::wire::{InboxItem, InboxKind};

/// Items in one letter; the rest is a number.
const SHOWN: usize = 50;
/// Windows that are shown of one change, old and new ones each.
const WINDOWS: usize = 8;
/// Characters of a title.
const TITLE: usize = 120;

pub(super) struct Letter {
    pub subject: String,
    pub text: String,
}

/// Sends what waits for the person now: nothing, where nothing waits any more or the letter is of an earlier day, since the
/// next one says the same.
///
/// # Errors
/// It may arrive later: the caller tries again.
pub(super) async fn send(
    db: &Db,
    config: &Config,
    post: &Post,
    message: &Message,
    now: Timestamp,
) -> Result<(), Error> {
    if day(Timestamp(message.created)) != day(now) {
        return Ok(());
    }
    let person: PersonId = message.key.parse().map_err(|error| Error::fault("reading a letter", error))?;
    let read = move |tx: &mut _| {
        // Whoever has no access any more hears nothing more.
        let to = match people::has_access(tx, person.as_str())? {
            true => store::find_recipient(tx, person.as_str())?,
            false => None,
        };
        let items = waiting(tx, now)?.remove(&person).unwrap_or_default();
        Ok::<_, Error>(to.filter(|_| !items.is_empty()).map(|to| (to, items)))
    };
    let Some((to, items)) = db.read("reminders.letter", read).await? else { return Ok(()) };
    let letter = write(&items, to.language, &config.people.url);
    // The same in each attempt, so that a mailbox can show it once.
    let id = format!("<{}.{}@{}.assent>", message.id, message.created, config.site_id);
    let sent = post.send(&to.address, &letter, &id).await;
    let (error, again) = match sent {
        Ok(()) => (None, Ok(())),
        // Trying again changes nothing; tomorrow's letter is another try.
        Err(Undelivered { why, for_good: true }) => (Some(why), Ok(())),
        Err(Undelivered { why, for_good: false }) => {
            let fault = Error::fault(format!("sending mail to person {}", message.key), why.clone());
            (Some(why), Err(fault))
        }
    };
    if let Some(why) = &error {
        tracing::warn!(person = message.key, error = why, "mail not delivered");
    }
    let key = message.key.clone();
    let note = move |tx: &mut _| Ok::<_, Error>(store::update_error(tx, &key, error.as_deref())?);
    db.write("reminders.sent", note).await?;
    again
}

pub(super) fn write(items: &[InboxItem], language: Language, url: &str) -> Letter {
    let urgent = items.iter().any(|item| item.is_pressing());
    let count = items.len().to_string();
    let calendars = items.iter().all(|item| item.calendar.is_some());
    let key = match (urgent, items) {
        (true, _) => "mail.subject_urgent",
        (false, _) if calendars => "mail.subject_calendars",
        (false, [_]) => "mail.subject_one",
        (false, _) => "mail.subject",
    };
    let subject = language.fill(key, &[("count", count.clone())]);
    let mut text = format!("{}\n", language.text("mail.hello"));
    for kind in InboxKind::ALL {
        let of: Vec<&InboxItem> = items.iter().filter(|item| item.kind == *kind).collect();
        if of.is_empty() {
            continue;
        }
        text.push_str(&format!("\n{}\n", language.text(&format!("mail.{}", kind.as_str()))));
        for item in of.iter().take(SHOWN) {
            text.push_str(&line(item, language));
        }
        if of.len() > SHOWN {
            let more = (of.len() - SHOWN).to_string();
            text.push_str(&format!("  {}\n", language.fill("mail.more", &[("count", more)])));
        }
    }
    text.push_str(&format!("\n{}\n", language.fill("mail.footer", &[("url", url.to_owned())])));
    Letter { subject, text }
}

/// Titles are somebody's words: one line, not too long.
fn line(item: &InboxItem, language: Language) -> String {
    let title: String = visible::line(&item.title).chars().take(TITLE).collect();
    let number = item.register.as_ref().map(|number| format!(" ({number})")).unwrap_or_default();
    let urgent = if item.urgent { format!(" {}", language.text("mail.urgent")) } else { String::new() };
    let hosts = item.hosts.unwrap_or_default().to_string();
    let with = [("at", item.due.to_string()), ("hosts", hosts)];
    let due = language.fill(&format!("mail.{}_due", item.kind.as_str()), &with);
    let subject = item.named().unwrap_or_default();
    let windows = item.windows.as_ref().map(|windows| difference(windows, item.zone.as_ref()));
    let (windows, command) = (windows.unwrap_or_default(), command(item, &subject));
    format!("  {subject}{number}{urgent}: {title}\n    {due}\n{windows}    {command}\n")
}

fn command(item: &InboxItem, subject: &str) -> String {
    match item.kind {
        InboxKind::Approve => format!("assent approve {subject}"),
        InboxKind::Review => format!("assent change close {subject}"),
        InboxKind::Objection => format!("assent change notes {subject}"),
        InboxKind::Departed => format!("assent waiting {subject}"),
        InboxKind::Expired | InboxKind::OutsideWindow => format!("assent change show {subject}"),
        InboxKind::WindowsDiffer => format!("assent change new --revise {subject} --window-anew"),
        InboxKind::SeriesEnds => {
            let last = item.change.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("assent change new --series {subject} --like {last} --window …")
        }
        InboxKind::CalendarOld | InboxKind::CalendarWaits | InboxKind::CalendarEnds => {
            format!("assent calendar show {subject}")
        }
    }
}

/// One line for each window that was signed and that the rules give no more, and for each that they give now; in UTC and by the
/// clocks of their zone.
fn difference(windows: &Differs, zone: Option<&ZoneName>) -> String {
    let zone = zone.and_then(calendars::zone);
    let local = |at: Timestamp| {
        let at = jiff::Timestamp::from_second(at.0).ok()?;
        Some(at.to_zoned(zone.clone()?).strftime("%Y-%m-%d %H:%M %:z").to_string())
    };
    let line = |sign: &str, time: &Interval| {
        let there = local(time.from).zip(local(time.until));
        let there = there.map(|(from, until)| format!(" ({from} .. {until})")).unwrap_or_default();
        format!("    {sign} {} .. {}{there}\n", time.from, time.until)
    };
    let signed = windows.signed.iter().take(WINDOWS).map(|time| line("-", time));
    signed.chain(windows.now.iter().take(WINDOWS).map(|time| line("+", time))).collect()
}
