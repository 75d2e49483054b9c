//! Who may let a change start, by the command line as persons use it: OpenSSH keys, a key that is taken away, a delegate, a
//! model; each on real hosts, and with evidence that proves it without the server.

use std::path::PathBuf;
use std::process::Command;
use tests::world::NewChange;
use tests::{Said, World};

const BODY: &str = "resources:\n  - file: {path: /etc/motd, content: \"Welcome\\n\"}\n";
const BASE: NewChange<'static> =
    NewChange { manifests: &["base@1.0.0"], targets: &[], window: "now..+2h", more: &[] };

/// A new key pair of OpenSSH: private file and public file.
fn ssh_key(world: &World, name: &str) -> (PathBuf, PathBuf) {
    let file = world.path(name);
    Said::of(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "x", "-f"]).arg(&file))
        .ok();
    let public = file.with_extension("pub");
    (file, public)
}

/// Exports a change and verifies the bundle; gives the row of the table of changes.
fn proven(world: &World, id: &str) -> String {
    let tar = world.path(&format!("{id}.tar"));
    world.assent(&["export", "--change", id, "--out", tar.to_str().unwrap()]).ok();
    world.assent(&["verify", tar.to_str().unwrap()]).ok();
    Said::of(Command::new("tar").arg("-xOf").arg(&tar).args(["--wildcards", "*data/changes.csv"])).ok().out
}

on_both! {
    fn an_openssh_key_approves_until_it_is_taken_out_of_the_policy(world) {
        world.join("a1", "production");
        world.publish("base", "1.0.0", BODY).ok();
        let (file, public) = ssh_key(world, "id_lead");
        let (other, _) = ssh_key(world, "id_other");
        let ssh = format!("--ssh={}", file.display());
        let id = world.request(&BASE);
        let none = world.assent(&["approve", &id, "--yes", "--expires", "24h", &ssh]);
        none.refused("names no OpenSSH key of yours");
        let add = ["policy", "add-key", "lead", "--role", "approver", "--yes", "--ssh", public.to_str().unwrap()];
        world.assent(&add).ok();
        let foreign = format!("--ssh={}", other.display());
        world.assent(&["approve", &id, "--yes", "--expires", "24h", &foreign]).refused("no signature of an OpenSSH key");
        let said = world.assent(&["approve", &id, "--yes", "--expires", "24h", &ssh]).ok();
        assert!(said.out.contains("1 of 1 counted: person lead"), "{said}");
        let words = world.change_file(&id).words;
        assert!(words.split(' ').count() == 6 && said.out.contains(&words), "{words}: {said}");
        world.settle();
        world.tick_until_receipt("a1", &id);
        assert_eq!(world.hosts["a1"].read("etc/motd").as_deref(), Some("Welcome\n"));
        world.tick_all();
        assert!(proven(world, &id).contains("1 of 1 counted: person lead"));
        // The next change is approved with the same key, which then is taken away before the host looks.
        world.publish("base", "1.1.0", &BODY.replace("Welcome", "Hello")).ok();
        let later = world.request(&NewChange { manifests: &["base@1.1.0"], window: "now+1h..+2h", ..BASE });
        world.assent(&["approve", &later, "--yes", "--expires", "24h", &ssh]).ok();
        world.settle();
        let key = world.policy().persons[0].keys.last().unwrap().public.to_string();
        world.assent(&["policy", "remove-key", "lead", &key, "--yes"]).ok();
        world.shift_clock(3_700);
        world.tick_all();
        assert_eq!(world.hosts["a1"].read("etc/motd").as_deref(), Some("Welcome\n"));
        assert!(world.hosts["a1"].receipt(&later).is_none());
    }
}

on_both! {
    fn a_standard_change_of_a_model_needs_no_approval_and_no_more_than_the_model_runs(world) {
        world.join("a1", "production");
        world.publish("base", "1.0.0", BODY).ok();
        world.publish("base", "1.1.0", BODY).ok();
        let of_model = NewChange { more: &["--model", "motd"], ..BASE };
        world.try_draft(&of_model).refused("is not in policy version");
        let set = "policy model set motd --team main --manifests base --versions ~1.0 --allow file \
                   --host-class production --hosts-per-day 1 --expires 30d --yes";
        world.assent(&set.split_whitespace().collect::<Vec<_>>()).ok();
        world.try_draft(&NewChange { manifests: &["base@1.1.0"], ..of_model.clone() }).refused("is not main/base ~1.0");
        let id = world.request(&of_model);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while world.state(&id).0 != "approved" {
            assert!(std::time::Instant::now() < deadline, "{:?}", world.state(&id));
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        world.settle();
        let shown = world.assent(&["change", "show", &id]).ok();
        assert!(shown.out.contains("model motd allows it without an approval: main/base ~1.0"), "{shown}");
        let receipt = world.tick_until_receipt("a1", &id);
        assert!(receipt.body.approvals.is_empty() && !receipt.body.self_approved);
        assert_eq!(world.hosts["a1"].read("etc/motd").as_deref(), Some("Welcome\n"));
        world.tick_all();
        let row = proven(world, &id);
        assert!(row.contains(",motd,") && row.contains("model motd allows it"), "{row}");
        world.assent(&["policy", "model", "remove", "motd", "--yes"]).ok();
        world.try_draft(&of_model).refused("is not in policy version");
    }
}

on_both! {
    fn a_delegate_is_in_the_policy_for_a_while_and_out_of_it_again(world) {
        let (_, public) = ssh_key(world, "id_deputy");
        let add = "policy add-key deputy --role auditor --yes --name Deputy --ssh";
        let add: Vec<&str> = add.split_whitespace().chain([public.to_str().unwrap()]).collect();
        world.assent(&add).ok();
        let delegate = |more: &str| {
            let words = format!("policy delegate lead deputy --yes {more}");
            world.assent(&words.split_whitespace().collect::<Vec<_>>())
        };
        delegate("--until 91d").refused("longer than 90 days");
        delegate("--until 2w").ok();
        let policy = world.policy();
        let deputy = "deputy".parse().unwrap();
        assert!(policy.may_approve(&deputy, world.now()));
        assert!(!policy.may_approve(&deputy, world.now().plus(15 * 86_400)));
        delegate("--end").ok();
        assert!(!world.policy().may_approve(&deputy, world.now()));
        delegate("--end").refused("has delegated nothing");
    }
}
