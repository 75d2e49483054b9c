//! What the machine runs in, in the words of systemd-detect-virt(1), by own reading.

use super::{line, text};
use std::path::Path;

/// What firmware calls itself, by the beginning of its texts (as in systemd's `virt.c`).
const VENDORS: [(&str, &str); 17] = [
    ("KVM", "kvm"),
    ("OpenStack", "kvm"),
    ("KubeVirt", "kvm"),
    ("Amazon EC2", "amazon"),
    ("QEMU", "qemu"),
    ("VMware", "vmware"),
    ("VMW", "vmware"),
    ("innotek GmbH", "oracle"),
    ("VirtualBox", "oracle"),
    ("Oracle Corporation", "oracle"),
    ("Xen", "xen"),
    ("Bochs", "bochs"),
    ("Parallels", "parallels"),
    ("BHYVE", "bhyve"),
    ("Hyper-V", "microsoft"),
    ("Apple Virtualization", "apple"),
    ("Google Compute Engine", "google"),
];
/// Words of containers; others are not repeated.
const CONTAINERS: [&str; 9] =
    ["systemd-nspawn", "lxc", "lxc-libvirt", "docker", "podman", "rkt", "proot", "oci", "pouch"];

/// What the machine says of itself.
#[derive(Default)]
struct Signs {
    /// What the container's manager has told its first process.
    container: String,
    has_docker_file: bool,
    has_podman_file: bool,
    release: String,
    /// Texts of the firmware.
    firmware: Vec<String>,
    hypervisor: String,
    clocks: String,
    cpuinfo: String,
}

/// The word, and whether it is a container.
pub fn detect() -> (String, bool) {
    let there = |path: &str| Path::new(path).exists();
    let dmi = ["product_name", "sys_vendor", "board_vendor", "bios_vendor", "product_version"];
    let signs = Signs {
        container: container(&line("/run/systemd/container"), &text("/proc/1/environ").unwrap_or_default()),
        has_docker_file: there("/.dockerenv"),
        has_podman_file: there("/run/.containerenv"),
        release: line("/proc/sys/kernel/osrelease"),
        firmware: dmi.iter().map(|name| line(format!("/sys/class/dmi/id/{name}"))).collect(),
        hypervisor: line("/sys/hypervisor/type"),
        clocks: line("/sys/devices/system/clocksource/clocksource0/available_clocksource"),
        cpuinfo: text("/proc/cpuinfo").unwrap_or_default(),
    };
    let (word, is_container) = judge(&signs);
    (word.to_owned(), is_container)
}

fn container(told: &str, environ: &str) -> String {
    let first = environ.split('\0').find_map(|pair| pair.strip_prefix("container="));
    if told.is_empty() { first.unwrap_or_default().to_owned() } else { told.to_owned() }
}

fn judge(signs: &Signs) -> (&'static str, bool) {
    let known = CONTAINERS.iter().find(|word| **word == signs.container);
    if let Some(word) = known.copied().or((!signs.container.is_empty()).then_some("container-other")) {
        return (word, true);
    }
    if signs.has_podman_file || signs.has_docker_file {
        return (if signs.has_podman_file { "podman" } else { "docker" }, true);
    }
    if signs.release.contains("Microsoft") || signs.release.contains("WSL") {
        return ("wsl", true);
    }
    let flagged = signs
        .cpuinfo
        .lines()
        .any(|line| line.starts_with("flags") && line.split_whitespace().any(|flag| flag == "hypervisor"));
    let named = VENDORS.iter().find(|(text, _)| signs.firmware.iter().any(|said| said.starts_with(text)));
    let word = match named {
        // Its cloud also lets whole machines.
        Some((_, "amazon")) if !flagged => "none",
        Some((_, "qemu")) if signs.clocks.contains("kvm-clock") => "kvm",
        Some((_, word)) => word,
        None if signs.hypervisor == "xen" => "xen",
        None if signs.clocks.contains("kvm-clock") => "kvm",
        None if flagged => "vm-other",
        None => "none",
    };
    (word, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_by_its_signs() {
        let firmware = |text: &str| vec![String::new(), text.to_owned()];
        let flags = || "flags\t\t: fpu hypervisor sse\n".to_owned();
        for (signs, word) in [
            (Signs::default(), ("none", false)),
            (
                Signs { container: "lxc".into(), firmware: firmware("QEMU"), ..Signs::default() },
                ("lxc", true),
            ),
            (Signs { container: "\u{1b}[1m".into(), ..Signs::default() }, ("container-other", true)),
            (Signs { has_docker_file: true, ..Signs::default() }, ("docker", true)),
            (
                Signs { release: "5.15.90.1-microsoft-standard-WSL2".into(), ..Signs::default() },
                ("wsl", true),
            ),
            (Signs { firmware: firmware("QEMU"), ..Signs::default() }, ("qemu", false)),
            (
                Signs { firmware: firmware("QEMU"), clocks: "kvm-clock tsc".into(), ..Signs::default() },
                ("kvm", false),
            ),
            (
                Signs { firmware: firmware("VMware, Inc."), cpuinfo: flags(), ..Signs::default() },
                ("vmware", false),
            ),
            (Signs { firmware: firmware("Amazon EC2"), ..Signs::default() }, ("none", false)),
            (
                Signs { firmware: firmware("Amazon EC2"), cpuinfo: flags(), ..Signs::default() },
                ("amazon", false),
            ),
            (Signs { cpuinfo: flags(), ..Signs::default() }, ("vm-other", false)),
            (Signs { hypervisor: "xen".into(), ..Signs::default() }, ("xen", false)),
        ] {
            assert_eq!(judge(&signs), word);
        }
        assert_eq!(container("", "PATH=/bin\0container=lxc\0"), "lxc");
        assert_eq!(container("systemd-nspawn", "container=x\0"), "systemd-nspawn");
    }
}
