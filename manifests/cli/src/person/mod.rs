//! `assent person …`: a person comes, gets new keys, and leaves, each in one go.
//!
//! Who comes makes keys on the own machine and is compared by six words before governance signs. Access to the server is
//! given with it, and is no authority: the policy says whose approvals count. Never: a secret in a file that is sent around.

mod add;
pub mod args;
mod join;
mod leave;
mod mail;

pub use args::PersonCommand;

use crate::args::Global;
use crate::author::list::print_json;
use crate::error::{Done, Failure};
use crate::key::{kind_name, role_name};
use crate::net::api::PersonLine;
use crate::policy::current;
use crate::session::Session;
use crate::{term, text};
use serde::Serialize;
use shared::policy::Person;

pub fn run(global: &Global, command: &PersonCommand) -> Done {
    let session = || Session::open(global);
    match command {
        PersonCommand::List { json } => list(&session()?, *json),
        PersonCommand::Invite { person, name, role, team, out } => {
            join::invite(&session()?, (person, name), role, team.as_ref(), out.as_deref())
        }
        PersonCommand::Join { invitation, dir, out } => join::join(global, invitation, dir, out.as_deref()),
        PersonCommand::Add(args) => add::run(&session()?, args),
        PersonCommand::Remove(args) => leave::remove(&session()?, args),
        PersonCommand::Mail { person, address, language, end, json } => {
            mail::run(&session()?, person.as_ref(), (address.as_deref(), language), (*end, *json))
        }
        PersonCommand::RotateKey(args) => leave::rotate(&session()?, args),
    }
}

#[derive(Serialize)]
struct Line {
    person: String,
    name: String,
    /// By the policy; nobody whom it does not name approves anything.
    keys: Vec<String>,
    /// By the server; `none` for persons whom it does not let in.
    access: String,
}

fn list(session: &Session, json: bool) -> Done {
    let site = session.site()?;
    let known = session.api.people()?;
    let mut lines: Vec<Line> = site.policy.persons.iter().map(|person| line(person, &known)).collect();
    let others =
        known.iter().filter(|other| site.policy.persons.iter().all(|p| p.id.as_str() != other.person));
    lines.extend(others.map(|other| Line {
        person: other.person.clone(),
        name: String::new(),
        keys: Vec::new(),
        access: access(Some(other)),
    }));
    if json {
        return print_json(&lines);
    }
    let mut rows = vec![["PERSON", "NAME", "ACCESS (SERVER)", "KEYS (POLICY)"].map(str::to_owned).to_vec()];
    for line in &lines {
        let keys =
            if line.keys.is_empty() { vec!["none: approves nothing".to_owned()] } else { line.keys.clone() };
        for (n, key) in keys.iter().enumerate() {
            let first = |text: &str| if n == 0 { text::clean(text) } else { String::new() };
            rows.push(vec![first(&line.person), first(&line.name), first(&line.access), key.clone()]);
        }
    }
    term::print(&text::table(&rows))
}

fn line(person: &Person, known: &[PersonLine]) -> Line {
    let keys = person.keys.iter().map(|key| {
        let roles: Vec<_> = key.roles.iter().map(|role| role_name(*role)).collect();
        let kind = kind_name(&key.kind);
        let kind = if kind.is_empty() { String::new() } else { format!(" ({kind})") };
        let end = key.not_after.map(|end| format!(" until {end}")).unwrap_or_default();
        format!("{}{kind} {}{end}", key.public, roles.join(", "))
    });
    let found = known.iter().find(|other| other.person == person.id.as_str());
    Line {
        person: person.id.to_string(),
        name: person.name.clone(),
        keys: keys.collect(),
        access: access(found),
    }
}

fn access(found: Option<&PersonLine>) -> String {
    match found {
        None => "none".into(),
        Some(line) if line.disabled.is_some() => "ended".into(),
        Some(line) if line.tokens == 0 => format!("{}, expired", line.access),
        Some(line) => line.access.clone(),
    }
}

/// Refuses rules that nobody could satisfy, before anything is signed.
fn refuse_out_of_reach(session: &Session, policy: &shared::policy::Policy, remedy: &str) -> Done {
    let rules: Vec<_> =
        policy.rules_out_of_reach(session.now).iter().map(|rule| format!("{:?}", rule.name)).collect();
    if rules.is_empty() {
        return Ok(());
    }
    Err(Failure::refused("nobody could approve a change afterwards")
        .why(format!("too few persons would be left for the rules {}", rules.join(", ")))
        .remedy(remedy))
}

/// Asks for the last of six words, which the other person reads out.
fn compare(words: &str, whose: &str, yes: bool) -> Done {
    term::print(&format!("six words of {whose}: {words}\n"))?;
    let last = words.rsplit(' ').next().unwrap_or_default();
    let question = format!(
        "let {whose} read the six words on their screen to you, by telephone or face to face; if all are the same, type the last:"
    );
    term::confirm(&question, last, yes)
}
