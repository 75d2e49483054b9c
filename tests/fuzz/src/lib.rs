//! What must hold for any bytes that come from outside, one function for each family of parsers.
//!
//! None of them may panic, overflow, or take long. What was read and is written again must read as the same, and bytes that
//! are signed must not have a second form. Never: a network, a clock, a file.

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::approval::Approval;
use shared::audit::AuditRecord;
use shared::bundle::{Bundle, Control, GateFile};
use shared::carried::Carried;
use shared::change::Change;
use shared::envelope::Envelope;
use shared::evidence::{self, Files};
use shared::facts::{Facts, TemplateFacts};
use shared::finding::Finding;
use shared::former::Former;
use shared::health::HealthReport;
use shared::keys::{AnyKey, SigningKey};
use shared::ledger::{
    Checkpoint, ConsistencyProof, InclusionProof, Leaf, Opening, SignedNote, Tile, TlogProof, VerifierKey,
    WitnessKey, Witnessed,
};
use shared::manifest::{Manifest, yaml};
use shared::plan::Plan;
use shared::policy::Policy;
use shared::progress::Progress;
use shared::publication::Publication;
use shared::receipt::{Enrolment, Receipt, Refusal, Renewal};
use shared::release::{Release, marked};
use shared::request::{Arrived, Request, open_request};
use shared::reset::TrustReset;
use shared::secret::Opened;
use shared::sshsig::SshKey;
use shared::statement::{Predicate, Statement};
use shared::summary::Summary;
use shared::tuf::{Role, history, profile};
use shared::version::{DebVersion, RpmVersion};
use shared::webauthn::{Assertion, RelyingParty};
use shared::{limits, plugin, sshsig, strict, template, visible, webauthn, wire};
use std::fmt::Debug;
use zeroize::Zeroizing;

/// Read, written and read again it is the same, and so are the bytes.
fn again<T: PartialEq + Debug, E: Debug>(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<T, E>,
    write: impl Fn(&T) -> Vec<u8>,
) {
    let Ok(first) = read(bytes) else { return };
    let written = write(&first);
    let second = read(&written).unwrap_or_else(|e| panic!("what was written cannot be read: {e:?}"));
    assert_eq!(first, second);
    assert_eq!(written, write(&second));
}

fn json<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) {
    again(bytes, |bytes| strict::from_json::<T>("it", bytes, limits::ENVELOPE_BYTES), strict::to_json);
}

/// The metadata of the repository, in every role.
pub fn tuf(bytes: &[u8]) {
    drop(profile::read_root(bytes));
    drop(profile::read_timestamp(bytes));
    drop(profile::read_snapshot(bytes));
    for role in ["targets", "changes", "content.main"] {
        let role: Role = role.parse().expect("a role");
        drop(profile::read_targets(&role, bytes));
    }
    if let Ok(chain) = history::verify_root_chain(&[bytes]) {
        drop(chain[0].targets(bytes));
    }
}

/// DSSE envelopes, and what carries them.
pub fn envelope(bytes: &[u8]) {
    again(bytes, Envelope::parse, Envelope::to_bytes);
    again(bytes, Bundle::parse, Bundle::to_bytes);
    again(bytes, Carried::parse, Carried::to_bytes);
    again(bytes, GateFile::parse, GateFile::to_bytes);
}

/// What is inside of envelopes: the payload itself, so that it need not be guessed in base64.
pub fn statements(bytes: &[u8]) {
    fn one<P: Predicate>(envelope: &Envelope) {
        if let Ok(statement) = Statement::<P>::open(envelope.clone()) {
            assert_eq!(statement.digest, envelope.digest());
        }
    }
    let Ok(envelope) = Envelope::parse(&enveloped(bytes)) else { return };
    drop(shared::statement::type_of(&envelope));
    one::<Approval>(&envelope);
    one::<Change>(&envelope);
    one::<Enrolment>(&envelope);
    one::<Finding>(&envelope);
    one::<HealthReport>(&envelope);
    one::<Plan>(&envelope);
    one::<Progress>(&envelope);
    one::<Publication>(&envelope);
    one::<Receipt>(&envelope);
    one::<Refusal>(&envelope);
    one::<Release>(&envelope);
    one::<Renewal>(&envelope);
    one::<Request>(&envelope);
    one::<Summary>(&envelope);
    one::<TrustReset>(&envelope);
    let site = "0011223344556677".parse().unwrap();
    let arrived = Arrived {
        site: &site,
        audience: "a.example:443",
        method: "GET",
        path: "/",
        now: shared::time::Timestamp(0),
    };
    drop(open_request(base64(&enveloped(bytes)).as_bytes(), arrived));
}

fn enveloped(payload: &[u8]) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Wire {
        payload_type: &'static str,
        payload: String,
        signatures: [Signature; 1],
    }
    #[derive(Serialize)]
    struct Signature {
        keyid: &'static str,
        sig: String,
    }
    let signatures = [Signature { keyid: "", sig: base64(&[0; 64]) }];
    strict::to_json(&Wire {
        payload_type: "application/vnd.in-toto+json",
        payload: base64(payload),
        signatures,
    })
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let index = (word >> (18 - 6 * digit)) as usize & 63;
            text.push(if digit <= chunk.len() { char::from(DIGITS[index]) } else { '=' });
        }
    }
    text
}

/// Signatures of OpenSSH and passkeys: two bytes with the length of the authenticator's data, two with that of the
/// browser's, both, and the signature.
pub fn signatures(bytes: &[u8]) {
    let key = SigningKey::from_seed(&Zeroizing::new([7; 32])).public();
    assert!(!sshsig::verifies(bytes, &SshKey::Ed25519(&key), "assent-approval@v1", b"message"));
    assert!(!sshsig::verifies(bytes, &SshKey::SecurityKey(&key, "ssh:"), "assent-approval@v1", b"message"));
    assert!(!sshsig::is_signed_text(bytes, &key, "assent-approval@v1", b"message"));
    drop(sshsig::parse_blob(bytes));
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Some(blob) = sshsig::dearmor(text) {
            assert_eq!(sshsig::dearmor(&sshsig::armor(&blob)), Some(blob));
        }
        if let Some((key, application)) = sshsig::parse_public(text) {
            let written = match &application {
                Some(application) => sshsig::public_line(&SshKey::SecurityKey(&key, application)),
                None => sshsig::public_line(&SshKey::Ed25519(&key)),
            };
            assert_eq!(sshsig::parse_public(&written), Some((key, application)));
        }
    }
    let Some((lengths, rest)) = bytes.split_at_checked(4) else { return };
    let [a, b, c, d] = [0, 1, 2, 3].map(|at| usize::from(lengths[at]));
    let Some((authenticator_data, rest)) = rest.split_at_checked(a << 8 | b) else { return };
    let Some((client_data, signature)) = rest.split_at_checked(c << 8 | d) else { return };
    let party =
        RelyingParty { rp_id: "assent.example.org".into(), origin: "https://assent.example.org:8443".into() };
    let assertion = Assertion { authenticator_data, client_data, signature };
    for key in KEYS {
        let key: AnyKey = key.parse().expect("a key of the golden vectors");
        std::hint::black_box(webauthn::verifies(&assertion, &key, &party, MESSAGE));
    }
}

/// Of `shared/tests/golden/passkeys.json`, whose assertions are in the corpus.
const KEYS: [&str; 2] = [
    "BFzUzsxCSJ6Y7T/3FJgFH3gPNkhtTUTYZ9mYGFeE59pX7vcaQNamrRE9R7vzEQvxGFw65GMxerAGcwQ6vLzUBUs=",
    "IVL40Zt5HSRFMkLhXy6rbLfP+ntqXtMAl5YOBpiB2xI=",
];
const MESSAGE: &[u8] = b"DSSEv1 28 application/vnd.in-toto+json 13 {\"approved\":1}";

/// Policies, and the compiled form of manifests.
pub fn documents(bytes: &[u8]) {
    again(bytes, Policy::parse, strict::to_json);
    again(bytes, |bytes| Manifest::from_json(bytes), Manifest::to_json);
    again(bytes, Facts::from_json, Facts::to_json);
    again(bytes, Control::parse, strict::to_json);
    drop(Opened::parse(bytes));
    drop(marked(bytes));
    if let Ok(former) = Former::parse(bytes) {
        drop(former.check());
        assert_eq!(Former::parse(&former.to_bytes()), Ok(former));
    }
}

/// What authors write: whatever compiles is accepted by hosts as well.
pub fn manifests(bytes: &[u8]) {
    let Ok(manifest) = yaml::compile(bytes) else { return };
    let compiled = manifest.to_json();
    if compiled.len() <= limits::MANIFEST_BYTES {
        assert_eq!(Manifest::from_json(&compiled).as_ref(), Ok(&manifest));
    }
}

/// Templates, rendered with the parameters that they may name.
pub fn templates(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let params = strict::Map::from_iter([
        ("name".to_owned(), shared::manifest::ParamValue::Text("value".into())),
        ("list".to_owned(), shared::manifest::ParamValue::Text("a,b".into())),
    ]);
    let problems = template::check(text, &["name", "list"]);
    let rendered = template::render(text, &params, &facts());
    assert!(problems.is_empty() || rendered.is_err(), "a template with problems was rendered");
}

fn facts() -> TemplateFacts {
    let text = |text: &str| text.to_owned();
    TemplateFacts {
        hostname: text("web1"),
        fqdn: text("web1.example.org"),
        os_id: text("debian"),
        os_version: text("12"),
        os_codename: text("bookworm"),
        kernel: text("6.1.0"),
        arch: text("x86_64"),
        addresses: vec![text("192.0.2.1"), text("2001:db8::1")],
        agent_id: text("00112233445566778899aabbccddeeff"),
        host_class: text("production"),
    }
}

/// Notes, checkpoints, leaves, tiles, proofs, what witnesses sign, and records of the audit trail.
pub fn ledger(bytes: &[u8]) {
    again(bytes, Leaf::parse, Leaf::to_bytes);
    again(bytes, Opening::parse, Opening::to_bytes);
    again(bytes, AuditRecord::parse, AuditRecord::to_bytes);
    json::<Vec<Witnessed>>(bytes);
    json::<ConsistencyProof>(bytes);
    json::<InclusionProof>(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(note) = SignedNote::parse(text) {
        assert_eq!(SignedNote::parse(&note.to_string()).as_ref(), Ok(&note));
        drop(Checkpoint::parse(note.unverified_text()));
        // The seed in the corpus has a line of this witness.
        let witness =
            WitnessKey::new("w.test".parse().expect("a name"), SigningKey::from_seed(&[8; 32]).public());
        drop(note.cosigned(&witness));
    }
    drop(Checkpoint::parse(text));
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string().parse::<VerifierKey>().as_ref(), Ok(&key));
    }
    if let Ok(key) = text.parse::<WitnessKey>() {
        assert_eq!(key.to_string().parse::<WitnessKey>().as_ref(), Ok(&key));
    }
    if let Ok(proof) = text.parse::<TlogProof>() {
        assert_eq!(proof.to_string().parse::<TlogProof>().as_ref(), Ok(&proof));
    }
    let (path, body) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(tile) = path.parse::<Tile>() {
        assert_eq!(tile.to_string().parse::<Tile>().as_ref(), Ok(&tile));
        drop(tile.read_hashes(body.as_bytes()));
        drop(tile.read_entries(body.as_bytes()));
    }
}

/// A whole evidence bundle: each file is a line with its path, a line with its length, and its bytes.
pub fn bundles(bytes: &[u8]) {
    let mut files = Files::new();
    let mut rest = bytes;
    while let Some((path, after)) = line(rest) {
        let Some((length, after)) = line(after) else { break };
        let length = length.parse::<usize>().unwrap_or(0).min(after.len());
        files.insert(path.to_owned(), after[..length].to_vec());
        rest = &after[length..];
    }
    drop(evidence::verify(&files, None));
}

fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

/// What servers and agents tell each other.
pub fn messages(bytes: &[u8]) {
    fn one<T: DeserializeOwned + Serialize>(bytes: &[u8]) {
        if let Ok(read) = strict::from_json::<T>("it", bytes, limits::ENVELOPE_BYTES) {
            let written = strict::to_json(&read);
            let second = strict::from_json::<T>("it", &written, usize::MAX);
            let second = second.unwrap_or_else(|e| panic!("what was written cannot be read: {e}"));
            assert_eq!(written, strict::to_json(&second));
        }
    }
    one::<wire::Work>(bytes);
    one::<wire::FactsReport>(bytes);
    one::<wire::FactsChange>(bytes);
    one::<wire::Record>(bytes);
    one::<wire::Recorded>(bytes);
    one::<wire::Join>(bytes);
    one::<wire::Joined>(bytes);
    one::<wire::Renew>(bytes);
    one::<wire::Invite>(bytes);
    one::<wire::ChangeFile>(bytes);
    one::<wire::CiFile>(bytes);
    one::<wire::Why>(bytes);
    one::<wire::FindingPage>(bytes);
    one::<wire::ProgressPage>(bytes);
    one::<wire::AskProofs>(bytes);
    one::<wire::Proofs>(bytes);
    one::<wire::Cosigned>(bytes);
    one::<wire::WitnessList>(bytes);
    one::<wire::AuditPage>(bytes);
    one::<wire::Approve>(bytes);
    one::<wire::Problem>(bytes);
}

/// Texts of other programs: versions of packages, output of monitoring plugins, anything that a terminal is to show.
pub fn texts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    drop(plugin::read(&text));
    let mut parts = text.splitn(3, '\n');
    let [a, b, c] = [(); 3].map(|()| parts.next().unwrap_or_default());
    ordered::<DebVersion>(a, b, c);
    ordered::<RpmVersion>(a, b, c);
    assert!(!visible::line(&text).contains(['\u{1b}', '\n', '\u{202e}']));
}

fn ordered<V: Ord + std::str::FromStr>(a: &str, b: &str, c: &str) {
    let (Ok(a), Ok(b), Ok(c)) = (a.parse::<V>(), b.parse::<V>(), c.parse::<V>()) else { return };
    assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
    assert!(!(a <= b && b <= c) || a <= c, "the order is not transitive");
}
