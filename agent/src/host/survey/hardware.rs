//! The machine's maker, processors, memory and disks.

use super::{line, text};
use shared::facts::{Disk, FEW, Hardware, clean};
use std::fs;
use std::path::Path;

const DMI: &str = "/sys/class/dmi/id";
/// Where machines without DMI say what they are.
const TREE: &str = "/proc/device-tree";
/// Memory is told in steps of so many MiB.
const STEP_MIB: u64 = 64;
/// What makers leave in place of a serial number.
const UNFILLED: [&str; 12] = [
    "default string",
    "to be filled by o.e.m.",
    "system serial number",
    "not specified",
    "not applicable",
    "not available",
    "none",
    "n/a",
    "0",
    "0123456789",
    "1234567890",
    "unknown",
];
/// Names of devices that are no disks of their own.
const NO_DISKS: [&str; 9] = ["loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd", "drbd"];

pub fn read() -> Hardware {
    let dmi = |name: &str| line(Path::new(DMI).join(name));
    let tree = |name: &str| line(Path::new(TREE).join(name));
    let or = |first: String, other: &dyn Fn() -> String| if first.is_empty() { other() } else { first };
    let cpuinfo = text("/proc/cpuinfo").unwrap_or_default();
    Hardware {
        vendor: clean(&dmi("sys_vendor")),
        model: clean(&or(dmi("product_name"), &|| tree("model"))),
        serial: filled(&or(dmi("product_serial"), &|| tree("serial-number"))),
        cpu: processor(&cpuinfo),
        cpus: online(&line("/sys/devices/system/cpu/online"))
            .unwrap_or_else(|| u32::try_from(processors(&cpuinfo)).unwrap_or(u32::MAX)),
        memory_mib: memory_mib(&text("/proc/meminfo").unwrap_or_default()),
        disks: disks(Path::new("/sys/block")),
    }
}

fn filled(serial: &str) -> String {
    let serial = clean(serial);
    if UNFILLED.contains(&serial.to_ascii_lowercase().as_str()) { String::new() } else { serial }
}

/// Names that differ by the kind of machine (proc_cpuinfo(5)).
pub(crate) fn processor(cpuinfo: &str) -> String {
    let value = |name: &str| {
        let of = |line: &str| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name && !value.trim().is_empty()).then(|| value.trim().to_owned())
        };
        cpuinfo.lines().find_map(of)
    };
    let name = value("model name").or_else(|| value("cpu model")).or_else(|| value("cpu"));
    clean(&name.or_else(|| value("Model")).unwrap_or_default())
}

fn processors(cpuinfo: &str) -> usize {
    cpuinfo.lines().filter(|line| line.split(':').next().is_some_and(|key| key.trim() == "processor")).count()
}

/// Ranges such as `0-3,8`.
pub(crate) fn online(ranges: &str) -> Option<u32> {
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    ranges.split(',').try_fold(0_u32, |sum, range| sum.checked_add(count(range.trim())?))
}

pub(crate) fn memory_mib(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib =
        total.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0);
    (kib / 1_024).div_ceil(STEP_MIB).saturating_mul(STEP_MIB)
}

fn disks(dir: &Path) -> Vec<Disk> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut disks: Vec<Disk> = entries.filter_map(|entry| disk(&entry.path())).collect();
    disks.sort();
    disks.truncate(FEW);
    disks
}

fn disk(dir: &Path) -> Option<Disk> {
    let name = dir.file_name()?.to_str()?;
    if NO_DISKS.iter().any(|prefix| name.starts_with(prefix)) || line(dir.join("removable")) == "1" {
        return None;
    }
    // In sectors of 512 bytes, whatever the disk itself uses.
    let sectors: u64 = line(dir.join("size")).parse().ok().filter(|size| *size > 0)?;
    Some(Disk {
        name: clean(name),
        model: clean(&line(dir.join("device/model"))),
        size_mib: sectors / 2_048,
        rotating: line(dir.join("queue/rotational")) == "1",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_memory_and_serial_numbers_are_read_as_they_are_written() {
        let intel =
            "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Gold 6230 CPU @ 2.10GHz\n\nprocessor\t: 1\n";
        assert_eq!(
            (processor(intel).as_str(), processors(intel)),
            ("Intel(R) Xeon(R) Gold 6230 CPU @ 2.10GHz", 2)
        );
        let arm = "processor\t: 0\nBogoMIPS\t: 108.00\n\nHardware\t: BCM2835\nModel\t\t: Raspberry Pi 4\n";
        assert_eq!(processor(arm), "Raspberry Pi 4");
        for (text, count) in
            [("0-3,8", Some(5)), ("0", Some(1)), ("", None), ("3-0", None), ("0-4294967295", None)]
        {
            assert_eq!(online(text), count, "{text}");
        }
        assert_eq!(memory_mib("MemTotal:       16310012 kB\nMemFree: 1 kB\n"), 15_936);
        assert_eq!(
            (memory_mib("MemTotal: 18446744073709551615 kB"), memory_mib("x")),
            (18_014_398_509_481_984, 0)
        );
        assert_eq!(
            (filled("To Be Filled By O.E.M.").as_str(), filled("VMware-56 4d").as_str()),
            ("", "VMware-56 4d")
        );
    }

    #[test]
    fn only_disks_count_as_disks() {
        let root = tempfile::tempdir().unwrap();
        for (name, size, removable) in [
            ("sda", "2097152", "0"),
            ("loop0", "8", "0"),
            ("sr0", "8", "1"),
            ("sdb", "0", "0"),
            ("dm-0", "8", "0"),
        ] {
            let dir = root.path().join(name);
            fs::create_dir_all(dir.join("queue")).unwrap();
            fs::write(dir.join("size"), size).unwrap();
            fs::write(dir.join("removable"), removable).unwrap();
            fs::write(dir.join("queue/rotational"), "1\n").unwrap();
        }
        let sda = Disk { name: "sda".into(), model: String::new(), size_mib: 1_024, rotating: true };
        assert_eq!(disks(root.path()), [sda]);
        assert_eq!(disks(Path::new("/nowhere")), []);
    }
}
