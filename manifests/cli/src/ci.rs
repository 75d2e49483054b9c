//! `assent ci …`: hosts and what the CMDB recorded about them. This is the server's word, and says so.

pub mod args;
pub mod compare;
pub mod declared;
pub mod facts;
pub mod health;
pub mod mismatch;
pub mod retire;
pub mod search;

use crate::author::list::print_json;
use crate::change::{find_host, pairs};
use crate::error::{Done, Failure};
use crate::lang::{Lang, Word};
use crate::session::Session;
use crate::written::{self, Written};
use crate::{term, text, window};
use jiff::tz::TimeZone;
use shared::facts::Facts;
use shared::time::Timestamp;
use shared::wire::{Because, CiEvent, CiFile, CiHealth, CiState, HostLine, PutLabels};
use std::collections::BTreeMap;

pub fn list(session: &Session, labels: &[String], by: &args::ByFacts, json: bool) -> Done {
    let mut hosts = session.api.hosts(&pairs(labels)?)?;
    hosts.sort_by(|a, b| (&a.hostname, a.agent).cmp(&(&b.hostname, b.agent)));
    let query = by.query();
    let mut fitting: Option<BTreeMap<String, Vec<String>>> = None;
    if !query.is_empty() {
        let lines = session.api.cis("class:host", &query)?;
        let found = fitting.insert(lines.into_iter().map(|line| (line.ci, line.matched)).collect());
        hosts.retain(|host| host.retired_by.is_none() && found.contains_key(&host.ci));
    }
    if json {
        return print_json(&hosts);
    }
    let mut heads = session.lang.heads(Word::HeadsOfHosts);
    heads.extend(fitting.as_ref().map(|_| session.lang.word(Word::HeadOfFits).to_owned()));
    let mut rows = vec![heads];
    rows.extend(hosts.iter().map(|host| {
        let mut row = host_row(host, session.now, session.lang);
        row.extend(fitting.as_ref().and_then(|all| all.get(&host.ci)).map(|fits| fits_in_words(fits)));
        row
    }));
    let held = hosts.iter().filter_map(|host| {
        let why = text::clean(host.held.as_ref()?);
        Some(format!("{}: {why}\n{}\n", text::clean(&host.hostname), session.lang.word(Word::HeldRemedy)))
    });
    let held: String = held.collect();
    term::print(&format!("{}{held}{}\n", text::table(&rows), session.lang.word(Word::Unsigned)))
}

/// What fits, as much of it as belongs on a line; `ci facts` has all.
fn fits_in_words(fits: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = fits.iter().take(SHOWN).map(|fit| text::clean(fit)).collect();
    let more = fits.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(", +{more}") } else { String::new() };
    format!("{}{more}", shown.join("; "))
}

fn host_row(host: &HostLine, now: Timestamp, lang: Lang) -> Vec<String> {
    let labels: Vec<_> = host.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let ago = |at: Timestamp| lang.fill(Word::Ago, &text::span(now.since(at)));
    let seen = host.last_seen.map_or(lang.word(Word::Never).to_owned(), ago);
    let seen = match (host.enabled, &host.held) {
        _ if host.retired_by.is_some() => {
            let change = host.retired_by.as_ref().map(ToString::to_string).unwrap_or_default();
            lang.fill(Word::RetiredBy, &change)
        }
        (false, _) => lang.word(Word::Disabled).to_owned(),
        (true, Some(_)) => format!("{seen}, {}", lang.word(Word::Held)),
        (true, None) => seen,
    };
    let genuine = host.agent_key.agent_id() == host.agent;
    let agent = if genuine {
        host.agent.to_string()
    } else {
        format!("! {} ({})", host.agent, lang.word(Word::NotItsKey))
    };
    vec![
        text::clean(&host.hostname),
        text::clean(&host.ci),
        host.host_class.to_string(),
        seen,
        text::clean(&labels.join(" ")),
        agent,
    ]
}

pub fn show(session: &Session, host: &str, at: Option<&str>, json: bool) -> Done {
    let zone = window::zone(None)?;
    let file = match at {
        None => session.api.ci(host)?,
        Some(at) => session.api.ci_at(host, window::time(at, &zone, session.now)?)?,
    };
    if json {
        return print_json(&file);
    }
    term::print(&rendered(&file, session.lang, (&zone, session.now)))
}

/// Packages of foreign origin on one screen; `--json` has all.
const FOREIGN: usize = 12;
/// Numbers of a health check on one screen; `--json` has all.
const METRICS: usize = 4;
/// History entries on one screen; `--json` has all.
const HISTORY: usize = 20;

fn rendered(file: &CiFile, lang: Lang, (zone, now): (&TimeZone, Timestamp)) -> String {
    let line = &file.line;
    let (name, ci, kind) = (text::clean(&line.name), text::clean(&line.ci), text::clean(&line.kind));
    let since = window::local_in(lang, line.created, zone);
    let mut out = format!("{name} ({ci}), {kind} {} {since}\n", lang.word(Word::Since));
    if let Some(then) = &file.then {
        let at = window::local_in(lang, then.at, zone);
        out.push_str(&format!("{}\n", lang.fill(Word::AsItWas, &at)));
    }
    if line.agent.is_some() {
        out.push_str(&head(file, lang, (zone, now)));
    }
    out.push_str(&declared::told(file, lang, zone));
    if line.agent.is_none() {
        out.push_str(&format!("\n{}\n{}", lang.word(Word::History), history(&file.history, lang, zone)));
        return out;
    }
    let change = file.states.first().map_or("ID".to_owned(), |state| state.change_id.to_string());
    out.push_str(&format!(
        "\n{} assent export --change {change} -o bundle.tar && assent verify bundle.tar)\n",
        lang.word(Word::StateAsRecorded)
    ));
    out.push_str(&states(&file.states, lang, zone));
    if file.states.iter().any(|state| state.installed_at.is_some()) {
        out.push_str(&format!("\n{}\n", lang.word(Word::Software)));
        out.push_str(&software(&file.states, lang, zone));
    }
    if !file.health.is_empty() {
        out.push_str(&format!("\n{}\n", lang.word(Word::Health)));
        out.push_str(&health(&file.health, lang, zone));
    }
    out.push_str(&format!("\n{}\n", lang.word(Word::History)));
    out.push_str(&history(&file.history, lang, zone));
    out
}

fn head(file: &CiFile, lang: Lang, (zone, now): (&TimeZone, Timestamp)) -> String {
    let line = &file.line;
    let or_dash = |value: &Option<String>| value.as_deref().map_or("-".to_owned(), text::clean);
    let [os, version, kernel, arch] = [&line.os, &line.os_version, &line.kernel, &line.arch].map(or_dash);
    let w = |word| lang.word(word);
    let slot = file.facts.as_ref().and_then(|facts| facts.agent_slot.as_deref());
    let slot = slot.map(|slot| format!(" ({})", text::clean(slot))).unwrap_or_default();
    let reported = |when| format!("{} {}", w(Word::Reported), window::local_in(lang, when, zone));
    let mut rows = vec![
        (w(Word::Agent), line.agent.map_or("-".to_owned(), |id| id.to_string())),
        (w(Word::HostClass), line.host_class.as_ref().map_or("-".to_owned(), ToString::to_string)),
        (w(Word::System), format!("{os} {version}, {} {kernel}, {arch}", w(Word::Kernel))),
        (w(Word::AgentVersion), or_dash(&line.agent_version) + &slot),
        (w(Word::Facts), line.facts_at.map_or(w(Word::NeverReported).to_owned(), reported)),
    ];
    if let Some(then) = &file.then {
        rows.pop();
        let labels: Vec<_> = then.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        rows.push((w(Word::Packages), then.packages.len().to_string()));
        rows.push((w(Word::Services), then.services.len().to_string()));
        rows.push((w(Word::Labels), text::clean(&labels.join(" "))));
    }
    if let Some(facts) = &file.facts {
        rows.push((w(Word::Packages), facts.packages.len().to_string()));
        rows.extend(foreign(facts, lang).map(|shown| (w(Word::ForeignPackages), shown)));
        rows.push((w(Word::Services), facts.services.len().to_string()));
        rows.push((w(Word::Addresses), text::clean(&facts.addresses.join(" "))));
        rows.extend(facts::brief(facts, lang, now));
    }
    let rows: Vec<_> = rows.into_iter().map(|(label, value)| vec![format!("  {label}"), value]).collect();
    text::table(&rows)
}

/// Packages of elsewhere than the distribution, each with where it is from; none where the host cannot tell.
fn foreign(facts: &Facts, lang: Lang) -> Option<String> {
    let known = facts.packages.iter().filter_map(|package| Some((package, package.is_foreign(&facts.os)?)));
    let (mut told, mut foreign) = (false, Vec::new());
    for (package, is_foreign) in known {
        told = true;
        if is_foreign {
            let from = package.origin.as_deref().filter(|origin| !origin.is_empty());
            let from = from.unwrap_or(lang.word(Word::NoSource));
            foreign.push(text::clean(&format!("{} {} ({from})", package.name, package.version)));
        }
    }
    let more = foreign.len().saturating_sub(FOREIGN);
    let count = foreign.len();
    foreign.truncate(FOREIGN);
    let list = if foreign.is_empty() { String::new() } else { format!(": {}", foreign.join(", ")) };
    let more = if more > 0 { format!(", +{more}") } else { String::new() };
    told.then(|| format!("{count}{list}{more}"))
}

fn states(states: &[CiState], lang: Lang, zone: &TimeZone) -> String {
    let mut rows = vec![lang.heads(Word::HeadsOfStates)];
    rows.extend(states.iter().map(|state| {
        let by: Vec<_> = state.approved_by.iter().map(ToString::to_string).collect();
        vec![
            format!("  {}", text::clean(state.resource.as_str())),
            format!("{} {}", state.verb.as_str(), state.outcome.as_str()),
            format!("{}.{}", state.change_id, state.revision),
            text::clean(&state.manifests.join(" ")),
            by.join(", "),
            window::local_in(lang, state.applied_at, zone),
            state.ledger_index.to_string(),
        ]
    }));
    text::table(&rows)
}

/// The three times of each package: on the disk, in all that runs, checked.
fn software(states: &[CiState], lang: Lang, zone: &TimeZone) -> String {
    let mut rows = vec![lang.heads(Word::HeadsOfSoftware)];
    let not_yet = lang.word(Word::NotYet);
    let when = |at: Option<Timestamp>| at.map_or(not_yet.to_owned(), |at| window::local_in(lang, at, zone));
    rows.extend(states.iter().filter(|state| state.installed_at.is_some()).map(|state| {
        vec![
            format!("  {}", text::clean(&state.summary)),
            when(state.installed_at),
            when(state.effective_at),
            when(state.verified_at),
        ]
    }));
    text::table(&rows)
}

/// What each check said last, with its numbers as plugins write them.
fn health(checks: &[CiHealth], lang: Lang, zone: &TimeZone) -> String {
    let mut rows = vec![lang.heads(Word::HeadsOfHealth)];
    rows.extend(checks.iter().map(|check| {
        let numbers: Vec<String> = check.metrics.iter().take(METRICS).map(ToString::to_string).collect();
        let more = check.metrics.len().saturating_sub(METRICS);
        let more = if more > 0 { format!(" +{more}") } else { String::new() };
        vec![
            format!("  {}", text::clean(&check.name)),
            check.state.as_str().to_owned(),
            window::local_in(lang, check.since, zone),
            window::local_in(lang, check.at, zone),
            text::clean(&format!("{}{more}", numbers.join(" "))),
            text::clean(&check.output),
        ]
    }));
    text::table(&rows)
}

fn history(events: &[CiEvent], lang: Lang, zone: &TimeZone) -> String {
    let row = |event: &CiEvent| {
        let change = event.change_id.as_ref().map_or(String::new(), ToString::to_string);
        let when = format!("  {}", window::local_in(lang, event.at, zone));
        vec![when, text::clean(&event.kind), change, text::clean(&event.summary)]
    };
    let rows: Vec<_> = events.iter().take(HISTORY).map(row).collect();
    text::table(&rows)
}

/// Shuts a host out or lets it in again; what it has approved plans for waits meanwhile.
pub fn set_enabled(session: &Session, args: &args::Switch, enabled: bool) -> Done {
    let known = session.api.hosts(&[])?;
    let host = find_host(&known, &args.host)?;
    let why = Because { reason: args.reason.clone() };
    session.api.set_enabled(&host.agent.to_string(), enabled, &why)?;
    let state = if enabled { "enabled" } else { "disabled" };
    let written = Written::of("host", &host.ci, &serde_json::json!({ "enabled": enabled }))?;
    written::tell(args.json.json, written, &format!("{}: {state}\n", text::clean(&host.hostname)))
}

/// Sets and removes labels; labels only help to find hosts, they decide nothing.
pub fn label(session: &Session, args: &args::LabelArgs) -> Done {
    let known = session.api.hosts(&[])?;
    let host = find_host(&known, &args.host)?;
    let unknown = || Failure::refused(format!("the host {} is gone", text::clean(&host.hostname)));
    let seen = session.api.labels(&host.ci)?.ok_or_else(unknown)?;
    let mut labels = seen.it;
    for (key, value) in pairs(&args.labels)? {
        match value.is_empty() {
            true => labels.remove(&key),
            false => labels.insert(key, value),
        };
    }
    let put = PutLabels { reason: args.reason.clone(), labels };
    session.api.set_labels(&host.agent.to_string(), &put, seen.only)?;
    let shown: Vec<_> = put.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let words = format!("{}: {}\n", text::clean(&host.hostname), text::clean(&shown.join(" ")));
    written::tell(args.json.json, Written::of("labels", &host.ci, &put.labels)?, &words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_packages_are_named_with_their_source_and_counted() {
        let package = |n: usize, origin: &str| {
            format!(
                r#"{{"name":"p{n}","version":"1","arch":"all","source":"p","source_version":"1","status":"installed"{origin}}}"#
            )
        };
        let facts = |packages: Vec<String>| {
            let text = format!(
                r#"{{"hostname":"a","fqdn":"a","os":{{"id":"debian","version":"12","codename":"","name":""}},"kernel":{{"release":"6"}},"arch":"amd64","packages":[{}],"services":[],"addresses":[],"agent_version":"0.1.0","host_class":"lab"}}"#,
                packages.join(",")
            );
            Facts::from_json(text.as_bytes()).unwrap()
        };
        let own = r#","origin":"Debian:stable""#;
        assert_eq!(foreign(&facts(vec![package(1, "")]), Lang::En), None);
        assert_eq!(foreign(&facts(vec![package(1, own)]), Lang::En).as_deref(), Some("0"));
        let two =
            vec![package(1, own), package(2, r#","origin":"Vendor:x\u202e""#), package(3, r#","origin":"""#)];
        assert_eq!(
            foreign(&facts(two), Lang::De).as_deref(),
            Some("2: p2 1 (Vendor:x\\u{202e}), p3 1 (keine Quelle)")
        );
        let many = (0..20).map(|n| package(n, r#","origin":"""#)).collect();
        assert!(
            foreign(&facts(many), Lang::En)
                .is_some_and(|text| text.starts_with("20: p0 1") && text.ends_with(", +8"))
        );
    }
}
