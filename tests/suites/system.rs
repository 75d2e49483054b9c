//! Kinds that only a whole machine can show: units, mounts, the trust store, rules of the kernel.

use super::{Site, outcome};
use tests::machine::{Disk, on_own_ground};

const NEVER: &str = "health:\n  - {name: never, command: {run: [/bin/sh, -c, \"exit 2\"]}, retries: 0}\n";

/// A unit that stays up, a drop-in for it and a timer.
fn units(greeting: &str, time: &str) -> String {
    format!(
        "resources:
  - file: {{path: /etc/systemd/system/app.service, content: \"[Service]\\nExecStart=/bin/sleep infinity\\n\"}}
  - service: {{name: app, state: running}}
  - dropin: {{unit: app, name: greeting, content: \"[Service]\\nEnvironment=GREETING={greeting}\\n\", requires: [\"file:/etc/systemd/system/app.service\"], on_change: [\"service:app\"]}}
  - timer: {{name: job, on_calendar: [\"{time}\"], run: [/bin/sh, -c, \"echo $$ 100% >/var/tmp/job\"]}}
"
    )
}

#[test]
fn dropins_and_timers_are_read_by_systemd_and_taken_back() {
    on_own_ground(|ground| {
        let mut site = Site::new(ground, Disk::Volatile, &[]);
        let receipt = site.change("units@0.9.0", &format!("{}{NEVER}", units("hello", "*-*-* 03:00")));
        assert_eq!(outcome(&receipt), "rolled_back", "{:#?}", receipt.body);
        assert!(!site.has("/etc/systemd/system/job.timer") && !site.has("/etc/systemd/system/app.service.d"));
        assert_eq!(site.machine.unit("job.timer"), "inactive dead");

        let receipt = site.change("units@1.0.0", &units("hello", "*-*-* 03:00"));
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        let environment = |site: &Site| {
            site.machine.ask(&[
                "sh",
                "-c",
                "tr '\\0' '\\n' </proc/$(systemctl show -P MainPID app)/environ | grep GREETING",
            ])
        };
        assert_eq!(environment(&site), "GREETING=hello");
        assert_eq!(site.machine.unit("job.timer"), "active waiting enabled");
        let next = |site: &Site| {
            site.machine.ask(&["systemctl", "show", "-P", "NextElapseUSecRealtime", "job.timer"])
        };
        assert!(next(&site).contains("03:00:00"), "{}", next(&site));
        site.machine.exec(&["systemctl", "start", "job.service"]).ok();
        assert_eq!(site.machine.ask(&["sh", "-c", "grep -c '^[0-9]* 100%$' /var/tmp/job"]), "1");

        // New settings: the service is restarted, the timer elapses at its new time, and an undo goes back.
        let other = units("goodbye", "*-*-* 04:30");
        let receipt = site.change("units@1.1.0", &format!("{other}{NEVER}"));
        assert_eq!(outcome(&receipt), "rolled_back", "{:#?}", receipt.body);
        assert_eq!(environment(&site), "GREETING=hello");
        assert!(next(&site).contains("03:00:00"), "{}", next(&site));
        let receipt = site.change("units@1.1.1", &other);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert_eq!(environment(&site), "GREETING=goodbye");
        assert!(next(&site).contains("04:30:00"), "{}", next(&site));

        // What systemd cannot read never becomes live.
        let typo =
            "resources:\n  - dropin: {unit: app, name: typo, content: \"[Service]\\nMemroyMax=1G\\n\"}\n";
        let receipt = site.change("typo@1.0.0", typo);
        assert_eq!(outcome(&receipt), "rolled_back", "{:#?}", receipt.body);
        assert!(receipt.body.note.contains("typo.conf:2: Unknown key"), "{}", receipt.body.note);

        let gone = "resources:\n  - timer: {name: job, state: absent}\n  - dropin: {unit: app, name: greeting, state: absent}\n";
        let receipt = site.change("gone@1.0.0", gone);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert_eq!(site.machine.unit("job.timer"), "inactive dead");
        site.is_sound();
    });
}
