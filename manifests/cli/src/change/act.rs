//! `assent change submit|halt|resume|stop-correcting|withdraw|close`: requests to the server, which can only stop things.

use super::args::{CloseArgs, Several};
use super::find_host;
use crate::error::{Done, Failure};
use crate::net::Seen;
use crate::net::api::Act;
use crate::session::Session;
use crate::written::{self, Outcome, Written};
use crate::{term, text};
use serde::Serialize;
use shared::ids::{AgentId, ChangeId, ChangeRef};
use shared::strict::Map;
use shared::wire::ChangeLine;

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

/// Does the same with each change, which `act` does with one of them and tells in words. One that is refused does not keep
/// the others from being tried.
pub(super) fn each(
    session: &Session,
    (named, verb): (&[ChangeRef], &str),
    json: bool,
    act: impl Fn(&ChangeId) -> Done<(Seen<ChangeLine>, String)>,
) -> Done {
    let (mut outcome, mut failed) = (Outcome::default(), Vec::new());
    for each in named {
        let done = session.change(each).and_then(|id| {
            let (line, words) = act(&id)?;
            if !json {
                term::print(&words)?;
            }
            Written::seen("change", id, &line)
        });
        match done {
            Ok(written) => outcome.add(written),
            Err(failure) => {
                outcome.refuse(each, &failure);
                failed.push((each, failure));
            }
        }
    }
    if json {
        outcome.print()?;
    }
    match failed.len() {
        0 => Ok(()),
        1 if named.len() == 1 => failed.pop().map_or(Ok(()), |(_, failure)| Err(failure)),
        count => {
            for (id, failure) in &failed {
                term::note(&format!("{id}: {failure}\n"));
            }
            Err(Failure::refused(format!("{count} of {} changes did not {verb}", named.len())))
        }
    }
}

/// Asks the server for the same of each change.
pub fn ask(session: &Session, named: &[ChangeRef], (act, note): (Act, &str), json: bool) -> Done {
    each(session, (named, act.as_str()), json, |id| {
        let line = session.api.act(id, act, &Note { note })?;
        let words = told(id, act, &line);
        Ok((line, words))
    })
}

pub fn several(session: &Session, args: &Several, act: Act) -> Done {
    ask(session, &args.change, (act, &args.note), args.json.json)
}

fn told(id: &ChangeId, act: Act, line: &ChangeLine) -> String {
    let next = match act {
        Act::Submit if line.retroactive || line.retires => format!(
            "next: somebody else looks at it and decides: assent approve {id}, or assent reject {id}\n"
        ),
        Act::Submit => format!(
            "next: hosts plan within a minute or so (assent change wait {id} --for plans); then assent approve {id}\n"
        ),
        _ => String::new(),
    };
    let register = line.register.as_ref().map(|number| format!(" ({})", text::clean(number)));
    format!("{id}{} is {}\n{next}", register.unwrap_or_default(), text::clean(&line.state))
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
    let line = session.api.act(&id, Act::Close, &body)?;
    let words = format!("{id} is {} ({})\n", text::clean(&line.state), args.outcome.as_str());
    written::tell(args.json.json, Written::seen("change", &id, &line)?, &words)
}
