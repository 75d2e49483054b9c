//! Approvals by keys of every kind, judged through the whole of the policy; no kind takes the signature of another.

use super::*;
use crate::digest::Digest;
use crate::envelope::{Extension, SignatureEntry};
use crate::keys::SigningKey;
use crate::signature::{Application, namespace, ssh_entry};
use crate::sshsig;
use crate::statement::Predicate as _;
use crate::webauthn::RelyingParty;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

fn party() -> RelyingParty {
    RelyingParty { rp_id: "example.org".into(), origin: "https://assent.example.org".into() }
}

/// `first` has one key (number 2) of this kind and assurance.
fn kind(kind: KeyKind, assurance: Assurance) -> Policy {
    let mut policy = policy(1);
    policy.persons[1].keys.truncate(1);
    (policy.persons[1].keys[0].kind, policy.persons[1].keys[0].assurance) = (kind, assurance);
    policy
}

fn ssh(key: &SigningKey, namespace: &str, message: &[u8]) -> SignatureEntry {
    ssh_entry(&key.public().into(), &sshsig::dearmor(&sshsig::sign(key, namespace, message)).unwrap())
}

/// What a browser and an authenticator make of a question, for this key.
fn passkey(key: &SigningKey, kind: &str, message: &[u8]) -> SignatureEntry {
    let challenge = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Digest::of(message).0);
    let cdj = format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{}"}}"#, party().origin);
    let ad = [&Digest::of(party().rp_id.as_bytes()).0[..], &[5, 0, 0, 0, 1]].concat();
    let signed = [&ad[..], &Digest::of(cdj.as_bytes()).0].concat();
    SignatureEntry {
        keyid: String::new(),
        sig: BASE64.encode(key.sign(&signed)),
        ext: Some(Extension::Webauthn { ad: BASE64.encode(ad), cdj: BASE64.encode(cdj) }),
    }
}

fn approved(policy: &Policy, sign: impl Fn(&SigningKey, &[u8]) -> SignatureEntry) -> Result<usize, Code> {
    assert_eq!(policy.problems(), Vec::<String>::new());
    let mut fixture = Fixture::of(change_body());
    let mut approval = Statement::unsigned(fixture.approval("first"));
    let entry = sign(&key(2), &approval.envelope.signed_bytes());
    approval.envelope.signatures.push(entry);
    // As it comes over the network.
    fixture.bundle.approvals.push(Statement::parse(&approval.to_bytes()).unwrap());
    code(&judged(policy, &fixture, &[ActionClass::File], NOW))
}

fn plain(key: &SigningKey, message: &[u8]) -> SignatureEntry {
    SignatureEntry { keyid: String::new(), sig: BASE64.encode(key.sign(message)), ext: None }
}

#[test]
fn each_kind_of_key_approves_in_its_own_form_only() {
    let ours = namespace(Approval::TYPE);
    let by_ssh = |key: &SigningKey, message: &[u8]| ssh(key, &ours, message);
    let by_passkey = |key: &SigningKey, message: &[u8]| passkey(key, "webauthn.get", message);
    let own = Assurance::Independent;
    let application = Application { application: "ssh:".into() };
    let kinds = [KeyKind::File, KeyKind::Ssh, KeyKind::Passkey(party()), KeyKind::SshSk(application)];
    for (n, one) in kinds.into_iter().enumerate() {
        let policy = kind(one, own);
        let expected = |form: usize| if form == n { Ok(1) } else { Err(Code::ApprovalUnknownKey) };
        assert_eq!(approved(&policy, plain), expected(0), "{n}");
        assert_eq!(approved(&policy, by_ssh), expected(1), "{n}");
        assert_eq!(approved(&policy, by_passkey), expected(2), "{n}");
    }
}

#[test]
fn an_ssh_signature_for_something_else_is_no_approval() {
    let policy = kind(KeyKind::Ssh, Assurance::Independent);
    let ours = namespace(Approval::TYPE);
    assert_eq!(approved(&policy, |key, message| ssh(key, &ours, message)), Ok(1));
    for other in ["file", "git", "assent-change@v1", "assent-approval@v2", "assent-approval", ""] {
        let got = approved(&policy, |key, message| ssh(key, other, message));
        assert_eq!(got, Err(Code::ApprovalUnknownKey), "{other:?}");
    }
    let of_somebody = approved(&policy, |_, message| ssh(&key(3), &ours, message));
    assert_eq!(of_somebody, Err(Code::ApprovalUnknownKey));
    let of_bytes = approved(&policy, |key, message| ssh(key, &ours, &message[1..]));
    assert_eq!(of_bytes, Err(Code::ApprovalUnknownKey));
}

/// A browser shows what the page shows, so a passkey is worth less unless the policy says otherwise.
#[test]
fn a_passkey_counts_for_the_assurance_that_the_policy_gives_it() {
    let sign = |key: &SigningKey, message: &[u8]| passkey(key, "webauthn.get", message);
    let mut low = kind(KeyKind::Passkey(party()), Assurance::ServerRendered);
    assert_eq!(approved(&low, sign), Err(Code::ApprovalQuorum));
    // Nor by another passkey of the same person, nor where only one of the rules asks for more.
    let mut another = low.clone();
    another.persons[1]
        .keys
        .push(PersonKey { public: key(8).public().into(), ..low.persons[1].keys[0].clone() });
    assert_eq!(approved(&another, |_, message| sign(&key(8), message)), Err(Code::ApprovalQuorum));
    let mut stricter = low.clone();
    stricter.rules[0].require.min_assurance = Assurance::ServerRendered;
    assert_eq!(approved(&stricter, sign), Ok(1));
    stricter.rules.push(low.rules[0].clone());
    stricter.rules[1].name = "stricter".into();
    assert_eq!(approved(&stricter, sign), Err(Code::ApprovalQuorum));
    stricter.rules.reverse();
    assert_eq!(approved(&stricter, sign), Err(Code::ApprovalQuorum));
    low.rules[0].require.min_assurance = Assurance::ServerRendered;
    assert_eq!(approved(&low, sign), Ok(1));
    let created = approved(&low, |key, message| passkey(key, "webauthn.create", message));
    assert_eq!(created, Err(Code::ApprovalUnknownKey));
    let other = approved(&low, |key, message| passkey(key, "webauthn.get", &message[1..]));
    assert_eq!(other, Err(Code::ApprovalUnknownKey));
    let elsewhere = RelyingParty { origin: "https://example.org".into(), ..party() };
    low.persons[1].keys[0].kind = KeyKind::Passkey(elsewhere);
    assert_eq!(approved(&low, sign), Err(Code::ApprovalUnknownKey));
}

#[test]
fn an_openssh_key_and_a_passkey_of_one_person_are_one_person() {
    let mut policy = policy(2);
    let first = &mut policy.persons[1].keys;
    (first[0].kind, first[1].kind) = (KeyKind::Ssh, KeyKind::Passkey(party()));
    assert_eq!(policy.problems(), Vec::<String>::new());
    let ours = namespace(Approval::TYPE);
    let judge = |words: &[(SignatureEntry, Approval)], fixture: &Fixture| {
        let mut bundle = fixture.bundle.clone();
        for (entry, body) in words {
            let mut word = Statement::unsigned(body.clone());
            word.envelope.signatures.push(entry.clone());
            bundle.approvals.push(Statement::parse(&word.to_bytes()).unwrap());
        }
        let plan = fixture.plan.clone();
        code(&judged(&policy, &Fixture { bundle, plan }, &[ActionClass::File], NOW))
    };
    let fixture = Fixture::of(change_body());
    let word = |nonce: &str, person: &str| Approval { nonce: nonce.into(), ..fixture.approval(person) };
    let bytes = |body: &Approval| Statement::unsigned(body.clone()).envelope.signed_bytes();
    let (a, b, other) = (word("a", "first"), word("b", "first"), word("c", "second"));
    let by_ssh = (ssh(&key(2), &ours, &bytes(&a)), a.clone());
    let by_passkey = (passkey(&key(3), "webauthn.get", &bytes(&b)), b);
    let both_on_one = (passkey(&key(3), "webauthn.get", &bytes(&a)), a);
    let second = (plain(&key(4), &bytes(&other)), other);
    assert_eq!(judge(&[by_ssh.clone(), second.clone()], &fixture), Ok(2));
    assert_eq!(judge(&[by_passkey.clone(), second], &fixture), Ok(2));
    for one in [
        vec![by_ssh.clone(), by_passkey.clone()],
        vec![by_passkey.clone(), by_ssh.clone()],
        vec![by_ssh.clone(), both_on_one],
        vec![by_ssh.clone(), by_ssh, by_passkey.clone(), by_passkey],
    ] {
        assert_eq!(judge(&one, &fixture), Err(Code::ApprovalQuorum));
    }
}

#[test]
fn keys_that_fit_no_kind_are_refused_with_the_policy() {
    let p256 = format!("BA{}=", "A".repeat(85));
    let p256: AnyKey = p256.parse().unwrap();
    let of = |rp_id: &str, origin: &str| {
        KeyKind::Passkey(RelyingParty { rp_id: rp_id.into(), origin: origin.into() })
    };
    let ed25519 = AnyKey::from(key(2).public());
    assert_eq!(of("example.org", "https://example.org:8443").problem(&p256), None);
    assert_eq!(KeyKind::Ssh.problem(&ed25519), None);
    for (kind, key, why) in [
        (KeyKind::File, p256, "only passkeys"),
        (KeyKind::Ssh, p256, "only passkeys"),
        (KeyKind::SshSk(Application { application: "webauthn".into() }), ed25519, "ssh:"),
        (of("example.org", "http://example.org"), p256, "https"),
        (of("example.org", "https://evil-example.org"), p256, "not within"),
        (of("example.org", "https://example.org/"), p256, "domain"),
        (of("Example.org", "https://example.org"), p256, "domain"),
        (of("", "https://example.org"), p256, "domain"),
    ] {
        let mut policy = policy(1);
        (policy.persons[1].keys[0].kind, policy.persons[1].keys[0].public) = (kind, key);
        let problems = policy.problems();
        assert!(problems.iter().any(|problem| problem.contains(why)), "{why}: {problems:?}");
    }
    // Files of before have no kind, and say so by leaving it out.
    let text = String::from_utf8(strict::to_json(&policy(1))).unwrap();
    assert!(!text.contains("\"kind\""), "{text}");
    let all = Policy {
        persons: kind(of("example.org", "https://example.org"), Assurance::ServerRendered).persons,
        ..policy(1)
    };
    assert_eq!(Policy::parse(&strict::to_json(&all)).unwrap(), all);
}
