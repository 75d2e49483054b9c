//! `assent person mail`: where reminders for a person go.

use crate::author::list::print_json;
use crate::error::{Done, Failure};
use crate::lang::Word;
use crate::session::Session;
use crate::{term, text};
use shared::ids::PersonId;

pub fn run(
    session: &Session,
    person: Option<&PersonId>,
    (address, language): (Option<&str>, &str),
    (end, json): (bool, bool),
) -> Done {
    let Some(person) = person else { return list(session, json) };
    if address.is_none() && !end {
        return Err(Failure::usage("an address is missing")
            .remedy("write the address, or --end for no mail any more"));
    }
    session.api.put_mail(person, address, language)?;
    let word = if end { Word::MailEnded } else { Word::MailSet };
    term::print(&format!("{}\n", session.lang.fill(word, person.as_str())))
}

fn list(session: &Session, json: bool) -> Done {
    let lines = session.api.mail_addresses()?;
    if json {
        return print_json(&lines);
    }
    let mut rows = vec![session.lang.heads(Word::HeadsOfMail)];
    rows.extend(lines.iter().map(|line| {
        let error = line.last_error.as_deref().map_or_else(|| "-".to_owned(), text::clean);
        vec![line.person.to_string(), text::clean(&line.address), line.language.clone(), error]
    }));
    term::print(&text::table(&rows))
}
