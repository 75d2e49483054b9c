//! Facts of the host, gathered through the door to the machine and cut to what is accepted.

use crate::host::{Entry, Fault, Host, PackageState};
use shared::facts::{
    ADDRESSES, FACT_TEXT_BYTES, Facts, Kernel, Os, PACKAGES, Package, PackageStatus, SERVICES, Service,
};
use shared::ids::HostClass;
use std::collections::BTreeMap;

const OS_RELEASE_BYTES: u64 = 64 << 10;
const HOSTNAME_BYTES: u64 = 4 << 10;

/// Gathers everything. Costs one question to the package database and two `systemctl`, and one to the lists of the
/// sources after packages or lists changed.
///
/// # Errors
/// Something that every host has cannot be read.
pub fn collect(
    host: &impl Host,
    host_class: &HostClass,
    agent_version: semver::Version,
) -> Result<Facts, Fault> {
    let name = name(host)?;
    // Where apt has no lists nobody knows; that is no reason to report nothing.
    let origins = host.packager().origins().unwrap_or_else(|fault| {
        tracing::warn!("the origin of packages cannot be told: {}", fault.text());
        None
    });
    let mut packages: Vec<Package> =
        host.packages()?.into_iter().map(|found| package(found, origins.as_ref())).collect();
    packages.sort();
    packages.truncate(PACKAGES);
    let mut services: Vec<Service> = host.units()?.into_iter().map(service).collect();
    services.truncate(SERVICES);
    let mut addresses = host.addresses()?;
    addresses.truncate(ADDRESSES);
    Ok(Facts {
        hostname: name.split('.').next().unwrap_or(&name).to_owned(),
        fqdn: name,
        os: os(host)?,
        kernel: Kernel { release: clean(&host.uname().release) },
        arch: clean(&host.architecture()?),
        packages,
        services,
        addresses,
        agent_version,
        host_class: host_class.clone(),
    })
}

/// What a limit or a control character would make the server refuse, is cut here.
fn clean(text: &str) -> String {
    let mut clean: String = text.chars().filter(|c| !c.is_control()).collect();
    while clean.len() > FACT_TEXT_BYTES {
        clean.pop();
    }
    clean
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

/// os-release(5): `NAME=value`, the value perhaps in quotes.
fn os(host: &impl Host) -> Result<Os, Fault> {
    let mut bytes = None;
    for path in ["/etc/os-release", "/usr/lib/os-release"] {
        // Usually a link; reading looks at the path itself only.
        let target = match host.look(path)? {
            Entry::Link { target } if target.starts_with("../") => target.trim_start_matches("..").to_owned(),
            Entry::Link { target } => target,
            Entry::File { .. } => path.to_owned(),
            _ => continue,
        };
        bytes = host.read(&target, OS_RELEASE_BYTES)?;
        if bytes.is_some() {
            break;
        }
    }
    let bytes = bytes.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let value = |name: &str| {
        let raw = text.lines().find_map(|l| l.trim().strip_prefix(name)?.strip_prefix('='));
        clean(raw.unwrap_or_default().trim_matches(['"', '\'']))
    };
    Ok(Os {
        id: value("ID"),
        version: value("VERSION_ID"),
        codename: value("VERSION_CODENAME"),
        name: value("PRETTY_NAME"),
    })
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

fn service((name, unit): (String, crate::host::Unit)) -> Service {
    let name = name.strip_suffix(".service").unwrap_or(&name);
    Service { name: clean(name), active: clean(&unit.active), enabled: clean(&unit.enabled) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::Fake;

    #[test]
    fn facts_are_within_the_limits_of_the_server() {
        let host = Fake::default();
        host.file("/etc/hostname", "# name\nweb1.example.org\n");
        let name = "N".repeat(400);
        host.file("/etc/os-release", &format!("ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME='{name}'\n"));
        let facts = collect(&host, &"lab".parse().unwrap(), semver::Version::new(0, 1, 0)).unwrap();
        facts.check().unwrap();
        assert_eq!((facts.hostname.as_str(), facts.fqdn.as_str()), ("web1", "web1.example.org"));
        assert_eq!(
            (facts.os.id.as_str(), facts.os.version.as_str(), facts.os.name.len()),
            ("debian", "12", 256)
        );
        assert_eq!(
            (facts.arch.as_str(), facts.addresses.as_slice()),
            ("amd64", &["192.0.2.1".to_owned()][..])
        );
    }
}
