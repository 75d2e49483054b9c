//! `assent change submit|halt|resume|stop-correcting|withdraw|close`: requests to the server, which can only stop things.

use super::args::CloseArgs;
use super::find_host;
use crate::error::{Done, Failure};
use crate::session::Session;
use crate::{term, text};
use serde::Serialize;
use shared::ids::{AgentId, ChangeId, ChangeRef};
use shared::strict::Map;

#[derive(Serialize)]
struct Note<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    note: &'a str,
}

#[derive(Serialize)]
struct Close<'a> {
    outcome: &'static str,
    note: &'a str,
    deviation: &'a str,
    lessons: &'a str,
    follow_ups: &'a [String],
    waived: Map<AgentId, &'a str>,
}

/// Asks for the same of each change. `action` is the last part of the endpoint's path. One that is refused does not keep the
/// others from being tried.
pub fn each(session: &Session, named: &[ChangeRef], action: &str, note: &str) -> Done {
    let mut failed = Vec::new();
    for each in named {
        let acted = session.change(each).and_then(|id| act(session, &id, action, note));
        if let Err(failure) = acted {
            failed.push((each, failure));
        }
    }
    match failed.len() {
        0 => Ok(()),
        1 if named.len() == 1 => failed.pop().map_or(Ok(()), |(_, failure)| Err(failure)),
        count => {
            for (id, failure) in &failed {
                term::note(&format!("{id}: {failure}\n"));
            }
            Err(Failure::refused(format!("{count} of {} changes did not {action}", named.len())))
        }
    }
}

fn act(session: &Session, id: &ChangeId, action: &str, note: &str) -> Done {
    let line = session.api.act(id, action, &Note { note })?;
    let next = match action {
        "submit" if line.retroactive || line.retires => format!(
            "next: somebody else looks at it and decides: assent approve {id}, or assent reject {id}\n"
        ),
        "submit" => format!(
            "next: hosts plan within a minute or so (assent change wait {id} --for plans); then assent approve {id}\n"
        ),
        _ => String::new(),
    };
    let register = line.register.map(|number| format!(" ({})", text::clean(&number))).unwrap_or_default();
    term::print(&format!("{id}{register} is {}\n{next}", text::clean(&line.state)))
}

pub fn close(session: &Session, args: &CloseArgs) -> Done {
    let hosts = if args.waive.is_empty() { Vec::new() } else { session.api.hosts(&[])? };
    let mut waived = Map::default();
    for pair in args.waive.chunks_exact(2) {
        if let [host, why] = pair {
            waived.insert(find_host(&hosts, host)?.agent, why.as_str());
        }
    }
    let body = Close {
        outcome: args.outcome.as_str(),
        note: &args.note,
        deviation: &args.deviation,
        lessons: &args.lessons,
        follow_ups: &args.follow_up,
        waived,
    };
    let id = session.change(&args.change)?;
    let line = session.api.act(&id, "close", &body)?;
    term::print(&format!("{id} is {} ({})\n", text::clean(&line.state), args.outcome.as_str()))
}
