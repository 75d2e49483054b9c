//! What changed between two reports of a host, in words for its history. Pure.
//!
//! Left out is what comes and goes by itself: which services run, how full file systems are, the offset of the clock.

use super::marks::{day, place};
use shared::facts::{Certificate, Facts, LocalFact, Mount, Package, Service, Socket, Updater, User};
use std::collections::BTreeMap;

/// Names of one list that are told; the rest is a number.
const NAMED: usize = 4;

pub fn differences(old: &Facts, new: &Facts) -> Vec<String> {
    let mut all = system(old, new);
    all.extend(list("packages", &old.packages, &new.packages, package));
    all.extend(list("services", &old.services, &new.services, service));
    all.extend(list("listening", &old.listening, &new.listening, socket));
    all.extend(list("users", &old.users, &new.users, user));
    all.extend(list("certificates", &old.certificates, &new.certificates, certificate));
    all.extend(list("other updaters", &old.updaters, &new.updaters, updater));
    all.extend(list("mounts", &old.mounts, &new.mounts, mount));
    all.extend(list("local facts", &old.local, &new.local, local));
    all
}

/// A part of the facts in words; none where they do not tell.
type Of<'a> = &'a dyn Fn(&Facts) -> Option<String>;

fn system(old: &Facts, new: &Facts) -> Vec<String> {
    let hardware = |facts: &Facts| {
        let found = facts.hardware.as_ref()?;
        let disks: Vec<String> =
            found.disks.iter().map(|disk| format!("{} {} MiB", disk.name, disk.size_mib)).collect();
        Some(format!("{} CPUs, {} MiB, {}", found.cpus, found.memory_mib, disks.join(", ")))
    };
    let reboot = |facts: &Facts| Some(facts.reboot.first().cloned().unwrap_or_else(|| "not needed".into()));
    let synchronised = |facts: &Facts| {
        let yes = facts.clock.as_ref()?.synchronised?;
        Some(if yes { "synchronised" } else { "not synchronised" }.to_owned())
    };
    let agent = |facts: &Facts| {
        let slot = facts.agent_slot.as_ref().map(|slot| format!(" ({slot})")).unwrap_or_default();
        Some(format!("{}{slot}", facts.agent_version))
    };
    let pairs: [(&str, Of<'_>); 10] = [
        ("agent", &agent),
        ("os", &|facts| Some(facts.os.id.clone())),
        ("os version", &|facts| Some(facts.os.version.clone())),
        ("kernel", &|facts| Some(facts.kernel.release.clone())),
        ("arch", &|facts| Some(facts.arch.clone())),
        ("hardware", &hardware),
        ("virtualisation", &|facts| facts.virtualisation.clone()),
        ("end of support", &|facts| facts.support.as_ref().map(|support| day(support.ends))),
        ("reboot", &reboot),
        ("clock", &synchronised),
    ];
    let changed = pairs.into_iter().filter_map(|(what, of)| {
        let (old, new) = (of(old)?, of(new)?);
        (old != new).then(|| format!("{what}: {old} → {new}"))
    });
    changed.collect()
}

/// Entries by what they are called, and what of them is worth a line.
fn list<T>(what: &str, old: &[T], new: &[T], told: impl Fn(&T) -> (String, String)) -> Option<String> {
    let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (old.iter().map(&told).collect(), new.iter().map(&told).collect());
    let with =
        |name: &str, value: &str| if value.is_empty() { name.to_owned() } else { format!("{name} {value}") };
    let mut changes = Vec::new();
    for (name, before) in &old {
        match new.get(name) {
            None => changes.push(format!("-{}", with(name, before))),
            Some(after) if after != before => changes.push(format!("{name} {before} → {after}")),
            Some(_) => {}
        }
    }
    let gained = new.iter().filter(|(name, _)| !old.contains_key(*name));
    changes.extend(gained.map(|(name, value)| format!("+{}", with(name, value))));
    let more = changes.len().saturating_sub(NAMED);
    changes.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!changes.is_empty()).then(|| format!("{what}: {}{more}", changes.join(", ")))
}

fn package(package: &Package) -> (String, String) {
    (format!("{}:{}", package.name, package.arch), package.version.clone())
}

fn service(service: &Service) -> (String, String) {
    (service.name.clone(), service.enabled.clone())
}

fn socket(socket: &Socket) -> (String, String) {
    let protocol = if socket.protocol == shared::facts::Protocol::Tcp { "tcp" } else { "udp" };
    let place = place(&socket.address, socket.port);
    (format!("{protocol} {place}"), socket.program.clone().unwrap_or_default())
}

fn user(user: &User) -> (String, String) {
    let login = if user.login { "login" } else { "no login" };
    let groups =
        if user.privileged.is_empty() { String::new() } else { format!(", {}", user.privileged.join(" ")) };
    (user.name.clone(), format!("({login}, password {:?}{groups})", user.password).to_lowercase())
}

fn certificate(certificate: &Certificate) -> (String, String) {
    (certificate.path.clone(), format!("until {}", day(certificate.not_after)))
}

fn updater(updater: &Updater) -> (String, String) {
    (updater.name.clone(), if updater.enabled { "enabled" } else { "not enabled" }.to_owned())
}

fn mount(mount: &Mount) -> (String, String) {
    (mount.path.clone(), format!("({} {})", mount.source, mount.options.join(",")).replace(" )", ")"))
}

fn local(local: &LocalFact) -> (String, String) {
    (local.name.clone(), local.value.clone())
}
