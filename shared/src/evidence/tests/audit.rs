//! The server's audit trail in a bundle: whole, and with something missing or changed.

use super::*;
use crate::audit::AuditRecord;

fn record(number: u64) -> AuditRecord {
    AuditRecord {
        schema: AuditRecord::SCHEMA.into(),
        number,
        at: NOW,
        person: Some(person_id("lead")),
        action: "people.grant".into(),
        object: "person peer".into(),
        request: Digest::of(b"request"),
    }
}

/// A bundle of a period with these records; those of `hidden` have no leaf.
fn trail(numbers: &[u64], hidden: &[u64]) -> Files {
    let (mut site, log_key) = site();
    let enrolment = enrolled(&site);
    let mut log = Log::default();
    log.add(LeafKind::Manifest, publication(site.id.clone()).digest, None);
    log.add(LeafKind::Enrolment, enrolment.digest, Some(1));
    site.material.statements.insert(enrolment.digest, enrolment.to_bytes());
    let query = &mut site.material.query;
    (query.change, query.from, query.to) = (None, Some(NOW), Some(NOW.plus(1)));
    for number in numbers {
        let record = record(*number);
        if !hidden.contains(number) {
            log.add(LeafKind::Audit, record.digest(), None);
        }
        site.material.audit.insert(record.digest(), record.to_bytes());
    }
    sealed(site, (&log, 2), &[], &log_key)
}

#[test]
fn a_trail_is_whole_and_in_the_ledger() {
    assert_eq!(flaws(&trail(&[4, 5, 6], &[])), "");
    assert!(flaws(&trail(&[4, 6], &[])).contains("records 5 to 5 are missing"));
    assert!(flaws(&trail(&[4, 5, 6], &[5])).contains("not proven to be in the ledger"));
    let edited = |change: fn(&mut AuditRecord)| {
        let mut files = trail(&[4, 5], &[]);
        let mut bent = record(5);
        files.remove(&format!("audit/{}.json", bent.digest()));
        change(&mut bent);
        files.insert(format!("audit/{}.json", bent.digest()), bent.to_bytes());
        reseal(&mut files);
        flaws(&files)
    };
    assert!(edited(|record| record.person = None).contains("not proven to be in the ledger"));
    // Two records of one number: both would be in the ledger, and one of them is left out somewhere else.
    assert!(
        edited(|record| (record.number, record.object) = (4, "person other".into()))
            .contains("has the number 4")
    );
}
