//! Hosts that begin only what the ledger is proven to hold, against a server that hides something or shows another tree.

use shared::bundle::Bundle;
use shared::digest::Digest;
use shared::keys::SigningKey;
use shared::ledger::{Checkpoint, Leaf, LeafKind, VerifierKey};
use shared::wire::{AskProofs, Proofs};
use std::sync::Arc;
use tests::World;
use tests::forge::{serving, target};
use tests::http::Message;
use tests::own_ledger::OwnLedger;
use tests::world::NewChange;

const MOTD: &str = "resources:\n  - file: {path: /etc/motd, content: \"hello\\n\"}\n";

/// What a server proves that keeps a tree of its own for one host: correctly signed, and full of what was asked for.
fn forked(asked: &AskProofs, change: &str, key: &SigningKey, vkey: &VerifierKey) -> Proofs {
    let since = asked.log_size.unwrap_or(1);
    let leaf = |(place, digest): (usize, &Digest)| {
        let kind = if place == 0 { LeafKind::Change } else { LeafKind::Approval };
        Leaf::new(kind, *digest, None, None, Some(change.parse().unwrap())).unwrap()
    };
    let own = OwnLedger::new(since, asked.statements.iter().enumerate().map(leaf));
    Proofs {
        checkpoint: own.checkpoint(vkey.name(), key),
        inclusion: (since..own.size()).map(|index| own.inclusion(index)).collect(),
        consistency: Some(own.consistency(since)),
        witnessed: Vec::new(),
    }
}

/// A change with an approval that is signed and that nobody but the server in foreign hands has seen.
fn secretly_approved(world: &mut World) -> Bundle {
    let id = world.request(&NewChange { manifests: &["base@1.0.0"], ..NewChange::default() });
    let mut bundle = world.bundle(&id);
    let lead = world.own_key("approver");
    bundle.approvals = vec![world.sign_approval(&bundle.change, &bundle.plan_set, "lead", &lead, |_| {})];
    bundle
}

fn refused(world: &mut World, change: &str, code: &str) {
    let said = world.tick("a1");
    let host = &world.hosts["a1"];
    let codes = host.refusal_codes(change);
    assert!(codes.iter().any(|c| c == code), "expected {code}, found {codes:?}: {said}");
    assert!(host.receipt(change).is_none() && !host.path("/etc/motd").exists(), "it was run: {said}");
}

on_both! {
    fn what_the_ledger_does_not_show_is_not_begun_and_evidence_proves_it(world) {
        world.join("a1", "production");
        world.publish("base", "1.0.0", MOTD).ok();
        world.assent(&["policy", "ledger", "--proof-before-start", "yes", "--yes"]).ok();
        world.settle();

        // All is signed and right, and the server keeps the approval out of the ledger.
        let bundle = secretly_approved(world);
        let id = bundle.change.body.change_id.clone();
        let forged = world.forge(&[target(&bundle)]);
        world.take_over(forged.clone());
        refused(world, id.as_str(), "log.unproven");

        // It shows this host a tree in which everything is; its key has signed it.
        let key = world.server_key("log");
        let vkey: VerifierKey = world.policy().log.vkeys[0].parse().unwrap();
        let (passing, change) = (serving(forged), id.to_string());
        world.hook(Arc::new(move |request: Message, ask: &dyn Fn(Message) -> Message| {
            if request.path() != "/agent/v1/proofs" {
                return passing(request, ask);
            }
            let asked: AskProofs = serde_json::from_slice(&request.body).unwrap();
            Some(Message::reply(200, &serde_json::to_vec(&forked(&asked, &change, &key, &vkey)).unwrap()))
        }));
        refused(world, id.as_str(), "log.fork");

        // Approved before everybody's eyes, the approval is in the ledger: now it begins.
        world.assent(&["approve", id.as_str(), "--yes", "--expires", "24h"]).ok();
        let forged = world.forge(&[target(&world.bundle(id.as_str()))]);
        world.take_over(forged);
        let receipt = world.tick_until_receipt("a1", id.as_str());
        assert_eq!(receipt.body.outcome.as_str(), "applied");
        let tar = world.path("evidence.tar");
        world.assent(&["export", "--change", id.as_str(), "--out", tar.to_str().unwrap()]).ok();
        world.assent(&["verify", tar.to_str().unwrap()]).ok();
    }
}

on_both! {
    fn a_host_begins_what_a_witness_outside_of_the_server_has_seen_in_the_ledger(world) {
        world.join("a1", "production");
        world.publish("base", "1.0.0", MOTD).ok();
        // Somebody who may read, on a machine that is not the server's.
        let outside = world.add_person("watch", &["auditor"], &[]);
        let key = outside.join("witness.key");
        let key = key.to_str().unwrap();
        let made = world.assent_at(&outside, &["key", "witness", "watch.test", "--out", key]).ok();
        let vkey = format!("watch.test{}", made.after("watch.test"));
        world.assent(&["policy", "ledger", "--proof-before-start", "yes", "--add-witness", &vkey, "--quorum", "1", "--yes"]).ok();
        let look = |world: &World| world.assent_at(&outside, &["log", "witness", "--key", key]);
        look(world).ok();
        world.settle();

        let id = world.request(&NewChange { manifests: &["base@1.0.0"], ..NewChange::default() });
        world.approve(&id).ok();
        world.settle();
        refused(world, &id, "log.unproven");
        let said = world.assent(&["log", "verify"]).ok();
        assert!(said.out.contains("witness watch.test saw "), "{said}");

        // A look at another story is no look at this one, whoever signs it.
        let note = world.get("/v1/log/checkpoint").text();
        let log: VerifierKey = world.policy().log.vkeys[0].parse().unwrap();
        let own = Checkpoint::open(&note, &log).unwrap();
        let other = Checkpoint { root: Digest::of(b"another"), ..own };
        let file = std::fs::read_to_string(key).unwrap();
        let secret = SigningKey::from_pem(&file[file.find("-----BEGIN").unwrap()..], None).unwrap();
        let mut forged = other.sign(&world.server_key("log")).unwrap();
        forged.cosign(&"watch.test".parse().unwrap(), &secret, world.now());
        let body = serde_json::json!({ "checkpoint": forged.to_string() }).to_string();
        let said = world.api("POST", "/v1/log/cosignatures", body.as_bytes());
        assert!(said.status() == 409 && said.text().contains("ledger.other_log"), "{}", said.text());
        refused(world, &id, "log.unproven");

        look(world).ok();
        assert_eq!(world.tick_until_receipt("a1", &id).body.outcome.as_str(), "applied");
        let tar = world.path("evidence.tar");
        let tar = tar.to_str().unwrap();
        world.assent(&["export", "--change", &id, "--out", tar]).ok();
        let said = world.assent(&["verify", tar]).ok();
        assert!(said.out.contains("the witness watch.test saw "), "{said}");

        // The witness remembers: after a look at more, this ledger is cut, and gets no signature.
        let own = Checkpoint::open(&world.get("/v1/log/checkpoint").text(), &log).unwrap();
        let more = Checkpoint { size: own.size + 50, ..own }.sign(&world.server_key("log")).unwrap().to_string();
        std::fs::write(outside.join("trust/checkpoint"), &more).unwrap();
        let listed = world.get("/v1/log/witnesses").text();
        let said = look(world);
        assert!(said.code == 1 && said.err.contains("rewritten or cut"), "{said}");
        assert_eq!(std::fs::read_to_string(outside.join("trust/checkpoint")).unwrap(), more);
        assert_eq!(world.get("/v1/log/witnesses").text(), listed);
    }
}
