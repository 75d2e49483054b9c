//! Whose word counts, on real hosts: not the author's where somebody else is asked for, not a passkey's where the person's
//! own program is, no assertion that was made for something else, and nobody's who has left (research/trust.md §7, 24, 28, 33,
//! 34, 41).

use super::stage::Stage;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use shared::approval::Approval;
use shared::bundle::Bundle;
use shared::digest::Digest;
use shared::envelope::{Extension, SignatureEntry};
use shared::keys::SigningKey;
use shared::policy::{Assurance, DistinctFrom, Person, PersonKey, Policy, Role};
use shared::signature::KeyKind;
use shared::statement::Statement;
use shared::webauthn::RelyingParty;
use tests::World;
use tests::world::NewChange;

const ORIGIN: &str = "https://assent.example.org";
const PARTY: &str = "example.org";

/// What a browser and an authenticator make of a question, or somebody who has the key and bends it.
struct Assertion {
    kind: &'static str,
    origin: &'static str,
    party: &'static str,
    flags: u8,
    more: &'static str,
}

const GOOD: Assertion = Assertion { kind: "webauthn.get", origin: ORIGIN, party: PARTY, flags: 5, more: "" };

impl Assertion {
    /// The approval of `word`, by this key, over `message`.
    fn over(&self, word: &Approval, key: &SigningKey, message: &[u8]) -> Statement<Approval> {
        let Self { kind, origin, party, flags, more } = self;
        let challenge = URL_SAFE_NO_PAD.encode(Digest::of(message).0);
        let cdj = format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}"{more}}}"#);
        let ad = [&Digest::of(party.as_bytes()).0[..], &[*flags, 0, 0, 0, 1]].concat();
        let signed = [&ad[..], &Digest::of(cdj.as_bytes()).0].concat();
        let mut statement = Statement::unsigned(word.clone());
        statement.envelope.signatures.push(SignatureEntry {
            keyid: String::new(),
            sig: STANDARD.encode(key.sign(&signed)),
            ext: Some(Extension::Webauthn { ad: STANDARD.encode(ad), cdj: STANDARD.encode(cdj) }),
        });
        statement
    }
}

/// Hosts of class `vault` ask for one person who is not the author, with an own program; the others take passkeys.
fn rules(world: &World, passkey: &SigningKey) {
    let mut policy = world.policy();
    policy.version += 1;
    policy.rules[0].require.min_assurance = Assurance::ServerRendered;
    let vault = &mut policy.rules.last_mut().unwrap().require;
    (vault.approvals, vault.distinct_from) = (1, [DistinctFrom::Author].into());
    let party = RelyingParty { rp_id: PARTY.into(), origin: ORIGIN.into() };
    second(&mut policy).keys.push(PersonKey {
        kind: KeyKind::Passkey(party),
        assurance: Assurance::ServerRendered,
        ..PersonKey::file(passkey.public(), &[Role::Approver])
    });
    assert_eq!(policy.problems(), Vec::<String>::new());
    world.publish_policy(&policy);
}

on_both! {
    /// 24, 33, 34
    fn an_authors_own_word_and_a_passkey_count_where_the_policy_says_so_and_in_their_form_only(world) {
        let passkey = SigningKey::from_seed(&[78; 32]);
        let mut stage = Stage::new(world, 14);
        rules(stage.world, &passkey);

        // The author, alone and as often as he likes, and in somebody else's name.
        let mut bundle = stage.next();
        bundle.approvals = vec![stage.yes("lead", &bundle, |_| {})];
        stage.refused("v1", &bundle, "approval.quorum");
        let mut bundle = stage.next();
        bundle.approvals = ["0", "1", "2"].map(|n| stage.yes("lead", &bundle, |a| a.nonce = n.repeat(32))).into();
        stage.refused("v1", &bundle, "approval.quorum");
        let mut bundle = stage.next();
        let lead = stage.world.own_key("approver");
        bundle.approvals = vec![stage.world.sign_approval(&bundle.change, &bundle.plan_set, "second", &lead, |_| {})];
        stage.refused("v1", &bundle, "approval.unknown_key");

        // A passkey in a browser, where an own program is asked for; with the author's word it is no more.
        let by_passkey = |stage: &Stage<'_>, bundle: &Bundle, how: &Assertion| {
            let word = stage.yes("second", bundle, |_| {}).body;
            let message = Statement::unsigned(word.clone()).envelope.signed_bytes();
            how.over(&word, &passkey, &message)
        };
        let mut bundle = stage.next();
        bundle.approvals = vec![by_passkey(&stage, &bundle, &GOOD), stage.yes("lead", &bundle, |_| {})];
        stage.refused("v1", &bundle, "approval.quorum");

        // Assertions that were made for something else, where a passkey suffices.
        for (what, bent) in [
            ("a registration", Assertion { kind: "webauthn.create", ..GOOD }),
            ("another page", Assertion { origin: "https://assent.example.com", ..GOOD }),
            ("another site of the same name", Assertion { party: "assent.example.org", ..GOOD }),
            ("nobody looked at", Assertion { flags: 1, ..GOOD }),
            ("nobody touched it", Assertion { flags: 4, ..GOOD }),
            ("a page inside of another one", Assertion { more: r#","crossOrigin":true"#, ..GOOD }),
        ] {
            let mut bundle = stage.next();
            bundle.approvals = vec![by_passkey(&stage, &bundle, &bent)];
            println!("{what}");
            stage.refused("a1", &bundle, "approval.unknown_key");
        }
        let (mut bundle, other) = (stage.next(), stage.next());
        let [word, of_other] = [&bundle, &other].map(|bundle| stage.yes("second", bundle, |_| {}).body);
        let message = Statement::unsigned(of_other).envelope.signed_bytes();
        bundle.approvals = vec![GOOD.over(&word, &passkey, &message)];
        stage.refused("a1", &bundle, "approval.unknown_key");

        // What was refused was refused for its one fault.
        let mut good = stage.next();
        good.approvals = vec![by_passkey(&stage, &good, &GOOD)];
        stage.applied("a1", &good);
        stage.refused("v1", &good, "approval.quorum");
        good.approvals.push(stage.yes("second", &good, |_| {}));
        stage.applied("v1", &good);
    }
}

on_both! {
    /// 28: what somebody approved while it was theirs to approve counts until a later edition says that it is not
    fn the_word_of_somebody_who_is_no_approver_any_more_starts_nothing(world) {
        let mut stage = Stage::new(world, 6);
        let kept = stage.world.policy();
        type Bend = fn(&mut Policy);
        let bends: [(&str, Bend); 5] = [
            ("the person left", |p| p.persons.retain(|person| person.id.as_str() != "second")),
            ("the role was taken away", |p| second(p).keys.iter_mut().for_each(|key| key.roles = [Role::Auditor].into())),
            ("the key was exchanged", |p| {
                second(p).keys = vec![PersonKey::file(SigningKey::from_seed(&[79; 32]).public(), &[Role::Approver])];
            }),
            ("the key has ended", |p| {
                let issued = p.issued;
                second(p).keys.iter_mut().for_each(|key| key.not_after = Some(issued));
            }),
            ("the key is another person's now", |p| {
                let keys = std::mem::take(&mut second(p).keys);
                second(p).keys = vec![PersonKey::file(SigningKey::from_seed(&[79; 32]).public(), &[Role::Approver])];
                let id = "third".parse().unwrap();
                p.persons.push(Person { id, name: "Third".into(), keys });
            }),
        ];
        let mut number = kept.version;
        let mut edition = |world: &World, bend: Bend| {
            number += 1;
            let mut policy = Policy { version: number, ..kept.clone() };
            bend(&mut policy);
            world.publish_policy(&policy);
        };
        let by_second = |stage: &mut Stage<'_>| {
            let mut bundle = stage.next();
            bundle.approvals = vec![stage.yes("second", &bundle, |_| {})];
            bundle
        };
        for (what, bend) in bends {
            let bundle = by_second(&mut stage);
            println!("{what}");
            edition(stage.world, bend);
            stage.refused("a1", &bundle, "approval.unknown_key");
        }
        edition(stage.world, |_| ());
        let good = by_second(&mut stage);
        stage.applied("a1", &good);
    }
}

fn second(policy: &mut Policy) -> &mut Person {
    policy.persons.iter_mut().find(|person| person.id.as_str() == "second").unwrap()
}

on_both! {
    /// 41: what was approved before something newer was applied brings nothing older back, unless its author says so
    fn an_older_manifest_comes_back_only_by_a_change_that_says_so(world) {
        let body = |text: &str| format!("resources:\n  - file: {{path: /etc/motd, content: \"{text}\\n\"}}\n");
        world.join("a1", "production");
        for version in ["1.0.0", "1.1.0", "1.1.1"] {
            world.publish("base", version, &body(version)).ok();
        }
        let later = |manifest| NewChange { manifests: manifest, window: "now+3h..+4h", ..NewChange::default() };
        let older = [world.request(&later(&["base@1.0.0"])), world.request(&later(&["base@1.1.0"]))];
        let newest = world.request(&NewChange { manifests: &["base@1.1.1"], ..NewChange::default() });
        older.iter().chain([&newest]).for_each(|id| drop(world.approve(id).ok()));
        world.tick_until_receipt("a1", &newest);
        world.shift_clock(3 * 3_600 + 600);
        world.tick("a1");
        world.tick("a1");
        for id in &older {
            let codes = world.hosts["a1"].refusal_codes(id);
            assert!(codes.contains(&"manifest.downgrade".to_owned()), "{codes:?}");
            assert!(world.hosts["a1"].receipt(id).is_none());
        }
        assert_eq!(world.hosts["a1"].read("/etc/motd").as_deref(), Some("1.1.1\n"));
        // Nor is it planned anew without that word.
        let new = NewChange { manifests: &["base@1.0.0"], ..NewChange::default() };
        let id = world.request(&new);
        assert!(world.hosts["a1"].refusal_codes(&id).contains(&"manifest.downgrade".to_owned()));
        let id = world.request_and_approve(&NewChange { more: &["--downgrade"], ..new });
        world.tick_until_receipt("a1", &id);
        assert_eq!(world.hosts["a1"].read("/etc/motd").as_deref(), Some("1.0.0\n"));
        world.settle_spool("a1");
        assert_eq!(world.hosts["a1"].spooled(), 0, "refusals are on record");
    }
}
