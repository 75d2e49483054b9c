//! Who may let a change start, by the command line as persons use it: OpenSSH keys, a key that is taken away, a delegate, a
//! model; each on real hosts, and with evidence that proves it without the server.

use shared::bundle::Bundle;
use shared::keys::SigningKey;
use shared::policy::{Delegation, DistinctFrom, Person, PersonKey, Policy, Role};
use std::path::PathBuf;
use std::process::Command;
use tests::forge::{plan_set, target};
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
        // What it approved while it counted stays approved, by the policy of then.
        assert!(proven(world, &id).contains("1 of 1 counted: person lead"));
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

const DEPUTY: [u8; 32] = [78; 32];
const THIRD: [u8; 32] = [79; 32];

/// Authors do not approve; `deputy` stands in for `second` until tomorrow, `third` for nobody, and the author for `second`.
fn delegated(world: &World) -> Policy {
    world.add_second_person();
    let mut policy = world.policy();
    policy.version += 1;
    for rule in &mut policy.rules {
        rule.require.distinct_from.insert(DistinctFrom::Author);
    }
    for (name, seed) in [("deputy", DEPUTY), ("third", THIRD)] {
        let key = SigningKey::from_seed(&seed).public();
        let keys = vec![PersonKey::file(key, &[Role::Auditor])];
        policy.persons.push(Person { id: name.parse().unwrap(), name: name.into(), keys });
    }
    for to in ["deputy", "lead"] {
        policy.delegations.push(Delegation {
            by: "second".parse().unwrap(),
            to: to.parse().unwrap(),
            from: world.now().plus(-60),
            until: world.now().plus(86_400),
        });
    }
    world.publish_policy(&policy);
    policy
}

/// A server in foreign hands lists the change with the word of `person`; the host says why it does not run it.
fn refused_with(world: &mut World, id: &str, bundle: &Bundle, (person, key): (&str, &SigningKey), why: &str) {
    let word = world.sign_approval(&bundle.change, &bundle.plan_set, person, key, |_| {});
    let bundle = Bundle { approvals: vec![word], ..bundle.clone() };
    let forged = world.forge(&[target(&bundle)]);
    world.take_over(forged);
    let said = world.tick("a2");
    let host = &world.hosts["a2"];
    let refusals: Vec<_> = host.statements().refusals.into_values().collect();
    let told = refusals.iter().any(|r| {
        r.body.change_id.as_ref().is_some_and(|c| c.as_str() == id) && r.body.reason.message.contains(why)
    });
    let reasons: Vec<_> = refusals.iter().map(|r| r.body.reason.to_string()).collect();
    assert!(told, "{why}: {reasons:?} {said}");
    assert!(host.receipt(id).is_none() && !host.path("/etc/motd").exists(), "{why}");
}

on_both! {
    fn a_host_runs_what_a_delegate_approved_and_nothing_by_a_chain_its_end_or_its_author(world) {
        world.join("a1", "production");
        world.join("a2", "production");
        world.publish("base", "1.0.0", BODY).ok();
        let policy = delegated(world);
        let week = NewChange { window: "now..+160h", targets: &["a1"], ..BASE };
        let other = NewChange { targets: &["a2"], ..week.clone() };
        let (id, bent, late) = (world.request(&week), world.request(&other), world.request(&other));
        // No edition gives on a word that is only lent: the server does not take it, and the hosts would not either.
        let mut chain = policy.clone();
        chain.version += 1;
        let onward = Delegation { by: "deputy".parse().unwrap(), to: "third".parse().unwrap(), ..policy.delegations[0].clone() };
        chain.delegations.push(onward);
        assert!(Policy::parse(&shared::strict::to_json(&chain)).unwrap_err().to_string().contains("nobody's word"));
        let honest = |world: &World, id: &str| {
            let file = world.change_file(id);
            let plan_set = plan_set(&file);
            let change = shared::statement::Statement::open(file.change).unwrap();
            Bundle { change, plan_set, approvals: vec![] }
        };
        let (deputy, third) = (SigningKey::from_seed(&DEPUTY), SigningKey::from_seed(&THIRD));
        let bundle = honest(world, &id);
        let word = world.sign_approval(&bundle.change, &bundle.plan_set, "deputy", &deputy, |a| {
            a.nonce = "0123456789abcdef0123456789abcdef".into();
        });
        let reply = world.send_approval(&id, &bundle.plan_set, &word);
        assert_eq!(reply.status(), 200, "{}", reply.text());
        assert!(reply.text().contains("person deputy for second"), "{}", reply.text());
        world.settle();
        let receipt = world.tick_until_receipt("a1", &id);
        assert_eq!((receipt.body.approvals.as_slice(), receipt.body.self_approved), (&[word.digest][..], false));
        assert_eq!(world.hosts["a1"].read("etc/motd").as_deref(), Some("Welcome\n"));
        world.tick_all();
        assert!(proven(world, &id).contains("1 of 1 counted: person deputy for second"));
        // From here on a server in foreign hands lists others with words that do not count.
        let hostile = honest(world, &bent);
        refused_with(world, &bent, &hostile, ("third", &third), "approves nothing by policy");
        let author = world.own_key("approver");
        refused_with(world, &bent, &hostile, ("lead", &author), "person lead not counted, is the author");
        refused_with(world, &bent, &hostile, ("second", &deputy), "no current key of policy");
        let bundle = honest(world, &late);
        world.shift_clock(86_500);
        refused_with(world, &late, &bundle, ("deputy", &deputy), "no delegation holds");
    }
}
