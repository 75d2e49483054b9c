//! The power of a real machine goes in the middle of each phase of a change. Only what was synced is there afterwards.

use super::{Site, outcome, status};
use shared::receipt::{Receipt, StepStatus};
use shared::statement::Statement;
use std::path::PathBuf;
use std::sync::Arc;
use tests::http::Message;
use tests::machine::{Disk, on_own_ground};
use tests::proxy::Delivery;
use tests::world::NewChange;

/// Leaves a line durably when it begins and then takes its time; the next try only leaves the line.
fn slow(mark: &str) -> String {
    let mark = format!("/var/tmp/{mark}");
    format!("echo run >>{mark}; sync {mark}; [ $(wc -l <{mark}) -gt 1 ] || sleep 120")
}

/// Whether any process has the file open, of this machine or of one below it.
fn is_open(path: &str) -> bool {
    let listed =
        |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let open = listed("/proc".into()).flat_map(|process| listed(process.join("fd")));
    open.filter_map(|fd| fd.read_link().ok()).any(|file| file.ends_with(&path[1..]))
}

/// A file, a command, another file, and a check; each of the last three as a shell command.
fn steps(command: &str, undo: &str, check: &str) -> String {
    format!(
        "resources:
  - file: {{path: /etc/first, content: \"new\\n\"}}
  - command: {{name: work, run: [/bin/sh, -c, {command:?}], needed: always, undo: [/bin/sh, -c, {undo:?}], requires: [\"file:/etc/first\"]}}
  - file: {{path: /etc/last, content: \"last\\n\", requires: [\"command:work\"]}}
health:
  - {{name: works, command: {{run: [/bin/sh, -c, {check:?}]}}, timeout_s: 240, retries: 0}}
"
    )
}

impl Site {
    /// The power goes, comes back, and the machine brings the change to its end.
    fn after_a_cut(&mut self, id: &str) -> Statement<Receipt> {
        self.cut();
        self.receipt(id)
    }

    fn cut(&mut self) {
        self.machine.cut_power();
        self.machine.power_on();
    }

    /// Nothing is left of the change.
    fn is_as_before(&self, receipt: &Statement<Receipt>) {
        assert_eq!(self.machine.ask(&["cat", "/etc/first"]), "old", "{:#?}", receipt.body);
        assert!(!self.has("/etc/last"), "{:#?}", receipt.body);
    }

    fn old(&self) {
        self.machine.exec(&["sh", "-c", "echo old >/etc/first; rm -f /etc/last; sync /etc/first /etc"]).ok();
    }

    fn in_a_step(&mut self) {
        self.old();
        let id = self.request(
            "step@1.0.0",
            &steps(&slow("step"), "echo run >>/var/tmp/undone; sync /var/tmp/undone", "true"),
        );
        self.approve(&id);
        self.until_there("/var/tmp/step");
        let receipt = self.after_a_cut(&id);
        assert_eq!(outcome(&receipt), "rolled_back", "{:#?}", receipt.body);
        assert_eq!(status(&receipt, "command:work", "run"), Some(StepStatus::Undone), "{:#?}", receipt.body);
        assert_eq!((self.lines("/var/tmp/step"), self.lines("/var/tmp/undone")), (1, 1));
        self.is_as_before(&receipt);
    }

    fn in_a_check(&mut self) {
        self.old();
        let id = self.request("check@1.0.0", &steps("echo run >>/var/tmp/ran", "true", &slow("check")));
        self.approve(&id);
        self.until_there("/var/tmp/check");
        let receipt = self.after_a_cut(&id);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert_eq!(self.machine.ask(&["cat", "/etc/first"]), "new");
        assert!(self.has("/etc/last"));
        // What the command wrote without a sync is its own matter; that it did not run again is ours.
        assert!(self.lines("/var/tmp/ran") <= 1 && self.lines("/var/tmp/check") == 2);
    }

    fn in_the_undo(&mut self) {
        self.old();
        let id = self.request("undo@1.0.0", &steps("true", &slow("undo"), "exit 2"));
        self.approve(&id);
        self.until_there("/var/tmp/undo");
        let receipt = self.after_a_cut(&id);
        assert_eq!(outcome(&receipt), "failed", "{:#?}", receipt.body);
        let command = receipt.body.results.iter().find(|r| r.resource.as_str() == "command:work").unwrap();
        assert_eq!(command.status, StepStatus::UndoFailed, "{:#?}", receipt.body);
        assert!(command.note.contains("not run twice"), "{}", command.note);
        assert_eq!(self.lines("/var/tmp/undo"), 1);
        self.is_as_before(&receipt);
    }

    /// The server is away when the receipt is made; it goes out after the boot.
    fn with_a_spooled_receipt(&mut self) {
        self.old();
        let id = self.request(
            "spool@1.0.0",
            &steps("echo run >>/var/tmp/spool; sync /var/tmp/spool; sleep 3", "true", "true"),
        );
        self.approve(&id);
        self.until_there("/var/tmp/spool");
        self.world.kill_server();
        self.until("the receipt in the spool", || self.own_receipt(&id).is_some());
        let made = self.own_receipt(&id).unwrap().digest;
        self.cut();
        self.world.start_server();
        self.machine.nudge();
        let receipt = self.receipt(&id);
        assert_eq!(
            (outcome(&receipt), receipt.digest),
            ("applied", made),
            "it is the one that was made before"
        );
        assert_eq!(self.lines("/var/tmp/spool"), 1);
    }

    /// The server has the receipt; what the machine still has to write about that is lost.
    fn with_a_sent_receipt(&mut self) {
        self.old();
        let id = self
            .request("sent@1.0.0", &steps("echo run >>/var/tmp/sent; sync /var/tmp/sent", "true", "true"));
        self.approve(&id);
        self.until("the receipt at the server", || self.world.change_file(&id).receipts.len() == 1);
        self.cut();
        self.machine.nudge();
        self.until("an empty spool", || self.world.hosts["m1"].spooled() == 0);
        let receipt = self.receipt(&id);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert_eq!(self.lines("/var/tmp/sent"), 1);
    }

    /// Planned, approved and fetched; the window opens after the boot.
    fn before_the_window(&mut self) {
        self.lab.add_script("early", "1.0", "echo run >>/var/tmp/early");
        let body = "resources:\n  - package: {name: early, version: \"1.0\"}\n";
        self.world.publish("early", "1.0.0", body).ok();
        let new = NewChange { manifests: &["early@1.0.0"], window: "now+25s..+1h", ..NewChange::default() };
        let id = self.world.draft(&new);
        self.world.submit(&id);
        self.machine.nudge();
        self.until("a plan", || self.world.change_file(&id).plans.len() == 1);
        self.approve(&id);
        self.until("what it needs", || self.machine.agent_log().contains("everything it needs is here"));
        let receipt = self.after_a_cut(&id);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert_eq!((self.package("early").as_str(), self.lines("/var/tmp/early")), ("installed 1.0", 1));
    }
}

impl Site {
    /// The command that joins is cut off when the server has taken the host in, and given again after the boot: the same
    /// key has joined, once.
    fn in_the_joining(&mut self) {
        let known = |site: &Site| {
            let all = site.world.assent(&["ci", "list", "--json"]).ok().out;
            all.matches("\"agent\"").count()
        };
        let before = known(self);
        self.machine.exec(&["systemctl", "stop", "assent-agent"]).ok();
        self.machine.exec(&["sh", "-c", "mv /var/lib/assent /var/lib/assent.m1; sync"]).ok();
        let order = self.world.assent(&["agent", "token", "--host-class", "production"]).ok().out;
        let order = format!("{} --hostname m2", order.trim());
        self.machine.exec(&["systemd-run", "--quiet", "sh", "-c", &order]).ok();
        self.until("another host", || known(self) == before + 1);
        self.cut();
        let again = self.machine.exec(&["sh", "-c", &order]);
        assert!(again.code == 0 || again.err.contains("already"), "{again}");
        self.machine.nudge();
        self.until("its own look at itself", || self.machine.exec(&["assent-agent", "status"]).code == 0);
        assert_eq!(known(self), before + 1, "one more host");
        self.machine.exec(&["systemctl", "stop", "assent-agent"]).ok();
        let back = "rm -r /var/lib/assent && mv /var/lib/assent.m1 /var/lib/assent && sync";
        self.machine.exec(&["sh", "-c", back]).ok();
        self.machine.exec(&["systemctl", "start", "assent-agent"]).ok();
    }

    /// A plan is being made; nothing of it is signed yet.
    fn in_the_planning(&mut self) {
        self.machine.exec(&["sh", "-c", "truncate -s 768M /srv/large; sync /srv/large /srv"]).ok();
        self.world
            .publish("large", "1.0.0", "resources:\n  - file: {path: /srv/large, state: absent}\n")
            .ok();
        let id = self.world.draft(&NewChange { manifests: &["large@1.0.0"], ..NewChange::default() });
        self.world.submit(&id);
        self.machine.nudge();
        self.until("a look at the file", || is_open("/srv/large"));
        assert_eq!(self.world.change_file(&id).plans.len(), 0, "it takes longer than this");
        self.cut();
        self.machine.nudge();
        self.until("a plan", || self.world.change_file(&id).plans.len() == 1);
        assert!(self.has("/srv/large") && self.own_receipt(&id).is_none());
        self.approve(&id);
        let receipt = self.receipt(&id);
        assert_eq!((outcome(&receipt), self.has("/srv/large")), ("applied", false), "{:#?}", receipt.body);
    }

    /// Half of an artifact is there, and the rest does not come before the power goes.
    fn in_a_download(&mut self) {
        let text = "one line of many\n".repeat(50_000);
        let file = self.world.file("artifact", &text);
        self.world.assent(&["artifact", "put", file.to_str().unwrap()]).ok();
        let sha256 = shared::digest::Digest::of(text.as_bytes());
        let body = format!(
            "resources:\n  - file: {{path: /srv/fetched, artifact: {{sha256: {sha256}, length: {}}}}}\n",
            text.len()
        );
        let id = self.request("fetched@1.0.0", &body);
        let stall = |request: &Message| match request.path().starts_with("/agent/v1/artifacts/") {
            true => Delivery::Stall,
            false => Delivery::Whole,
        };
        let state = self.world.hosts["m1"].state();
        // The relay speaks to the server as this host.
        self.world.proxy.add_identity(state.join("tls.crt"), state.join("tls.key"));
        self.world.relay(Arc::new(|request, ask| Some(ask(request))), Arc::new(stall));
        self.approve(&id);
        let part = state.join(format!("artifacts/{sha256}.part"));
        self.until("half of it", || part.metadata().is_ok_and(|meta| meta.len() > 0));
        self.cut();
        self.world.proxy.through();
        self.machine.nudge();
        let receipt = self.receipt(&id);
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        assert_eq!(self.world.hosts["m1"].read("/srv/fetched").as_deref(), Some(text.as_str()));
    }

    /// Somebody has changed a file; the host is putting it back. It is the last phase: the host keeps the file so from
    /// now on.
    fn in_a_correction(&mut self) {
        self.world.let_corrections_stand(240);
        // Its checker takes its time when it is asked for the second time.
        let mark = "/var/tmp/checked";
        let check = format!("echo run >>{mark}; sync {mark}; [ $(wc -l <{mark}) -ne 2 ] || sleep 120");
        let body = format!(
            "on_drift: correct\nresources:\n  - file: {{path: /srv/kept, content: \"approved\\n\", validate: [/bin/sh, \
             -c, {check:?}, sh, \"{{file}}\"]}}\n"
        );
        self.world.publish("kept", "1.0.0", &body).ok();
        let more = &["--correct-until", "9d"];
        let id = self.world.draft(&NewChange { manifests: &["kept@1.0.0"], more, ..NewChange::default() });
        self.world.submit(&id);
        self.machine.nudge();
        self.until("a plan", || self.world.change_file(&id).plans.len() == 1);
        self.approve(&id);
        assert_eq!(outcome(&self.receipt(&id)), "applied");
        self.machine.exec(&["sh", "-c", "echo somebody >/srv/kept; sync /srv/kept"]).ok();
        self.until("the correction", || self.lines(mark) == 2);
        self.cut();
        let corrective = |site: &Site| -> Vec<String> {
            let all = site.world.hosts["m1"].statements().receipts;
            let mut all: Vec<_> =
                all.into_values().filter(|receipt| receipt.body.corrects.is_some()).collect();
            all.sort_by_key(|receipt| receipt.body.header.seq);
            all.iter().map(|receipt| outcome(receipt).to_owned()).collect()
        };
        self.until("the second correction", || corrective(self).len() == 2);
        assert_eq!(corrective(self), ["rolled_back", "applied"]);
        assert_eq!((self.machine.ask(&["cat", "/srv/kept"]).as_str(), self.lines(mark)), ("approved", 3));
    }
}

fn phases(disk: Disk, phases: &[fn(&mut Site)]) {
    on_own_ground(|ground| {
        let mut site = Site::new(ground, disk, &[]);
        site.machine.exec(&["sh", "-c", "echo 'poll_secs = 5' >>/etc/assent/agent.toml; sync"]).ok();
        for phase in phases {
            phase(&mut site);
            tests::check::chain(&site.world.hosts["m1"], "after a power cut");
        }
        site.is_sound();
    });
}

#[test]
fn power_that_goes_in_any_phase_of_a_change_leaves_one_true_receipt() {
    phases(
        Disk::Own,
        &[
            Site::in_the_joining,
            Site::in_the_planning,
            Site::in_a_download,
            Site::before_the_window,
            Site::in_a_step,
            Site::in_a_check,
            Site::in_the_undo,
            Site::with_a_spooled_receipt,
            Site::with_a_sent_receipt,
            Site::in_a_correction,
        ],
    );
}

#[test]
fn the_same_holds_on_xfs() {
    phases(Disk::OwnXfs, &[Site::in_a_step, Site::in_the_undo, Site::with_a_spooled_receipt]);
}
