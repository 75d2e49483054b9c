//! Rules of nftables in the running kernel, through nft(8), and a restore of them that outlives the agent.

use super::Fault;
use super::process::{self, Exec, run};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);
const RULES_BYTES: usize = 16 << 20;
/// The transient timer and its service.
const UNIT: &str = "assent-firewall-restore";

/// All rules, without counters.
pub fn rules() -> Result<String, Fault> {
    let nft = Exec::new("nft", ["-s", "list", "ruleset"]).timeout(TIMEOUT).output_bytes(RULES_BYTES);
    let ran = run(&nft)?.success("nft list ruleset")?;
    if ran.cut {
        return Err(Fault::Refused("the ruleset of nftables is too long to be kept for an undo".into()));
    }
    String::from_utf8(ran.stdout)
        .map_err(|_| Fault::Refused("the ruleset of nftables has comments that are no UTF-8 text".into()))
}

pub fn load(path: &str) -> Result<(), Fault> {
    run(&Exec::new("nft", ["-f", path]).timeout(TIMEOUT))?.success("nft -f").map(drop)
}

/// Loads the file after so many seconds, whatever becomes of the agent until then.
pub fn arm(path: &str, after_s: u32, systemd: bool) -> Result<(), Fault> {
    let seconds = after_s.to_string();
    if systemd {
        let active = format!("--on-active={seconds}");
        let unit = format!("--unit={UNIT}");
        let words = [
            "--quiet",
            "--collect",
            &unit,
            &active,
            "--timer-property=AccuracySec=100ms",
            "--",
            "nft",
            "-f",
            path,
        ];
        return run(&Exec::new("systemd-run", words).timeout(TIMEOUT))?.success("systemd-run").map(drop);
    }
    let script = "sleep \"$1\"; [ -e \"$2\" ] && exec nft -f \"$2\"";
    process::detach(&Exec::new("/bin/sh", ["-c", script, UNIT, &seconds, path]))
}

/// Without systemd, the restore finds no file any more when the agent has removed it.
pub fn disarm(systemd: bool) -> Result<(), Fault> {
    if !systemd {
        return Ok(());
    }
    let (timer, service) = (format!("{UNIT}.timer"), format!("{UNIT}.service"));
    for verb in ["stop", "reset-failed"] {
        // Units that are not there are as good as stopped.
        run(&Exec::new("systemctl", ["--quiet", verb, &timer, &service]).timeout(TIMEOUT))?;
    }
    let shown = run(&Exec::new("systemctl", ["is-active", "--quiet", &timer]).timeout(TIMEOUT))?;
    if shown.code == Some(0) {
        return Err(Fault::Refused(format!(
            "{timer} could not be stopped, so the rules would be taken back"
        )));
    }
    Ok(())
}
