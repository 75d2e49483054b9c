//! `assent ci …`: hosts and what the CMDB recorded about them. This is the server's word, and says so.

use crate::author::list::print_json;
use crate::change::{find_host, pairs};
use crate::error::Done;
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
    let mut rows = vec![["HOST", "CI", "CLASS", "LAST SEEN", "LABELS", "AGENT"].map(str::to_owned).to_vec()];
    rows.extend(hosts.iter().map(|host| host_row(host, session.now)));
    term::print(&format!(
        "{}according to the server; labels and last contact are signed by nobody\n",
        text::table(&rows)
    ))
}

fn host_row(host: &HostLine, now: Timestamp) -> Vec<String> {
    let labels: Vec<_> = host.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let seen = host.last_seen.map_or("never".to_owned(), |at| format!("{} ago", text::span(now.since(at))));
    let seen = if host.enabled { seen } else { "disabled".to_owned() };
    let genuine = host.agent_key.agent_id() == host.agent;
    let agent = if genuine { host.agent.to_string() } else { format!("! {} (not its key)", host.agent) };
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
    term::print(&rendered(&file, &zone))
}

/// History entries on one screen; `--json` has all.
const HISTORY: usize = 20;

fn rendered(file: &CiFile, zone: &TimeZone) -> String {
    let line = &file.line;
    let (name, ci, kind) = (text::clean(&line.name), text::clean(&line.ci), text::clean(&line.kind));
    let mut out = format!("{name} ({ci}), {kind} since {}\n", window::local(line.created, zone));
    out.push_str(&head(file, zone));
    out.push_str(&format!(
        "\nState as the server recorded it from receipts (its word; to prove it: assent export --change {} -o \
         bundle.tar && assent verify bundle.tar)\n",
        file.states.first().map_or("ID".to_owned(), |state| state.change_id.to_string())
    ));
    out.push_str(&states(&file.states, zone));
    out.push_str("\nHistory (the server's word)\n");
    out.push_str(&history(&file.history, zone));
    out
}

fn head(file: &CiFile, zone: &TimeZone) -> String {
    let line = &file.line;
    let or_dash = |value: &Option<String>| value.as_deref().map_or("-".to_owned(), text::clean);
    let [os, version, kernel, arch] = [&line.os, &line.os_version, &line.kernel, &line.arch].map(or_dash);
    let reported = |when| format!("reported {}", window::local(when, zone));
    let mut rows = vec![
        ("agent", line.agent.map_or("-".to_owned(), |id| id.to_string())),
        ("host class", line.host_class.as_ref().map_or("-".to_owned(), ToString::to_string)),
        ("system", format!("{os} {version}, kernel {kernel}, {arch}")),
        ("agent version", or_dash(&line.agent_version)),
        ("facts", line.facts_at.map_or("never reported".to_owned(), reported)),
    ];
    if let Some(facts) = &file.facts {
        rows.push(("packages", facts.packages.len().to_string()));
        rows.push(("services", facts.services.len().to_string()));
        rows.push(("addresses", text::clean(&facts.addresses.join(" "))));
    }
    let rows: Vec<_> = rows.into_iter().map(|(label, value)| vec![format!("  {label}"), value]).collect();
    text::table(&rows)
}

fn states(states: &[CiState], zone: &TimeZone) -> String {
    let titles = ["  RESOURCE", "LAST STEP", "CHANGE", "APPROVED BY", "WHEN", "LEDGER"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    rows.extend(states.iter().map(|state| {
        let by: Vec<_> = state.approved_by.iter().map(ToString::to_string).collect();
        vec![
            format!("  {}", text::clean(state.resource.as_str())),
            format!("{} {}", state.verb.as_str(), state.outcome.as_str()),
            format!("{}.{}", state.change_id, state.revision),
            by.join(", "),
            window::local(state.applied_at, zone),
            state.ledger_index.to_string(),
        ]
    }));
    text::table(&rows)
}

fn history(events: &[CiEvent], zone: &TimeZone) -> String {
    let row = |event: &CiEvent| {
        let change = event.change_id.as_ref().map_or(String::new(), ToString::to_string);
        let when = format!("  {}", window::local(event.at, zone));
        vec![when, text::clean(&event.kind), change, text::clean(&event.summary)]
    };
    let rows: Vec<_> = events.iter().take(HISTORY).map(row).collect();
    text::table(&rows)
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
