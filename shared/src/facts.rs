//! Facts: what an agent reports about its host, and the small part of it that templates may use.
//!
//! Never: secrets, password hashes, file contents or process lists. Whatever changes by itself all the time is
//! rounded or left out, so that a host that nobody touches reports nothing new.

mod delta;
mod parts;
mod support;

pub use delta::{Delta, ListDelta, NotApplied};
pub use parts::{
    Certificate, Clock, Disk, Does, Hardware, LocalFact, Mount, Password, Protocol, Section, Socket, Support,
    Updater, User,
};
pub use support::{known_support, of_distro_info, of_os_release};

use crate::ids::{AgentId, HostClass};
use crate::limits;
use crate::strict::{self, ReadError};
use crate::version::Order;
use serde::{Deserialize, Serialize};

/// The facts of one host at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Facts {
    /// Short host name.
    pub hostname: String,
    /// Full domain name; equals `hostname` where the host has none.
    pub fqdn: String,
    pub os: Os,
    pub kernel: Kernel,
    /// Machine type in the words of the package manager, such as `amd64` or `x86_64`.
    pub arch: String,
    pub packages: Vec<Package>,
    pub services: Vec<Service>,
    /// IPv4 and IPv6 addresses without loopback and link-local ones, sorted.
    pub addresses: Vec<String>,
    pub agent_version: semver::Version,
    /// The slot that the agent's program runs from, as in `slot a`; absent for the packaged one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_slot: Option<String>,
    pub host_class: HostClass,
    /// Absent in containers and below a private root: it is another machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Hardware>,
    /// What the machine is in, in the words of systemd-detect-virt(1), such as `kvm` or `lxc`; `none` on bare metal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtualisation: Option<String>,
    /// Until when the operating system gets security updates; absent where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support: Option<Support>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// Why the machine should be rebooted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reboot: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listening: Vec<Socket>,
    /// Accounts of `/etc/passwd`, never those of a directory server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// What else on the host may change it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub updaters: Vec<Updater>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub local: Vec<LocalFact>,
    /// What the host's own settings keep back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omitted: Vec<Section>,
    /// What could not be found out, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Fields of os-release(5): ID, VERSION_ID, VERSION_CODENAME, PRETTY_NAME; empty where it has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Os {
    pub id: String,
    pub version: String,
    pub codename: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Kernel {
    /// `uname -r` of the running kernel.
    pub release: String,
    /// Releases of the kernels in `/boot`, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub installed: Vec<String>,
}

/// One package that the package manager knows on the host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Package {
    pub name: String,
    pub version: String,
    pub arch: String,
    /// Source package; vulnerability data is mostly keyed by it.
    pub source: String,
    pub source_version: String,
    /// Who made it, where packages say so (rpm).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    pub status: PackageStatus,
    /// `Label:suite` of the source that offers it, this version before others; empty when no source of the host has a
    /// package of this name. Absent where the host cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum PackageStatus {
    Installed,
    /// Installed and not to be upgraded by others.
    Held,
    /// Unpacked, half configured or half installed: an earlier run broke off.
    Broken,
    /// Removed; configuration files are left.
    ConfigFiles,
}

/// One systemd unit of type service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Service {
    /// Unit name without `.service`.
    pub name: String,
    /// systemd's ActiveState, such as `active`, `inactive` or `failed`.
    pub active: String,
    /// systemd's UnitFileState, such as `enabled`, `disabled` or `static`.
    pub enabled: String,
}

/// Why facts are not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFacts {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("facts list {count} {what}; at most {limit} are accepted")]
    TooMany { what: &'static str, count: usize, limit: usize },
    #[error(
        "facts: {place} has {size} bytes or control characters; at most {limit} bytes of text are accepted"
    )]
    BadText { place: String, size: usize, limit: usize },
}

/// Packages of one host; the largest desktop images have about 6,000.
pub const PACKAGES: usize = 20_000;
/// Services of one host.
pub const SERVICES: usize = 5_000;
/// Addresses of one host; container hosts have some hundred.
pub const ADDRESSES: usize = 1_024;
/// Listening sockets of one host.
pub const LISTENING: usize = 2_048;
/// Accounts of one host.
pub const USERS: usize = 5_000;
/// Mounted file systems of one host.
pub const MOUNTS: usize = 1_024;
/// Certificates in files of one host.
pub const CERTIFICATES: usize = 512;
/// Other updaters of one host: there are some twenty that are known.
pub const UPDATERS: usize = 64;
/// Facts of local files.
pub const LOCAL: usize = 256;
/// Disks, installed kernels, groups of one user, options of one mount, reasons for a reboot, and notes.
pub const FEW: usize = 256;
/// Bytes of one text, such as a name or a version.
pub const FACT_TEXT_BYTES: usize = 256;

impl Facts {
    /// Reads the JSON form; refuses unknown keys and everything above the limits.
    ///
    /// # Errors
    /// Not strict JSON of this shape, too many entries, too long or unprintable texts.
    pub fn from_json(bytes: &[u8]) -> Result<Self, BadFacts> {
        let facts: Self = strict::from_json("the facts of a host", bytes, limits::FACTS_BYTES)?;
        facts.check()?;
        Ok(facts)
    }

    pub fn to_json(&self) -> Vec<u8> {
        strict::to_json(self)
    }

    /// Facts of which nothing is known yet.
    pub fn empty(agent_version: semver::Version, host_class: HostClass) -> Self {
        let none = String::new;
        Self {
            hostname: none(),
            fqdn: none(),
            os: Os { id: none(), version: none(), codename: none(), name: none() },
            kernel: Kernel { release: none(), installed: Vec::new() },
            arch: none(),
            packages: Vec::new(),
            services: Vec::new(),
            addresses: Vec::new(),
            agent_version,
            agent_slot: None,
            host_class,
            hardware: None,
            virtualisation: None,
            support: None,
            clock: None,
            reboot: Vec::new(),
            listening: Vec::new(),
            users: Vec::new(),
            mounts: Vec::new(),
            certificates: Vec::new(),
            updaters: Vec::new(),
            local: Vec::new(),
            omitted: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Checks counts and texts against the limits.
    ///
    /// # Errors
    /// The first list or text that is too large, or has control characters.
    pub fn check(&self) -> Result<(), BadFacts> {
        for (what, count, limit) in [
            ("packages", self.packages.len(), PACKAGES),
            ("services", self.services.len(), SERVICES),
            ("addresses", self.addresses.len(), ADDRESSES),
            ("listening sockets", self.listening.len(), LISTENING),
            ("users", self.users.len(), USERS),
            ("mounts", self.mounts.len(), MOUNTS),
            ("certificates", self.certificates.len(), CERTIFICATES),
            ("updaters", self.updaters.len(), UPDATERS),
            ("local facts", self.local.len(), LOCAL),
            ("installed kernels", self.kernel.installed.len(), FEW),
            ("reasons for a reboot", self.reboot.len(), FEW),
            ("sections that are left out", self.omitted.len(), FEW),
            ("notes", self.notes.len(), FEW),
        ] {
            if count > limit {
                return Err(BadFacts::TooMany { what, count, limit });
            }
        }
        let os = [&self.os.id, &self.os.version, &self.os.codename, &self.os.name];
        let host = [&self.hostname, &self.fqdn, &self.kernel.release, &self.arch];
        text("os", os)?;
        text("the host", host.into_iter().chain(&self.virtualisation))?;
        for (place, texts) in [
            ("addresses", &self.addresses),
            ("installed kernels", &self.kernel.installed),
            ("reasons for a reboot", &self.reboot),
            ("notes", &self.notes),
        ] {
            text(place, texts)?;
        }
        text("the agent", &self.agent_slot)?;
        for package in &self.packages {
            let Package { name, version, arch, source, source_version, vendor, origin, .. } = package;
            let fields = [name, version, arch, source, source_version];
            text("packages", fields.into_iter().chain(vendor).chain(origin))?;
        }
        for service in &self.services {
            text("services", [&service.name, &service.active, &service.enabled])?;
        }
        self.check_parts()
    }

    /// How the host's package manager orders versions, by the words that it has for machine types.
    pub fn package_order(&self) -> Order {
        const RPM: [&str; 7] = ["noarch", "x86_64", "aarch64", "i686", "armv7hl", "ppc64le", "i586"];
        const DEB: [&str; 7] = ["all", "amd64", "arm64", "i386", "armhf", "ppc64el", "armel"];
        let arches = || self.packages.iter().map(|package| package.arch.as_str()).chain([self.arch.as_str()]);
        let by_name = arches().find_map(|arch| match arch {
            rpm if RPM.contains(&rpm) => Some(Order::Rpm),
            deb if DEB.contains(&deb) => Some(Order::Deb),
            _ => None,
        });
        by_name.unwrap_or(Order::Deb)
    }

    /// What templates see of these facts.
    pub fn view(&self, agent_id: AgentId) -> TemplateFacts {
        TemplateFacts {
            hostname: self.hostname.clone(),
            fqdn: self.fqdn.clone(),
            os_id: self.os.id.clone(),
            os_version: self.os.version.clone(),
            os_codename: self.os.codename.clone(),
            kernel: self.kernel.release.clone(),
            arch: self.arch.clone(),
            addresses: self.addresses.clone(),
            agent_id: agent_id.to_string(),
            host_class: self.host_class.to_string(),
        }
    }
}

impl Package {
    /// Whether it comes from elsewhere than the distribution, whose labels begin with its name in os-release(5);
    /// `None` where its origin is not known.
    pub fn is_foreign(&self, os: &Os) -> Option<bool> {
        let origin = self.origin.as_ref()?.to_ascii_lowercase();
        Some(os.id.is_empty() || !origin.starts_with(&os.id.to_ascii_lowercase()))
    }
}

fn text<'a>(place: &str, texts: impl IntoIterator<Item = &'a String>) -> Result<(), BadFacts> {
    let bad = |t: &&String| t.len() > FACT_TEXT_BYTES || t.chars().any(char::is_control);
    match texts.into_iter().find(bad) {
        None => Ok(()),
        Some(t) => Err(BadFacts::BadText { place: place.to_owned(), size: t.len(), limit: FACT_TEXT_BYTES }),
    }
}

/// A text as facts may have it: without control characters, cut to the limit.
pub fn clean(text: &str) -> String {
    let mut clean: String = text.chars().filter(|c| !c.is_control()).collect();
    while clean.len() > FACT_TEXT_BYTES {
        clean.pop();
    }
    clean
}

/// The facts that templates may use, as `facts.<name>`. Packages and services are left out on purpose:
/// a file must not change because something else was upgraded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateFacts {
    pub hostname: String,
    pub fqdn: String,
    pub os_id: String,
    pub os_version: String,
    pub os_codename: String,
    pub kernel: String,
    pub arch: String,
    pub addresses: Vec<String>,
    pub agent_id: String,
    pub host_class: String,
}

/// The names of [`TemplateFacts`].
pub const TEMPLATE_FACTS: [&str; 10] = [
    "hostname",
    "fqdn",
    "os_id",
    "os_version",
    "os_codename",
    "kernel",
    "arch",
    "addresses",
    "agent_id",
    "host_class",
];

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: &str = r#"{"hostname":"web1","fqdn":"web1.example.org","os":{"id":"debian","version":"12","codename":"bookworm","name":"Debian GNU/Linux 12"},"kernel":{"release":"6.1.0-28-amd64"},"arch":"amd64","packages":[{"name":"openssl","version":"3.0.15-1","arch":"amd64","source":"openssl","source_version":"3.0.15-1","status":"installed"}],"services":[{"name":"ssh","active":"active","enabled":"enabled"}],"addresses":["192.0.2.7"],"agent_version":"0.1.0","host_class":"production"}"#;

    #[test]
    fn facts_have_one_written_form_and_a_small_view() {
        let facts = Facts::from_json(FACTS.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(facts.to_json()).unwrap(), FACTS);
        let view = facts.view(AgentId::of_key(&[0; 32]));
        let names = serde_json::to_value(&view).unwrap();
        let mut known = TEMPLATE_FACTS;
        known.sort_unstable();
        assert_eq!(names.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>(), known);
        assert_eq!((view.os_version.as_str(), view.kernel.as_str()), ("12", "6.1.0-28-amd64"));
    }

    #[test]
    fn the_order_of_versions_follows_from_the_words_for_machine_types() {
        let facts = Facts::from_json(FACTS.as_bytes()).unwrap();
        let with = |arch: &str, package: &str| {
            let packages = vec![Package { arch: package.into(), ..facts.packages[0].clone() }];
            Facts { arch: arch.into(), packages, ..facts.clone() }.package_order()
        };
        assert_eq!((with("amd64", "all"), with("x86_64", "noarch")), (Order::Deb, Order::Rpm));
        // Both have this word for the machine.
        assert_eq!((with("s390x", "all"), with("s390x", "noarch")), (Order::Deb, Order::Rpm));
    }

    #[test]
    fn foreign_packages_are_those_of_other_labels_or_of_no_source() {
        let facts = Facts::from_json(FACTS.as_bytes()).unwrap();
        for (origin, foreign) in [
            (None, None),
            (Some("Debian:stable"), Some(false)),
            (Some("Debian-Security:stable-security"), Some(false)),
            (Some("Vendor:stable"), Some(true)),
            (Some(""), Some(true)),
        ] {
            let package = Package { origin: origin.map(str::to_owned), ..facts.packages[0].clone() };
            assert_eq!(package.is_foreign(&facts.os), foreign, "{origin:?}");
        }
        let with = FACTS.replace("\"installed\"}", "\"installed\",\"origin\":\"Vendor:stable\"}");
        let facts = Facts::from_json(with.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(facts.to_json()).unwrap(), with);
        assert!(Facts::from_json(with.replace("Vendor", "Ven\\u001bdor").as_bytes()).is_err());
    }

    #[test]
    fn facts_above_the_limits_are_refused() {
        let facts = Facts::from_json(FACTS.as_bytes()).unwrap();
        for (json, fragment) in [
            (FACTS.replace("\"arch\"", "\"arhc\""), "unknown field"),
            (FACTS.replace("installed", "fine"), "unknown variant"),
            (FACTS.replace("web1\"", "we\\nb1\""), "control characters"),
            (FACTS.replace("\"ssh\"", &format!("{:?}", "s".repeat(257))), "services has 257 bytes"),
            (" ".repeat(limits::FACTS_BYTES + 1), "at most"),
        ] {
            let error = Facts::from_json(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(fragment), "{error}");
        }
        let addresses = vec!["::1".to_owned(); ADDRESSES + 1];
        let many = Facts { addresses, ..facts }.check();
        assert!(
            matches!(many, Err(BadFacts::TooMany { what: "addresses", count: 1025, limit: 1024 })),
            "{many:?}"
        );
    }
}
