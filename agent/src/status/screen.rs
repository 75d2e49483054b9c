//! The status as one screen, the most important first. Everything that is long is cut here; `--json` has all of it.

use super::{Approved, Pending, Process, RunningNow, Status};
use crate::drift::Entry;
use crate::run::Told;
use crate::slots::Place;
use crate::state::Quarantined;
use shared::finding::{About, Boot, Expected, Noticed, Transaction};
use shared::refusal::Code;
use shared::time::{Timestamp, span};

const COLUMNS: usize = 80;
const LABEL: usize = 14;
/// Entries of one kind that are told; the rest is a number.
const SHOWN: usize = 2;
/// Lines of the whole screen, and of what is wrong when everything else needs its own.
const ROWS: usize = 24;
const PROBLEM_ROWS: usize = 3;

/// At most 24 lines: 1 for the host, 1 for the agent, 2 for a run, 3 for problems, 5 for changes, 1 for the next window,
/// 2 for what is approved, 2 for what is pending or why a reboot is due, 3 for findings, 2 for quarantine, 1 each for trust
/// and contact (24 in all); facts that are not told share the line of the agent's problems.
pub fn lines(status: &Status, now: Timestamp) -> String {
    let mut screen = Screen(String::new());
    host(status, &mut screen);
    process(status, now, &mut screen);
    if let Some(running) = &status.running {
        screen.line("RUNNING", &run(running, status.process, now), 2);
    }
    let mut below = Screen(String::new());
    changes(status, now, &mut below);
    approved(&status.approved, &mut below);
    if let Some(pending) = status.pending.last() {
        below.line("pending", &in_effect(pending, status.pending.len() - 1), 2);
    } else if let Some(reason) = status.reboot.first() {
        below.line("reboot", &format!("is due: {reason}{}", and(status.reboot.len() - 1)), 2);
    }
    findings(&status.findings, &mut below);
    if let Some(last) = status.quarantine.last() {
        below.line("quarantine", &quarantined(last, status.quarantine.len() - 1), 2);
    }
    trust(&status.expiries, now, &mut below);
    contact(status, now, &mut below);
    let room = ROWS.saturating_sub(screen.rows() + below.rows());
    problems(status, room.max(PROBLEM_ROWS), &mut screen);
    screen.0 + &below.0
}

struct Screen(String);

impl Screen {
    fn rows(&self) -> usize {
        self.0.lines().count()
    }

    /// A label and a text of at most so many lines; what does not fit ends in `…`.
    fn line(&mut self, label: &str, text: &str, most: usize) {
        let text = shared::visible::line(text);
        let mut lines: Vec<String> = vec![String::new()];
        for word in text.split(' ') {
            let room = COLUMNS - LABEL;
            let length = |text: &str| text.chars().count();
            let last = lines.last_mut().map_or(0, |last| length(last));
            if last > 0 && last + 1 + length(word) > room {
                lines.push(String::new());
            }
            let Some(last) = lines.last_mut() else { return };
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
        let is_cut = lines.len() > most;
        lines.truncate(most);
        for (n, line) in lines.iter().enumerate() {
            let ends_early = is_cut && n + 1 == most;
            let line = fitted(line, ends_early);
            let label = if n == 0 { label } else { "" };
            self.0.push_str(format!("{label:<LABEL$}{line}").trim_end());
            self.0.push('\n');
        }
    }
}

/// A line that fits; `…` where it goes on.
fn fitted(line: &str, goes_on: bool) -> String {
    let room = COLUMNS - LABEL;
    let count = line.chars().count();
    if count <= room && !goes_on {
        return line.to_owned();
    }
    let kept: String = line.chars().take(count.min(room - 1)).collect();
    format!("{kept}…")
}

fn host(status: &Status, screen: &mut Screen) {
    let Status { hostname, host_class, site, .. } = status;
    screen.line("host", &format!("{hostname}, class {host_class}, site {site}"), 1);
}

fn process(status: &Status, now: Timestamp, screen: &mut Screen) {
    let Status { at, agent, agent_version, .. } = status;
    let id: String = agent.to_string().chars().take(16).collect();
    let version = match status.program {
        Place::Packaged => agent_version.to_string(),
        slot => format!("{agent_version} ({})", slot.as_str()),
    };
    let text = match status.process {
        Process::Works => format!("works, version {version}, id {id}…"),
        Process::Absent => format!("DOES NOT WORK since {}, version {version}", minute(*at)),
        Process::Unknown => format!("last worked {} ago, version {version}", span(now.since(*at))),
    };
    screen.line("agent", &text, 1);
}

fn run(running: &RunningNow, process: Process, now: Timestamp) -> String {
    let RunningNow { change_id, revision, started, done, steps, doing, undoing } = running;
    let progress = if *steps == 0 { String::new() } else { format!("{done} of {steps} steps done, ") };
    let why = undoing.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let stuck = if process == Process::Absent { "BROKEN OFF, goes on with the agent; " } else { "" };
    let since = span(now.since(*started));
    format!("{change_id} revision {revision} for {since}: {stuck}{progress}{doing}{why}")
}

/// What is wrong, with what to do about it where there is room.
fn problems(status: &Status, rows: usize, screen: &mut Screen) {
    let notes = status.fact_notes.iter().map(|note| format!("fact: {note}"));
    let all: Vec<String> = status.problems.iter().cloned().chain(notes).collect();
    let more = all.len().saturating_sub(1);
    let rest = if more == 0 { String::new() } else { format!(" (+{more} more: --json)") };
    if let Some(first) = all.first() {
        screen.line("problem", &format!("{first}{rest}"), rows);
    }
}

/// Why not yet, and when it is looked at again.
fn changes(status: &Status, now: Timestamp, screen: &mut Screen) {
    let is_open = |told: &&Told| matches!(told.standing.as_str(), "refused" | "ready" | "waiting");
    let open: Vec<&Told> = status.changes.iter().filter(is_open).collect();
    if open.is_empty() {
        let none = if status.running.is_some() { "no other one waits" } else { "none waits for this host" };
        screen.line("change", none, 1);
    }
    for told in open.iter().take(SHOWN) {
        screen.line("change", &not_yet(told, now), 2);
    }
    if open.len() > SHOWN {
        screen.line("", &format!("and {} more (--json has all)", open.len() - SHOWN), 1);
    }
    let next = open.iter().filter(|told| told.code == Some(Code::TimeWindow));
    let next = next.filter_map(|told| Some((told.retry_at?, *told))).min_by_key(|(at, _)| *at);
    if let Some((at, told)) = next {
        let when = span(at.since(now));
        screen.line("next window", &format!("{}, in {when} ({})", minute(at), told.change_id), 1);
    }
}

fn not_yet(told: &Told, now: Timestamp) -> String {
    let Told { change_id, revision, standing, code, message, retry_at } = told;
    let state = match standing.as_str() {
        "refused" if retry_at.is_some() => "not yet",
        "refused" => "NO",
        other => other,
    };
    let why = if message.is_empty() { String::new() } else { format!(": {message}") };
    let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
    let again = retry_at.map(|at| format!("; again in {}", span(at.since(now)))).unwrap_or_default();
    format!("{change_id} revision {revision} {state}{why}{code}{again}")
}

fn approved(all: &[Approved], screen: &mut Screen) {
    let one = |approved: &Approved| {
        let change = approved.change_id.as_ref().map(|id| format!(" ({id})")).unwrap_or_default();
        format!("{} {}{change}", approved.manifest, approved.version)
    };
    let mut words: Vec<String> = all.iter().take(6).map(one).collect();
    if words.is_empty() {
        words.push("nothing was applied here yet".into());
    }
    let more = if all.len() > 6 { format!(" and {} more", all.len() - 6) } else { String::new() };
    screen.line("approved", &format!("{}{more}", words.join(", ")), 2);
}

fn in_effect(pending: &Pending, more: usize) -> String {
    let Pending { change_id, revision, installed, waits_for } = pending;
    let what = if waits_for.is_empty() { "a reboot".to_owned() } else { waits_for.join("; ") };
    format!(
        "{change_id} revision {revision} is installed since {}, not in effect: {what}{}",
        minute(*installed),
        and(more)
    )
}

/// One finding has the room of all; more share it.
fn findings(all: &[Entry], screen: &mut Screen) {
    let rows = if all.len() == 1 { SHOWN + 1 } else { 1 };
    for entry in all.iter().take(SHOWN) {
        let (number, all) = (entry.number, entry.told());
        let what: Vec<&str> = all.iter().take(2).map(|d| d.resource.as_str()).collect();
        let rest = all.len() - what.len() + entry.more() as usize;
        screen.line("finding", &format!("{number}: {}{} {}", what.join(", "), and(rest), how(entry)), rows);
    }
    if all.len() > SHOWN {
        screen.line("", &format!("and {} more findings (--json has all)", all.len() - SHOWN), 1);
    }
}

/// Why something is not put back is worth more than since when it differs: there is room for one of them.
fn how(entry: &Entry) -> String {
    match &entry.about {
        About::State(Expected { manifest, version, .. }) if entry.note.is_empty() => match entry.cause() {
            Some(Transaction { when, .. }) => {
                format!("differ from {manifest} {version}, changed by others at {when}")
            }
            None => format!("differ from {manifest} {version} since {}", minute(entry.first_seen)),
        },
        About::State(Expected { manifest, version, .. }) => {
            format!("differ from {manifest} {version}, not put back: {}", entry.note)
        }
        About::Packages(Transaction { when, .. }) => format!("were changed by others at {when}"),
        About::Noticed(Noticed { since, .. }) => format!("were changed by others since {}", minute(*since)),
        About::Boot(Boot { at, .. }) => format!("was restarted at {}", minute(*at)),
    }
}

fn quarantined(last: &Quarantined, more: usize) -> String {
    let Quarantined { effects, change_id, revision, at, why, .. } = last;
    let what: Vec<&str> = effects.iter().take(2).map(|effect| effect.resource.as_str()).collect();
    let rest = effects.len() - what.len();
    let (what, rest) = (what.join(", "), and(rest));
    format!("{what}{rest} of {change_id} revision {revision} since {}: {why}{}", minute(*at), and(more))
}

/// What ends first; everything that has ended.
fn trust(expiries: &[(String, Timestamp)], now: Timestamp, screen: &mut Screen) {
    let over: Vec<&str> =
        expiries.iter().filter(|(_, at)| *at <= now).map(|(what, _)| what.as_str()).collect();
    if !over.is_empty() {
        screen.line("trust", &format!("EXPIRED: {}; nothing new starts (assent renew)", over.join(", ")), 1);
    } else if let Some((what, at)) = expiries.iter().min_by_key(|(_, at)| *at) {
        let left = span(at.since(now));
        screen.line("trust", &format!("until {} ({what} ends first, in {left})", minute(*at)), 1);
    } else {
        screen.line("trust", "no verified repository yet", 1);
    }
}

fn contact(status: &Status, now: Timestamp, screen: &mut Screen) {
    let Status { last_contact, next, seq, spooled, .. } = status;
    let ago = span(now.since(*last_contact));
    let next = if *next > now { format!(", next in {}", span(next.since(now))) } else { String::new() };
    screen.line("contact", &format!("{ago} ago{next}; {seq} statements made, {spooled} not proven yet"), 1);
    if let Some(server) = &status.server {
        screen.line("server", server, 1);
    }
}

fn and(more: usize) -> String {
    if more == 0 { String::new() } else { format!(" and {more} more") }
}

/// A time to the minute.
fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Effect;
    use shared::digest::Digest;
    use shared::finding::{Difference, Presence};
    use shared::ids::AgentId;
    use shared::plan::Verb;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn status() -> Status {
        Status {
            at: NOW.plus(-30),
            site: "00112233aabbccdd".parse().unwrap(),
            agent: AgentId::of_key(&[1; 32]),
            host_class: "production".parse().unwrap(),
            agent_version: semver::Version::new(0, 1, 0),
            program: Place::Packaged,
            hostname: "web1".into(),
            process: Process::Works,
            running: None,
            approved: vec![],
            last_contact: NOW.plus(-30),
            server: None,
            policy_version: 3,
            seq: 42,
            spooled: 1,
            log_size: Some(100),
            expiries: vec![("timestamp".into(), NOW.plus(86_400)), ("root".into(), NOW.plus(864_000))],
            changes: vec![],
            pending: vec![],
            reboot: vec![],
            quarantine: vec![],
            findings: vec![],
            problems: vec![],
            fact_notes: vec![],
            next: NOW.plus(30),
        }
    }

    fn told(n: u32, message: &str) -> Told {
        Told {
            change_id: format!("C-{n}").parse().unwrap(),
            revision: 1,
            standing: "refused".into(),
            code: Some(Code::TimeWindow),
            message: message.into(),
            retry_at: Some(NOW.plus(i64::from(n) * 3_600)),
        }
    }

    #[test]
    fn a_calm_host_is_told_in_few_lines() {
        let approved = Approved {
            manifest: "ops/web-base".into(),
            version: semver::Version::new(1, 2, 0),
            change_id: Some("C-12".parse().unwrap()),
            since: Some(NOW),
        };
        let shown = Status { approved: vec![approved], ..status() }.text(NOW);
        let id: String = status().agent.to_string().chars().take(16).collect();
        assert_eq!(
            shown,
            format!(
                "host          web1, class production, site 00112233aabbccdd\n\
                 agent         works, version 0.1.0, id {id}…\n\
                 change        none waits for this host\n\
                 approved      ops/web-base 1.2.0 (C-12)\n\
                 trust         until 2027-01-16 08:00 UTC (timestamp ends first, in 1 d)\n\
                 contact       30 s ago, next in 30 s; 42 statements made, 1 not proven yet\n"
            )
        );
        let reboot =
            vec!["linux-base asks for a reboot".to_owned(), "kernel 6.1.0-2 is installed".to_owned()];
        let due = Status { reboot: reboot.clone(), ..status() }.text(NOW);
        assert!(due.contains("\nreboot        is due: linux-base asks for a reboot and 1 more\n"), "{due}");
        let of_several = Status { server: Some("b.example:8444".into()), ..status() }.text(NOW);
        assert!(of_several.ends_with("proven yet\nserver        b.example:8444\n"), "{of_several}");
    }

    #[test]
    fn the_run_and_why_not_yet_come_first() {
        let running = RunningNow {
            change_id: "C-7".parse().unwrap(),
            revision: 2,
            started: NOW.plus(-95),
            done: 2,
            steps: 7,
            doing: "install nginx 1.24".into(),
            undoing: None,
        };
        let changes = vec![told(3, "the window is not open"), told(2, "the window is not open")];
        let shown = Status { running: Some(running.clone()), changes: changes.clone(), ..status() }.text(NOW);
        for line in [
            "RUNNING       C-7 revision 2 for 1 min: 2 of 7 steps done, install nginx 1.24\n",
            "change        C-3 revision 1 not yet: the window is not open (time.window);\n              again in 3 h\n",
            "next window   2027-01-15 10:00 UTC, in 2 h (C-2)\n",
        ] {
            assert!(shown.contains(line), "{line}\n{shown}");
        }
        let stopped = Status { running: Some(running), process: Process::Absent, ..status() }.text(NOW);
        assert!(stopped.contains("BROKEN OFF, goes on with the agent"), "{stopped}");
        let since = "agent         DOES NOT WORK since 2027-01-15 07:59 UTC, version 0.1.0\n";
        assert!(stopped.contains(since), "{stopped}");
        let over = Status { expiries: vec![("timestamp".into(), NOW)], ..status() }.text(NOW);
        assert!(over.contains("trust         EXPIRED: timestamp; nothing new starts"), "{over}");
    }

    /// Whatever is wrong, and however long it is told: one screen.
    #[test]
    fn everything_at_once_is_one_screen() {
        let long = "a\u{1b}[1m very long reason with many words that goes on and on ".repeat(20);
        let action = |n: usize| Effect {
            resource: format!("file:/etc/{}/{n}", "x".repeat(90)).parse().unwrap(),
            verb: Verb::Create,
            after: Digest::of(b""),
        };
        let difference = |n: usize| Difference {
            resource: format!("file:/etc/{}/{n}", "y".repeat(90)).parse().unwrap(),
            expected: Digest::of(b""),
            observed: None,
            summary: long.clone(),
            diff: None,
        };
        let expected = Expected {
            manifest: "ops/web".into(),
            version: semver::Version::new(1, 0, 0),
            change_id: "C-1".parse().unwrap(),
            revision: 1,
            change: Digest::of(b""),
        };
        let entry = Entry {
            number: 1,
            about: About::State(expected),
            differences: (0..9).map(difference).collect(),
            more: 3,
            first_seen: NOW,
            last_seen: NOW,
            count: 1,
            presence: Presence::There,
            turns: vec![],
            due: false,
            said: None,
            note: String::new(),
            by_others: None,
        };
        let quarantined = Quarantined {
            effects: (0..5).map(action).collect(),
            change_id: "C-1".parse().unwrap(),
            revision: 1,
            at: NOW,
            receipt: Digest::of(b""),
            why: long.clone(),
        };
        let pending = Pending {
            change_id: "C-1".parse().unwrap(),
            revision: 1,
            installed: NOW,
            waits_for: vec![long.clone(); 4],
        };
        let running = RunningNow {
            change_id: "C-1".parse().unwrap(),
            revision: 1,
            started: NOW,
            done: 1,
            steps: 2,
            doing: long.clone(),
            undoing: Some(long.clone()),
        };
        let approved = |n: u64| Approved {
            manifest: format!("ops/{}", "m".repeat(60)),
            version: semver::Version::new(n, 0, 0),
            change_id: None,
            since: None,
        };
        let all = Status {
            hostname: "h".repeat(200),
            running: Some(running),
            approved: (0..20).map(approved).collect(),
            changes: (1..9).map(|n| told(n, &long)).collect(),
            pending: vec![pending; 3],
            reboot: vec![long.clone(); 3],
            quarantine: vec![quarantined; 3],
            findings: vec![entry; 5],
            problems: vec![long.clone(); 3],
            fact_notes: vec![long.clone(); 3],
            ..status()
        };
        let shown = all.text(NOW);
        assert!(shown.lines().count() <= 24, "{}\n{shown}", shown.lines().count());
        assert!(shown.lines().all(|line| line.chars().count() <= COLUMNS), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
        for word in [
            "RUNNING",
            "problem",
            "and 6 more",
            "and 3 more findings",
            "quarantine",
            "pending",
            "next window",
        ] {
            assert!(shown.contains(word), "{word}\n{shown}");
        }
    }
}
