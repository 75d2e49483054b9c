//! `assent ci facts`: what a host reported of itself, by section. The server's word.

use super::args::FactSection;
use crate::author::list::print_json;
use crate::error::{Context as _, Done};
use crate::lang::{Lang, Word};
use crate::session::Session;
use crate::{term, text};
use serde_json::Value;
use shared::facts::{
    Certificate, Clock, Does, Facts, Hardware, Mount, Package, Password, Protocol, Socket, Support, Updater,
    User,
};
use shared::time::Timestamp;

pub fn show(session: &Session, host: &str, section: Option<FactSection>, json: bool) -> Done {
    let facts = session.api.ci(host)?.facts;
    let Some(facts) = facts else {
        return if json {
            print_json(&Value::Null)
        } else {
            term::print(&format!("{}\n", session.lang.word(Word::NeverReported)))
        };
    };
    if json {
        let whole = serde_json::to_value(&facts).or_fault("the facts could not be written")?;
        return print_json(&section.map_or_else(|| whole.clone(), |section| of_section(section, &whole)));
    }
    let (lang, now) = (session.lang, session.now);
    let shown = match section {
        Some(section) => text::table(&rows(section, &facts, lang, now)),
        None => overview(&facts, lang, now),
    };
    term::print(&shown)
}

const LISTS: [(FactSection, &str, Word); 8] = [
    (FactSection::Packages, "packages", Word::Packages),
    (FactSection::Services, "services", Word::Services),
    (FactSection::Listening, "listening", Word::Listening),
    (FactSection::Users, "users", Word::Accounts),
    (FactSection::Mounts, "mounts", Word::Mounts),
    (FactSection::Certificates, "certificates", Word::Certificates),
    (FactSection::Updaters, "updaters", Word::OtherUpdaters),
    (FactSection::Local, "local", Word::LocalFacts),
];

/// The part of the document; a list that a host does not have is empty.
fn of_section(section: FactSection, whole: &Value) -> Value {
    match LISTS.iter().find(|(list, ..)| *list == section) {
        Some((_, name, _)) => whole.get(name).cloned().unwrap_or_else(|| Value::Array(Vec::new())),
        None => {
            let mut rest = whole.clone();
            if let Some(map) = rest.as_object_mut() {
                map.retain(|key, _| !LISTS.iter().any(|(_, name, _)| name == key));
            }
            rest
        }
    }
}

fn overview(facts: &Facts, lang: Lang, now: Timestamp) -> String {
    let mut out = text::table(&rows(FactSection::System, facts, lang, now));
    for (section, _, word) in LISTS {
        if matches!(section, FactSection::Packages | FactSection::Services) {
            continue;
        }
        let rows = rows(section, facts, lang, now);
        if rows.len() > 1 {
            out.push_str(&format!("\n{}\n{}", lang.word(word), text::table(&rows)));
        }
    }
    out
}

/// Headings and entries of one section, made harmless for a terminal.
fn rows(section: FactSection, facts: &Facts, lang: Lang, now: Timestamp) -> Vec<Vec<String>> {
    let (heads, rows) = match section {
        FactSection::System => {
            let system = system(facts, lang, now).into_iter();
            return system.map(|(label, value)| vec![label, value]).collect();
        }
        FactSection::Packages => (Word::HeadsOfPackages, packages(facts)),
        FactSection::Services => (Word::HeadsOfServices, services(facts)),
        FactSection::Listening => (Word::HeadsOfListening, listening(facts)),
        FactSection::Users => (Word::HeadsOfUsers, users(facts, lang)),
        FactSection::Mounts => (Word::HeadsOfMounts, mounts(facts)),
        FactSection::Certificates => (Word::HeadsOfCertificates, certificates(facts, lang, now)),
        FactSection::Updaters => (Word::HeadsOfUpdaters, updaters(facts, lang)),
        FactSection::Local => {
            let rows = facts.local.iter().map(|fact| vec![fact.name.clone(), fact.value.clone()]);
            (Word::HeadsOfLocal, rows.collect())
        }
    };
    let clean = |row: Vec<String>| row.iter().map(|cell| text::clean(cell)).collect();
    std::iter::once(lang.heads(heads)).chain(rows.into_iter().map(clean)).collect()
}

fn or_dash(value: &Option<String>) -> String {
    value.clone().unwrap_or_else(|| "-".to_owned())
}

fn yes(set: bool, lang: Lang) -> String {
    lang.word(if set { Word::Yes } else { Word::No }).to_owned()
}

fn packages(facts: &Facts) -> Vec<Vec<String>> {
    let row = |p: &Package| {
        let source = format!("{} {}", p.source, p.source_version);
        vec![p.name.clone(), p.version.clone(), p.arch.clone(), source, or_dash(&p.origin)]
    };
    facts.packages.iter().map(row).collect()
}

fn services(facts: &Facts) -> Vec<Vec<String>> {
    facts.services.iter().map(|s| vec![s.name.clone(), s.active.clone(), s.enabled.clone()]).collect()
}

fn listening(facts: &Facts) -> Vec<Vec<String>> {
    let row = |s: &Socket| {
        let protocol = if s.protocol == Protocol::Tcp { "tcp" } else { "udp" };
        let (program, unit) = (or_dash(&s.program), or_dash(&s.unit));
        vec![s.port.to_string(), protocol.to_owned(), s.address.clone(), program, unit]
    };
    facts.listening.iter().map(row).collect()
}

fn users(facts: &Facts, lang: Lang) -> Vec<Vec<String>> {
    let row = |u: &User| {
        let password = lang.word(password(u.password)).to_owned();
        let changed = u.password_changed.map_or("-".to_owned(), day);
        let groups = u.privileged.join(" ");
        vec![u.name.clone(), u.uid.to_string(), yes(u.login, lang), password, changed, groups]
    };
    facts.users.iter().map(row).collect()
}

fn mounts(facts: &Facts) -> Vec<Vec<String>> {
    let row = |m: &Mount| {
        let size = m.size_mib.map_or("-".to_owned(), mib);
        let used = m.used_percent.map_or("-".to_owned(), |percent| format!("{percent} %"));
        vec![m.path.clone(), m.source.clone(), m.fstype.clone(), size, used, m.options.join(",")]
    };
    facts.mounts.iter().map(row).collect()
}

/// What ends first comes first.
fn certificates(facts: &Facts, lang: Lang, now: Timestamp) -> Vec<Vec<String>> {
    let mut all: Vec<&Certificate> = facts.certificates.iter().collect();
    all.sort_by_key(|c| c.not_after);
    let row = |c: &Certificate| {
        let when = left(c.not_after, now, lang);
        vec![day(c.not_after), when, c.path.clone(), c.subject.clone(), c.issuer.clone()]
    };
    all.into_iter().map(row).collect()
}

fn updaters(facts: &Facts, lang: Lang) -> Vec<Vec<String>> {
    let row = |u: &Updater| {
        let does = lang.word(does(u.does)).to_owned();
        vec![u.name.clone(), or_dash(&u.version), yes(u.enabled, lang), does]
    };
    facts.updaters.iter().map(row).collect()
}

/// What is no list, as labels and values; empty ones are left out.
fn system(facts: &Facts, lang: Lang, now: Timestamp) -> Vec<(String, String)> {
    let w = |word| lang.word(word).to_owned();
    let mut all = vec![
        (w(Word::Host), facts.fqdn.clone()),
        (w(Word::System), format!("{} ({})", facts.os.name, facts.arch)),
        (w(Word::Support), facts.support.as_ref().map(|s| support(s, now, lang)).unwrap_or_default()),
        (w(Word::Kernel), kernel(facts, lang)),
        (w(Word::Reboot), facts.reboot.join("; ")),
        (w(Word::Hardware), facts.hardware.as_ref().map(hardware).unwrap_or_default()),
        (w(Word::Virtualisation), facts.virtualisation.clone().unwrap_or_default()),
        (w(Word::ClockIs), facts.clock.as_ref().map(|c| clock(c, lang)).unwrap_or_default()),
        (w(Word::Addresses), facts.addresses.join(" ")),
        (w(Word::Packages), facts.packages.len().to_string()),
        (w(Word::Services), facts.services.len().to_string()),
        (w(Word::AgentVersion), facts.agent_version.to_string()),
    ];
    let omitted: Vec<String> =
        facts.omitted.iter().map(|section| format!("{section:?}").to_lowercase()).collect();
    all.push((w(Word::KeptBack), omitted.join(", ")));
    all.extend(facts.notes.iter().map(|note| (w(Word::Note), note.clone())));
    all.retain(|(_, value)| !value.is_empty());
    all.into_iter().map(|(label, value)| (label, text::clean(&value))).collect()
}

/// The same for the head of `assent ci show`: what an admin wants to know before reading on.
pub fn brief(facts: &Facts, lang: Lang, now: Timestamp) -> Vec<(&'static str, String)> {
    let w = |word| lang.word(word);
    let enabled: Vec<&str> = facts.updaters.iter().filter(|u| u.enabled).map(|u| u.name.as_str()).collect();
    let mut ports: Vec<u16> = facts.listening.iter().map(|s| s.port).collect();
    ports.dedup();
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let next = facts.certificates.iter().min_by_key(|c| c.not_after);
    let certificates = next.map(|c| {
        format!("{}, {} {} ({})", facts.certificates.len(), w(Word::FirstEnds), day(c.not_after), c.path)
    });
    let full = facts.mounts.iter().filter(|m| m.used_percent.is_some_and(|percent| percent >= 90));
    let full: Vec<String> =
        full.map(|m| format!("{} {} %", m.path, m.used_percent.unwrap_or_default())).collect();
    let all = [
        (w(Word::Support), facts.support.as_ref().map(|s| support(s, now, lang)).unwrap_or_default()),
        (w(Word::Reboot), facts.reboot.join("; ")),
        (w(Word::Hardware), facts.hardware.as_ref().map(hardware).unwrap_or_default()),
        (w(Word::Virtualisation), facts.virtualisation.clone().unwrap_or_default()),
        (w(Word::ClockIs), facts.clock.as_ref().map(|c| clock(c, lang)).unwrap_or_default()),
        (w(Word::OtherUpdaters), enabled.join(", ")),
        (w(Word::Listening), ports.join(" ")),
        (w(Word::Certificates), certificates.unwrap_or_default()),
        (w(Word::NearlyFull), full.join(", ")),
    ];
    let there = all.into_iter().filter(|(_, value)| !value.is_empty());
    there.map(|(label, value)| (label, text::clean(&value))).collect()
}

fn support(support: &Support, now: Timestamp, lang: Lang) -> String {
    let ended = if support.is_over(now) { Word::EndedAt } else { Word::Until };
    let then = support.extended.map(|at| format!(", {} {}", lang.word(Word::ExtendedUntil), day(at)));
    format!("{} {}{} ({})", lang.word(ended), day(support.ends), then.unwrap_or_default(), support.source)
}

fn kernel(facts: &Facts, lang: Lang) -> String {
    let running = &facts.kernel.release;
    let others: Vec<&str> =
        facts.kernel.installed.iter().filter(|release| *release != running).map(String::as_str).collect();
    if others.is_empty() {
        return running.clone();
    }
    format!("{running} ({} {})", lang.word(Word::AlsoInstalled), others.join(" "))
}

fn hardware(hardware: &Hardware) -> String {
    let disks: u64 = hardware.disks.iter().map(|disk| disk.size_mib).sum();
    let serial = if hardware.serial.is_empty() { String::new() } else { format!(" #{}", hardware.serial) };
    let machine = format!("{} {}{serial}", hardware.vendor, hardware.model);
    let (cpus, memory, disks) = (hardware.cpus, mib(hardware.memory_mib), mib(disks));
    format!("{}, {cpus} x {}, {memory} RAM, {disks}", machine.trim(), hardware.cpu)
        .trim_start_matches(", ")
        .to_owned()
}

fn clock(clock: &Clock, lang: Lang) -> String {
    let state =
        clock.synchronised.map(|yes| lang.word(if yes { Word::Synchronised } else { Word::NotSynchronised }));
    let apart = clock.ahead_s.filter(|seconds| *seconds != 0).map(|seconds| format!("{seconds:+} s"));
    let parts = state.map(str::to_owned).into_iter().chain(clock.source.clone()).chain(apart);
    parts.collect::<Vec<_>>().join(", ")
}

/// A size in the unit in which it has at most four digits.
fn mib(size: u64) -> String {
    match size {
        0..1_024 => format!("{size} MiB"),
        1_024..1_048_576 => format!("{} GiB", size / 1_024),
        _ => format!("{} TiB", size / 1_048_576),
    }
}

fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

fn left(at: Timestamp, now: Timestamp, lang: Lang) -> String {
    let span = text::span(at.since(now));
    lang.fill(if at < now { Word::Ago } else { Word::In }, &span)
}

fn password(password: Password) -> Word {
    match password {
        Password::Set => Word::PasswordSet,
        Password::Locked => Word::PasswordLocked,
        Password::Empty => Word::PasswordEmpty,
        Password::Unknown => Word::Unknown,
    }
}

fn does(does: Does) -> Word {
    match does {
        Does::Installs => Word::DoesInstall,
        Does::Prepares => Word::DoesPrepare,
        Does::OnRequest => Word::DoesOnRequest,
        Does::Obeys => Word::DoesObey,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::facts::Disk;

    fn facts() -> Facts {
        let text = String::from;
        let mut facts = Facts::empty(semver::Version::new(0, 1, 0), "lab".parse().unwrap());
        facts.fqdn = text("web1.example.org");
        facts.os.name = text("Debian GNU/Linux 12");
        facts.arch = text("amd64");
        facts.kernel.release = text("6.1.0-28-amd64");
        facts.kernel.installed = vec![text("6.1.0-28-amd64"), text("6.1.0-30-amd64")];
        facts.reboot = vec![text("kernel 6.1.0-30-amd64 is installed")];
        facts.support = shared::facts::of_os_release("2026-07-11");
        let disk = Disk { name: text("sda"), model: text(""), size_mib: 40_960, rotating: false };
        facts.hardware = Some(Hardware {
            vendor: text("Lab"),
            model: text("One"),
            serial: text("77"),
            cpu: text("CPU"),
            cpus: 4,
            memory_mib: 8_192,
            disks: vec![disk],
        });
        facts.clock =
            Some(Clock { synchronised: Some(false), source: Some(text("chrony")), ahead_s: Some(-40) });
        let socket = |address: &str| Socket {
            port: 22,
            protocol: Protocol::Tcp,
            address: address.into(),
            program: Some(text("sshd\u{1b}[1m")),
            unit: None,
        };
        facts.listening = vec![socket("0.0.0.0"), socket("::")];
        facts.updaters = vec![Updater {
            name: text("unattended-upgrades"),
            version: Some(text("2.9")),
            enabled: true,
            does: Does::Installs,
        }];
        facts.users = vec![User {
            name: text("eve"),
            uid: 1_000,
            shell: text("/bin/sh"),
            login: true,
            password: Password::Empty,
            password_changed: Some(Timestamp(1_702_080_000)),
            privileged: vec![text("sudo")],
        }];
        facts.mounts = vec![Mount {
            path: text("/"),
            source: text("/dev/sda1"),
            fstype: text("ext4"),
            options: vec![],
            size_mib: Some(40_000),
            used_percent: Some(95),
        }];
        facts
    }

    const NOW: Timestamp = Timestamp(1_795_000_000);

    #[test]
    fn one_host_is_told_on_one_screen() {
        let shown = overview(&facts(), Lang::En, NOW);
        let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = shown.lines().map(squeezed).collect();
        for line in [
            "end of support ended 2026-07-11 (os-release)",
            "kernel 6.1.0-28-amd64 (also installed: 6.1.0-30-amd64)",
            "hardware Lab One #77, 4 x CPU, 8 GiB RAM, 40 GiB",
            "clock not synchronised, chrony, -40 s",
            "22 tcp 0.0.0.0 sshd\\u{1b}[1m -",
            "unattended-upgrades 2.9 yes installs updates by itself",
            "eve 1000 yes EMPTY 2023-12-09 sudo",
            "/ /dev/sda1 ext4 39 GiB 95 %",
        ] {
            assert!(lines.contains(&line.to_owned()), "{line}\n{shown}");
        }
        assert!(shown.lines().count() < 40, "{shown}");
        let brief: Vec<String> = brief(&facts(), Lang::De, NOW)
            .into_iter()
            .map(|(label, value)| format!("{label}: {value}"))
            .collect();
        assert!(brief.contains(&"andere Updater: unattended-upgrades".to_owned()), "{brief:?}");
        assert!(brief.contains(&"lauscht auf: 22".to_owned()), "{brief:?}");
        assert!(brief.contains(&"fast voll: / 95 %".to_owned()), "{brief:?}");
    }

    #[test]
    fn a_section_as_json_is_that_part_of_the_document() {
        let whole = serde_json::to_value(facts()).unwrap();
        assert_eq!(of_section(FactSection::Listening, &whole)[0]["port"], 22);
        assert_eq!(of_section(FactSection::Local, &whole), Value::Array(vec![]));
        let system = of_section(FactSection::System, &whole);
        assert!(system.get("hardware").is_some() && system.get("listening").is_none(), "{system}");
    }
}
