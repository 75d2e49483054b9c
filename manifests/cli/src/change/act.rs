//! `assent change submit|halt|resume|stop-correcting|withdraw|close`: requests to the server, which can only stop things.

use super::args::CloseOutcome;
use crate::error::Done;
use crate::session::Session;
use crate::{term, text};
use serde::Serialize;
use shared::ids::ChangeId;

#[derive(Serialize)]
struct Note<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    note: &'a str,
}

#[derive(Serialize)]
struct Close<'a> {
    outcome: &'static str,
    note: &'a str,
}

/// `action` is the last part of the endpoint's path.
pub fn act(session: &Session, id: &ChangeId, action: &str, note: &str) -> Done {
    let line = session.api.act(id, action, &Note { note })?;
    let next = match action {
        "submit" if line.retroactive => format!(
            "next: somebody else looks at it and decides: assent approve {id}, or assent reject {id}\n"
        ),
        "submit" => format!(
            "next: hosts plan within a minute or so (assent change wait {id} --for plans); then assent approve {id}\n"
        ),
        _ => String::new(),
    };
    term::print(&format!("{id} is {}\n{next}", text::clean(&line.state)))
}

pub fn close(session: &Session, id: &ChangeId, outcome: CloseOutcome, note: &str) -> Done {
    let line = session.api.act(id, "close", &Close { outcome: outcome.as_str(), note })?;
    term::print(&format!("{id} is {} ({})\n", text::clean(&line.state), outcome.as_str()))
}
