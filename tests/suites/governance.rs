//! Who governs and who belongs to the site, with persons on machines of their own: growth to two of three keys, proposals from
//! hand to hand, a lost key, the rehearsal of the recovery key, persons who come and leave, and a host that follows.

use tests::world::NewChange;
use tests::{Said, World};

const BODY: &str = "resources:\n- file: { path: /etc/motd, content: \"VERSION\\n\" }\n";
const DAY: i64 = 86_400;

/// What follows a label in a command's output, on the same line.
fn publish(world: &World, version: &str) {
    world.publish("motd", version, &BODY.replace("VERSION", version)).ok();
}

/// A change of that version from its request to the receipt of the one host; gives its id.
fn brings(world: &mut World, version: &str) -> String {
    publish(world, version);
    let manifest = format!("motd@{version}");
    let id = world.request_and_approve(&NewChange { manifests: &[&manifest], ..NewChange::default() });
    world.tick_until_receipt("a1", &id);
    assert_eq!(world.hosts["a1"].read("etc/motd"), Some(format!("{version}\n")));
    id
}

/// A new governance key in a file; gives the file and the public key.
fn governance_key(world: &World, name: &str) -> (String, String) {
    let file = world.path(name).to_str().unwrap().to_owned();
    let said = world.assent(&["key", "new", "--out", &file]).ok();
    let public = said.after("public key").to_owned();
    (file, public)
}

fn change(world: &World, more: &[&str]) -> Said {
    world.assent(&[&["governance", "change"], more].concat())
}

fn root_version(world: &World) -> u64 {
    let said = world.assent(&["governance", "show"]).ok();
    said.after("root ").split(':').next().unwrap().parse().unwrap()
}

on_both! {
    /// 1 of 2 becomes 2 of 3, keys on two machines; a lost key is replaced with the paper; and back to 1 of 2.
    fn governance_grows_to_two_of_three_and_the_host_follows(world) {
        world.join("a1", "production");
        let first = brings(world, "1.0.0");
        let peer = world.add_person("peer", &["auditor"], &[]);
        let (peer_key, peer_public) = governance_key(world, "peer-governance.pem");
        let add = format!("peer={peer_public}");
        // What nobody could undo is not proposed.
        change(world, &["--threshold", "3", "--yes"]).refused("nobody could sign a root or policy again");
        change(world, &["--threshold", "2", "--yes"]).refused("the loss of one would end the site");
        let lead = world.assent(&["governance", "show"]).ok().after("lead").to_owned();
        let alias = format!("peer={lead}");
        change(world, &["--add", &alias, "--threshold", "2", "--yes"]).refused("governs already");
        let paper = world.assent(&["governance", "show"]).ok().after("recovery key on paper").to_owned();
        change(world, &["--remove", &paper, "--add", &add, "--yes"]).refused("no key on paper would be left");

        // The old threshold alone does not make the new root, nor does the new key alone.
        change(world, &["--add", &add, "--threshold", "2", "--yes"]).refused("more signatures of governance are needed");
        let grow = |file: &str, more: &[&str]| {
            change(world, &[&["--add", &add, "--threshold", "2", "--yes", "--propose", file], more].concat()).ok()
        };
        grow("new-only.json", &["--key", &peer_key]);
        world.assent(&["governance", "publish", "new-only.json"]).refused("by those who govern until then: 0 of 1");
        let proposed = grow("growth.json", &[]);
        world.assent(&["governance", "publish", "growth.json"]).refused("by those who govern afterwards: 1 of 2");
        assert_eq!(root_version(world), 1);
        // The server, and with it every host, refuses both, whoever sends them.
        for file in ["new-only.json", "growth.json"] {
            let text = std::fs::read_to_string(world.path(file)).unwrap();
            let proposal = shared::governance::Proposal::parse(text.as_bytes()).unwrap();
            let part = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            let body = serde_json::json!({
                "root": part(proposal.root.unwrap().to_bytes()), "targets": part(proposal.targets.to_bytes()),
                "policy": proposal.policy,
            });
            let reply = world.api("POST", "/v1/tuf/policy", body.to_string().as_bytes());
            assert!(reply.status() == 422 && reply.text().contains("tuf.signature"), "{file}: {}", reply.text());
        }

        let signed = world.assent_at(&peer, &["governance", "sign", "growth.json", "--key", &peer_key, "--yes"]).ok();
        let words = proposed.after("six words to compare");
        assert!(signed.out.contains(words) && signed.out.contains("governance publish"), "{words}: {signed}");
        assert!(signed.out.contains("+governance: 2 of "), "the second person sees what changes: {signed}");
        world.assent(&["governance", "publish", "growth.json"]).ok();
        world.assent(&["governance", "publish", "growth.json"]).ok();
        assert_eq!(root_version(world), 2);
        brings(world, "1.1.0");

        // Renewal: one key is not enough any more; two on two machines are.
        let dry = world.assent(&["renew", "--dry-run"]).ok();
        assert!(dry.out.contains("2 of 3 governance keys have to sign"), "{dry}");
        world.assent(&["renew"]).refused("more signatures of governance are needed");
        world.assent(&["renew", "--propose", "renewal.json"]).ok();
        let signed = world.assent_at(&peer, &["governance", "sign", "renewal.json", "--key", &peer_key, "--yes"]).ok();
        assert!(signed.out.contains("a renewal"), "{signed}");
        world.assent(&["governance", "publish", "renewal.json"]).ok();
        world.assent(&["renew", "--content"]).ok();
        world.assent_at(&peer, &["governance", "sign", "growth.json", "--key", &peer_key, "--yes"])
            .refused("not the next step");

        // The first person's governance key is lost: paper and the second person replace it.
        std::fs::remove_file(world.site().join("keys/governance.pem")).unwrap();
        let recovered = world.path("recovered.pem").to_str().unwrap().to_owned();
        world.assent(&["key", "restore", "--from", "recovery.txt", "--out", &recovered]).ok();
        world.assent(&["renew", "--key", &recovered, "--replace-lost", "new.pem"]).refused("2 of 3 governance keys sign");
        let (new_key, new_public) = governance_key(world, "new-governance.pem");
        let new = format!("lead={new_public}");
        change(world, &["--remove", &lead, "--add", &new, "--key", &recovered, "--key", &new_key, "--yes", "--propose", "lost.json"]).ok();
        world.assent(&["governance", "publish", "lost.json"]).refused("by those who govern until then: 1 of 2");
        world.assent_at(&peer, &["governance", "sign", "lost.json", "--key", &peer_key, "--yes"]).ok();
        world.assent(&["governance", "publish", "lost.json"]).ok();
        assert_eq!(root_version(world), 4);
        brings(world, "1.2.0");

        // And smaller again, all keys on one machine: it is published at once.
        let keys = ["--key", &new_key, "--key", &peer_key, "--yes"];
        change(world, &[&["--remove", &peer_public, "--threshold", "1"], &keys[..]].concat()).ok();
        world.assent(&["renew", "--key", &new_key]).ok();
        world.assent(&["renew", "--key", &peer_key]).refused("is not a governance key");
        brings(world, "1.3.0");
        // The first change still verifies, from the first root and by the first policy.
        world.assent(&["export", "--change", &first, "--out", "first.tar"]).ok();
        let said = world.assent(&["verify", "first.tar"]).ok();
        assert!(said.out.contains("roots, each signed by its predecessor"), "{said}");
        world.check();
    }
}

on_both! {
    fn the_print_out_is_rehearsed_and_a_new_one_takes_its_place(world) {
        let before = world.assent(&["governance", "show"]).ok();
        assert!(before.out.contains("not rehearsed"), "{before}");
        let said = world.assent(&["governance", "rehearse", "--from", "recovery.txt"]).ok();
        assert!(said.out.contains("recovery key on paper") && said.out.contains("nothing was changed"), "{said}");
        assert_eq!((root_version(world), world.policy().version), (1, 1));
        world.shift_clock(101 * DAY);
        let due = world.assent(&["site", "show"]).ok();
        let line = due.out.lines().find(|line| line.contains("rehearsal of the recovery key")).unwrap();
        assert!(line.starts_with('!') && line.contains("expired"), "{line}");
        world.assent(&["governance", "change", "--new-recovery", "--recovery-out", "second.txt", "--yes"]).ok();
        world.assent(&["governance", "rehearse", "--from", "recovery.txt"]).refused("does not govern this site");
        world.assent(&["governance", "rehearse", "--from", "second.txt"]).ok();
        assert_eq!(world.assent(&["governance", "rehearse", "--from", "passphrase"]).code, 2);
    }
}

on_both! {
    /// 28: a person comes, approves what another one asks for, and leaves before the host begins.
    fn a_person_comes_in_one_go_and_what_they_approved_dies_when_they_leave(world) {
        world.join("a1", "production");
        publish(world, "1.0.0");
        let peer = world.add_person("peer", &["approver"], &[]);
        let policy = world.policy();
        assert!(!policy.one_person && policy.rules[0].require.distinct_from.len() == 1);
        let own = world.request(&NewChange { manifests: &["motd@1.0.0"], ..NewChange::default() });
        let said = world.approve(&own);
        assert!(said.all().contains("is the author"), "{said}");
        world.assent(&["change", "withdraw", &own]).ok();
        let id = world.request(&NewChange { manifests: &["motd@1.0.0"], window: "now+1h..+4h", ..NewChange::default() });
        world.assent_at(&peer, &["approve", &id, "--yes", "--expires", "24h"]).ok();
        world.settle();
        assert_eq!(world.state(&id).0, "approved");
        let listed = world.assent(&["person", "list"]).ok();
        assert!(listed.out.contains("peer") && listed.out.contains("member") && listed.out.contains("approver"), "{listed}");

        world.assent(&["person", "remove", "peer", "--yes"]).refused("nobody could approve a change afterwards");
        let said = world.assent(&["person", "remove", "peer", "--one-person", "--yes"]).ok();
        assert!(said.out.contains("the author's own approvals count, also those given before"), "{said}");
        world.assent_at(&peer, &["site", "show"]).refused("token");
        world.shift_clock(3_700);
        world.tick_all();
        assert!(world.hosts["a1"].read("etc/motd").is_none() && world.hosts["a1"].receipt(&id).is_none());
        assert!(world.policy().one_person);
        world.assent(&["change", "withdraw", &id]).ok();
        brings(world, "1.1.0");
        world.assent(&["person", "remove", "nobody", "--yes"]).refused("neither in the policy");
    }
}

on_both! {
    fn a_new_key_takes_the_place_of_the_old_one_and_an_auditor_reads_and_approves_nothing(world) {
        world.join("a1", "production");
        brings(world, "1.0.0");
        let auditor = world.add_person("auditor", &["auditor"], &[]);
        let done = world.change_file("C-1").line.change_id.to_string();
        world.assent_at(&auditor, &["export", "--change", &done, "--out", "audit.tar"]).ok();
        world.assent_at(&auditor, &["verify", "audit.tar"]).ok();
        world.assent_at(&auditor, &["log", "verify"]).ok();
        world.assent_at(&auditor, &["person", "list"]).ok();
        publish(world, "1.1.0");
        let id = world.request(&NewChange { manifests: &["motd@1.1.0"], ..NewChange::default() });
        assert_ne!(world.assent_at(&auditor, &["approve", &id, "--yes", "--expires", "24h"]).code, 0);
        world.assent_at(&auditor, &["agent", "token"]).refused("has the access reader");
        assert!(world.change_file(&id).approvals.is_empty());

        let old = world.policy().persons[0].keys[0].public.to_string();
        let (file, new) = governance_key(world, "approver-2.pem");
        world.assent(&["person", "rotate-key", "lead", &old, "--public", &new, "--yes"]).ok();
        world.assent(&["person", "rotate-key", "lead", &old, "--public", &new, "--yes"]).refused("no such key");
        std::fs::copy(file, world.site().join("keys/approver.pem")).unwrap();
        world.assent(&["change", "withdraw", &id]).ok();
        brings(world, "1.2.0");
    }
}
