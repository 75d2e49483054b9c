//! `assent budget …`: disruption budgets on the server. What they hold back is the server's word; it can only stop things.

pub mod args;

use crate::author::list::print_json;
use crate::change::hosts::{find, pairs};
use crate::error::{Done, Failure};
use crate::lang::Word;
use crate::net::Seen;
use crate::session::Session;
use crate::written::{self, Written};
use crate::{clock, term, text, window};
use args::{BudgetCommand, SetArgs};
use shared::digest::{Digest, hex};
use shared::ids::BudgetName;
use shared::wire::{Budget, BudgetFile, PutBudget};

pub fn run(session: &Session, command: BudgetCommand) -> Done {
    match command {
        BudgetCommand::List { json } => list(session, json),
        BudgetCommand::Show { name, json } => {
            let file = known(session, &name)?;
            if json { print_json(&file.it) } else { print(session, &file) }
        }
        BudgetCommand::Set(args) => {
            let before = session.api.budget(&args.name)?;
            let budget = budget(session, &args, before.as_deref())?;
            store(session, (&args.name, before.as_ref()), (args.reason, Some(budget)), args.json.json)
        }
        BudgetCommand::End { name, reason, json } => {
            let file = known(session, &name)?;
            store(session, (&name, Some(&file)), (reason, None), json.json)
        }
        BudgetCommand::Address { name, end, json } => address(session, &name, end, json.json),
    }
}

/// Makes an address for machines without an agent, or ends all of the budget.
fn address(session: &Session, name: &BudgetName, end: bool, json: bool) -> Done {
    if end {
        session.api.end_addresses(name)?;
        let words = format!("{}\n", session.lang.fill(Word::AddressesEnded, name.as_str()));
        return written::tell(json, Written::ended("address", name), &words);
    }
    let secret = hex(&clock::random::<32>()?);
    session.api.open_address(name, &Digest::of(secret.as_bytes()))?;
    let base_url = format!("{}/v1/fleet-lock/{secret}/", session.profile.config.people_url);
    let now = serde_json::json!({ "group": name, "base_url": base_url });
    written::tell(json, Written::of("address", name, &now)?, &settings(&base_url, name))?;
    term::note(&format!("{}\n", session.lang.fill(Word::AddressSecret, name.as_str())));
    Ok(())
}

/// What goes into a file of /etc/zincati/config.d; the slash at the end makes the secret a part of the base.
fn settings(base_url: &str, name: &BudgetName) -> String {
    format!(
        "[identity]\ngroup = \"{name}\"\n\n[updates]\nstrategy = \"fleet_lock\"\n\n\
         [updates.fleet_lock]\nbase_url = \"{base_url}\"\n"
    )
}

fn known(session: &Session, name: &BudgetName) -> Done<Seen<BudgetFile>> {
    session.api.budget(name)?.ok_or_else(|| {
        Failure::refused(format!("there is no budget {name}")).remedy("see `assent budget list`")
    })
}

fn list(session: &Session, json: bool) -> Done {
    let lines = session.api.budgets()?;
    if json {
        return print_json(&lines);
    }
    let lang = session.lang;
    if lines.is_empty() {
        return term::print(&format!("{}\n", lang.word(Word::NoBudgets)));
    }
    let mut rows = vec![lang.heads(Word::HeadsOfBudgets)];
    rows.extend(lines.iter().map(|line| {
        let hosts = line.hosts.map_or_else(|| lang.word(Word::All).to_owned(), |hosts| hosts.to_string());
        let taken = format!("{}/{}", line.taken, line.slots);
        vec![line.name.to_string(), taken, hosts, text::clean(&line.title)]
    }));
    term::print(&text::table(&rows))
}

fn print(session: &Session, file: &BudgetFile) -> Done {
    let (lang, zone) = (session.lang, window::zone(None)?);
    let mut out = String::new();
    match file.history.first().and_then(|step| step.budget.as_ref()) {
        Some(budget) => {
            out.push_str(&format!("{}  {}\n", file.name, text::clean(&budget.title)));
            let taken = format!("{}/{}", file.holders.len(), budget.slots);
            out.push_str(&format!("  {}\n", lang.fill(Word::SlotsTaken, &taken)));
            if let Some(only) = only(budget) {
                out.push_str(&format!("  {}\n", lang.fill(Word::CalendarHosts, &only)));
            }
        }
        None => out.push_str(&format!("{}  {}\n", file.name, lang.word(Word::BudgetEnded))),
    }
    for holder in &file.holders {
        let [since, until] = [holder.since, holder.until].map(|at| window::local_in(lang, at, &zone));
        out.push_str(&format!("  {}  {since} .. {until}\n", text::clean(&holder.who)));
    }
    for step in &file.history {
        let at = window::local_in(lang, step.at, &zone);
        let (revision, reason) = (lang.word(Word::Revision), text::clean(&step.reason));
        out.push_str(&format!("  {revision} {}  {at}  {}: {reason}\n", step.revision, step.by));
    }
    term::print(&out)
}

/// Which hosts it covers; none when it covers all.
fn only(budget: &Budget) -> Option<String> {
    let labels = budget.labels.iter().map(|(name, value)| format!("{name}={value}"));
    let hosts = budget.hosts.iter().map(|host| host.to_string());
    let search = budget.search.iter().map(|search| format!("[{search}]"));
    let all: Vec<_> = labels.chain(hosts).chain(search).map(|text| text::clean(&text)).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

fn budget(session: &Session, args: &SetArgs, before: Option<&BudgetFile>) -> Done<Budget> {
    let old = before.and_then(|file| file.history.first()).and_then(|step| step.budget.as_ref());
    let title = args.title.clone().or_else(|| old.map(|old| old.title.clone()));
    let hosts = match args.target.is_empty() {
        true => Vec::new(),
        false => session.api.hosts(&[])?,
    };
    let lease = window::duration(&args.lease)?;
    Ok(Budget {
        title: title.ok_or_else(|| {
            Failure::usage("--title is missing").remedy("say in one line why no more of them at once")
        })?,
        slots: args.slots,
        labels: pairs(&args.label)?.into_iter().collect(),
        search: args.search.clone(),
        hosts: args
            .target
            .iter()
            .map(|name| find(&hosts, name).map(|host| host.agent))
            .collect::<Done<_>>()?,
        lease_s: u32::try_from(lease)
            .map_err(|_| Failure::usage(format!("--lease {} is too long", args.lease)))?,
    })
}

fn store(
    session: &Session,
    (name, before): (&BudgetName, Option<&Seen<BudgetFile>>),
    (reason, budget): (String, Option<Budget>),
    json: bool,
) -> Done {
    let newest = before.and_then(|file| file.history.first());
    if newest.is_some_and(|step| step.budget == budget) {
        let words = format!("{}\n", session.lang.fill(Word::CalendarSame, name.as_str()));
        return written::tell_all(json, Vec::new(), &words);
    }
    let after = newest.map_or(0, |step| step.revision);
    let stored = session.api.put_budget(name, &PutBudget { after, reason, budget }, Seen::only(before))?;
    match json {
        true => written::tell(json, Written::seen("budget", name, &stored)?, ""),
        false => print(session, &stored),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_gets_is_a_file_of_its_configuration() {
        let text =
            settings("https://assent.example.org:8443/v1/fleet-lock/5ec2e7/", &"coreos".parse().unwrap());
        let read: toml::Value = toml::from_str(&text).unwrap();
        assert_eq!(read["identity"]["group"].as_str(), Some("coreos"));
        assert_eq!(read["updates"]["strategy"].as_str(), Some("fleet_lock"));
        // Its client puts `v1/pre-reboot` in the place of what stands behind the last slash.
        let base = read["updates"]["fleet_lock"]["base_url"].as_str();
        assert_eq!(base, Some("https://assent.example.org:8443/v1/fleet-lock/5ec2e7/"));
    }
}
