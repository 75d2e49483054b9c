//! Reboots: whether the machine needs one, and the step that is always the last.

use super::{refuse, state};
use crate::host::{Entry, Fault, Host, PackageState};
use serde::{Deserialize, Serialize};
use shared::manifest::Reboot;
use shared::plan::{Action, Reversibility, UndoContract, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;
use shared::strict::Map;
use shared::time::Timestamp;
use shared::version::Order;

/// The resource of the step.
pub const ID: &str = "host:reboot";
/// Packages ask for a reboot by this file, and by their names in the other one (Debian and relatives).
const REQUIRED: &str = "/run/reboot-required";
const REQUIRED_BY: &str = "/run/reboot-required.pkgs";
const NAMES_BYTES: u64 = 64 << 10;

/// Which boot of the machine the step found, and when it asked for the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    pub boot_id: String,
    pub at: Timestamp,
}

/// Why this machine should be rebooted, one line each; empty when nothing is known that needs it.
///
/// # Errors
/// The host cannot be looked at.
pub fn reasons(host: &impl Host) -> Result<Vec<String>, Fault> {
    let mut reasons = Vec::new();
    if host.look(REQUIRED)? != Entry::Absent {
        let names = host.read(REQUIRED_BY, NAMES_BYTES)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&names).into_owned();
        let is_name = |name: &&str| !name.is_empty() && !name.contains(char::is_control);
        let mut names: Vec<&str> = text.lines().map(str::trim).filter(is_name).collect();
        names.sort_unstable();
        names.dedup();
        match names.as_slice() {
            [] => reasons.push("a package asks for a reboot".to_owned()),
            names => reasons.extend(names.iter().map(|name| format!("{name} asks for a reboot"))),
        }
    }
    reasons.extend(kernel(host)?);
    Ok(reasons)
}

/// A newer kernel of the running flavour is installed, or another build of the running one.
fn kernel(host: &impl Host) -> Result<Option<String>, Fault> {
    // The kernel of a container is not its own.
    if !host.has_kernel() || host.look("/run/systemd/container")? != Entry::Absent {
        return Ok(None);
    }
    let running = host.uname();
    let release = running.release.as_str();
    let images = host.list("/boot")?;
    let installed: Vec<&str> = images.iter().filter_map(|name| name.strip_prefix("vmlinuz-")).collect();
    let order = host.packager().order();
    let is_newer = |a: &str, b: &str| order.is_newer(split(a, order).0, split(b, order).0);
    let flavour = split(release, order).1;
    let newer = |other: &&str| split(other, order).1 == flavour && is_newer(other, release);
    let newest = installed.iter().copied().filter(newer).reduce(|a, b| if is_newer(b, a) { b } else { a });
    if let Some(newest) = newest {
        return Ok(Some(format!("kernel {newest} is installed and {release} runs")));
    }
    // Debian writes the package's version into the build of the kernel.
    let Some((_, build)) = running.version.split_once("Debian ") else { return Ok(None) };
    let build = build.split_whitespace().next().unwrap_or_default();
    let image = format!("linux-image-{release}");
    let packages = host.packages()?;
    let package = packages.iter().find(|p| p.name == image && p.state == PackageState::Installed);
    let other = package.filter(|package| package.version != build);
    Ok(other.map(|package| format!("{image} {} is installed and its build {build} runs", package.version)))
}

/// The numbers of a release and what follows them, such as `amd64`, `generic` or `default`; on Fedora and its
/// relatives `debug` and the like after a `+`.
fn split(release: &str, order: Order) -> (&str, &str) {
    let letters = |at: &usize| release[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic());
    let start = release.match_indices('-').map(|(at, _)| at).find(letters);
    let start = start.or_else(|| release.rfind('+').filter(|_| order == Order::Rpm));
    start.map_or((release, ""), |at| (&release[..at], &release[at + 1..]))
}

/// The last step of a plan.
///
/// # Errors
/// Never, but for an id that is none.
pub fn action(wish: Reboot, now: &[String]) -> Result<Action, Refused> {
    let why = if now.is_empty() { String::new() } else { format!(" (now: {})", now.join("; ")) };
    let summary = match wish {
        Reboot::Always => "reboot the machine, as the last step and within the window".to_owned(),
        _ => format!(
            "reboot the machine if something needs it then{why}, as the last step and within the window"
        ),
    };
    Ok(Action {
        resource: ID.parse().map_err(|_| refuse("the reboot has no name"))?,
        verb: Verb::Reboot,
        class: ActionClass::Reboot,
        before: None,
        after: state(&("reboot", wish)),
        summary,
        diff: None,
        undo: Reversibility { undo: UndoContract::No, why: "what ran has ended".to_owned() },
        package: None,
        programs: Map::default(),
        satisfies: Vec::new(),
        content: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::Fake;

    #[test]
    fn a_newer_kernel_of_the_same_flavour_needs_a_reboot() {
        for (running, images, reason) in [
            (
                "6.1.0-9-amd64",
                "6.1.0-9-amd64 6.1.0-28-amd64 6.1.0-10-amd64",
                "kernel 6.1.0-28-amd64 is installed",
            ),
            ("6.1.0-28-amd64", "6.1.0-9-amd64 6.1.0-28-amd64", ""),
            ("6.1.0-28-amd64", "6.1.0-30-rt-amd64 6.1.0-28-amd64", ""),
            ("6.12.43+deb13-amd64", "6.12.48+deb13-amd64", "kernel 6.12.48+deb13-amd64 is installed"),
            ("5.15.0-91-generic", "5.15.0-105-generic old", "kernel 5.15.0-105-generic is installed"),
            ("6.18.0", "", ""),
            (
                "5.14.0-427.13.1.el9_4.x86_64",
                "5.14.0-427.13.1.el9_4.x86_64 5.14.0-427.9.1.el9_4.x86_64 5.14.0-503.11.1.el9_5.x86_64 0-rescue-ab",
                "kernel 5.14.0-503.11.1.el9_5.x86_64 is installed",
            ),
            ("5.14.0-1.el9.x86_64", "5.14.0-2.el9.x86_64+debug 5.14.0-1.el9.x86_64", ""),
            (
                "5.14.21-150500.55.7-default",
                "5.14.21-150500.55.12-default 5.14.21-150500.55.7-default",
                "kernel 5.14.21-150500.55.12-default is installed",
            ),
        ] {
            let host = Fake::default();
            host.order.set(if running.contains(".el") || running.contains("default") {
                Order::Rpm
            } else {
                Order::Deb
            });
            *host.release.borrow_mut() = running.into();
            images.split_whitespace().for_each(|image| host.file(&format!("/boot/vmlinuz-{image}"), ""));
            let found = reasons(&host).unwrap();
            assert_eq!(found.is_empty(), reason.is_empty(), "{running}: {found:?}");
            assert!(found.iter().all(|text| text.starts_with(reason)), "{running}: {found:?}");
            host.file("/run/systemd/container", "systemd-nspawn");
            assert_eq!(reasons(&host).unwrap(), Vec::<String>::new(), "its kernel is another machine's");
        }
    }

    #[test]
    fn packages_that_ask_for_it_are_named() {
        let host = Fake::default();
        host.file(REQUIRED, "");
        assert_eq!(reasons(&host).unwrap(), ["a package asks for a reboot"]);
        host.file(REQUIRED_BY, "linux-base\ndbus\n\ndbus\n");
        assert_eq!(reasons(&host).unwrap(), ["dbus asks for a reboot", "linux-base asks for a reboot"]);
    }
}
