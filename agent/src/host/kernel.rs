//! Mounted file systems and modules of the running kernel.

use super::Fault;
use super::process::{Exec, run};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// A server that does not answer keeps mount(8) waiting for minutes.
const TIMEOUT: Duration = Duration::from_secs(180);

/// One mounted file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mounted {
    pub source: String,
    pub fstype: String,
    pub options: Vec<String>,
}

/// How a module stands to the running kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    Absent,
    Loaded,
    /// Part of the kernel itself.
    BuiltIn,
}

pub fn mounted(path: &str) -> Result<Option<Mounted>, Fault> {
    let table = "/proc/self/mountinfo";
    let text = fs::read_to_string(table).map_err(Fault::io(format!("read {table}")))?;
    Ok(find(&text, path))
}

/// The last line about a place is about what is on top (proc_pid_mountinfo(5)).
pub(crate) fn find(table: &str, path: &str) -> Option<Mounted> {
    let line = table.lines().rfind(|line| line.split(' ').nth(4).map(unescaped).as_deref() == Some(path))?;
    let (own, of_all) = line.split_once(" - ")?;
    let mut of_all = of_all.split(' ');
    let (fstype, source) = (of_all.next()?, of_all.next()?);
    let mut options: Vec<String> = own.split(' ').nth(5)?.split(',').map(str::to_owned).collect();
    // A file system that is read-only as a whole is so in every place.
    let read_only = of_all.next().is_some_and(|all| all.split(',').any(|option| option == "ro"));
    if read_only && !options.iter().any(|option| option == "ro") {
        options.push("ro".into());
    }
    Some(Mounted { source: unescaped(source), fstype: fstype.to_owned(), options })
}

pub(super) fn unescaped(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

pub fn mount(path: &str, what: &Mounted, again: bool) -> Result<(), Fault> {
    let mut options = what.options.join(",");
    if again {
        options = if options.is_empty() { "remount".into() } else { format!("remount,{options}") };
    }
    let mut words = vec!["-t", what.fstype.as_str()];
    if !options.is_empty() {
        words.extend(["-o", options.as_str()]);
    }
    words.extend(["--", what.source.as_str(), path]);
    run(&Exec::new("mount", words).timeout(TIMEOUT).env("LC_ALL", "C"))?.success("mount").map(drop)
}

pub fn unmount(path: &str) -> Result<(), Fault> {
    run(&Exec::new("umount", ["--", path]).timeout(TIMEOUT).env("LC_ALL", "C"))?.success("umount").map(drop)
}

pub fn module(name: &str) -> Result<Module, Fault> {
    let dir = Path::new("/sys/module").join(name);
    let there = |path: &Path| match fs::metadata(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Fault::io(format!("look at {}", path.display()))(e)),
    };
    Ok(match (there(&dir)?, there(&dir.join("initstate"))?) {
        (false, _) => Module::Absent,
        (true, true) => Module::Loaded,
        (true, false) => Module::BuiltIn,
    })
}

pub fn set_module(name: &str, loaded: bool) -> Result<(), Fault> {
    let words = if loaded { vec!["--", name] } else { vec!["-r", "--", name] };
    run(&Exec::new("modprobe", words).timeout(TIMEOUT).env("LC_ALL", "C"))?.success("modprobe").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_mount_is_found() {
        let table = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            30 22 0:26 / /srv/my\\040data rw,nosuid,nodev shared:5 - tmpfs tmpfs rw,size=1k\n\
            31 22 0:27 / /mnt rw - nfs4 nas:/x rw\n32 31 8:2 / /mnt rw,noexec - ext4 /dev/sdb1 ro\n";
        let mount = find(table, "/srv/my data").unwrap();
        assert_eq!(
            (mount.source.as_str(), mount.fstype.as_str(), mount.options.join(",").as_str()),
            ("tmpfs", "tmpfs", "rw,nosuid,nodev")
        );
        let mount = find(table, "/mnt").unwrap();
        assert_eq!((mount.source.as_str(), mount.options.join(",").as_str()), ("/dev/sdb1", "rw,noexec,ro"));
        assert_eq!(find(table, "/srv"), None);
    }
}
