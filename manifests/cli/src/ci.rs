//! `assent ci …`: hosts and what the CMDB recorded about them. This is the server's word, and says so.

use crate::author::list::print_json;
use crate::change::{find_host, pairs};
use crate::error::Done;
use crate::lang::{Lang, Word};
use crate::session::Session;
use crate::{term, text, window};
use jiff::tz::TimeZone;
use shared::strict::Map;
use shared::time::Timestamp;
use shared::wire::{CiEvent, CiFile, CiState, HostLine};

pub fn list(session: &Session, labels: &[String], json: bool) -> Done {
    let mut hosts = session.api.hosts(&pairs(labels)?)?;
    hosts.sort_by(|a, b| (&a.hostname, a.agent).cmp(&(&b.hostname, b.agent)));
    if json {
        return print_json(&hosts);
    }
    let mut rows = vec![session.lang.heads(Word::HeadsOfHosts)];
    rows.extend(hosts.iter().map(|host| host_row(host, session.now, session.lang)));
    term::print(&format!("{}{}\n", text::table(&rows), session.lang.word(Word::Unsigned)))
}

fn host_row(host: &HostLine, now: Timestamp, lang: Lang) -> Vec<String> {
    let labels: Vec<_> = host.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let ago = |at: Timestamp| lang.fill(Word::Ago, &text::span(now.since(at)));
    let seen = host.last_seen.map_or(lang.word(Word::Never).to_owned(), ago);
    let seen = if host.enabled { seen } else { lang.word(Word::Disabled).to_owned() };
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

pub fn show(session: &Session, host: &str, json: bool) -> Done {
    let file = session.api.ci(host)?;
    if json {
        return print_json(&file);
    }
    let zone = window::zone(None)?;
    term::print(&rendered(&file, session.lang, &zone))
}

/// History entries on one screen; `--json` has all.
const HISTORY: usize = 20;

fn rendered(file: &CiFile, lang: Lang, zone: &TimeZone) -> String {
    let line = &file.line;
    let (name, ci, kind) = (text::clean(&line.name), text::clean(&line.ci), text::clean(&line.kind));
    let since = window::local_in(lang, line.created, zone);
    let mut out = format!("{name} ({ci}), {kind} {} {since}\n", lang.word(Word::Since));
    out.push_str(&head(file, lang, zone));
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
    out.push_str(&format!("\n{}\n", lang.word(Word::History)));
    out.push_str(&history(&file.history, lang, zone));
    out
}

fn head(file: &CiFile, lang: Lang, zone: &TimeZone) -> String {
    let line = &file.line;
    let or_dash = |value: &Option<String>| value.as_deref().map_or("-".to_owned(), text::clean);
    let [os, version, kernel, arch] = [&line.os, &line.os_version, &line.kernel, &line.arch].map(or_dash);
    let w = |word| lang.word(word);
    let reported = |when| format!("{} {}", w(Word::Reported), window::local_in(lang, when, zone));
    let mut rows = vec![
        (w(Word::Agent), line.agent.map_or("-".to_owned(), |id| id.to_string())),
        (w(Word::HostClass), line.host_class.as_ref().map_or("-".to_owned(), ToString::to_string)),
        (w(Word::System), format!("{os} {version}, {} {kernel}, {arch}", w(Word::Kernel))),
        (w(Word::AgentVersion), or_dash(&line.agent_version)),
        (w(Word::Facts), line.facts_at.map_or(w(Word::NeverReported).to_owned(), reported)),
    ];
    if let Some(facts) = &file.facts {
        rows.push((w(Word::Packages), facts.packages.len().to_string()));
        rows.push((w(Word::Services), facts.services.len().to_string()));
        rows.push((w(Word::Addresses), text::clean(&facts.addresses.join(" "))));
    }
    let rows: Vec<_> = rows.into_iter().map(|(label, value)| vec![format!("  {label}"), value]).collect();
    text::table(&rows)
}

fn states(states: &[CiState], lang: Lang, zone: &TimeZone) -> String {
    let mut rows = vec![lang.heads(Word::HeadsOfStates)];
    rows.extend(states.iter().map(|state| {
        let by: Vec<_> = state.approved_by.iter().map(ToString::to_string).collect();
        vec![
            format!("  {}", text::clean(state.resource.as_str())),
            format!("{} {}", state.verb.as_str(), state.outcome.as_str()),
            format!("{}.{}", state.change_id, state.revision),
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
pub fn set_enabled(session: &Session, name: &str, enabled: bool) -> Done {
    let known = session.api.hosts(&[])?;
    let host = find_host(&known, name)?;
    session.api.set_enabled(&host.ci, enabled)?;
    let state = if enabled { "enabled" } else { "disabled" };
    term::print(&format!("{}: {state}\n", text::clean(&host.hostname)))
}

/// Sets and removes labels; labels only help to find hosts, they decide nothing.
pub fn label(session: &Session, name: &str, changes: &[String]) -> Done {
    let known = session.api.hosts(&[])?;
    let host = find_host(&known, name)?;
    let mut labels: Map<String, String> = host.labels.clone();
    for (key, value) in pairs(changes)? {
        match value.is_empty() {
            true => labels.remove(&key),
            false => labels.insert(key, value),
        };
    }
    session.api.set_labels(&host.ci, &labels)?;
    let shown: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    term::print(&format!("{}: {}\n", text::clean(&host.hostname), text::clean(&shown.join(" "))))
}
