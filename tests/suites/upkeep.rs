//! What surrounds new software on a whole machine: services that use replaced files, reboots, quarantine.

use super::{Site, outcome};
use shared::receipt::{HostOutcome, Receipt};
use shared::statement::Statement;
use tests::machine::{Disk, on_own_ground};
use tests::world::NewChange;

/// Puts a library in place as package managers do: the new file under its name, the old one for who has it open.
const LIBRARY: &str = "mkdir -p /usr/lib/lab; cp /lib/x86_64-linux-gnu/libm.so.6 /usr/lib/lab/libx.so.new; \
                       mv -f /usr/lib/lab/libx.so.new /usr/lib/lab/libx.so";

/// A service that runs with the library and that its package never touches.
fn user(name: &str) -> String {
    format!(
        "  - file: {{path: /etc/systemd/system/{name}.service, content: \"[Service]\\nEnvironment=LD_PRELOAD=/usr/lib/lab/libx.so\\nExecStart=/bin/sleep infinity\\n\", requires: [\"package:libx\"]}}
  - service: {{name: {name}, state: running, requires: [\"file:/etc/systemd/system/{name}.service\"]}}
"
    )
}

const PATCH: &str = "patch: {select: named, names: [libx, kernel]";

impl Site {
    fn pid(&self, unit: &str) -> String {
        self.machine.ask(&["systemctl", "show", "-P", "MainPID", unit])
    }

    /// What the machine says of the change after this receipt.
    fn follows(&mut self, id: &str, first: &Statement<Receipt>) -> Receipt {
        self.until("the receipt that follows", || self.newest(id).follows == Some(first.digest));
        self.world.check();
        self.newest(id)
    }

    fn newest(&self, id: &str) -> Receipt {
        let receipts = self.world.change_file(id).receipts;
        assert_eq!(receipts.len(), 1, "one host, and its last word");
        let site = &self.world.hosts["m1"].site;
        shared::receipt::open_chained::<Receipt>(&receipts[0].to_bytes(), site).unwrap().body
    }

    /// Drafted without lifting a quarantine; the id, when the machine has planned or refused it.
    pub(super) fn plain_request(&self, manifest: &str, more: &[&str]) -> String {
        let id = self.world.draft(&NewChange { manifests: &[manifest], more, ..NewChange::default() });
        self.world.submit(&id);
        self.machine.nudge();
        self.until("a plan or a refusal", || {
            let file = self.world.change_file(&id);
            file.plans.len() + file.refusals.len() == 1
        });
        id
    }
}

#[test]
fn services_are_restarted_after_their_library_was_replaced_and_what_goes_on_with_the_old_one_is_told() {
    on_own_ground(|ground| {
        let mut site = Site::new(ground, Disk::Volatile, &[]);
        site.lab.add_script("libx", "1.0", LIBRARY);
        let body = format!(
            "resources:\n  - package: {{name: libx, version: \"1.0\"}}\n{}{}",
            user("uses"),
            user("kept")
        );
        let receipt = site.change("base@1.0.0", &body);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        let (uses, kept) = (site.pid("uses"), site.pid("kept"));

        site.lab.add_script("libx", "1.1", LIBRARY);
        let id = site.request("updates@1.0.0", &format!("{PATCH}, restart: {{except: [kept]}}}}\n"));
        let shown = site.shown(&id);
        assert!(shown.contains("restart services that use replaced files, except kept"), "{shown}");
        site.approve(&id);
        let receipt = site.receipt(&id);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        let patched = receipt.body.patched.clone().unwrap();
        assert_eq!(patched.restarted, ["uses.service"], "{patched:#?}");
        let left = |line: &String| line.starts_with("kept.service is left out by the manifest");
        assert!(patched.outdated.iter().any(left), "{patched:#?}");
        assert_eq!((patched.effective, patched.verified), (None, None));
        assert_ne!(site.pid("uses"), uses);
        assert_eq!(site.pid("kept"), kept, "an exception is one");
        let ci = site.world.assent(&["ci", "show", "m1"]).ok().out;
        assert!(ci.contains("Software: installed, in effect, verified") && ci.contains("not yet"), "{ci}");

        // Somebody restarts it by hand: the host says by itself that the patch is in effect now.
        site.machine.exec(&["systemctl", "restart", "kept"]).ok();
        site.machine.nudge();
        let second = site.follows(&id, &receipt);
        assert_eq!(second.outcome, HostOutcome::Applied, "{second:#?}");
        let times = second.patched.unwrap();
        assert!(times.effective.is_some() && times.verified == times.effective, "{times:#?}");
        let ci = site.world.assent(&["ci", "show", "m1"]).ok().out;
        let line = ci.lines().find(|line| line.contains("upgrade libx") && line.contains("1.1")).unwrap();
        assert!(!line.contains("not yet"), "{ci}");
        site.is_sound();
    });
}

/// What a package does whose new version only works after a boot.
const ASKS: &str = "touch /run/reboot-required; echo kernel >>/run/reboot-required.pkgs";

#[test]
fn a_machine_reboots_in_its_window_and_the_change_finishes_after_it() {
    on_own_ground(|ground| {
        let mut site = Site::new(ground, Disk::Volatile, &[]);
        site.lab.add_script("kernel", "1.0", "true");
        let receipt =
            site.change("base@1.0.0", "resources:\n  - package: {name: kernel, version: \"1.0\"}\n");
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        let boot = receipt.body.header.boot_id.clone();

        site.lab.add_script("kernel", "1.1", ASKS);
        let body = format!(
            "{PATCH}, reboot: if_needed}}\nhooks:\n  before_reboot:\n    - {{name: bye, run: [/bin/sh, -c, \"echo bye >>/var/tmp/bye\"], timeout_s: 10}}\n"
        );
        let id = site.request("updates@1.0.0", &body);
        let shown = site.shown(&id);
        assert!(shown.contains("reboot the machine if something needs it then"), "{shown}");
        site.approve(&id);
        site.machine.await_reboot();
        let receipt = site.receipt(&id);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert_ne!(receipt.body.header.boot_id, boot);
        let patched = receipt.body.patched.clone().unwrap();
        assert!(patched.effective.unwrap() >= patched.installed, "{patched:#?}");
        assert_eq!((patched.verified, patched.reboot.len()), (patched.effective, 0));
        assert_eq!(site.lines("/var/tmp/bye"), 1);
        assert_eq!(site.package("kernel"), "installed 1.1");
        assert_eq!(receipt.body.follows, None, "it is told once, after the boot");

        // Too little is left of the window for a boot: everything else is done, and nothing is taken back.
        let boot = receipt.body.header.boot_id.clone();
        site.lab.add_script("kernel", "1.2", ASKS);
        let new = NewChange { manifests: &["updates@1.0.0"], window: "now..+4m", ..NewChange::default() };
        let id = site.world.draft(&new);
        site.world.submit(&id);
        site.machine.nudge();
        site.until("a plan", || site.world.change_file(&id).plans.len() == 1);
        site.approve(&id);
        let receipt = site.receipt(&id);
        assert_eq!(outcome(&receipt), "pending_reboot", "{:#?}", receipt.body);
        assert!(receipt.body.note.contains("may take"), "{}", receipt.body.note);
        assert_eq!(receipt.body.header.boot_id, boot);
        assert_eq!((site.package("kernel").as_str(), site.lines("/var/tmp/bye")), ("installed 1.2", 1));
        let why = site.world.assent(&["why", "m1", &id]).ok().out;
        assert!(why.contains("after the next reboot"), "{why}");
        let told = || site.machine.ask(&["assent-agent", "status"]).contains("is installed since");
        site.until("a status that tells it", told);

        // A person reboots it whenever that suits; then it is in effect.
        site.machine.reboot();
        let second = site.follows(&id, &receipt);
        assert_eq!(second.outcome, HostOutcome::Applied, "{second:#?}");
        assert!(second.patched.unwrap().effective.is_some());
        site.is_sound();
    });
}

#[test]
fn what_failed_on_a_machine_comes_back_only_when_a_person_lifts_it() {
    on_own_ground(|ground| {
        let mut site = Site::new(ground, Disk::Volatile, &[]);
        let body = "resources:\n  - file: {path: /etc/bad, content: \"bad\\n\"}\nhealth:\n  - {name: works, command: {run: [/usr/bin/test, \"!\", -e, /etc/bad], warning_is_ok: false}, retries: 0}\n";
        let receipt = site.change("bad@1.0.0", body);
        assert_eq!((outcome(&receipt), site.has("/etc/bad")), ("rolled_back", false), "{:#?}", receipt.body);
        assert!(receipt.body.note.contains("warning"), "the check ran: {}", receipt.body.note);
        let again = site.plain_request("bad@1.0.0", &[]);
        let why = site.world.assent(&["why", "m1", &again]).ok().out;
        assert!(why.contains("file:/etc/bad") && why.contains("was undone"), "{why}");
        let status = site.machine.ask(&["assent-agent", "status"]);
        assert!(status.contains("quarantine    file:/etc/bad"), "{status}");

        site.world
            .publish("bad", "1.0.1", "resources:\n  - file: {path: /etc/bad, content: \"bad\\n\"}\n")
            .ok();
        let lifted = site.plain_request("bad@1.0.1", &["--lift-quarantine"]);
        assert!(site.shown(&lifted).contains("LIFTED"), "{}", site.shown(&lifted));
        site.approve(&lifted);
        let receipt = site.receipt(&lifted);
        assert_eq!((outcome(&receipt), site.has("/etc/bad")), ("applied", true), "{:#?}", receipt.body);
        let calm = || !site.machine.ask(&["assent-agent", "status"]).contains("quarantine");
        site.until("a status without quarantine", calm);
    });
}
