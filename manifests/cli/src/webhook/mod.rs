//! `assent webhook …`: where the server sends news, and how it goes.

pub mod args;

use crate::author::list::print_json;
use crate::error::{Done, Failure};
use crate::lang::Word;
use crate::session::Session;
use crate::written::{self, Written};
use crate::{clock, files, term, text, window};
use args::WebhookCommand;
use shared::ids::WebhookName;
use shared::news::NewsKind;
use shared::webhook::WebhookSecret;
use shared::wire::{DeliveryLine, DeliveryPage, NewWebhook, WebhookLine};
use std::path::Path;

pub fn run(session: &Session, command: WebhookCommand) -> Done {
    let api = &session.api;
    match command {
        WebhookCommand::Add { name, url, kind, out, json } => {
            add(session, (name, url, kind), (out.as_deref(), json.json))
        }
        WebhookCommand::List { json: true } => print_json(&api.webhooks()?),
        WebhookCommand::List { json: false } => list(session, &api.webhooks()?),
        WebhookCommand::Test { name, json } => {
            let tried = api.try_webhook(&name)?;
            let words = format!("{}\n", text::clean(&tried.event));
            written::tell(json.json, Written::of("event", &tried.event, &tried)?, &words)
        }
        WebhookCommand::Deliveries { name, before, json } => {
            let page = api.deliveries(&name, before)?;
            if json { print_json(&page) } else { deliveries(session, &name, &page) }
        }
        WebhookCommand::Redeliver { name, number, json } => {
            api.redeliver(&name, number)?;
            let words = format!("{name} {number}: {}\n", session.lang.word(Word::SentAgain));
            let again = serde_json::json!({ "webhook": name, "number": number });
            written::tell(json.json, Written::of("delivery", number, &again)?, &words)
        }
        WebhookCommand::End { name, json } => {
            api.end_webhook(&name)?;
            let words = format!("{}\n", session.lang.fill(Word::WebhookEnded, name.as_str()));
            written::tell(json.json, Written::ended("webhook", &name), &words)
        }
    }
}

/// The secret is written before the server signs with it: whoever lost it could verify nothing.
fn add(
    session: &Session,
    (name, url, kinds): (WebhookName, String, Vec<NewsKind>),
    (out, json): (Option<&Path>, bool),
) -> Done {
    let secret = WebhookSecret::of(&clock::random::<32>()?);
    let secret = secret.map_err(|why| Failure::fault("no secret could be made").why(why))?.reveal();
    let kinds = kinds.into_iter().collect();
    let new = NewWebhook { name, url, kinds, secret: Some(secret.to_string()) };
    files::write_ahead(out, format!("{}\n", *secret).as_bytes(), || session.api.new_webhook(&new))?;
    if json {
        // The secret stands in the file, or here.
        let secret = new.secret.clone().filter(|_| out.is_none());
        let shown = NewWebhook { secret, ..new };
        return written::tell(json, Written::of("webhook", &shown.name, &shown)?, "");
    }
    match out {
        Some(path) => term::print(&format!("{}: {}\n", path.display(), new.name)),
        None => term::print(&format!("{}\n", *secret)),
    }
}

fn list(session: &Session, lines: &[WebhookLine]) -> Done {
    let (lang, zone) = (session.lang, window::zone(None)?);
    if lines.is_empty() {
        return term::print(&format!("{}\n", lang.word(Word::NoWebhooks)));
    }
    let mut rows = vec![lang.heads(Word::HeadsOfWebhooks)];
    rows.extend(lines.iter().map(|line| {
        let how = match (line.failing_since, &line.last_error) {
            (Some(since), Some(error)) => {
                format!("{}: {}", window::local_in(lang, since, &zone), text::clean(error))
            }
            _ => "-".to_owned(),
        };
        let kinds: Vec<&str> = line.kinds.iter().map(|kind| kind.as_str()).collect();
        let kinds = if kinds.is_empty() { lang.word(Word::All).to_owned() } else { kinds.join(" ") };
        let counts = [line.waiting, line.gave_up].map(|count| count.to_string());
        let [waiting, gave_up] = counts;
        vec![line.name.to_string(), waiting, gave_up, how, kinds, text::clean(&line.url)]
    }));
    term::print(&text::table(&rows))
}

fn deliveries(session: &Session, name: &WebhookName, page: &DeliveryPage) -> Done {
    let (lang, zone) = (session.lang, window::zone(None)?);
    let mut rows = vec![lang.heads(Word::HeadsOfDeliveries)];
    rows.extend(page.deliveries.iter().map(|line| {
        let at = |when| window::local_in(lang, when, &zone);
        let DeliveryLine { delivered, gave_up, next, .. } = line;
        let state = match (delivered, gave_up, next) {
            (Some(when), ..) => format!("{} {}", lang.word(Word::Arrived), at(*when)),
            (None, Some(when), _) => format!("{} {}", lang.word(Word::GivenUp), at(*when)),
            (None, None, Some(when)) => format!("{} {}", lang.word(Word::TriedNext), at(*when)),
            (None, None, None) => "-".to_owned(),
        };
        let error = line.last_error.as_deref().map_or_else(|| "-".to_owned(), text::clean);
        let (number, attempts) = (line.number.to_string(), line.attempts.to_string());
        vec![number, at(line.at), line.kind.to_string(), attempts, state, error]
    }));
    term::print(&text::table(&rows))?;
    if let Some(before) = page.next {
        term::note(&format!("assent webhook deliveries {name} --before {before}\n"));
    }
    Ok(())
}
