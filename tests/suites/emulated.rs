//! A machine with a kernel of its own: what containers leave to that of the host.

use super::library::{file_of, in_evidence, rules_of};
use super::{Site, outcome};
use shared::wire::CiFile;
use tests::machine::{Disk, Needs, on_ground_with};

const MANIFESTS: [&str; 2] = ["baseline-debian12-kernel", "auditd"];

#[test]
fn parameters_of_the_kernel_and_audit_are_as_the_scanner_wants_also_after_a_reboot() {
    on_ground_with(Needs { debian: true, kernel: true, ..Needs::default() }, |ground| {
        let mut site = Site::of_library(ground, Disk::Emulated);
        is_told_in_facts(&site);
        let rules: Vec<String> = MANIFESTS.into_iter().flat_map(rules_of).collect();
        let before = site.scan(&rules);
        let green = |results: &[String]| results.iter().filter(|line| line.ends_with(" pass")).count();
        assert!(before.len() == rules.len() && green(&before) < rules.len() / 2, "{before:#?}");

        site.publish_library(&MANIFESTS);
        let id = site.request_library(&MANIFESTS, &[]);
        site.approve(&id);
        let receipt = site.receipt(&id);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        in_evidence(&site, &id, &rules);
        is_green(&site, &rules);
        audits(&site);
        takes_the_rules_of_the_baseline_as_well(&site);

        let id = site.request_library(&MANIFESTS, &[]);
        site.approve(&id);
        let receipt = site.receipt(&id);
        assert_eq!((outcome(&receipt), receipt.body.results.len()), ("unchanged", 0), "{:#?}", receipt.body);

        site.machine.reboot();
        is_green(&site, &rules);
        audits(&site);
        site.is_sound();
    });
}

/// Hardware, kernel and virtualisation, which no container has of its own.
fn is_told_in_facts(site: &Site) {
    let facts = || {
        let file: CiFile = serde_json::from_slice(&site.world.get("/v1/cis/m1").body).unwrap();
        file.facts
    };
    site.until("facts", || facts().is_some());
    let facts = facts().unwrap();
    let ours = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_ne!(facts.kernel.release, ours.trim());
    assert_eq!(facts.kernel.release, site.sh("uname -r"));
    assert!(facts.kernel.installed.contains(&facts.kernel.release), "{:?}", facts.kernel);
    assert_eq!(facts.virtualisation, Some(site.sh("systemd-detect-virt")));
    let hardware = facts.hardware.unwrap();
    assert_eq!(hardware.vendor, site.sh("cat /sys/class/dmi/id/sys_vendor"), "{hardware:?}");
    assert_eq!(hardware.cpus.to_string(), site.sh("nproc"));
}

fn is_green(site: &Site, rules: &[String]) {
    let results = site.scan(rules);
    let red: Vec<&String> = results.iter().filter(|line| !line.ends_with(" pass")).collect();
    assert!(results.len() == rules.len() && red.is_empty(), "{results:#?}");
}

/// Auditd runs, the kernel has the rules, and what they watch is in the log.
fn audits(site: &Site) {
    assert_eq!(site.machine.unit("auditd"), "active running enabled");
    let status = site.sh("auditctl -s");
    assert!(status.lines().any(|line| line == "enabled 1"), "{status}");
    let loaded = site.sh("auditctl -l");
    for rule in ["-w /etc/shadow -p wa -k accounts", "init_module", "-w /etc/audit -p wa -k audit"] {
        assert!(loaded.contains(rule), "{rule}: {loaded}");
    }
    // Without the option the log is expected on standard input.
    let events = || {
        let found =
            site.machine.exec(&["ausearch", "--input-logs", "-k", "accounts", "-f", "/etc/shadow"]).out;
        found.lines().filter(|line| line.contains("type=SYSCALL ")).count()
    };
    let before = events();
    site.sh(": >>/etc/shadow");
    site.until("an event of the watch", || events() > before);
}

/// Both may be on one host: the kernel refuses a rule that it has already.
fn takes_the_rules_of_the_baseline_as_well(site: &Site) {
    let text = std::fs::read_to_string(file_of("baseline-debian12")).unwrap();
    let rules =
        text.lines().map(str::trim_start).filter(|line| line.starts_with("-a ") || line.starts_with("-w "));
    let rules: Vec<String> = rules.map(|rule| format!("{rule}\n")).collect();
    assert!(rules.len() > 10, "{rules:?}");
    let file = "/etc/audit/rules.d/60-baseline.rules";
    site.machine.write(file, rules.concat().as_bytes(), 0o640);
    site.sh("augenrules --load");
    let loaded = site.sh("auditctl -l");
    assert!(loaded.contains("key=kernel-modules") && loaded.contains("key=modules"), "{loaded}");
    site.sh(&format!("rm {file}; augenrules --load"));
}
