//! A new person, compared by six words: into the policy by governance, and onto the server.

use super::args::AddArgs;
use super::{compare, current, refuse_out_of_reach};
use crate::error::{Context as _, Done};
use crate::governance::Concluded;
use crate::net::api::Grant;
use crate::policy::{self, Draft};
use crate::session::Session;
use crate::{files, term, text};
use shared::governance::Introduction;
use shared::limits;
use shared::policy::{DistinctFrom, Person, Policy, Role};
use shared::statement::Statement;
use shared::words;
use std::collections::BTreeSet;

pub fn run(session: &Session, args: &AddArgs) -> Done {
    let json = args.sign.json.begin();
    let config = &session.profile.config;
    let bytes = files::read(&args.introduction, limits::ENVELOPE_BYTES)?;
    let what = format!("{} is not an introduction", args.introduction.display());
    let statement = Statement::<Introduction>::parse(&bytes).or_usage(what)?;
    Introduction::check(&statement, &config.site, &config.root_sha256)
        .or_refuse("this introduction is not accepted")?;
    let new = &statement.body;
    let roles: BTreeSet<Role> = new.keys.iter().flat_map(|key| &key.roles).copied().collect();
    let names: Vec<_> = roles.iter().map(|role| crate::key::role_name(*role)).collect();
    let access =
        args.access.as_deref().unwrap_or(if roles == [Role::Auditor].into() { "reader" } else { "member" });
    let name = text::clean(&new.name);
    term::print(&format!(
        "{name} ({}) wants to be: {}; access to the server: {access}\n",
        new.person,
        names.join(", ")
    ))?;
    compare(&words::of_introduction(&statement.digest), &name, args.sign.yes)?;
    let site = current(session)?;
    let mut draft = Draft::of(&site)?;
    introduce(&mut draft.policy, new);
    for key in new.keys.iter().filter(|key| key.roles.contains(&Role::Publisher)) {
        let team = args.team.as_ref().unwrap_or(&config.team);
        if let Some(set) = draft.teams.get_mut(team).filter(|set| !set.keys.contains(&key.public)) {
            set.keys.push(key.public);
        }
    }
    if !args.keep_rules && end_one_person(&mut draft.policy) {
        term::print(
            "with a second approver nobody needs to approve an own change: proposed is that the author does not count \
             (distinct_from: author), and that receipts no longer say self-approved; --keep-rules leaves it as it was\n",
        )?;
        refuse_out_of_reach(
            session,
            &draft.policy,
            "add --keep-rules, and change the rules with `assent policy edit`",
        )?;
    }
    let concluded = policy::conclude(session, &site, draft, (&args.sign.by, args.sign.yes))?;
    let grant = Grant { access, days: args.days, token_sha256: new.token };
    session.api.grant(&new.person, &grant)?;
    let when = match &concluded {
        Some(Concluded::Proposed(_)) => "; their keys count once the proposal is published",
        Some(Concluded::Published) | None => "",
    };
    term::print(&format!("{name} may use the server as {access}{when}\n"))?;
    policy::tell(session, concluded.as_ref(), json)
}

/// A new entry, or further keys of a person who is there.
fn introduce(policy: &mut Policy, new: &Introduction) {
    let mut keys = new.person_keys();
    match policy.persons.iter_mut().find(|person| person.id == new.person) {
        Some(person) => {
            keys.retain(|key| person.keys.iter().all(|known| known.public != key.public));
            person.keys.extend(keys);
        }
        None => policy.persons.push(Person { id: new.person.clone(), name: new.name.clone(), keys }),
    }
}

/// True when a one-person site has another approver now: its rules then ask for somebody else than the author.
fn end_one_person(policy: &mut Policy) -> bool {
    let approves = |person: &&Person| person.keys.iter().any(|key| key.roles.contains(&Role::Approver));
    if !policy.one_person || policy.persons.iter().filter(approves).count() < 2 {
        return false;
    }
    policy.one_person = false;
    for rule in policy.rules.iter_mut().filter(|rule| rule.require.distinct_from.is_empty()) {
        rule.require.distinct_from.insert(DistinctFrom::Author);
        if rule.name == "one person" {
            rule.name = "another person".into();
        }
    }
    true
}
