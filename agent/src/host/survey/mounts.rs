//! File systems in use (proc_pid_mountinfo(5)) and how full they are.

use super::{FileSystem, text};
use crate::host::kernel::unescaped;
use std::io;

/// What of its options says what programs may do there.
const OPTIONS: [&str; 4] = ["ro", "nosuid", "nodev", "noexec"];
/// Without files of their own, or (squashfs: snaps; iso9660) never otherwise than they are.
const NEVER: [&str; 3] = ["squashfs", "iso9660", "autofs"];
/// Of other machines, or of programs: asking how full they are may wait for ever.
const AWAY: [&str; 12] =
    ["nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "lustre", "gpfs", "afs", "9p", "virtiofs", "fuse"];
/// Pools have no device of their own.
const POOLS: [&str; 3] = ["zfs", "btrfs", "bcachefs"];
/// Memory that people use as a place for files; the rest belongs to the system and its sessions.
const MEMORY: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];
/// Places of containers, snaps and sessions: they come and go.
const BELOW: [&str; 8] = [
    "/run/",
    "/proc/",
    "/sys/",
    "/snap/",
    "/var/snap/",
    "/var/lib/docker/",
    "/var/lib/containers/",
    "/var/lib/kubelet/",
];

/// As the first process of the machine sees them: the agent's own view may be hardened.
pub fn mounted() -> io::Result<Vec<FileSystem>> {
    let table = text("/proc/1/mountinfo").or_else(|_| text("/proc/self/mountinfo"))?;
    let mut all = parse(&table);
    for one in &mut all {
        if !is_away(&one.fstype) && one.fstype != "tmpfs" {
            one.room = room(&one.path);
        }
    }
    Ok(all)
}

fn is_away(fstype: &str) -> bool {
    AWAY.contains(&fstype) || fstype.starts_with("fuse.")
}

fn room(path: &str) -> Option<(u64, u8)> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let used = stat.f_blocks.checked_sub(stat.f_bfree)?;
    Some((stat.f_blocks.saturating_mul(stat.f_frsize) >> 20, percent(used, stat.f_bavail)))
}

/// As df(1) counts: what only root may use is neither used nor free.
fn percent(used: u64, free: u64) -> u8 {
    let (used, all) = (u128::from(used), u128::from(used) + u128::from(free));
    u8::try_from((used * 100).checked_div(all).unwrap_or(0)).unwrap_or(100)
}

/// By path; what lies on top counts.
pub(crate) fn parse(table: &str) -> Vec<FileSystem> {
    let mut all = std::collections::BTreeMap::new();
    for found in table.lines().filter_map(one) {
        all.insert(found.path.clone(), found);
    }
    all.into_values().filter(counts).collect()
}

fn one(line: &str) -> Option<FileSystem> {
    let (own, of_all) = line.split_once(" - ")?;
    let own: Vec<&str> = own.split(' ').collect();
    let of_all: Vec<&str> = of_all.split(' ').collect();
    let (path, here) = (unescaped(own.get(4)?), own.get(5)?);
    let everywhere = of_all.get(2).copied().unwrap_or_default();
    let has = |option: &&str| here.split(',').chain(everywhere.split(',')).any(|other| other == *option);
    let options = OPTIONS.iter().filter(|option| has(option)).map(|option| (*option).to_owned());
    Some(FileSystem {
        path,
        source: unescaped(of_all.get(1)?),
        fstype: (*of_all.first()?).to_owned(),
        options: options.collect(),
        room: None,
    })
}

fn counts(found: &FileSystem) -> bool {
    let FileSystem { path, source, fstype, .. } = found;
    if NEVER.contains(&fstype.as_str()) || BELOW.iter().any(|dir| path.starts_with(dir)) {
        return false;
    }
    let is_real = source.starts_with("/dev/") && fstype != "devtmpfs";
    let is_known = POOLS.contains(&fstype.as_str()) || is_away(fstype);
    is_real || is_known || path == "/" || (fstype == "tmpfs" && MEMORY.contains(&path.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn file_systems_of_people_count_and_those_of_the_system_do_not() {
        let table = "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n\
            22 21 0:20 / /proc rw,nosuid - proc proc rw\n\
            23 21 0:21 / /srv/my\\040data rw,nosuid,nodev - nfs4 nas:/data rw\n\
            24 21 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro\n\
            25 21 0:22 / /tmp rw,nosuid,nodev,noexec - tmpfs tmpfs rw\n\
            26 21 0:23 / /run/user/1000 rw - tmpfs tmpfs rw\n\
            27 21 0:24 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw\n\
            28 21 8:2 / /mnt rw - ext4 /dev/sdb1 ro\n\
            29 28 8:3 / /mnt rw - xfs /dev/sdc1 rw\n\
            30 21 0:6 / /dev rw - devtmpfs udev rw\nnonsense\n31 - \n";
        let found: Vec<String> =
            parse(table).iter().map(|m| format!("{} {} {}", m.path, m.fstype, m.options.join(","))).collect();
        assert_eq!(
            found,
            ["/ ext4 ", "/mnt xfs ", "/srv/my data nfs4 nosuid,nodev", "/tmp tmpfs nosuid,nodev,noexec"]
        );
        assert_eq!(
            (percent(50, 50), percent(0, 0), percent(u64::MAX, u64::MAX), percent(1, 0)),
            (50, 0, 50, 100)
        );
    }

    proptest! {
        #[test]
        fn no_table_makes_it_fail(table in "([ -~\\n]|\\\\040|- ){0,200}") {
            prop_assert!(parse(&table).len() <= table.lines().count());
        }
    }
}
