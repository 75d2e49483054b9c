//! Files of systemd: drop-ins of units, and timers with the service that they start.
//!
//! Every file is judged by systemd-analyze(1) before it goes live, where the host has it.

use super::file::{Content, Want};
use super::parts::Part;
use super::wanted::Sight;
use super::{file, refuse};
use crate::host::{Entry, Host};
use crate::plan::Item;
use shared::facts::TemplateFacts;
use shared::manifest::{Argv, Directory, Dropin, TextSource, Timer, TimerJob};
use shared::refusal::Refused;
use shared::template;
use std::fmt::Write as _;

/// The directory as a part of its own, where neither the host nor an earlier step has it.
///
/// # Errors
/// The machine's.
pub fn missing<'a, H: Host>(directory: &str, sight: &Sight<'_, H>) -> Result<Option<Part<'a>>, Refused> {
    let there = sight.host.look(directory).map_err(|fault| refuse(fault.text()))?;
    let counts = sight.directories && matches!(there, Entry::Directory { .. });
    if !counts && (there != Entry::Absent || sight.made.contains(directory)) {
        return Ok(None);
    }
    let path = directory.parse().map_err(|e| refuse(format!("{directory}: {e}")))?;
    Ok(Some(Part::Directory(Directory::at(path))))
}

/// The text as this host gets it, with a line break at its end.
///
/// # Errors
/// The template does not render.
pub(super) fn text(item: &Item<'_>, source: &TextSource, facts: &TemplateFacts) -> Result<String, Refused> {
    let mut text = match source {
        TextSource::Content(text) => text.clone(),
        TextSource::Template(text) => template::render(text, item.params, facts)
            .map_err(|problem| refuse(format!("{}: {problem}", item.id())))?,
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

pub(super) fn dropin<'a, H: Host>(
    own: &'a Dropin,
    item: &Item<'a>,
    facts: &TemplateFacts,
    sight: &Sight<'_, H>,
) -> Result<Vec<Part<'a>>, Refused> {
    let Some(source) = &own.source else {
        return Ok(vec![Part::File(Want::plain(own.path().into(), Content::Absent))]);
    };
    let mut parts: Vec<Part<'a>> = missing(&own.directory(), sight)?.into_iter().collect();
    let text = text(item, source, facts)?;
    parts.push(Part::File(unit_file(own.path(), text, own.unit.unit())));
    Ok(parts)
}

fn unit_file<'a>(path: String, text: String, unit: String) -> Want<'a> {
    let content = Content::Bytes(text.into_bytes().into());
    Want { unit: Some(unit), ..Want::plain(path.into(), content) }
}

pub(super) fn timer<'a, H: Host>(own: &'a Timer, sight: &Sight<'_, H>) -> Result<Vec<Part<'a>>, Refused> {
    let unit = format!("{}.timer", own.name);
    let [service, timer, wants] = [own.path(".service"), own.path(".timer"), own.wants()];
    let state = |active| sight.host.has_kernel().then(|| Part::Unit { unit: unit.clone(), active });
    let Some(job) = &own.job else {
        if sight.file(&timer)? == file::Found::Absent && sight.file(&service)? == file::Found::Absent {
            return Ok(Vec::new());
        }
        let files = [wants, timer, service];
        let removed = files.into_iter().map(|path| Part::File(Want::plain(path.into(), Content::Absent)));
        return Ok(state(false).into_iter().chain(removed).collect());
    };
    let mut parts = vec![
        Part::File(unit_file(service, service_text(own, job), format!("{}.service", own.name))),
        Part::File(unit_file(timer.clone(), timer_text(own, job), unit.clone())),
    ];
    parts.extend(missing(wants.rsplit_once('/').map_or("", |(directory, _)| directory), sight)?);
    parts.push(Part::File(Want::plain(wants.into(), Content::Link(timer.into()))));
    parts.extend(state(true));
    Ok(parts)
}

fn service_text(own: &Timer, job: &TimerJob) -> String {
    let mut text = format!("[Unit]\nDescription={}\n\n[Service]\nType=oneshot\n", own.name);
    // Writing to a string cannot fail.
    if let Some(user) = &job.user {
        let _always = writeln!(text, "User={user}");
    }
    let _always = writeln!(text, "ExecStart={}", command_line(&job.run));
    if let Some(seconds) = job.timeout_s {
        let _always = writeln!(text, "TimeoutStartSec={seconds}");
    }
    text
}

fn timer_text(own: &Timer, job: &TimerJob) -> String {
    let mut text = format!("[Unit]\nDescription=Times of {}\n\n[Timer]\n", own.name);
    for time in &job.on_calendar {
        let _always = writeln!(text, "OnCalendar={time}");
    }
    if job.persistent {
        text.push_str("Persistent=true\n");
    }
    if job.random_delay_s > 0 {
        let _always = writeln!(text, "RandomizedDelaySec={}", job.random_delay_s);
    }
    text.push_str("\n[Install]\nWantedBy=timers.target\n");
    text
}

/// Program and arguments as systemd reads them back unchanged (systemd.service(5), "Command lines").
fn command_line(argv: &Argv) -> String {
    argv.as_slice().iter().map(|item| quoted(item)).collect::<Vec<_>>().join(" ")
}

fn quoted(item: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:=,@+-".contains(c);
    if !item.is_empty() && item.chars().all(plain) {
        return item.to_owned();
    }
    let mut text = String::from("\"");
    for c in item.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '$' => text.push_str("$$"),
            '%' => text.push_str("%%"),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(json: &str) -> Timer {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_units_say_what_the_timer_says() {
        let own = timer(
            r#"{"name":"backup","on_calendar":["daily","Mon..Fri 12:30"],"run":["/usr/bin/backup","--to","/srv/a b","50%","$HOME","a\"b\\c\n",""],
                "user":"web","persistent":true,"random_delay_s":60,"timeout_s":30}"#,
        );
        let job = own.job.as_ref().unwrap();
        assert_eq!(
            service_text(&own, job),
            "[Unit]\nDescription=backup\n\n[Service]\nType=oneshot\nUser=web\nExecStart=/usr/bin/backup --to \"/srv/a b\" \"50%%\" \"$$HOME\" \"a\\\"b\\\\c\\n\" \"\"\nTimeoutStartSec=30\n"
        );
        assert_eq!(
            timer_text(&own, job),
            "[Unit]\nDescription=Times of backup\n\n[Timer]\nOnCalendar=daily\nOnCalendar=Mon..Fri 12:30\nPersistent=true\nRandomizedDelaySec=60\n\n[Install]\nWantedBy=timers.target\n"
        );
        let least = timer(r#"{"name":"x","on_calendar":["hourly"],"run":["/bin/true"]}"#);
        let job = least.job.as_ref().unwrap();
        assert!(service_text(&least, job).ends_with("Type=oneshot\nExecStart=/bin/true\n"));
        assert!(timer_text(&least, job).contains("[Timer]\nOnCalendar=hourly\n\n[Install]"));
    }
}
