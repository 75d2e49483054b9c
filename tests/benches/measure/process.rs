//! Processes that this bench started, and the CPU time they have used.

use std::fs;

/// Unit of the times in proc_pid_stat(5): USER_HZ is 100 on every Linux.
const TICKS_A_SECOND: f64 = 100.0;

/// Fields of `/proc/PID/stat` from the third on; the second may contain blanks.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

/// Children of a process.
pub fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|fields| fields[1] == parent.to_string())).collect()
}

/// The children of this process that run the program.
///
/// # Panics
/// There is none.
pub fn own(program: &str) -> Vec<u32> {
    let is =
        |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == program);
    let found: Vec<u32> = children(std::process::id()).into_iter().filter(is).collect();
    assert!(!found.is_empty(), "{program} is no child of this process");
    found
}

/// User and system seconds that the processes have used so far.
pub fn cpu_secs(pids: &[u32]) -> f64 {
    let ticks = |pid: &u32| {
        let fields = stat(*pid).unwrap();
        fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
    };
    pids.iter().map(ticks).sum::<f64>() / TICKS_A_SECOND
}
