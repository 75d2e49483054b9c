//! Facts of the host, gathered through the door to the machine and cut to what is accepted.
//!
//! Owns: what is a fact, and that one that changes by itself stays quiet. Never: running anything but the questions to the
//! package manager and systemd, or sending a secret.

pub(crate) mod certificates;
pub(crate) mod local;
mod updaters;
pub(crate) mod users;

use crate::host::{Entry, Fault, FileSystem, Host, PackageState, Survey, Unit};
use crate::resource::reboot;
use crate::slots::Place;
use shared::facts::{
    ADDRESSES, Clock, FEW, Facts, Kernel, MOUNTS, Mount, Os, PACKAGES, Package, PackageStatus, SERVICES,
    Section, Service, Support, clean, known_support, of_distro_info, of_os_release,
};
use shared::ids::HostClass;
use std::collections::BTreeMap;

const OS_RELEASE_BYTES: u64 = 64 << 10;
const HOSTNAME_BYTES: u64 = 4 << 10;
const DISTRO_INFO_BYTES: u64 = 256 << 10;
/// Services that keep a clock, with the name under which people know them.
const TIMEKEEPERS: [(&str, &str); 8] = [
    ("chrony", "chrony"),
    ("chronyd", "chrony"),
    ("systemd-timesyncd", "systemd-timesyncd"),
    ("ntpsec", "ntpsec"),
    ("ntp", "ntp"),
    ("ntpd", "ntp"),
    ("openntpd", "openntpd"),
    ("ptp4l", "ptp4l"),
];

/// What the host's own settings say about its facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What is not gathered.
    pub omit: Vec<Section>,
    /// Files and directories in which certificates are looked for.
    pub certificates: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let certificates = certificates::PLACES.iter().map(|place| (*place).to_owned()).collect();
        Self { omit: Vec::new(), certificates }
    }
}

/// What earlier facts of this process knew. Losing it costs one reading, and at most one report of new roundings.
#[derive(Debug, Default)]
pub struct Memory {
    /// Percent in use that was last told, by mount.
    used: BTreeMap<String, u8>,
    certificates: certificates::Read,
}

/// What templates may use, and who the host is: files of the host, no programs but one question for the machine type.
///
/// # Errors
/// Something that every host has cannot be read.
pub fn basic(
    host: &impl Host,
    host_class: &HostClass,
    agent_version: semver::Version,
) -> Result<Facts, Fault> {
    let name = name(host)?;
    let mut addresses = host.addresses()?;
    addresses.truncate(ADDRESSES);
    Ok(Facts {
        hostname: name.split('.').next().unwrap_or(&name).to_owned(),
        fqdn: name,
        os: os(&os_release(host)?),
        kernel: Kernel { release: clean(&host.uname().release), installed: Vec::new() },
        arch: clean(&host.architecture()?),
        addresses,
        agent_slot: match host.own().place {
            Place::Packaged => None,
            slot => Some(slot.as_str().to_owned()),
        },
        ..Facts::empty(agent_version, host_class.clone())
    })
}

/// Gathers everything. Costs one question to the package database and two `systemctl`, and one to the lists of the
/// sources after packages or lists changed; all else is read from files.
///
/// # Errors
/// Something that every host has cannot be read. What only some have is told in the notes.
pub fn collect(
    host: &impl Host,
    host_class: &HostClass,
    agent_version: semver::Version,
    settings: &Settings,
    memory: &mut Memory,
) -> Result<Facts, Fault> {
    let mut facts = basic(host, host_class, agent_version)?;
    facts.packages = packages(host)?;
    let units = host.units()?;
    let survey = host.survey();
    let wanted = |section| !settings.omit.contains(&section);
    let mut notes = Notes::default();
    facts.omitted.clone_from(&settings.omit);
    facts.omitted.sort();
    facts.omitted.dedup();
    facts.kernel.installed = notes.kept("installed kernels", kernels(host, survey.as_ref()));
    facts.reboot = notes.kept("reasons for a reboot", reboot::reasons(host));
    facts.reboot.iter_mut().for_each(|reason| *reason = clean(reason));
    facts.reboot.truncate(FEW);
    facts.support = support(host, &facts.os);
    if wanted(Section::Users) {
        facts.users = notes.kept("users", users::read(host));
    }
    if wanted(Section::Updaters) {
        facts.updaters = notes.kept("other updaters", updaters::find(host, &facts.packages, &units));
    }
    if wanted(Section::Certificates) {
        let known = &mut memory.certificates;
        facts.certificates = certificates::find(host, &settings.certificates, known, &mut notes.0);
    }
    if wanted(Section::Local) {
        facts.local = local::read(host, &mut notes.0);
    }
    if let Some(survey) = survey {
        surveyed(&mut facts, survey, wanted, &mut memory.used, &mut notes.0);
        facts.clock.get_or_insert_default().source = timekeeper(&units);
    }
    facts.services = units.into_iter().map(service).collect();
    facts.services.sort();
    facts.services.dedup();
    facts.services.truncate(SERVICES);
    facts.notes = notes.0.iter().map(|note| clean(note)).take(FEW).collect();
    Ok(facts)
}

/// What could not be found out.
#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    /// A section that cannot be read is empty and noted: the others are facts all the same.
    fn kept<T>(&mut self, what: &str, read: Result<Vec<T>, Fault>) -> Vec<T> {
        read.unwrap_or_else(|fault| {
            self.0.push(format!("{what} cannot be told: {}", fault.text()));
            Vec::new()
        })
    }
}

fn packages(host: &impl Host) -> Result<Vec<Package>, Fault> {
    // Where apt has no lists nobody knows; that is no reason to report nothing.
    let origins = host.packager().origins().unwrap_or_else(|fault| {
        tracing::warn!("the origin of packages cannot be told: {}", fault.text());
        None
    });
    let mut packages: Vec<Package> =
        host.packages()?.into_iter().map(|found| package(found, origins.as_ref())).collect();
    packages.sort();
    packages.dedup();
    packages.truncate(PACKAGES);
    Ok(packages)
}

fn surveyed(
    facts: &mut Facts,
    survey: Survey,
    wanted: impl Fn(Section) -> bool,
    used: &mut BTreeMap<String, u8>,
    notes: &mut Vec<String>,
) {
    notes.extend(survey.notes);
    facts.virtualisation = Some(survey.virtualisation);
    facts.clock = Some(Clock { synchronised: survey.synchronised, ..Clock::default() });
    if wanted(Section::Hardware) {
        facts.hardware = survey.hardware;
    }
    if wanted(Section::Listening) {
        facts.listening = survey.listening;
    }
    if wanted(Section::Mounts) {
        let mut told = BTreeMap::new();
        facts.mounts = survey.mounts.into_iter().map(|found| mount(found, used, &mut told)).collect();
        facts.mounts.sort();
        facts.mounts.dedup();
        facts.mounts.truncate(MOUNTS);
        *used = told;
    }
}

fn mount(found: FileSystem, before: &BTreeMap<String, u8>, told: &mut BTreeMap<String, u8>) -> Mount {
    let used_percent = found.room.map(|(_, exact)| steady(before.get(&found.path).copied(), exact));
    told.extend(used_percent.map(|percent| (found.path.clone(), percent)));
    Mount {
        path: clean(&found.path),
        source: clean(&found.source),
        fstype: clean(&found.fstype),
        options: found.options,
        size_mib: found.room.map(|(size, _)| size),
        used_percent,
    }
}

/// A percentage in steps of five that stays as it was until the exact one has moved by five.
fn steady(before: Option<u8>, exact: u8) -> u8 {
    match before {
        Some(before) if before.abs_diff(exact) < 5 => before,
        _ => exact.saturating_add(2) / 5 * 5,
    }
}

/// The newest last. Kernels in a container's `/boot` are nobody's.
fn kernels(host: &impl Host, survey: Option<&Survey>) -> Result<Vec<String>, Fault> {
    if survey.is_none_or(|survey| survey.is_container) {
        return Ok(Vec::new());
    }
    let order = host.packager().order();
    let names = host.list("/boot")?;
    let mut releases: Vec<String> =
        names.iter().filter_map(|name| name.strip_prefix("vmlinuz-")).map(clean).collect();
    releases.sort_by(|a, b| match (order.is_newer(a, b), order.is_newer(b, a)) {
        (true, _) => std::cmp::Ordering::Greater,
        (_, true) => std::cmp::Ordering::Less,
        _ => a.cmp(b),
    });
    releases.drain(..releases.len().saturating_sub(FEW));
    Ok(releases)
}

/// What the host itself says goes before what this program knows.
fn support(host: &impl Host, os: &Os) -> Option<Support> {
    let told = os_release(host).ok().and_then(|text| of_os_release(&value(&text, "SUPPORT_END")));
    let is_word =
        !os.id.is_empty() && os.id.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_');
    let listed = || {
        let path = format!("/usr/share/distro-info/{}.csv", os.id);
        let bytes = is_word.then(|| host.read(&path, DISTRO_INFO_BYTES).ok().flatten()).flatten()?;
        of_distro_info(&String::from_utf8_lossy(&bytes), os)
    };
    told.or_else(listed).or_else(|| known_support(os))
}

fn timekeeper(units: &[(String, Unit)]) -> Option<String> {
    let runs = |name: &str| {
        let unit = format!("{name}.service");
        units.iter().any(|(found, state)| *found == unit && state.is_active())
    };
    TIMEKEEPERS.iter().find(|(service, _)| runs(service)).map(|(_, name)| (*name).to_owned())
}

/// hostname(5) of the managed root, else the name that the kernel has.
fn name(host: &impl Host) -> Result<String, Fault> {
    let file = match host.look("/etc/hostname")? {
        Entry::File { .. } => host.read("/etc/hostname", HOSTNAME_BYTES)?.unwrap_or_default(),
        _ => Vec::new(),
    };
    let text = String::from_utf8_lossy(&file);
    let line = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#'));
    Ok(clean(line.unwrap_or(&host.uname().nodename)))
}

/// os-release(5); empty where the host has none.
fn os_release(host: &impl Host) -> Result<String, Fault> {
    for path in ["/etc/os-release", "/usr/lib/os-release"] {
        // Usually a link; reading looks at the path itself only.
        let target = match host.look(path)? {
            Entry::Link { target } if target.starts_with("../") => target.trim_start_matches("..").to_owned(),
            Entry::Link { target } => target,
            Entry::File { .. } => path.to_owned(),
            _ => continue,
        };
        if let Some(bytes) = host.read(&target, OS_RELEASE_BYTES)? {
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    Ok(String::new())
}

/// `NAME=value`, the value perhaps in quotes.
fn value(os_release: &str, name: &str) -> String {
    let raw = os_release.lines().find_map(|l| l.trim().strip_prefix(name)?.strip_prefix('='));
    clean(raw.unwrap_or_default().trim_matches(['"', '\'']))
}

fn os(os_release: &str) -> Os {
    let value = |name| value(os_release, name);
    Os {
        id: value("ID"),
        version: value("VERSION_ID"),
        codename: value("VERSION_CODENAME"),
        name: value("PRETTY_NAME"),
    }
}

fn package(found: crate::host::Installed, origins: Option<&BTreeMap<String, String>>) -> Package {
    let origin = origins.and_then(|all| all.get(&found.name)).map(|origin| clean(origin));
    let status = match found.state {
        PackageState::Installed if found.held => PackageStatus::Held,
        PackageState::Installed => PackageStatus::Installed,
        PackageState::Unconfigured | PackageState::Broken => PackageStatus::Broken,
        PackageState::ConfigFiles => PackageStatus::ConfigFiles,
    };
    Package {
        name: clean(found.name.split(':').next().unwrap_or(&found.name)),
        version: clean(&found.version),
        arch: clean(&found.arch),
        source: clean(&found.source),
        source_version: clean(&found.source_version),
        vendor: found.vendor.as_deref().map(clean),
        status,
        origin,
    }
}

fn service((name, unit): (String, Unit)) -> Service {
    let name = name.strip_suffix(".service").unwrap_or(&name);
    Service { name: clean(name), active: clean(&unit.active), enabled: clean(&unit.enabled) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::Fake;
    use shared::facts::{FACT_TEXT_BYTES, Hardware, Protocol, Socket};

    fn collected(host: &Fake, settings: &Settings, memory: &mut Memory) -> Facts {
        let facts =
            collect(host, &"lab".parse().unwrap(), semver::Version::new(0, 1, 0), settings, memory).unwrap();
        facts.check().unwrap();
        facts
    }

    #[test]
    fn facts_are_within_the_limits_of_the_server() {
        let host = Fake::default();
        host.file("/etc/hostname", "# name\nweb1.example.org\n");
        let name = "N".repeat(400);
        host.file("/etc/os-release", &format!("ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME='{name}'\n"));
        host.file("/etc/passwd", &format!("{name}:x:7:7::/:/bin/\u{1b}sh\n"));
        let facts = collected(&host, &Settings::default(), &mut Memory::default());
        assert_eq!((facts.hostname.as_str(), facts.fqdn.as_str()), ("web1", "web1.example.org"));
        assert_eq!(
            (facts.os.id.as_str(), facts.os.version.as_str(), facts.os.name.len()),
            ("debian", "12", FACT_TEXT_BYTES)
        );
        assert_eq!((facts.users[0].name.len(), facts.users[0].shell.as_str()), (FACT_TEXT_BYTES, "/bin/sh"));
        assert_eq!(
            (facts.arch.as_str(), facts.addresses.as_slice()),
            ("amd64", &["192.0.2.1".to_owned()][..])
        );
    }

    #[test]
    fn a_host_that_nobody_touches_has_the_same_facts() {
        let host = Fake::default();
        let room = |percent| {
            let root = FileSystem {
                path: "/".into(),
                source: "/dev/sda1".into(),
                fstype: "ext4".into(),
                options: vec![],
                room: Some((20_000, percent)),
            };
            host.survey.borrow_mut().mounts = vec![root];
        };
        let mut memory = Memory::default();
        let mut told = Vec::new();
        for percent in [52, 54, 56, 53, 57, 58, 61, 59, 64] {
            room(percent);
            told.push(collected(&host, &Settings::default(), &mut memory).mounts[0].used_percent.unwrap());
        }
        assert_eq!(told, [50, 50, 55, 55, 55, 55, 60, 60, 60]);
        assert_eq!((steady(None, 0), steady(None, 100), steady(None, 98)), (0, 100, 100));
    }

    #[test]
    fn what_settings_keep_back_is_not_in_the_facts_and_they_say_so() {
        let host = Fake::default();
        host.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
        let socket =
            Socket { port: 22, protocol: Protocol::Tcp, address: "::".into(), program: None, unit: None };
        *host.survey.borrow_mut() =
            Survey { listening: vec![socket], hardware: Some(hardware()), ..Survey::default() };
        let all = collected(&host, &Settings::default(), &mut Memory::default());
        assert_eq!((all.users.len(), all.listening.len(), all.hardware.is_some()), (1, 1, true));
        let omit = vec![Section::Users, Section::Listening, Section::Hardware, Section::Users];
        let settings = Settings { omit, ..Settings::default() };
        let some = collected(&host, &settings, &mut Memory::default());
        assert_eq!((some.users.len(), some.listening.len(), some.hardware), (0, 0, None));
        assert_eq!(some.omitted, [Section::Hardware, Section::Listening, Section::Users]);
    }

    fn hardware() -> Hardware {
        let none = String::new;
        Hardware {
            vendor: none(),
            model: none(),
            serial: none(),
            cpu: none(),
            cpus: 1,
            memory_mib: 64,
            disks: vec![],
        }
    }

    #[test]
    fn support_is_told_by_the_host_before_the_table() {
        let host = Fake::default();
        let source =
            || collected(&host, &Settings::default(), &mut Memory::default()).support.map(|s| s.source);
        assert_eq!(source(), None);
        host.file("/etc/os-release", "ID=debian\nVERSION_ID=12\n");
        assert_eq!(source().as_deref(), Some("assent"));
        host.file("/usr/share/distro-info/debian.csv", "version,series,eol\n12,bookworm,2026-07-11\n");
        assert_eq!(source().as_deref(), Some("distro-info-data"));
        host.file("/etc/os-release", "ID=debian\nVERSION_ID=12\nSUPPORT_END=2027-01-01\n");
        assert_eq!(source().as_deref(), Some("os-release"));
        host.file("/etc/os-release", "ID=../../etc/shadow\nVERSION_ID=12\n");
        assert_eq!(source(), None);
    }

    #[test]
    fn kernels_are_listed_the_newest_last_and_a_section_that_fails_is_noted() {
        let host = Fake::default();
        for release in ["6.1.0-9-amd64", "6.1.0-28-amd64", "6.1.0-10-amd64"] {
            host.file(&format!("/boot/vmlinuz-{release}"), "");
        }
        let facts = collected(&host, &Settings::default(), &mut Memory::default());
        assert_eq!(facts.kernel.installed, ["6.1.0-9-amd64", "6.1.0-10-amd64", "6.1.0-28-amd64"]);
        host.survey.borrow_mut().is_container = true;
        host.survey.borrow_mut().notes = vec!["mounts cannot be read: no".into()];
        let facts = collected(&host, &Settings::default(), &mut Memory::default());
        assert_eq!(
            (facts.kernel.installed.len(), facts.notes),
            (0, vec!["mounts cannot be read: no".to_owned()])
        );
    }
}
