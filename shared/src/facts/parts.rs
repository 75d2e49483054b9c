//! The sections of facts beside packages and services, and what each never says.

use super::{BadFacts, FEW, Facts, text};
use crate::digest::Digest;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The machine itself. Only what its maker and the kernel say; the serial number names the machine, never a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hardware {
    pub vendor: String,
    pub model: String,
    /// Empty where there is none, or only what a maker left unfilled.
    pub serial: String,
    pub cpu: String,
    /// Logical processors that are online.
    pub cpus: u32,
    /// Memory in MiB, rounded to 64: what the kernel keeps for itself changes with its version.
    pub memory_mib: u64,
    pub disks: Vec<Disk>,
}

/// One disk, without loop devices, partitions and optical drives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Disk {
    /// Name of the kernel, such as `nvme0n1`.
    pub name: String,
    pub model: String,
    pub size_mib: u64,
    /// Whether it turns; false for flash.
    pub rotating: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Protocol {
    Tcp,
    Udp,
}

/// A socket that waits for others, in the host's own network namespace. UDP ports of the range that the kernel gives to
/// clients are left out: most of them are questions on their way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Socket {
    pub port: u16,
    pub protocol: Protocol,
    /// `0.0.0.0` or `::` for all.
    pub address: String,
    /// Name of the program that holds it; absent where the agent may not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The unit of systemd that the program belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// What an account can prove itself with. Never a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Password {
    Set,
    /// No password fits; keys and other ways may.
    Locked,
    /// Whoever comes is let in.
    Empty,
    /// `/etc/shadow` cannot be read or does not name the account.
    Unknown,
}

/// An account of the host. Never the real name (GECOS) or a password hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub shell: String,
    /// Whether the shell is one that lets people in.
    pub login: bool,
    pub password: Password,
    /// The day on which the password was set, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_changed: Option<Timestamp>,
    /// Groups that make their members root or nearly so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub privileged: Vec<String>,
}

/// A mounted file system with files in it. How full those of other machines are is not asked: they may not answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Mount {
    pub path: String,
    pub source: String,
    pub fstype: String,
    /// Those of `ro`, `nosuid`, `nodev` and `noexec` that it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_mib: Option<u64>,
    /// Percent in steps of five; it changes only when the exact value has moved by five.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_percent: Option<u8>,
}

/// The first certificate of a file. Files of private keys are not read; in one with both, only the certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Certificate {
    pub path: String,
    pub subject: String,
    pub issuer: String,
    pub not_after: Timestamp,
    /// Of its DER form.
    pub sha256: Digest,
}

/// The clock of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Clock {
    /// Whether the kernel counts it as synchronised, as timedatectl(1) says it; absent where it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synchronised: Option<bool>,
    /// The service that keeps it, such as `chrony`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Seconds by which it is ahead of the Assent server's (negative: behind), as of the last answer with news;
    /// what the way of the answer may explain is 0. Absent before the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead_s: Option<i64>,
}

/// How an updater changes its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Does {
    /// Installs updates by itself.
    Installs,
    /// Downloads or announces updates.
    Prepares,
    /// Installs when a user of the host asks for it.
    OnRequest,
    /// Does what a server elsewhere says: configuration management and agents of vendors.
    Obeys,
}

/// Something else on the host that may change it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Updater {
    /// Such as `unattended-upgrades` or `snapd`.
    pub name: String,
    /// Of its package; absent for what came without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether it is started by itself, at boot or by a timer.
    pub enabled: bool,
    pub does: Does,
}

/// Until when the operating system is supported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Support {
    /// Last second of security support for everybody.
    pub ends: Timestamp,
    /// Last second of what follows it: Debian LTS (fewer packages), or what a subscription gives (ESM, ELS, LTSS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended: Option<Timestamp>,
    /// Who says so: `os-release`, `distro-info-data`, or `assent` for the table in the agent.
    pub source: String,
}

/// A fact that somebody put on the host, in `/etc/assent/facts.d`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LocalFact {
    /// `local.<file>.<key>`.
    pub name: String,
    pub value: String,
}

/// A part of the facts that a host may keep back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Section {
    Hardware,
    Listening,
    Users,
    Mounts,
    Certificates,
    Updaters,
    Local,
}

impl Facts {
    pub(super) fn check_parts(&self) -> Result<(), BadFacts> {
        if let Some(Hardware { vendor, model, serial, cpu, disks, .. }) = &self.hardware {
            few("disks", disks.len())?;
            text("hardware", [vendor, model, serial, cpu])?;
            disks.iter().try_for_each(|disk| text("disks", [&disk.name, &disk.model]))?;
        }
        for socket in &self.listening {
            let words = socket.program.iter().chain(&socket.unit);
            text("listening sockets", [&socket.address].into_iter().chain(words))?;
        }
        for user in &self.users {
            few("groups of a user", user.privileged.len())?;
            text("users", [&user.name, &user.shell].into_iter().chain(&user.privileged))?;
        }
        for mount in &self.mounts {
            few("options of a mount", mount.options.len())?;
            text("mounts", [&mount.path, &mount.source, &mount.fstype].into_iter().chain(&mount.options))?;
        }
        for certificate in &self.certificates {
            text("certificates", [&certificate.path, &certificate.subject, &certificate.issuer])?;
        }
        for updater in &self.updaters {
            text("updaters", [&updater.name].into_iter().chain(&updater.version))?;
        }
        for local in &self.local {
            text("local facts", [&local.name, &local.value])?;
        }
        text("support", self.support.iter().map(|support| &support.source))?;
        text("clock", self.clock.iter().filter_map(|clock| clock.source.as_ref()))
    }
}

fn few(what: &'static str, count: usize) -> Result<(), BadFacts> {
    if count > FEW { Err(BadFacts::TooMany { what, count, limit: FEW }) } else { Ok(()) }
}
