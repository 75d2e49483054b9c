//! What a bundle proves of the ledger: that hosts and witnesses had seen what was begun.

use super::*;

#[test]
fn where_proofs_are_demanded_the_host_had_seen_what_it_began() {
    let demand = |policy: &mut Policy| policy.log.proof_before_start = true;
    // The host saw two leaves: the manifest and its own enrolment.
    let report = verify(&bundle_of(demand, |_, _| ()), None);
    let flaws: Vec<_> = report.flaws.iter().map(ToString::to_string).collect();
    assert!(flaws.len() == 1 && flaws[0].contains("before the host had seen"), "{flaws:?}");
    let report = verify(&bundle_of(demand, |receipt, _| receipt.header.log_seen = None), None);
    assert!(report.flaws.iter().any(|flaw| flaw.to_string().contains("had seen no ledger")), "{report:?}");
    assert!(verify(&bundle_of(|_| (), |_, _| ()), None).is_good());
    assert!(
        verify(&bundle_seeing(demand, 5), None).is_good(),
        "change, plan set and approval are among five leaves"
    );
    assert!(!verify(&bundle_seeing(demand, 4), None).is_good(), "the approval is not");
}

#[test]
fn where_witnesses_are_demanded_they_had_seen_what_was_begun_and_saw_beginnings_of_this_ledger() {
    let demand = |quorum| {
        move |policy: &mut Policy| {
            policy.log.proof_before_start = true;
            policy.log.witnesses = vec![witness(0), witness(1)];
            policy.log.quorum = quorum;
        }
    };
    let report = verify(&bundle_witnessed(demand(2), 5, &[5, 6]), None);
    assert_eq!(report.flaws, []);
    let told = report.remarks.join("\n");
    for part in ["w0.test saw 5 of the ledger's 12", "w1.test saw 6 of", "7 statements are newer"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(verify(&bundle_witnessed(demand(1), 5, &[4, 5]), None).is_good(), "one of the two is enough");
    for (quorum, looks) in [(2, &[4, 8][..]), (1, &[4, 3]), (2, &[8]), (1, &[])] {
        let flaws = flaws(&bundle_witnessed(demand(quorum), 5, looks));
        assert!(flaws.contains("before witnesses had seen"), "{quorum} of {looks:?}: {flaws}");
    }

    // What is bent comes out, whoever seals it again.
    let shown = |files: &Files| -> Vec<Witnessed> {
        serde_json::from_slice(&files["proofs/witnessed.json"]).unwrap()
    };
    let bent = |bend: &dyn Fn(&mut Vec<Witnessed>)| {
        let mut files = bundle_witnessed(demand(1), 5, &[5, 6]);
        let mut witnessed = shown(&files);
        bend(&mut witnessed);
        files.insert("proofs/witnessed.json".into(), strict::to_json(&witnessed));
        reseal(&mut files);
        flaws(&files)
    };
    assert_eq!(bent(&|_| ()), "");
    let swapped = bent(&|all| {
        let first = all[0].checkpoint.clone();
        let line = first.lines().last().unwrap();
        all[1].checkpoint =
            all[1].checkpoint.lines().take(5).chain([line, ""]).collect::<Vec<_>>().join("\n");
    });
    assert!(swapped.contains("a signature of w0.test on the note is wrong"), "{swapped}");
    let moved = bent(&|all| all[0].consistency = all[1].consistency.clone());
    assert!(moved.contains("proofs/witnessed.json"), "{moved}");
    let hash = bent(&|all| all[0].consistency.hashes[0] = Digest::of(b"x"));
    assert!(hash.contains("witnesses saw a ledger of 5 leaves"), "{hash}");
}
