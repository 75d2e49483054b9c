//! Proofs that travel: what `Proven` accepts and what it refuses.

use super::{Log, log_key, origin, verifier};
use crate::digest::Digest;
use crate::keys::SigningKey;
use crate::ledger::{
    Checkpoint, ConsistencyProof, Frontier, InclusionProof, Leaf, LeafKind, Proven, TlogProof, Unproven,
    VerifierKey, merkle, tree,
};

const SIZE: u64 = 300;

fn entry(index: u64) -> Leaf {
    Leaf::new(LeafKind::Policy, document(index), None, None, None).unwrap()
}

fn document(index: u64) -> Digest {
    Digest::of(format!("policy {index}").as_bytes())
}

fn log() -> Log {
    Log::of((0..SIZE).map(|index| entry(index).hash()))
}

fn proof_of(index: u64, log: &Log) -> (InclusionProof, String) {
    let hashes = tree::inclusion_proof(index, SIZE, &log.nodes).unwrap();
    let leaf = String::from_utf8(entry(index).to_bytes()).unwrap();
    (InclusionProof { leaf, index, hashes }, log.checkpoint().sign(&log_key()).unwrap().to_string())
}

fn refusal(proof: &InclusionProof, note: &str, key: &VerifierKey, document: &Digest) -> String {
    Proven::check(proof, note, key, document).unwrap_err().to_string()
}

#[test]
fn a_statement_in_the_log_is_proven_and_nothing_else() {
    let log = log();
    let (proof, note) = proof_of(256, &log);
    let proven = Proven::check(&proof, &note, &verifier(), &document(256)).unwrap();
    assert_eq!((proven.index(), proven.leaf(), proven.checkpoint()), (256, &entry(256), &log.checkpoint()));

    let check = |proof: &InclusionProof, why: &str| {
        let refusal = refusal(proof, &note, &verifier(), &document(256));
        assert!(refusal.contains(why), "{refusal}");
    };
    check(&InclusionProof { index: 255, ..proof.clone() }, "hashes");
    check(&InclusionProof { index: SIZE, ..proof.clone() }, "outside");
    check(&InclusionProof { index: u64::MAX, ..proof.clone() }, "outside");
    check(&InclusionProof { hashes: vec![], ..proof.clone() }, "a proof of 0 hashes");
    check(&InclusionProof { hashes: vec![document(1); 10_000], ..proof.clone() }, "10000 hashes");
    // The same leaf, spelled differently, is another entry.
    check(&InclusionProof { leaf: proof.leaf.replace("{\"v\"", "{ \"v\""), ..proof.clone() }, "root");
    check(&InclusionProof { leaf: String::new(), ..proof.clone() }, "not valid");
    let other = proof_of(255, &log).0;
    check(&other, "stands for the document");

    assert!(refusal(&proof, &note, &verifier(), &document(255)).contains("expected is"));
    let stranger = VerifierKey::new(origin(), SigningKey::from_seed(&[1; 32]).public());
    assert!(refusal(&proof, &note, &stranger, &document(256)).contains("not signed"));
    let grown = Checkpoint { size: SIZE + 1, ..log.checkpoint() }.text();
    let forged = note.replace(&log.checkpoint().text(), &grown);
    assert!(refusal(&proof, &forged, &verifier(), &document(256)).contains("wrong"));
}

#[test]
fn proofs_have_one_json_form() {
    let proof = InclusionProof { leaf: "{}".into(), index: 3, hashes: vec![document(1)] };
    let text = format!(r#"{{"leaf":"{{}}","index":3,"hashes":["{}"]}}"#, document(1));
    assert_eq!(serde_json::to_string(&proof).unwrap(), text);
    assert_eq!(serde_json::from_str::<InclusionProof>(&text).unwrap(), proof);
    assert!(serde_json::from_str::<InclusionProof>(&text.replace("{\"leaf\"", "{\"x\":1,\"leaf\"")).is_err());
    let proof = ConsistencyProof { old_size: 1, new_size: 2, hashes: vec![document(1)] };
    let text = format!(r#"{{"old_size":1,"new_size":2,"hashes":["{}"]}}"#, document(1));
    assert_eq!(serde_json::to_string(&proof).unwrap(), text);
    assert_eq!(serde_json::from_str::<ConsistencyProof>(&text).unwrap(), proof);
}

#[test]
fn a_fork_a_shrunk_log_and_another_log_are_not_consistent() {
    let log = log();
    let at = |size| Checkpoint { origin: origin(), size, root: log.root_at(size) };
    let between = |old, new| ConsistencyProof {
        old_size: old,
        new_size: new,
        hashes: tree::consistency_proof(old, new, &log.nodes).unwrap(),
    };
    for (old, new) in [(0, SIZE), (1, SIZE), (255, 256), (256, SIZE), (299, SIZE), (SIZE, SIZE)] {
        between(old, new).check(&at(old), &at(new)).unwrap();
    }
    let proof = between(200, SIZE);
    let rewritten = Log::of((0..200).map(|i| if i == 7 { document(7) } else { entry(i).hash() }));
    assert!(matches!(proof.check(&rewritten.checkpoint(), &at(SIZE)), Err(Unproven::Proof(_))));
    let shrunk = ConsistencyProof { old_size: SIZE, new_size: 200, ..proof.clone() };
    assert!(shrunk.check(&at(SIZE), &at(200)).unwrap_err().to_string().contains("shrunk"));
    assert!(matches!(proof.check(&at(199), &at(SIZE)), Err(Unproven::OtherSize { .. })));
    assert!(matches!(proof.check(&at(200), &at(299)), Err(Unproven::OtherSize { .. })));
    let elsewhere = Checkpoint { origin: "assent.example.org/2".parse().unwrap(), ..at(SIZE) };
    assert!(matches!(proof.check(&at(200), &elsewhere), Err(Unproven::OtherLog { .. })));
}

/// The file of a two-leaf log, so that it can be followed by hand.
#[test]
fn the_proof_file_is_that_of_the_specification() {
    let mut frontier = Frontier::default();
    frontier.append(merkle::leaf_hash(b"first"));
    frontier.append(merkle::leaf_hash(b"second"));
    let checkpoint = Checkpoint { origin: origin(), size: 2, root: frontier.root() };
    let note = checkpoint.sign(&log_key()).unwrap().to_string();
    let proof = InclusionProof { leaf: "second".into(), index: 1, hashes: vec![merkle::leaf_hash(b"first")] };
    let file = TlogProof { proof, checkpoint: note.clone() };
    let text = format!(
        "c2sp.org/tlog-proof@v1\nextra c2Vjb25k\nindex 1\noa8DAjHKL9IOzzDFKUuvj2kyHQm7FqxTiFzNF6OFKA0=\n\n{note}"
    );
    assert_eq!(file.to_string(), text);
    let read: TlogProof = text.parse().unwrap();
    assert_eq!(read, file);
    let opened = Checkpoint::open(&read.checkpoint, &verifier()).unwrap();
    read.proof.check(&opened).unwrap();

    for bad in [
        text.replace("@v1", "@v2"),
        text.replace("extra c2Vjb25k\n", ""),
        text.replace("c2Vjb25k", "c2Vjb25k="),
        text.replace("c2Vjb25k", "/w=="),
        text.replace("index 1", "index 01"),
        text.replace("index 1", "index -1"),
        text.replace("KA0=\n\n", "KA0\n\n"),
        text.replace("\n\n", "\n"),
        String::new(),
        "x".repeat(200_000),
    ] {
        assert!(bad.parse::<TlogProof>().is_err(), "{bad:.300}");
    }
}

#[test]
fn a_proof_file_of_a_real_log_still_proves() {
    let log = log();
    let (proof, note) = proof_of(299, &log);
    let file: TlogProof = TlogProof { proof, checkpoint: note }.to_string().parse().unwrap();
    Proven::check(&file.proof, &file.checkpoint, &verifier(), &document(299)).unwrap();
}
