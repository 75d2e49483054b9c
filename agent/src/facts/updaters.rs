//! What else may change this host: updaters of the distribution, other package systems, configuration management and
//! agents of vendors. Found by packages, units and settings; nothing is run.

use crate::host::{Entry, Fault, Host, Unit};
use shared::facts::{Does, Package, PackageStatus, Updater, clean};

const APT_CONF: &str = "/etc/apt/apt.conf.d";
const DNF_AUTOMATIC: &str = "/etc/dnf/automatic.conf";
const CONF_BYTES: u64 = 256 << 10;
/// Where systemd looks for what is started by itself, the administrator's before the vendor's.
const UNIT_DIRS: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
const WANTS: [&str; 5] = ["multi-user", "timers", "sockets", "graphical", "default"];

/// One updater: names that its package has, and units that start it.
struct Known {
    name: &'static str,
    packages: &'static [&'static str],
    units: &'static [&'static str],
    does: Does,
}

const fn known(
    name: &'static str,
    packages: &'static [&'static str],
    units: &'static [&'static str],
    does: Does,
) -> Known {
    Known { name, packages, units, does }
}

const APT_DAILY: &str = "apt-daily";
const UNATTENDED: &str = "unattended-upgrades";
const DNF_TIMER: &str = "dnf-automatic";

const KNOWN: &[Known] = &[
    known(UNATTENDED, &["unattended-upgrades"], &["apt-daily-upgrade.timer"], Does::Installs),
    known(APT_DAILY, &["apt"], &["apt-daily.timer"], Does::Prepares),
    known(
        DNF_TIMER,
        &["dnf-automatic"],
        &["dnf-automatic.timer", "dnf-automatic-install.timer"],
        Does::Installs,
    ),
    known("packagekit", &["packagekit", "PackageKit"], &["packagekit.service"], Does::OnRequest),
    known("transactional-update", &["transactional-update"], &["transactional-update.timer"], Does::Installs),
    known("snapd", &["snapd"], &["snapd.service", "snapd.socket"], Does::Installs),
    known("flatpak", &["flatpak"], &["flatpak-system-update.timer"], Does::OnRequest),
    known("fwupd", &["fwupd"], &["fwupd-refresh.timer"], Does::Prepares),
    known("puppet", &["puppet", "puppet-agent", "openvox-agent"], &["puppet.service"], Does::Obeys),
    known("chef", &["chef", "cinc"], &["chef-client.service", "chef-client.timer"], Does::Obeys),
    known(
        "salt",
        &["salt-minion", "venv-salt-minion"],
        &["salt-minion.service", "venv-salt-minion.service"],
        Does::Obeys,
    ),
    known("ansible-pull", &[], &["ansible-pull.timer", "ansible-pull.service"], Does::Obeys),
    known(
        "cfengine",
        &["cfengine3", "cfengine-community", "cfengine-nova"],
        &["cfengine3.service"],
        Does::Obeys,
    ),
    known("rudder", &["rudder-agent"], &["rudder-agent.service"], Does::Obeys),
    known("landscape", &["landscape-client"], &["landscape-client.service"], Does::Obeys),
    known("red-hat-connector", &["rhc"], &["rhcd.service", "yggdrasil.service"], Does::Obeys),
    known("amazon-ssm-agent", &["amazon-ssm-agent"], &["amazon-ssm-agent.service"], Does::Obeys),
    known(
        "google-osconfig-agent",
        &["google-osconfig-agent"],
        &["google-osconfig-agent.service"],
        Does::Obeys,
    ),
    known(
        "azure-agent",
        &["walinuxagent", "WALinuxAgent"],
        &["walinuxagent.service", "waagent.service"],
        Does::Obeys,
    ),
];

/// All that is here, sorted.
///
/// # Errors
/// Settings or units cannot be looked at.
pub fn find(
    host: &impl Host,
    packages: &[Package],
    services: &[(String, Unit)],
) -> Result<Vec<Updater>, Fault> {
    let mut found = Vec::new();
    for known in KNOWN {
        let package = packages.iter().find(|package| {
            known.packages.contains(&package.name.as_str()) && package.status != PackageStatus::ConfigFiles
        });
        let started = is_started(host, known.units, services)?;
        // What came without a package shows by what starts it.
        if package.is_none() && !(started && known.packages.is_empty()) {
            continue;
        }
        let (enabled, does) = settled(host, known, started)?;
        let version = package.map(|package| clean(&package.version));
        found.push(Updater { name: known.name.to_owned(), version, enabled, does });
    }
    found.sort();
    Ok(found)
}

/// What settings make of it.
fn settled(host: &impl Host, known: &Known, started: bool) -> Result<(bool, Does), Fault> {
    Ok(match known.name {
        UNATTENDED => (started && periodic(host, "Unattended-Upgrade")?, known.does),
        APT_DAILY => (started && periodic(host, "Update-Package-Lists")?, known.does),
        DNF_TIMER => (started, if dnf_applies(host)? { Does::Installs } else { Does::Prepares }),
        _ => (started, known.does),
    })
}

/// Whether one of the units is started at boot or by a timer.
fn is_started(host: &impl Host, units: &[&str], services: &[(String, Unit)]) -> Result<bool, Fault> {
    for unit in units {
        let masked = matches!(host.look(&format!("{}/{unit}", UNIT_DIRS[0]))?,
            Entry::Link { target } if target == "/dev/null");
        if masked {
            continue;
        }
        if services.iter().any(|(name, state)| name == unit && state.is_enabled()) {
            return Ok(true);
        }
        for dir in UNIT_DIRS {
            for target in WANTS {
                if host.look(&format!("{dir}/{target}.target.wants/{unit}"))? != Entry::Absent {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// An option of `APT::Periodic` in the settings of apt (apt.systemd.daily); the last one counts, and none means no.
fn periodic(host: &impl Host, option: &str) -> Result<bool, Fault> {
    let mut value = None;
    for name in host.list(APT_CONF)? {
        let path = format!("{APT_CONF}/{name}");
        if !matches!(host.look(&path)?, Entry::File { length, .. } if length <= CONF_BYTES) {
            continue;
        }
        let bytes = host.read(&path, CONF_BYTES)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        value = text.lines().rev().find_map(|line| of_periodic(line, option)).or(value);
    }
    Ok(value.is_some_and(|value| value != "0" && !value.is_empty()))
}

/// `APT::Periodic::Option "value";`, as the tools write it.
fn of_periodic(line: &str, option: &str) -> Option<String> {
    let rest = line.trim().strip_prefix("APT::Periodic::")?.strip_prefix(option)?;
    let value = rest.trim_start().strip_prefix('"')?.split('"').next()?;
    Some(value.to_owned())
}

/// `apply_updates` of dnf's automatic.conf(5).
fn dnf_applies(host: &impl Host) -> Result<bool, Fault> {
    let bytes = match host.look(DNF_AUTOMATIC)? {
        Entry::File { .. } => host.read(DNF_AUTOMATIC, CONF_BYTES)?.unwrap_or_default(),
        _ => return Ok(false),
    };
    let text = String::from_utf8_lossy(&bytes);
    let value = text.lines().rev().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "apply_updates").then(|| value.trim().to_ascii_lowercase())
    });
    Ok(value.is_some_and(|value| ["yes", "true", "on", "1"].contains(&value.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::{Fake, Node};

    fn package(name: &str) -> Package {
        Package {
            name: name.into(),
            version: "2.1".into(),
            arch: "all".into(),
            source: name.into(),
            source_version: "2.1".into(),
            vendor: None,
            status: PackageStatus::Installed,
            origin: None,
        }
    }

    fn told(host: &Fake, packages: &[&str], services: &[(&str, &str)]) -> Vec<String> {
        let packages: Vec<Package> = packages.iter().map(|name| package(name)).collect();
        let unit = |enabled: &str| Unit { loaded: true, active: "active".into(), enabled: enabled.into() };
        let services: Vec<_> =
            services.iter().map(|(name, enabled)| ((*name).to_owned(), unit(enabled))).collect();
        let found = find(host, &packages, &services).unwrap();
        found.iter().map(|u| format!("{} {} {:?}", u.name, u.enabled, u.does)).collect()
    }

    #[test]
    fn unattended_upgrades_counts_as_enabled_only_with_timer_and_setting() {
        let host = Fake::default();
        let off = ["apt-daily false Prepares", "unattended-upgrades false Installs"];
        assert_eq!(told(&host, &["apt", "unattended-upgrades"], &[]), off);
        for timer in ["apt-daily.timer", "apt-daily-upgrade.timer"] {
            let place = format!("/etc/systemd/system/timers.target.wants/{timer}");
            let target = Node::Link(format!("/usr/lib/systemd/system/{timer}"));
            host.world.borrow_mut().nodes.insert(place, target);
        }
        assert_eq!(told(&host, &["apt", "unattended-upgrades"], &[]), off, "apt does nothing unasked");
        let settings =
            "// x\nAPT::Periodic::Update-Package-Lists \"1\";\nAPT::Periodic::Unattended-Upgrade \"1\";\n";
        host.file("/etc/apt/apt.conf.d/20auto-upgrades", settings);
        let on = ["apt-daily true Prepares", "unattended-upgrades true Installs"];
        assert_eq!(told(&host, &["apt", "unattended-upgrades"], &[]), on);
        host.file("/etc/apt/apt.conf.d/52assent", "APT::Periodic::Unattended-Upgrade \"0\";\n");
        assert_eq!(told(&host, &["unattended-upgrades"], &[]), ["unattended-upgrades false Installs"]);
    }

    #[test]
    fn vendors_agents_and_other_package_systems_are_told_with_what_they_do() {
        let host = Fake::default();
        host.file("/etc/dnf/automatic.conf", "[commands]\napply_updates = no\n");
        let units = [
            ("snapd.service", "enabled"),
            ("puppet.service", "disabled"),
            ("ansible-pull.service", "enabled"),
        ];
        assert_eq!(
            told(&host, &["snapd", "puppet-agent", "flatpak", "dnf-automatic", "bash"], &units),
            [
                "ansible-pull true Obeys",
                "dnf-automatic false Prepares",
                "flatpak false OnRequest",
                "puppet false Obeys",
                "snapd true Installs"
            ]
        );
        host.world
            .borrow_mut()
            .nodes
            .insert("/etc/systemd/system/snapd.service".into(), Node::Link("/dev/null".into()));
        assert_eq!(told(&host, &["snapd"], &units)[1], "snapd false Installs", "masked");
        host.file("/etc/dnf/automatic.conf", "[commands]\napply_updates = yes\n");
        assert_eq!(told(&host, &["dnf-automatic"], &[]), ["dnf-automatic false Installs"]);
    }
}
