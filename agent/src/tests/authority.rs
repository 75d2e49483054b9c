//! TLS authorities change: governance names them, hosts follow, and nobody else can bring one.

use super::site::{Certifier, NOW, host_id};
use super::{Bench, dir};
use crate::disk::Disk;
use crate::tls::{self, CertificateInfo};
use shared::digest::Digest;
use shared::refusal::Code;

fn spki(authority: &Certifier) -> Digest {
    CertificateInfo::read(authority.pem.as_bytes()).unwrap().spki
}

/// A host with a certificate of `authority` that holds for years, at a server that shows one of it, by a policy that names it.
fn bench(authority: &Certifier) -> Bench {
    let mut bench = Bench::new();
    let request = tls::new_key_request().unwrap();
    let certificate = authority.certify(&request.csr, host_id(), (2020, 2060));
    for (name, text) in
        [("tls.key", request.key.as_str()), ("tls.crt", &certificate), ("ca.crt", &authority.pem)]
    {
        bench.disk.write(&dir().join(name), text.as_bytes()).unwrap();
    }
    name(&bench, &[authority]);
    let mut held = bench.site.0.borrow_mut();
    (held.shows, held.believed) = (Some(spki(authority)), vec![spki(authority)]);
    drop(held);
    bench.boot().unwrap();
    let report = bench.tick();
    assert!(report.went_through(), "{:?}", report.lines);
    bench
}

/// The next edition of the policy names these, the newest last.
fn name(bench: &Bench, authorities: &[&Certifier]) {
    let mut held = bench.site.0.borrow_mut();
    held.policy.ca_spki = authorities.iter().map(|one| spki(one)).collect();
    held.policy.version += 1;
    drop(held);
    bench.site.publish();
}

/// Whom the host believes by its own file, the issuer of its certificate first.
fn believed(bench: &Bench) -> Vec<Digest> {
    let pem = bench.disk.read(&dir().join("ca.crt"), u64::MAX).unwrap().unwrap();
    tls::authorities(&pem).unwrap().into_iter().map(|(spki, _)| spki).collect()
}

fn certificate(bench: &Bench) -> Vec<u8> {
    bench.disk.read(&dir().join("tls.crt"), u64::MAX).unwrap().unwrap()
}

#[test]
fn a_host_takes_up_what_the_policy_names_and_lets_go_of_what_it_names_no_longer() {
    let (old, new) = (Certifier::new(), Certifier::new());
    let (one, two) = (spki(&old), spki(&new));
    let mut bench = bench(&old);
    let before = certificate(&bench);
    name(&bench, &[&old, &new]);
    {
        let mut held = bench.site.0.borrow_mut();
        (held.beside, held.authority) = (old.pem.clone(), Some(Certifier::new()));
    }
    // The server has not heard of the edition yet: it certifies under one that nobody named, and nothing of that stays.
    bench.tick();
    bench.at(NOW.plus(60));
    bench.tick();
    assert_eq!((believed(&bench), certificate(&bench) == before), (vec![one], true));
    let pem = new.pem.clone();
    bench.site.0.borrow_mut().authority = Some(new);
    bench.at(NOW.plus(2 * 3_600));
    let report = bench.tick();
    assert!(report.lines.iter().any(|line| line.contains("new certificate until")), "{:?}", report.lines);
    assert_eq!(believed(&bench), [two, one]);
    assert_ne!(certificate(&bench), before);
    // The server shows the new one, and the old one is named no longer.
    bench.site.0.borrow_mut().shows = Some(two);
    bench.at(NOW.plus(3 * 3_600));
    assert!(bench.tick().went_through());
    let mut held = bench.site.0.borrow_mut();
    (held.policy.ca_spki, held.beside) = (vec![two], String::new());
    held.policy.version += 1;
    drop(held);
    bench.site.publish();
    bench.at(NOW.plus(4 * 3_600));
    let report = bench.tick();
    assert_eq!((report.codes(), believed(&bench)), (vec![], vec![two]), "{:?}", report.lines);
    assert_eq!(bench.disk.read(&dir().join("ca.crt"), u64::MAX).unwrap().unwrap(), pem.as_bytes());
    assert_eq!(bench.site.0.borrow().believed, [two], "from now on, on the line as well");
}

#[test]
fn a_host_that_was_off_all_the_while_comes_back_in_one_tick() {
    let (old, new) = (Certifier::new(), Certifier::new());
    let two = spki(&new);
    let mut bench = bench(&old);
    name(&bench, &[&old, &new]);
    name(&bench, &[&new]);
    {
        let mut held = bench.site.0.borrow_mut();
        (held.shows, held.authority) = (Some(two), Some(new));
    }
    // As when it is switched on again: what only the process knew is gone.
    bench.boot().unwrap();
    bench.at(NOW.plus(7_200));
    let check_ins = bench.site.0.borrow().check_ins;
    let report = bench.tick();
    assert!(bench.site.0.borrow().check_ins > check_ins, "it is heard: {:?}", report.lines);
    assert_eq!((believed(&bench), report.codes()), (vec![two], vec![]), "{:?}", report.lines);
    bench.at(NOW.plus(7_260));
    assert!(bench.tick().went_through());
}

#[test]
fn an_authority_that_governance_did_not_name_is_dropped_again_and_on_record() {
    let (old, evil) = (Certifier::new(), Certifier::new());
    let one = spki(&old);
    let mut bench = bench(&old);
    let before = certificate(&bench);
    {
        let mut held = bench.site.0.borrow_mut();
        (held.shows, held.authority) = (Some(spki(&evil)), Some(evil));
    }
    bench.at(NOW.plus(3_600));
    let report = bench.tick();
    assert_eq!(report.codes(), [Code::PolicyInvalid], "{:?}", report.lines);
    assert_eq!((believed(&bench), certificate(&bench) == before), (vec![one], true));
    assert_eq!(bench.site.0.borrow().believed, [one]);
    // What it had before still counts when the server shows it again.
    bench.site.0.borrow_mut().shows = Some(one);
    bench.at(NOW.plus(3_700));
    assert!(bench.tick().went_through());
}
