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

/// A ruleset whose input chain ends with this policy.
fn ruleset(policy: &str, port: u16, confirm_s: u32) -> String {
    format!(
        "resources:
  - firewall:
      confirm_s: {confirm_s}
      content: |
        flush ruleset
        table inet lab {{
          chain input {{
            type filter hook input priority 0; policy {policy};
            tcp dport {port} drop
          }}
        }}
"
    )
}

#[test]
fn rules_that_cut_the_host_off_are_taken_back_and_good_ones_stay() {
    on_own_ground(|ground| {
        let mut site = Site::new(ground, Disk::Volatile, &[]);
        let rules = |site: &Site| site.machine.ask(&["nft", "list", "ruleset"]);
        let receipt = site.change("fw@1.0.0", &ruleset("accept", 9, 20));
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert!(rules(&site).contains("tcp dport 9 drop"), "{}", rules(&site));
        let good = rules(&site);
        let calm = |site: &Site| {
            assert_eq!(site.machine.unit("assent-firewall-restore.timer"), "inactive dead");
            assert!(!site.has("/var/lib/assent/firewall-former.nft"));
        };
        calm(&site);
        let id = site.request_again("fw@1.0.0");
        site.approve(&id);
        assert_eq!(outcome(&site.receipt(&id)), "unchanged");

        // Nothing comes in any more: the agent does not reach its server, and takes the rules back.
        let id = site.request("fw@2.0.0", &ruleset("drop", 10, 5));
        assert!(
            site.shown(&id).contains("taken back unless the server is reached within 5 s"),
            "{}",
            site.shown(&id)
        );
        site.approve(&id);
        let receipt = site.receipt(&id);
        assert_eq!(outcome(&receipt), "rolled_back", "{:#?}", receipt.body);
        assert!(
            receipt.body.note.contains("was not reached within 5 s under the new rules"),
            "{:#?}",
            receipt.body
        );
        assert_eq!(rules(&site), good);
        assert!(!site.machine.ask(&["cat", "/etc/nftables.conf"]).contains("policy drop"));
        calm(&site);

        // The agent is killed while the host is cut off, and does not come back: the armed restore does it.
        let id = site.request("fw@3.0.0", &ruleset("drop", 11, 8));
        site.approve(&id);
        site.until("the new rules", || rules(&site).contains("tcp dport 11 drop"));
        site.machine.exec(&["systemctl", "kill", "--kill-who=main", "--signal=KILL", "assent-agent"]).ok();
        site.machine.exec(&["systemctl", "stop", "assent-agent"]).ok();
        assert!(rules(&site).contains("policy drop"));
        site.until("the former rules", || rules(&site) == good);
        site.machine.nudge();
        let receipt = site.receipt(&id);
        assert_eq!(outcome(&receipt), "rolled_back", "{:#?}", receipt.body);
        assert_eq!(rules(&site), good);
        calm(&site);

        // Broken rules are never loaded.
        let receipt = site.change("fw@4.0.0", &ruleset("accpet", 12, 5));
        assert_eq!(outcome(&receipt), "rolled_back", "{:#?}", receipt.body);
        assert!(receipt.body.note.contains("/etc/nftables.conf is not changed"), "{:#?}", receipt.body);
        assert_eq!(rules(&site), good);
        site.is_sound();
    });
}

/// A file system in memory with these options.
fn memory(options: &str) -> String {
    format!(
        "resources:\n  - mount: {{path: /srv/my cache, source: tmpfs, fstype: tmpfs, options: [{options}]}}\n  - file: {{path: /etc/after, content: x}}\n"
    )
}

#[test]
fn file_systems_are_mounted_changed_and_unmounted() {
    on_own_ground(|ground| {
        let mut site = Site::new(ground, Disk::Volatile, &[]);
        let options =
            |site: &Site| site.machine.exec(&["findmnt", "-no", "VFS-OPTIONS", "/srv/my cache"]).out;
        let table = site.machine.exec(&["cat", "/etc/fstab"]).out;
        let receipt = site.change("m@0.9.0", &format!("{}{NEVER}", memory("size=1M, nosuid")));
        assert_eq!(outcome(&receipt), "rolled_back", "{:#?}", receipt.body);
        assert!(!site.machine.ask(&["cat", "/proc/mounts"]).contains("cache"));
        assert_eq!(site.machine.exec(&["cat", "/etc/fstab"]).out, table);

        let receipt = site.change("m@1.0.0", &memory("size=1M, nosuid"));
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert!(
            options(&site).contains("nosuid") && !options(&site).contains("noexec"),
            "{}",
            options(&site)
        );
        let receipt = site.change("m@1.1.0", &memory("size=1M, nosuid, noexec"));
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert!(options(&site).contains("noexec"), "{}", options(&site));
        let id = site.request_again("m@1.1.0");
        site.approve(&id);
        assert_eq!(outcome(&site.receipt(&id)), "unchanged");
        // systemd knows it from the table.
        let shown = site.machine.ask(&["systemctl", "show", "-P", "Options", "srv-my\\x20cache.mount"]);
        assert!(shown.contains("noexec"), "{shown}");

        let gone = "resources:\n  - mount: {path: /srv/my cache, state: absent}\n";
        let receipt = site.change("gone@1.0.0", &format!("{gone}{NEVER}"));
        assert_eq!(outcome(&receipt), "rolled_back", "{:#?}", receipt.body);
        assert!(options(&site).contains("noexec"), "{}", options(&site));
        let receipt = site.change("gone@1.1.0", gone);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert!(!site.machine.ask(&["cat", "/proc/mounts"]).contains("cache"));

        site.is_sound();
    });
}
