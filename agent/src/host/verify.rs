//! What systemd says of a unit file that is not live yet, through systemd-analyze(1).

use super::Fault;
use super::process::{Exec, PATH, Ran, run};
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);
/// The directories that systemd looks for units in, without those of the running machine.
const BELOW_ROOT: [&str; 4] =
    ["etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];

/// Judges `unit` as it is with the text at the path `file.0` in it. `scratch` is a directory of the agent's own.
/// `root` is given when it is not the running machine's: then only what the text itself gets wrong counts.
///
/// # Errors
/// [`Fault::Refused`] with what systemd cannot read; the disk's.
pub fn unit(scratch: &Path, file: (&str, &[u8]), unit: &str, root: Option<&Path>) -> Result<(), Fault> {
    if !PATH.split(':').any(|dir| Path::new(dir).join("systemd-analyze").exists()) {
        return Ok(());
    }
    let prepare = || -> io::Result<()> {
        clear(scratch)?;
        let place = scratch.join(file.0.rsplit("/systemd/system/").next().unwrap_or(file.0));
        fs::create_dir_all(place.parent().unwrap_or(scratch))?;
        fs::write(place, file.1)
    };
    prepare().map_err(Fault::io(format!("prepare a check of {unit}")))?;
    let judged = judge(scratch, unit, root);
    clear(scratch).map_err(Fault::io(format!("tidy up after a check of {unit}")))?;
    judged
}

fn clear(scratch: &Path) -> io::Result<()> {
    match fs::remove_dir_all(scratch) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn judge(scratch: &Path, unit: &str, root: Option<&Path>) -> Result<(), Fault> {
    let ran = analyze(Some(scratch), unit, root)?;
    if ran.code == Some(0) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let place = format!("{}/", scratch.display());
    let own: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix(&place)).collect();
    if !own.is_empty() {
        return Err(Fault::Refused(format!("systemd cannot read it: {}", own.join(" | "))));
    }
    // A unit that had its faults before is no worse now; what it lacks below a private root tells nothing.
    if root.is_some() || analyze(None, unit, root)?.code != Some(0) && !said.contains("not found") {
        return Ok(());
    }
    Err(Fault::Refused(format!("systemd cannot use it: {}", ran.tail())))
}

fn analyze(scratch: Option<&Path>, unit: &str, root: Option<&Path>) -> Result<Ran, Fault> {
    let below = root.iter().flat_map(|root| BELOW_ROOT.iter().map(|dir| root.join(dir)));
    let dirs = scratch.map(Path::to_owned).into_iter().chain(below);
    // An empty last item stands for the usual places.
    let path: String = dirs.map(|dir| format!("{}:", dir.display())).collect();
    let arguments = ["verify", "--man=no", "--recursive-errors=no", "--", unit];
    let mut exec = Exec::new("systemd-analyze", arguments).timeout(TIMEOUT).env("LC_ALL", "C");
    if !path.is_empty() {
        exec = exec.env("SYSTEMD_UNIT_PATH", path);
    }
    run(&exec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_cannot_read_is_told_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("etc/systemd/system")).unwrap();
        fs::write(root.join("etc/systemd/system/app.service"), "[Service]\nExecStart=/bin/true\n").unwrap();
        let scratch = dir.path().join("verify");
        let check = |path: &str, text: &str, name: &str| {
            unit(&scratch, (path, text.as_bytes()), name, Some(&root)).map_err(|fault| fault.text())
        };
        let dropin = "/etc/systemd/system/app.service.d/limits.conf";
        assert_eq!(check(dropin, "[Service]\nMemoryMax=5G\n", "app.service"), Ok(()));
        if !Path::new("/usr/bin/systemd-analyze").exists() {
            return;
        }
        for (path, text, name, told) in [
            (dropin, "[Service]\nMemroyMax=5G\n", "app.service", "app.service.d/limits.conf:2: Unknown key"),
            (
                "/etc/systemd/system/t.timer",
                "[Timer]\nOnCalendar=Mon..Fry\n",
                "t.timer",
                "t.timer:2: Failed to parse calendar",
            ),
        ] {
            let refused = check(path, text, name).unwrap_err();
            assert!(refused.contains(told), "{refused}");
        }
        assert!(!scratch.exists());
    }
}
