//! Facts of a real machine are what its own tools say of it, and its status is one screen.

use super::Site;
use shared::facts::{Does, Facts, Password, Protocol};
use std::collections::BTreeSet;
use tests::machine::{Disk, on_own_ground};

/// Certificates, accounts and settings that the machine does not have from its packages.
const PREPARED: &str = "set -e
    mkdir -p /etc/nginx /etc/assent/facts.d
    openssl req -x509 -newkey ed25519 -nodes -days 20 -subj /CN=web.example -keyout /etc/nginx/key.pem -out /etc/nginx/web.pem
    useradd -m -s /bin/bash -G sudo eve || { groupadd sudo; useradd -m -s /bin/bash -G sudo eve; }
    systemd-run -q --unit=lab --socket-property=ListenStream=0.0.0.0:8080 --socket-property=ListenDatagram=127.0.0.1:5353 cat
    printf 'rack = \"B7\"\n' >/etc/assent/facts.d/site.toml
    printf 'x = 1\n' >/etc/assent/facts.d/open.toml; chmod 666 /etc/assent/facts.d/open.toml
    printf 'APT::Periodic::Update-Package-Lists \"1\";\n' >/etc/apt/apt.conf.d/20auto-upgrades
    printf 'certificates = [\"/etc/nginx\"]\nfacts_omit = [\"mounts\"]\nfacts_secs = 2\npoll_secs = 2\n' >/etc/assent/agent.toml";

#[test]
fn facts_of_a_machine_are_what_its_own_tools_say() {
    on_own_ground(|ground| {
        let site = Site::new(ground, Disk::Volatile, &[]);
        let told: Facts = serde_json::from_str(&site.machine.ask(&["assent-agent", "facts"])).unwrap();
        let mounts = told.mounts.iter().map(|mount| mount.path.clone()).collect::<BTreeSet<_>>();
        let real = "findmnt -rno TARGET,SOURCE,FSTYPE | awk '$1==\"/\"{print $1}'";
        assert_eq!(site.machine.ask(&["sh", "-c", real]), "/");
        assert!(mounts.contains("/"), "{mounts:?}");

        site.machine.exec(&["sh", "-c", PREPARED]).ok();
        site.machine.nudge();
        let facts = || site.world.get("/v1/cis/m1").json()["facts"].clone();
        site.until("the facts", || {
            facts()["local"][0]["name"] == "local.site.rack" && facts()["users"].is_array()
        });
        let facts: Facts = serde_json::from_value(facts()).unwrap();

        let sockets: BTreeSet<String> = facts
            .listening
            .iter()
            .map(|s| format!("{} {}", if s.protocol == Protocol::Tcp { "tcp" } else { "udp" }, s.port))
            .collect();
        let ss = "ss -Htuln | awk '{n=split($5,a,\":\"); print $1, a[n]}' | sort -u";
        let real: BTreeSet<String> = site.machine.ask(&["sh", "-c", ss]).lines().map(str::to_owned).collect();
        assert_eq!(sockets, real);
        let held = |port| {
            facts
                .listening
                .iter()
                .find(|s| s.port == port)
                .map(|s| (s.address.as_str(), s.program.as_deref()))
        };
        assert_eq!(held(8_080), Some(("0.0.0.0", Some("systemd"))));
        assert_eq!(held(5_353), Some(("127.0.0.1", Some("systemd"))));

        let users: Vec<String> =
            facts.users.iter().map(|u| format!("{}:{}:{}", u.name, u.uid, u.shell)).collect();
        let real = site.machine.ask(&["sh", "-c", "getent passwd | cut -d: -f1,3,7 | LC_ALL=C sort"]);
        assert_eq!(users, real.lines().collect::<Vec<_>>());
        let eve = facts.users.iter().find(|user| user.name == "eve").unwrap();
        assert_eq!(
            (eve.login, eve.password, eve.privileged.as_slice()),
            (true, Password::Locked, &["sudo".to_owned()][..])
        );

        let [certificate] = facts.certificates.as_slice() else { panic!("{:?}", facts.certificates) };
        let openssl = |what: &str| {
            site.machine.ask(&["sh", "-c", &format!("openssl x509 -noout -in /etc/nginx/web.pem {what}")])
        };
        let fingerprint = openssl("-fingerprint -sha256").replace(':', "").to_lowercase();
        assert!(fingerprint.ends_with(&certificate.sha256.hex()), "{fingerprint} {certificate:?}");
        let end = site.machine.ask(&[
            "sh",
            "-c",
            "date +%s -d \"$(openssl x509 -noout -enddate -in /etc/nginx/web.pem | cut -d= -f2)\"",
        ]);
        assert_eq!(
            (certificate.not_after.0.to_string(), certificate.path.as_str()),
            (end, "/etc/nginx/web.pem")
        );

        assert_eq!(
            facts.virtualisation.as_deref(),
            Some(site.machine.exec(&["systemd-detect-virt"]).out.trim())
        );
        assert_eq!(
            (facts.hardware, facts.kernel.installed.len()),
            (None, 0),
            "a container has none of its own"
        );
        let clock = facts.clock.unwrap();
        if let Some(synchronised) = clock.synchronised {
            let said = site.machine.ask(&["timedatectl", "show", "-P", "NTPSynchronized"]);
            assert_eq!(said, if synchronised { "yes" } else { "no" });
        }
        let apt = facts.updaters.iter().find(|updater| updater.name == "apt-daily").unwrap();
        let timer = site.machine.exec(&["systemctl", "is-enabled", "apt-daily.timer"]).out;
        assert_eq!((apt.enabled, apt.does), (timer.trim() == "enabled", Does::Prepares), "{timer}");
        assert!(facts.support.is_some_and(|support| support.extended.is_some()));

        assert_eq!((facts.mounts.len(), facts.omitted.len()), (0, 1), "the host keeps them back");
        assert_eq!(facts.notes.len(), 1, "{:?}", facts.notes);
        assert!(
            facts.notes[0].contains("open.toml is not used: others may write it (mode 666)"),
            "{:?}",
            facts.notes
        );

        let found = |condition: &[&str]| {
            let all: Vec<&str> = ["ci", "list"].iter().chain(condition).copied().collect();
            site.world.assent(&all).ok().out.contains("m1")
        };
        assert!(found(&["--certificate-expires", "30d"]) && !found(&["--certificate-expires", "5d"]));
        assert!(found(&["--listening", "8080"]) && !found(&["--listening", "1"]));
        assert!(found(&["--updater", "apt-daily"]) && !found(&["--updater", "snapd"]));
        looks_at_its_status(&site);
    });
}

fn looks_at_its_status(site: &Site) {
    let screen = site.machine.ask(&["assent-agent", "status"]);
    assert!(
        screen.lines().count() <= 24 && screen.lines().all(|line| line.chars().count() <= 80),
        "{screen}"
    );
    for word in
        ["host          m1, class production", "agent         works", "open.toml is not used", "contact"]
    {
        assert!(screen.contains(word), "{word}\n{screen}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&site.machine.ask(&["assent-agent", "status", "--json"])).unwrap();
    assert_eq!((json["hostname"].as_str(), json["process"].as_str()), (Some("m1"), Some("works")));
    let other = site.machine.exec(&[
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "assent-agent",
        "status",
    ]);
    assert!(
        other.err.contains("only root may read") && other.err.contains("sudo assent-agent status"),
        "{other}"
    );
    site.machine.exec(&["systemctl", "stop", "assent-agent"]).ok();
    let stopped = site.machine.ask(&["assent-agent", "status"]);
    assert!(stopped.contains("DOES NOT WORK since"), "{stopped}");
}
