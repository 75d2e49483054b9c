//! Processes that still run files which were replaced since they started, as the kernel tells (proc(5)).
//!
//! The contents of `/proc` are other programs' word: they are only read, with limits, and a process that ends
//! meanwhile is no error.

use super::Fault;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Large programs map some thousand regions of a hundred bytes.
const MAPS_BYTES: u64 = 16 << 20;
const LINE_BYTES: u64 = 64 << 10;
/// Where packages put programs and libraries. Elsewhere a deleted file is mostly meant to be so.
const PLACES: [&str; 5] = ["/usr/", "/bin/", "/sbin/", "/lib", "/opt/"];

/// Something that runs and would be another program if it were started now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outdated {
    /// The unit that it belongs to, such as `cron.service` or `session-2.scope`; none without systemd.
    pub unit: Option<String>,
    /// Name of the program.
    pub program: String,
    /// The first of the replaced files.
    pub file: String,
}

/// Everything outdated on this machine, sorted, each unit and program once; other containers are left out.
///
/// # Errors
/// `/proc` cannot be listed.
pub fn scan() -> Result<Vec<Outdated>, Fault> {
    let mut all = Vec::new();
    let own = fs::read_link("/proc/self/ns/pid").ok();
    for entry in fs::read_dir("/proc").map_err(Fault::io("list /proc"))? {
        let entry = entry.map_err(Fault::io("list /proc"))?;
        let is_process =
            entry.file_name().to_str().is_some_and(|name| name.bytes().all(|c| c.is_ascii_digit()));
        if !is_process || fs::read_link(entry.path().join("ns/pid")).ok() != own {
            continue;
        }
        all.extend(look(&entry.path(), &PLACES));
    }
    all.sort_unstable();
    all.dedup_by(|a, b| (&a.unit, &a.program) == (&b.unit, &b.program));
    Ok(all)
}

/// `None` for a process that is up to date, is a thread of the kernel, or has ended.
fn look(process: &Path, places: &[&str]) -> Option<Outdated> {
    let file = replaced(&read(&process.join("maps"), MAPS_BYTES)?, places)?;
    let unit = read(&process.join("cgroup"), LINE_BYTES).and_then(|text| unit_of(&text));
    let program = read(&process.join("comm"), LINE_BYTES)?.trim().to_owned();
    let clean = |text: String| text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    Some(Outdated { unit, program: clean(program), file: clean(file) })
}

fn read(path: &Path, limit: u64) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first file that is executed and is no longer the one of its name.
pub(crate) fn replaced(maps: &str, places: &[&str]) -> Option<String> {
    let gone = |line: &str| {
        // address perms offset dev inode path
        let mut fields = line.splitn(6, ' ');
        let executed = fields.nth(1)?.contains('x');
        let path = fields.nth(3)?.trim_start().strip_suffix(" (deleted)")?;
        (executed && places.iter().any(|place| path.starts_with(place))).then(|| path.to_owned())
    };
    maps.lines().find_map(gone)
}

/// The outermost unit of a cgroup path: what systemd itself started.
pub(crate) fn unit_of(cgroup: &str) -> Option<String> {
    let lines = || cgroup.lines().filter_map(|line| line.split_once(':')).map(|(_, rest)| rest);
    let path = lines()
        .find_map(|l| l.strip_prefix("name=systemd:"))
        .or_else(|| lines().find_map(|l| l.strip_prefix(':')))?;
    let is_unit = |part: &&str| part.ends_with(".service") || part.ends_with(".scope");
    path.split('/').find(is_unit).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_executed_files_of_packages_that_are_gone_count() {
        let line = |perms: &str, path: &str| {
            format!("7f1-7f2 {perms} 00001000 08:01 1234                       {path}\n")
        };
        for (perms, path, found) in [
            ("r-xp", "/usr/lib/libx.so.1 (deleted)", Some("/usr/lib/libx.so.1")),
            ("r-xp", "/usr/lib/with blank.so (deleted)", Some("/usr/lib/with blank.so")),
            ("r--p", "/usr/lib/libx.so.1 (deleted)", None),
            ("r-xp", "/usr/lib/libx.so.1", None),
            ("r-xp", "/dev/zero (deleted)", None),
            ("r-xp", "/tmp/jit (deleted)", None),
            ("r-xp", "/memfd:x (deleted)", None),
        ] {
            let text = format!("{}{}", line("r-xp", "/usr/bin/x"), line(perms, path));
            assert_eq!(replaced(&text, &PLACES).as_deref(), found, "{perms} {path}");
        }
        assert_eq!(replaced("7f1-7f2 r-xp 00000000 00:00 0\n", &PLACES), None);
    }

    #[test]
    fn a_process_belongs_to_the_unit_that_systemd_started() {
        for (cgroup, unit) in [
            ("0::/system.slice/cron.service\n", Some("cron.service")),
            ("5:cpu:/x\n1:name=systemd:/system.slice/web.service\n0::/other.service\n", Some("web.service")),
            ("0::/user.slice/user-0.slice/user@0.service/app.slice/a.service\n", Some("user@0.service")),
            ("0::/user.slice/user-0.slice/session-1.scope\n", Some("session-1.scope")),
            ("0::/system.slice/docker.service/abc\n", Some("docker.service")),
            ("0::/\n", None),
        ] {
            assert_eq!(unit_of(cgroup).as_deref(), unit, "{cgroup}");
        }
    }

    #[test]
    fn a_running_program_whose_file_is_gone_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("waits");
        // Written by another process: a program that some process still has open for writing cannot be run, and tests
        // beside this one fork.
        std::process::Command::new("cp").arg("/bin/sleep").arg(&program).status().unwrap();
        let mut child = std::process::Command::new(&program).arg("60").spawn().unwrap();
        let process = Path::new("/proc").join(child.id().to_string());
        let place = dir.path().display().to_string();
        // The kernel lets the parent go on before it has mapped the program.
        let mapped = || fs::read_to_string(process.join("maps")).unwrap().contains(&place);
        while !mapped() {
            std::thread::yield_now();
        }
        let before = look(&process, &[&place]);
        fs::remove_file(&program).unwrap();
        let found = look(&process, &[&place]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((before, look(&process, &[&place])), (None, None));
        let found = found.unwrap();
        assert_eq!((found.program.as_str(), found.file), ("waits", program.display().to_string()));
        scan().unwrap();
    }
}
