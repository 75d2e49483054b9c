//! What kinds of effect an action can have, and how much may go wrong with each.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The kind of effect; policies and authors bound changes by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ActionClass {
    /// An ordinary file or directory.
    File,
    /// State of a service.
    Service,
    /// Installed software.
    Package,
    /// Restart of the machine.
    Reboot,
    /// A file, account or kernel parameter that decides who may log in, what runs, or which software is
    /// trusted.
    SensitiveFile,
    /// A program run by the change.
    Command,
    /// A program of a foreign protocol that the change itself brings: no plan can tell what it will do.
    External,
    /// The agent itself or what it trusts.
    Trust,
}

/// How much may go wrong; ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Risk {
    Low,
    Medium,
    High,
    Critical,
}

impl ActionClass {
    pub fn risk(self) -> Risk {
        match self {
            Self::File | Self::Service => Risk::Low,
            Self::Package | Self::Reboot => Risk::Medium,
            Self::SensitiveFile | Self::Command | Self::External => Risk::High,
            Self::Trust => Risk::Critical,
        }
    }

    /// The class of a change to the file at `path` with `mode` (permission bits).
    pub fn of_file(path: &str, mode: Option<u32>) -> Self {
        const TRUST: &[&str] = &["/etc/assent", "/var/lib/assent", "/usr/bin/assent-agent"];
        const SENSITIVE: &[&str] = &[
            "/etc/sudoers",
            "/etc/sudoers.d",
            "/etc/ssh",
            "/root",
            "/etc/pam.d",
            "/etc/security",
            "/etc/passwd",
            "/etc/shadow",
            "/etc/group",
            "/etc/gshadow",
            "/etc/cron.d",
            "/etc/crontab",
            "/etc/fstab",
            "/etc/nftables.conf",
            "/etc/cron.daily",
            "/etc/cron.hourly",
            "/etc/systemd",
            "/etc/apt",
            "/etc/ld.so.preload",
            "/etc/ld.so.conf.d",
            "/etc/profile.d",
            "/etc/nsswitch.conf",
            "/etc/udev",
            "/etc/init.d",
            "/etc/rc.local",
            "/etc/anacrontab",
            "/var/spool/cron",
            "/etc/profile",
            "/etc/environment",
            "/etc/bash.bashrc",
            "/etc/ld.so.conf",
            "/etc/ld.so.cache",
            "/etc/sudo.conf",
            "/etc/doas.conf",
            "/etc/login.defs",
            "/etc/shells",
            "/etc/polkit-1",
            "/etc/dbus-1",
            "/etc/tmpfiles.d",
            "/etc/sysusers.d",
            "/etc/modprobe.d",
            "/etc/modules-load.d",
            "/etc/sysctl.conf",
            "/etc/sysctl.d",
            "/etc/kernel",
            "/etc/grub.d",
            "/etc/default/grub",
            "/etc/logrotate.d",
            "/etc/NetworkManager/dispatcher.d",
            "/etc/dpkg",
            "/etc/rpm",
            "/etc/yum",
            "/etc/yum.conf",
            "/etc/yum.repos.d",
            "/etc/dnf",
            "/etc/zypp",
            "/etc/pki",
            "/etc/ca-certificates",
            "/etc/ssl/certs",
            "/var/lib/dpkg",
            "/var/lib/rpm",
            "/var/lib/dnf",
            "/var/lib/zypp",
            "/run/systemd",
            "/var/run/systemd",
            "/dev",
            "/proc",
            "/sys",
            "/boot",
            "/bin",
            "/sbin",
            "/lib",
            "/lib32",
            "/lib64",
            "/usr/bin",
            "/usr/sbin",
            "/usr/lib",
            "/usr/lib32",
            "/usr/lib64",
            "/usr/libexec",
            "/usr/local",
            "/usr/share/dbus-1",
            "/usr/share/polkit-1",
        ];
        let under = |dirs: &[&str]| {
            dirs.iter()
                .any(|d| path.strip_prefix(d).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
        };
        if under(TRUST) {
            return Self::Trust;
        }
        let special_bits = mode.is_some_and(|m| m & 0o7000 != 0);
        if special_bits
            || under(SENSITIVE)
            || path.contains("/.ssh/")
            || path.ends_with("/.ssh")
            || path.starts_with("/etc/cron.")
        {
            return Self::SensitiveFile;
        }
        Self::File
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Service => "service",
            Self::Package => "package",
            Self::Reboot => "reboot",
            Self::SensitiveFile => "sensitive_file",
            Self::Command => "command",
            Self::External => "external",
            Self::Trust => "trust",
        }
    }
}

/// The highest risk among classes; `low` for none.
pub fn risk_of(classes: &BTreeSet<ActionClass>) -> Risk {
    classes.iter().map(|class| class.risk()).max().unwrap_or(Risk::Low)
}

impl fmt::Display for ActionClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Risk {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_grant_power_are_not_ordinary_files() {
        for (path, mode, class) in [
            ("/etc/motd", None, ActionClass::File),
            ("/etc/motd", Some(0o4755), ActionClass::SensitiveFile),
            ("/etc/sudoers", None, ActionClass::SensitiveFile),
            ("/etc/sudoers.d/x", None, ActionClass::SensitiveFile),
            ("/etc/sudoers-readme", None, ActionClass::File),
            ("/home/x/.ssh/authorized_keys", None, ActionClass::SensitiveFile),
            ("/etc/fstab", None, ActionClass::SensitiveFile),
            ("/etc/cron.weekly/x", None, ActionClass::SensitiveFile),
            ("/etc/sysctl.d/x.conf", None, ActionClass::SensitiveFile),
            ("/usr/local/sbin/apt-get", None, ActionClass::SensitiveFile),
            ("/bin/sh", None, ActionClass::SensitiveFile),
            ("/proc/self/root/etc/motd", None, ActionClass::SensitiveFile),
            ("/usr/share/doc/app/README", None, ActionClass::File),
            ("/etc/dpkg/dpkg.cfg.d/x", None, ActionClass::SensitiveFile),
            ("/home/x/.ssh", None, ActionClass::SensitiveFile),
            ("/etc/assent/agent.toml", None, ActionClass::Trust),
        ] {
            assert_eq!(ActionClass::of_file(path, mode), class, "{path}");
        }
    }
}
