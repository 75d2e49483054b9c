//! Passkey assertions made by `golden/passkeys.py` and, where good, checked there by the `webauthn` package of PyPI.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use shared::keys::AnyKey;
use shared::webauthn::{Assertion, RelyingParty, verifies};

#[derive(Deserialize)]
struct Golden {
    rp_id: String,
    origin: String,
    message: String,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    why: String,
    good: bool,
    public: String,
    ad: String,
    cdj: String,
    sig: String,
}

#[test]
fn assertions_hold_or_not_as_an_independent_program_says() {
    let golden: Golden = serde_json::from_str(include_str!("golden/passkeys.json")).unwrap();
    let bytes = |text: &str| BASE64.decode(text).unwrap();
    let (party, message) =
        (RelyingParty { rp_id: golden.rp_id, origin: golden.origin }, bytes(&golden.message));
    for Vector { why, good, public, ad, cdj, sig } in &golden.vectors {
        let key: AnyKey = public.parse().unwrap();
        let (ad, cdj, sig) = (bytes(ad), bytes(cdj), bytes(sig));
        let assertion = Assertion { authenticator_data: &ad, client_data: &cdj, signature: &sig };
        assert_eq!(verifies(&assertion, &key, &party, &message), *good, "{why}");
        assert!(!verifies(&assertion, &key, &party, b"something else"), "{why}");
        let other = RelyingParty { rp_id: "example.org".into(), ..party.clone() };
        assert!(!verifies(&assertion, &key, &other, &message), "{why}");
    }
    let good = golden.vectors.iter().filter(|vector| vector.good);
    assert_eq!((good.count(), golden.vectors.len()), (10, 58));
}
