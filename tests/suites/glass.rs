//! What a person carries to a machine by hand while the server is down: taken by the running service, run once, also
//! when the power goes in the middle of it.

use super::{Site, outcome, status};
use shared::receipt::StepStatus;
use tests::Said;
use tests::machine::{Disk, on_own_ground};
use tests::world::NewChange;

impl Site {
    /// Planned by the machine for a day on which nobody would wait, with its word for the shelf.
    fn on_the_shelf(&self, name: &str, body: &str) -> (String, String) {
        self.world.publish(name, "1.0.0", body).ok();
        let manifest = format!("{name}@1.0.0");
        let new = NewChange { manifests: &[&manifest], window: "now+30d..+2h", ..NewChange::default() };
        let id = self.world.draft(&new);
        self.world.submit(&id);
        self.machine.nudge();
        self.until("a plan", || self.world.change_file(&id).plans.len() == 1);
        let shelf = self.world.path(&format!("{name}.prepared")).display().to_string();
        self.world.assent(&["glass", "prepare", &id, "--out", &shelf]).ok();
        (id, shelf)
    }

    /// A person breaks the glass on the own computer, and the file comes to the machine on a stick: the file there, and here.
    fn bring(&self, shelf: &str) -> (std::path::PathBuf, String) {
        let file = std::path::PathBuf::from(format!("{shelf}.glass"));
        let words =
            ["glass", "break", shelf, "--yes", "--reason", "the shop is down", "--host", "m1", "--out"];
        self.world.assent(&[&words[..], &[file.to_str().unwrap()]].concat()).ok();
        let to = format!("/root/{}.glass", shelf.rsplit('/').next().unwrap());
        self.machine.copy(&file, &to);
        (file, to)
    }

    fn hand_in(&self, file: &str) -> Said {
        self.machine.exec(&["assent-agent", "glass", file])
    }

    fn waiting(&self) -> String {
        self.machine.exec(&["sh", "-c", "ls /var/lib/assent/carried"]).out
    }
}

#[test]
fn a_running_service_takes_what_is_carried_to_it_once_and_also_through_a_power_cut() {
    on_own_ground(|ground| {
        let mut site = Site::new(ground, Disk::Own, &[]);
        site.world.let_lead_break_the_glass();
        let runs = "echo run >>/var/tmp/runs; sync /var/tmp/runs";
        let body = |more: &str| {
            format!(
                "resources:
  - file: {{path: /etc/first, content: \"first\\n\"}}
  - command: {{name: work, run: [/bin/sh, -c, \"{runs}{more}\"], needed: always, undo: [/bin/true], requires: [\"file:/etc/first\"]}}
"
            )
        };
        let (quick, on_quick) = site.on_the_shelf("quick", &body(""));
        let (slow, on_slow) = site.on_the_shelf("slow", &body("; sleep 120"));
        site.world.kill_server();

        let (_, file) = site.bring(&on_quick);
        let said = site.hand_in(&file).ok();
        assert!(
            said.out.contains("handed to the agent that runs here") && said.out.contains("applied"),
            "{said}"
        );
        assert_eq!((site.lines("/var/tmp/runs"), site.waiting().as_str()), (1, ""));
        assert_eq!(site.machine.unit("assent-agent"), "active running enabled");
        // Spent: for the service, and for one that was started anew.
        for _ in 0..2 {
            let no = site.hand_in(&file).refused("change.replay");
            assert_eq!(no.all().matches("change.replay").count(), 1, "{no}");
            site.machine.nudge();
        }
        let receipt = site.own_receipt(&quick).unwrap();
        assert!(receipt.body.breakglass && outcome(&receipt) == "applied", "{:#?}", receipt.body);

        // The power goes in the middle of the work.
        let (stick, file) = site.bring(&on_slow);
        site.machine.exec(&["sh", "-c", "rm /etc/first; sync /etc"]).ok();
        let hand_in = format!("systemd-run --unit=by-hand assent-agent glass {file}");
        site.machine.exec(&["sh", "-c", &hand_in]).ok();
        site.until("the work", || site.lines("/var/tmp/runs") == 2);
        site.machine.cut_power();
        site.machine.power_on();
        site.until("a receipt", || site.own_receipt(&slow).is_some());
        let receipt = site.own_receipt(&slow).unwrap();
        assert!(receipt.body.breakglass && !receipt.body.outcome.is_success(), "{:#?}", receipt.body);
        assert_eq!(
            status(&receipt, "file:/etc/first", "create"),
            Some(StepStatus::Undone),
            "{:#?}",
            receipt.body
        );
        assert!(!site.has("/etc/first"), "{:#?}", receipt.body);
        assert_eq!((site.lines("/var/tmp/runs"), site.waiting().as_str()), (2, ""));
        // Brought once more, the file is spent.
        site.machine.copy(&stick, &file);
        site.hand_in(&file).refused("change.replay");

        // The server hears of both, once.
        site.world.start_server();
        site.machine.nudge();
        for (id, made) in [(&quick, &site.own_receipt(&quick)), (&slow, &Some(receipt))] {
            site.until("a receipt at the server", || site.world.change_file(id).receipts.len() == 1);
            let sent = site.own_receipt(id).unwrap();
            assert_eq!(Some(sent.digest), made.as_ref().map(|made| made.digest), "{id}");
        }
        assert_eq!(site.lines("/var/tmp/runs"), 2);
        let alarms = site.world.assent(&["site", "alarms"]).ok().out;
        assert!(alarms.contains("ran because lead broke the glass"), "{alarms}");
        site.world.check();
        site.machine.exec(&["systemctl", "reset-failed"]).ok();
        site.is_sound();
    });
}
