//! The manifests of `manifests/library` on a whole machine: all of them together, and nothing to do afterwards. What they
//! bring about is asked of the programs themselves.

use super::{Site, outcome};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use tests::machine::{Disk, Ground, Lab, Needs, on_ground_with, on_own_ground};
use tests::world::NewChange;

const LIBRARY: [&str; 10] = [
    "auditd",
    "journald-limits",
    "login-banner",
    "nginx-site",
    "node-exporter",
    "postgresql-server",
    "sshd-hardening",
    "sysctl-network",
    "time-sync",
    "unattended-upgrades",
];
const RULE: &str = "xccdf_org.ssgproject.content_rule_";

pub fn file_of(name: &str) -> PathBuf {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("manifests/library");
    library.join(format!("{name}.yaml"))
}

impl Site {
    pub fn of_library(ground: &Ground, disk: Disk) -> Self {
        let lab = Lab::new(&[]);
        lab.add_debian(ground);
        Self::with(ground, disk, lab)
    }

    pub fn publish_library(&self, names: &[&str]) {
        for name in names {
            self.world.assent(&["publish", file_of(name).to_str().unwrap()]).ok();
        }
    }

    /// Requested and planned by the machine.
    pub fn request_library(&self, names: &[&str], more: &[&str]) -> String {
        let manifests: Vec<String> = names.iter().map(|name| format!("{name}@1.0.0")).collect();
        let manifests: Vec<&str> = manifests.iter().map(String::as_str).collect();
        let id = self.world.draft(&NewChange { manifests: &manifests, more, ..NewChange::default() });
        self.world.submit(&id);
        self.machine.nudge();
        self.until("a plan", || self.world.change_file(&id).plans.len() == 1);
        id
    }

    /// What a shell on the machine prints.
    pub fn sh(&self, line: &str) -> String {
        self.machine.ask(&["sh", "-c", line])
    }

    /// Results of the scanner for these rules, as `rule result`, sorted.
    pub fn scan(&self, rules: &[String]) -> Vec<String> {
        let content = "/usr/share/xml/scap/ssg/content/ssg-debian12-ds.xml";
        // One line each: the scanner passes over an element that follows another one at once.
        let select: String =
            rules.iter().map(|rule| format!("<x:select idref=\"{rule}\" selected=\"true\"/>\n")).collect();
        let tailoring = format!(
            "<x:Tailoring xmlns:x=\"http://checklists.nist.gov/xccdf/1.2\" id=\"xccdf_org.example_tailoring_a\">\
             <x:benchmark href=\"{content}\"/><x:version time=\"2026-01-01T00:00:00\">1</x:version>\
             <x:Profile id=\"xccdf_org.example_profile_a\"><x:title>rules of the manifest</x:title>{select}</x:Profile></x:Tailoring>"
        );
        let own = self.world.file("tailoring.xml", &tailoring);
        self.machine.copy(&own, "/root/tailoring.xml");
        // Exit code 2: a rule fails.
        let scan = format!(
            "oscap xccdf eval --skip-valid --tailoring-file /root/tailoring.xml --profile xccdf_org.example_profile_a {content} 2>/root/scan.err; rc=$?; [ $rc = 0 ] || [ $rc = 2 ]"
        );
        let said = self.machine.exec(&["sh", "-c", &scan]).ok().out;
        let mut results = Vec::new();
        let mut rule = String::new();
        for (key, value) in said.lines().filter_map(|line| line.split_once("\r\t")) {
            match key {
                "Rule" => rule = value.trim_start_matches(RULE).to_owned(),
                "Result" => results.push(format!("{rule} {value}")),
                _ => {}
            }
        }
        results.sort();
        results
    }
}

/// Answers questions for the time (RFC 5905, a server of stratum 2) with that of the test.
#[expect(clippy::disallowed_methods, reason = "a clock that is asked for the time, to parts of a second")]
fn serve_time() {
    let socket = UdpSocket::bind((Ground::HUB, 123)).unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            if length < 48 {
                continue;
            }
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let seconds = u32::try_from((since.as_secs() + 2_208_988_800) & 0xffff_ffff).unwrap();
            let fraction = u32::try_from((u64::from(since.subsec_nanos()) << 32) / 1_000_000_000).unwrap();
            let now = [seconds.to_be_bytes(), fraction.to_be_bytes()].concat();
            let mut answer = [0; 48];
            // No leap, version 4, server; stratum; poll; precision; reference.
            answer[..4].copy_from_slice(&[0x24, 2, question[2], 0xec]);
            answer[12..16].copy_from_slice(&[127, 0, 0, 1]);
            answer[16..24].copy_from_slice(&now);
            answer[24..32].copy_from_slice(&question[40..48]);
            answer[32..40].copy_from_slice(&now);
            answer[40..48].copy_from_slice(&now);
            socket.send_to(&answer, from).unwrap();
        }
    });
}

/// What a machine needs that must not set the clock: chrony only watches it.
const WATCHES: &str = "mkdir -p /etc/systemd/system/chrony.service.d; \
    printf '[Unit]\\nConditionCapability=\\n' >/etc/systemd/system/chrony.service.d/container.conf; \
    echo 'DAEMON_OPTS=\"-F 0 -x\"' >/etc/default/chrony";

#[test]
fn the_library_converges_and_has_nothing_to_do_the_second_time() {
    on_ground_with(Needs { debian: true, ..Needs::default() }, |ground| {
        serve_time();
        let mut site = Site::of_library(ground, Disk::Volatile);
        site.sh(WATCHES);
        site.publish_library(&LIBRARY);
        let more = ["--param", "time-sync.server_1=10.77.0.1", "--param", "login-banner.owner=Example Ltd"];
        let id = site.request_library(&LIBRARY, &more);
        site.approve(&id);
        let receipt = site.receipt(&id);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        works(&site);
        let id = site.request_library(&LIBRARY, &more);
        site.approve(&id);
        let receipt = site.receipt(&id);
        assert_eq!((outcome(&receipt), receipt.body.results.len()), ("unchanged", 0), "{:#?}", receipt.body);
        patches(&mut site);
        // One thing differs from what was approved, and nothing that the manifests have brought about themselves.
        site.sh("echo 'by hand' >/etc/motd");
        site.machine.nudge();
        let findings = || site.world.assent(&["finding", "list", "--host", "m1"]).ok().out;
        site.until("the finding", || findings().contains("file:/etc/motd"));
        let others: Vec<String> = findings()
            .lines()
            .filter(|l| l.contains("m1") && !l.contains("/etc/motd"))
            .map(str::to_owned)
            .collect();
        assert_eq!(others, [""; 0]);
        site.is_sound();
    });
}

/// The main path on the next release of Debian, with programs that were built on this one.
#[test]
fn debian_13_joins_plans_and_applies_what_was_approved() {
    on_ground_with(Needs { debian: true, release: Some("trixie"), ..Needs::default() }, |ground| {
        let mut site = Site::of_library(ground, Disk::Volatile);
        assert_eq!(site.sh(". /etc/os-release; echo $VERSION_CODENAME"), "trixie");
        // Paths of one release, and a clock that the test would have to serve.
        let names = LIBRARY.into_iter().filter(|name| !["postgresql-server", "time-sync"].contains(name));
        let names: Vec<&str> = names.collect();
        site.publish_library(&names);
        let id = site.request_library(&names, &[]);
        assert!(site.shown(&id).contains("install openssh-server 1:10."), "{}", site.shown(&id));
        site.approve(&id);
        let receipt = site.receipt(&id);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert!(site.sh("sshd -T").contains("permitrootlogin no"));
        assert_eq!(site.machine.unit("nginx"), "active running enabled");
        assert_eq!(site.sh("cat /proc/sys/net/ipv4/conf/all/rp_filter"), "1");
        let id = site.request_library(&names, &[]);
        site.approve(&id);
        let receipt = site.receipt(&id);
        assert_eq!((outcome(&receipt), receipt.body.results.len()), ("unchanged", 0), "{:#?}", receipt.body);
        site.is_sound();
    });
}

#[test]
fn the_agent_upgrades_itself_ends_its_change_and_goes_on_as_the_new_one() {
    on_own_ground(|ground| {
        let mut site = Site::new(ground, Disk::Volatile, &[]);
        site.lab.add_agent("0.1.0");
        // By hand, as on every new host.
        site.sh("apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install assent-agent >/dev/null");
        assert_eq!(site.sh("dpkg -S /usr/bin/assent-agent"), "assent-agent: /usr/bin/assent-agent");
        site.until("the agent after its package was installed", || {
            site.machine.unit("assent-agent") == "active running enabled"
        });
        assert!(site.sh("getent passwd assent-courier").contains("network process"));
        // What the unit takes away is gone for the process that acts; what that one mounts is for the machine.
        let main = "$(systemctl show -P MainPID assent-agent)";
        assert_eq!(site.sh(&format!("grep ^Seccomp: /proc/{main}/status")), "Seccomp:\t2");
        assert_eq!(site.sh("systemctl show -P LockPersonality assent-agent"), "yes");
        assert_eq!(site.sh(&format!("readlink /proc/{main}/ns/mnt")), site.sh("readlink /proc/1/ns/mnt"));
        site.lab.add_agent("0.1.1");
        site.publish_library(&["agent-update"]);
        let id = site.request_library(&["agent-update"], &[]);
        let shown = site.shown(&id);
        assert!(
            shown.contains("upgrade package:assent-agent") && shown.contains("0.1.0 -> 0.1.1"),
            "{shown}"
        );
        let pid = |site: &Site| site.sh("systemctl show -P MainPID assent-agent");
        site.approve(&id);
        let before = pid(&site);
        let receipt = site.receipt(&id);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert_eq!(site.package("assent-agent"), "installed 0.1.1");
        site.until("the new process", || !["0", before.as_str()].contains(&pid(&site).as_str()));
        let receipt = site.change("after@1.0.0", "resources:\n  - file: {path: /etc/after, content: x}\n");
        assert_eq!(outcome(&receipt), "applied", "the new one works: {:#?}", receipt.body);

        // A program that does not run here is noticed, and the one before is put back.
        site.lab.add_broken_agent("0.1.2");
        let id = site.request_library(&["agent-update"], &["--lift-quarantine"]);
        site.approve(&id);
        let receipt = site.receipt(&id);
        assert_eq!(outcome(&receipt), "rolled_back", "{:#?}", receipt.body);
        assert_eq!(site.package("assent-agent"), "installed 0.1.1");
        let receipt =
            site.change("after@1.1.0", "resources:\n  - file: {path: /etc/after, content: second}\n");
        assert_eq!(outcome(&receipt), "applied", "it still works: {:#?}", receipt.body);
        upgraded_by_hand_in_a_run(&mut site);
        site.is_sound();
    });
}

/// Somebody upgrades the agent's package while a change runs: apt does not wait, the run ends as it was approved, and
/// then the new program works.
fn upgraded_by_hand_in_a_run(site: &mut Site) {
    let pid = |site: &Site| site.sh("systemctl show -P MainPID assent-agent");
    let id = site.request("slow@1.0.0", &super::slow(8));
    site.approve(&id);
    site.until_there("/var/tmp/runs");
    let before = pid(site);
    site.lab.add_agent("0.1.3");
    site.sh(
        "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install assent-agent >/dev/null",
    );
    assert_eq!(site.package("assent-agent"), "installed 0.1.3");
    assert!(site.own_receipt(&id).is_none() && pid(site) == before, "the run is still under way");
    let receipt = site.receipt(&id);
    assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
    assert_eq!((site.has("/etc/last"), site.lines("/var/tmp/runs")), (true, 1));
    site.until("the new process", || !["0", before.as_str()].contains(&pid(site).as_str()));
    let receipt = site.change("after@1.2.0", "resources:\n  - file: {path: /etc/after, content: third}\n");
    assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
}

/// The monthly patches: what the security archive has newer, and nothing that a group keeps.
fn patches(site: &mut Site) {
    for name in ["tool", "kept-tool"] {
        site.lab.add_script(name, "1.0", "true");
    }
    let both = "resources:\n  - package: {name: tool, range: \">= 1.0\"}\n  - package: {name: kept-tool, range: \">= 1.0\"}\n";
    assert_eq!(outcome(&site.change("tools@1.0.0", both)), "applied");
    site.lab.add_script("tool", "1.1", "true");
    site.lab.add_fix("tool", "1.0+deb1");
    site.lab.add_fix("kept-tool", "1.0+deb1");
    site.publish_library(&["security-monthly"]);
    let id = site.request_library(&["security-monthly"], &["--param", "security-monthly.kept=kept-*"]);
    assert!(site.shown(&id).contains("kept-tool"), "what is left out is told: {}", site.shown(&id));
    site.approve(&id);
    let receipt = site.receipt(&id);
    assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
    assert_eq!(site.package("tool"), "installed 1.0+deb1");
    assert_eq!(site.package("kept-tool"), "installed 1.0");
}

/// The scanner with the guide that the identifiers are from is the referee: not a rule of the manifest fails afterwards.
#[test]
fn the_hardening_baseline_turns_the_rules_green_that_it_names() {
    on_ground_with(Needs { debian: true, ..Needs::default() }, |ground| {
        let mut site = Site::of_library(ground, Disk::Volatile);
        let rules = rules_of("baseline-debian12");
        assert!(rules.len() >= 60, "{}", rules.len());
        site.sh("apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install \
                 openscap-scanner ssg-debian linux-base openssh-server sudo");
        let before = site.scan(&rules);
        assert_eq!(before.len(), rules.len(), "the guide knows each of them: {before:#?}");
        let green = |results: &[String]| results.iter().filter(|line| line.ends_with(" pass")).count();
        assert!(green(&before) < rules.len() / 2, "{before:#?}");

        site.publish_library(&["baseline-debian12", "baseline-debian12-kernel"]);
        let id = site.request_library(&["baseline-debian12"], &[]);
        let shown = site.shown(&id);
        assert!(shown.contains(&format!("satisfies {RULE}sshd_disable_root_login")), "{shown}");
        site.approve(&id);
        let receipt = site.receipt(&id);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        in_evidence(&site, &id, &rules);
        let after = site.scan(&rules);
        let red: Vec<&String> = after.iter().filter(|line| !line.ends_with(" pass")).collect();
        assert_eq!(red, ["service_auditd_enabled fail"], "auditd needs a kernel of its own: suite emulated");
        let id = site.request_library(&["baseline-debian12"], &[]);
        site.approve(&id);
        assert_eq!(outcome(&site.receipt(&id)), "unchanged");

        // Its kernel is that of the real machine: whatever that one lacks or refuses, nothing is left of the attempt.
        let kernel = "baseline-debian12-kernel";
        assert_eq!(
            site.scan(&rules_of(kernel)).len(),
            rules_of(kernel).len(),
            "the guide knows each of them"
        );
        let id = site.plain_request(&format!("{kernel}@1.0.0"), &[]);
        if site.world.change_file(&id).refusals.is_empty() {
            site.approve(&id);
            assert_eq!(outcome(&site.receipt(&id)), "rolled_back");
        }
        let left =
            site.sh("grep -hv '^#' /etc/sysctl.d/99-zz-assent.conf /usr/lib/sysctl.d/99-protect-links.conf");
        assert!(!left.contains("kernel.") && left.contains("fs.protected_fifos = 1"), "{left}");
        site.is_sound();
    });
}

/// The export of the change has the host's word on each rule, and verifies.
pub fn in_evidence(site: &Site, id: &str, rules: &[String]) {
    let bundle = site.world.path("rules.tar");
    let bundle = bundle.to_str().unwrap();
    site.world.assent(&["export", "--change", id, "-o", bundle]).ok();
    site.world.assent(&["verify", bundle]).ok();
    let mut tar = std::process::Command::new("tar");
    let table = tests::Said::of(tar.args(["-xOf", bundle, "--wildcards", "*data/rules.csv"])).ok().out;
    for rule in rules {
        let row = table.lines().find(|line| line.contains(&format!(",{rule},")));
        let row = row.unwrap_or_else(|| panic!("{rule}: {table}"));
        assert!(row.contains(",fixed,") || row.contains(",pass,"), "{row}");
    }
}

/// Identifiers in the order of the manifest.
pub fn rules_of(name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(file_of(name)).unwrap();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c));
    words.filter(|word| word.starts_with(RULE)).map(str::to_owned).collect()
}

/// Asks each program for what the manifests want of it.
fn works(site: &Site) {
    let sshd = site.sh("sshd -T");
    for line in [
        "permitrootlogin no",
        "passwordauthentication no",
        "maxauthtries 4",
        "x11forwarding no",
        "banner /etc/issue.net",
    ] {
        assert!(sshd.lines().any(|l| l == line), "{line}: {sshd}");
    }
    for (key, value) in [
        ("ipv4/conf/all/rp_filter", "1"),
        ("ipv4/conf/all/accept_redirects", "0"),
        ("ipv4/tcp_syncookies", "1"),
    ] {
        assert_eq!(site.sh(&format!("cat /proc/sys/net/{key}")), value, "{key}");
    }
    assert!(site.sh("chronyc -n sources").contains("^* 10.77.0.1"), "{}", site.sh("chronyc -n sources"));
    assert_eq!(site.sh("timedatectl show -p Timezone -p NTP --value"), "Etc/UTC\nyes");
    let periodic = site.sh("apt-config dump APT::Periodic");
    assert!(periodic.contains("APT::Periodic::Unattended-Upgrade \"0\""), "{periodic}");
    assert_eq!(site.machine.unit("apt-daily-upgrade.timer"), "inactive dead disabled");
    assert!(site.sh("cat /etc/issue.net").starts_with("This system belongs to Example Ltd."));
    let rules = site.sh("augenrules >/dev/null; cat /etc/audit/audit.rules");
    assert!(
        rules.contains("-w /etc/shadow -p wa -k accounts") && rules.contains("-S init_module"),
        "{rules}"
    );
    assert_eq!(
        site.machine.unit("auditd"),
        "inactive dead enabled",
        "its kernel belongs to the host: suite emulated"
    );
    let journal = site.sh("systemd-analyze cat-config systemd/journald.conf");
    assert!(journal.contains("SystemMaxUse=1G") && site.has("/var/log/journal"), "{journal}");
    let get = |port: u16, path: &str| {
        format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3")
    };
    let bash = |line: String| site.machine.ask(&["bash", "-c", &line]);
    assert!(bash(get(9100, "/metrics")).contains("node_cpu_seconds_total"));
    site.sh("nginx -t -q && echo '<h1>shop</h1>' >/var/www/site/index.html");
    let page = bash(get(80, "/"));
    assert!(page.contains("<h1>shop</h1>") && page.contains("nosniff") && !page.contains("nginx/"), "{page}");
    let asked = "setpriv --reuid=postgres --regid=postgres --init-groups psql -Atc";
    let show = "show password_encryption; show listen_addresses; show log_lock_waits";
    assert_eq!(site.sh(&format!("{asked} '{show}'")), "scram-sha-256\nlocalhost\non");
}
