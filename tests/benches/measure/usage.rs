//! CPU time and memory as the kernel counts them, and the middle of several runs.

use nix::sys::resource::{UsageWho, getrusage};
use std::ffi::OsStr;
use std::process::{Command, Stdio};

const MARK: &str = "meter:";

/// What one run of a program cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// User and system seconds, children included.
    pub cpu: f64,
    pub peak_mib: f64,
}

/// Runs a program below a fresh small process of this executable, so that neither the size of the bench nor
/// its earlier children count. Gives its standard output as well.
///
/// # Panics
/// The program did not end with 0.
pub fn run<S: AsRef<OsStr>>(command: &[S]) -> (Cost, String) {
    let mut meter = Command::new(std::env::current_exe().unwrap());
    let output = meter.arg("meter").args(command).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {}{text}{said}", command[0].as_ref(), output.status);
    let (text, figures) = text.rsplit_once(MARK).unwrap();
    let (micros, kib) = figures.trim().split_once(' ').unwrap();
    let [micros, kib] = [micros, kib].map(|n| n.parse::<f64>().unwrap());
    (Cost { cpu: micros / 1e6, peak_mib: kib / 1024.0 }, text.to_owned())
}

/// The other side of [`run`]: never returns.
pub fn meter(command: &[String]) -> ! {
    let status = Command::new(&command[0]).args(&command[1..]).status().unwrap();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    println!("{MARK}{} {}", micros(usage.user_time()) + micros(usage.system_time()), usage.max_rss());
    std::process::exit(status.code().unwrap_or(1));
}
