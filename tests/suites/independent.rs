//! What we sign and serve in the hands of programs by other people, in other languages, and of somebody who changes it.
//!
//! `tests/independent/install` puts them into the target directory, with fixed versions; `tests/run` calls it.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use shared::digest::hex;
use shared::keys::{PublicKey, SigningKey};
use shared::ledger::Checkpoint;
use shared::policy::Policy;
use shared::tuf::{Role, Signed, Snapshot, Targets};
use shared::wire::{WitnessList, WitnessSeen};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::anyrepo::AnyRepository;
use tests::programs::{own, skip};
use tests::world::NewChange;
use tests::{Database, Said, World};

const BODY: &str = "resources:\n  - file: {path: /etc/motd, content: \"Welcome\\n\"}\n";
const MANIFEST: &str = "manifest.main.base.1.0.0.json";

/// Where the other programs lie; skips the test when they are not installed.
fn tools(test: &str) -> Option<PathBuf> {
    let dir = own("assent").parent().unwrap().parent().unwrap().join("independent");
    if dir.join("stamp").exists() {
        return Some(dir);
    }
    skip(&format!("{}::{test}", module_path!()), "run tests/independent/install target/independent first");
    None
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("independent").join(name)
}

fn python(tools: &Path, name: &str) -> Command {
    let mut command = Command::new(tools.join("python/bin/python"));
    command.arg(script(name));
    command
}

fn world(test: &str) -> Option<World> {
    World::new(&format!("{}::{test}", module_path!()), Database::Sqlite)
}

/// Readers of repositories that are not ours, each with its name.
fn readers(tools: &Path) -> [(&'static str, Command); 2] {
    let mut node = Command::new("node");
    node.arg(script("tuf_read.mjs")).env("ASSENT_TOOLS", tools);
    [("python-tuf", python(tools, "tuf_read.py")), ("tuf-js", node)]
}

/// Everything that a reader of one manifest asks for, as the server gives it.
fn repository(world: &World) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut take = |name: String| {
        let bytes = world.get(&format!("/v1/tuf/{name}")).body;
        files.insert(name, bytes.clone());
        bytes
    };
    take("timestamp.json".into());
    let snapshot = world.current_snapshot();
    take(Role::Snapshot.file(snapshot.version));
    for (name, pin) in snapshot.meta.iter() {
        let bytes = take(name.0.file(pin.version));
        for (target, file) in Signed::<Targets>::parse(&name.0, &bytes).unwrap().signed.targets.iter() {
            take(target.served_as(file));
        }
    }
    files
}

/// Requests that a program makes up from the description, good and bad ones, get answers that fit it, and no fault.
#[test]
fn made_up_requests_get_what_the_description_says() {
    const TEST: &str = "made_up_requests_get_what_the_description_says";
    let Some(tools) = tools(TEST) else { return };
    let Some(mut world) = world(TEST) else { return };
    applied(&mut world);
    let description = String::from_utf8(world.get("/v1/openapi.json").body).unwrap();
    let run = |name: &str, description: &str, more: &[&str]| {
        let file = world.path(name);
        fs::write(&file, description).unwrap();
        let mut command = Command::new(tools.join("python/bin/schemathesis"));
        command.arg("run").arg(&file).args([
            "--url",
            &format!("https://127.0.0.1:{}", world.nodes[0].people),
            "--tls-verify",
        ]);
        command.arg(world.site().join("ca.crt"));
        command.args(["-H", &format!("Authorization: Bearer {}", world.token())]);
        // What a schema cannot say (a date before another one, a host that is there) is refused with 422 and its reason.
        command.args(["--exclude-checks", "ignored_auth,positive_data_acceptance"]);
        command.args(["--exclude-path-regex", "^/agent/", "--phases", "coverage,fuzzing"]);
        command.args(["--max-examples", "6", "--seed", "1", "--workers", "1", "--no-color"]).args(more);
        // It keeps what it has tried below the folder in which it runs.
        Said::of(command.current_dir(file.parent().unwrap()))
    };
    let said = run("openapi.json", &description, &[]);
    assert_eq!(said.code, 0, "{said}");
    assert!(said.out.contains("generated"), "{said}");
    // A description that promises something else is not kept.
    let mut other: Value = serde_json::from_str(&description).unwrap();
    let answer = "/paths/~1v1~1changes/get/responses/200/content/application~1json/schema";
    *other.pointer_mut(answer).unwrap() = json!({ "type": "string" });
    let said = run("other.json", &other.to_string(), &["--include-path", "/v1/changes"]);
    assert!(said.code != 0 && said.out.contains("/v1/changes"), "{said}");
}

#[test]
fn python_and_javascript_read_our_repository_and_refuse_it_with_anything_changed() {
    const TEST: &str = "python_and_javascript_read_our_repository_and_refuse_it_with_anything_changed";
    let Some(tools) = tools(TEST) else { return };
    let Some(world) = world(TEST) else { return };
    world.publish("base", "1.0.0", BODY).ok();
    let root = world.site().join("trust/root.json");
    let mut number = 0;
    let mut read = |mut reader: Command, url: &str| {
        number += 1;
        let dir = world.path(&format!("reader-{number}"));
        reader.env("ASSENT_TOKEN", world.token()).env("ASSENT_CA", world.site().join("ca.crt"));
        reader.env("NODE_EXTRA_CA_CERTS", world.site().join("ca.crt"));
        reader.arg(&root).arg(url).arg(&dir).args(["policy.json", MANIFEST, "control.json"]);
        (Said::of(&mut reader), dir)
    };
    let files = repository(&world);
    let manifest = files.iter().find(|(name, _)| name.ends_with(MANIFEST)).unwrap().1;
    // The server itself, over TLS, as a person with a token.
    let url = format!("https://127.0.0.1:{}/v1/tuf/", world.nodes[0].people);
    for (who, reader) in readers(&tools) {
        let (said, dir) = read(reader, &url);
        assert_eq!(said.code, 0, "{who}: {said}");
        assert_eq!(&fs::read(dir.join("targets").join(MANIFEST)).unwrap(), manifest, "{who}");
        assert!(Policy::parse(&fs::read(dir.join("targets/policy.json")).unwrap()).is_ok(), "{who}");
    }
    // The same files from somebody who may change them: unchanged they are read, changed they are not.
    let copy = AnyRepository::start();
    files.iter().for_each(|(name, bytes)| copy.put(&format!("copy/{name}"), bytes.as_slice()));
    for (who, reader) in readers(&tools) {
        assert_eq!(read(reader, &copy.url("copy")).0.code, 0, "{who}");
    }
    for (what, name, bytes) in changed(&world, &files) {
        copy.put(&format!("copy/{name}"), bytes);
        for (who, reader) in readers(&tools) {
            let (said, dir) = read(reader, &copy.url("copy"));
            assert_eq!(said.code, 1, "{who}: {what}: {said}");
            assert!(!dir.join("targets").join(MANIFEST).exists(), "{who}: {what}");
        }
        copy.put(&format!("copy/{name}"), files[&name].as_slice());
    }
}

/// What is changed, in which file, and the file then.
fn changed(world: &World, files: &BTreeMap<String, Vec<u8>>) -> Vec<(&'static str, String, Vec<u8>)> {
    let named = |end: &str| files.keys().find(|name| name.ends_with(end)).unwrap().clone();
    let stranger = SigningKey::from_seed(&[9; 32]);
    let snapshot = named(".snapshot.json");
    let other_key = {
        let file = Signed::<Snapshot>::parse(&Role::Snapshot, &files[&snapshot]).unwrap();
        Signed::by(file.signed, &[&stranger]).to_bytes()
    };
    let content = named(".content.main.json");
    let other_role = {
        let role = Role::Content("main".parse().unwrap());
        let file = Signed::<Targets>::parse(&role, &files[&content]).unwrap();
        Signed::by(file.signed, &[&world.server_key("online")]).to_bytes()
    };
    let mut signature = files["timestamp.json"].clone();
    let at = signature.windows(7).position(|window| window == b"\"sig\":\"").unwrap() + 7;
    signature[at] = if signature[at] == b'0' { b'1' } else { b'0' };
    let mut manifest = files[&named(MANIFEST)].clone();
    *manifest.last_mut().unwrap() ^= 1;
    vec![
        ("a byte of a signature", "timestamp.json".into(), signature),
        ("a file of another type", "timestamp.json".into(), files[&snapshot].clone()),
        ("a snapshot of another key", snapshot, other_key),
        ("manifests signed by the key of the server", content, other_role),
        ("a byte of the manifest", named(MANIFEST), manifest),
    ]
}

/// A change that one host has applied.
fn applied(world: &mut World) -> String {
    world.join("a1", "production");
    world.publish("base", "1.0.0", BODY).ok();
    let id = world.request_and_approve(&NewChange { manifests: &["base@1.0.0"], ..NewChange::default() });
    world.tick_until_receipt("a1", &id);
    id
}

#[test]
fn envelopes_are_verified_by_securesystemslib_and_openssl_and_changed_ones_by_neither() {
    const TEST: &str = "envelopes_are_verified_by_securesystemslib_and_openssl_and_changed_ones_by_neither";
    let Some(tools) = tools(TEST) else { return };
    let Some(mut world) = world(TEST) else { return };
    let id = applied(&mut world);
    let file = world.change_file(&id);
    let receipt = world.hosts["a1"].receipt(&id).unwrap();
    for (what, envelope, key) in [
        ("the change", &file.change, world.own_key("approver").public()),
        ("an approval", &file.approvals[0], world.own_key("approver").public()),
        ("a receipt", &receipt.envelope, world.hosts["a1"].key().public()),
    ] {
        let good: Value = serde_json::from_slice(&envelope.to_bytes()).unwrap();
        let verify = |document: &Value, key: &PublicKey| {
            (library(&world, &tools, document, key), openssl(&world, document, key))
        };
        assert_eq!(verify(&good, &key), (0, 0), "{what}");
        let bent = |path: &str, with: &dyn Fn(&str) -> String| {
            let mut bent = good.clone();
            let field = bent.pointer_mut(path).unwrap();
            *field = json!(with(field.as_str().unwrap()));
            bent
        };
        let flipped = |text: &str| {
            let first = if text.starts_with('A') { "B" } else { "A" };
            format!("{first}{}", &text[1..])
        };
        let other = SigningKey::from_seed(&[9; 32]).public();
        assert_eq!(verify(&good, &other), (1, 1), "{what}: another key");
        for (how, document) in [
            ("a byte of the document", bent("/payload", &flipped)),
            ("a byte of the signature", bent("/signatures/0/sig", &flipped)),
            ("another type", bent("/payloadType", &|_| "application/json".into())),
        ] {
            assert_eq!(verify(&document, &key), (1, 1), "{what}: {how}");
        }
    }
}

fn library(world: &World, tools: &Path, document: &Value, key: &PublicKey) -> i32 {
    let file = world.file("envelope.json", &document.to_string());
    Said::of(python(tools, "dsse.py").arg(file).arg(hex(key.as_bytes()))).code
}

/// The bytes that DSSE says are signed, and the raw signature, as anybody with a shell would put them together.
fn openssl(world: &World, document: &Value, key: &PublicKey) -> i32 {
    let text = |path: &str| document.pointer(path).unwrap().as_str().unwrap().to_owned();
    world.file("pem", &key.to_pem());
    world.file("payload.base64", &text("/payload"));
    world.file("signature.base64", &text("/signatures/0/sig"));
    let line = "base64 -d payload.base64 >payload && base64 -d signature.base64 >signature || exit 3
        { printf 'DSSEv1 %d %s %d ' ${#0} \"$0\" \"$(stat -c %s payload)\"; cat payload; } >message
        openssl pkeyutl -verify -pubin -inkey pem -rawin -in message -sigfile signature";
    let kind = text("/payloadType");
    Said::of(Command::new("bash").args(["-c", line, &kind]).current_dir(world.path(""))).code
}

#[test]
fn ssh_keygen_verifies_our_seal_and_no_other_key_name_namespace_or_content() {
    const TEST: &str = "ssh_keygen_verifies_our_seal_and_no_other_key_name_namespace_or_content";
    let Some(mut world) = world(TEST) else { return };
    let (_, top) = crate::evidence::exported(&mut world);
    let read = |name: &str| fs::read(top.join(name)).unwrap();
    let (sums, seal, allowed) = (read("SHA256SUMS"), read("SHA256SUMS.sshsig"), read("keys/allowed_signers"));
    let verify = |sums: &[u8], seal: &[u8], allowed: &[u8], name: &str, namespace: &str| {
        for (file, bytes) in [("s", sums), ("s.sig", seal), ("allowed", allowed)] {
            fs::write(world.path(file), bytes).unwrap();
        }
        let line = format!("ssh-keygen -Y verify -f allowed -I {name} -n {namespace} -s s.sig <s");
        Said::of(Command::new("bash").args(["-c", &line]).current_dir(world.path(""))).code == 0
    };
    let own = "assent-evidence";
    assert!(verify(&sums, &seal, &allowed, own, own));
    let mut other_sums = sums.clone();
    other_sums[0] ^= 1;
    assert!(!verify(&other_sums, &seal, &allowed, own, own), "a byte of what is sealed");
    let mut other_seal = String::from_utf8(seal.clone()).unwrap();
    let at = other_seal.rfind("\n-----END").unwrap() - 6;
    let bent = if other_seal[at..].starts_with('A') { "B" } else { "A" };
    other_seal.replace_range(at..=at, bent);
    assert!(!verify(&sums, other_seal.as_bytes(), &allowed, own, own), "a byte of the seal");
    for namespace in ["git", "file", "assent-approval"] {
        assert!(!verify(&sums, &seal, &allowed, own, namespace), "namespace {namespace}");
    }
    assert!(!verify(&sums, &seal, &allowed, "somebody", own), "another name");
    let other = world.path("other");
    Said::of(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&other)).ok();
    let line = format!("{own} namespaces=\"{own}\" {}", fs::read_to_string(world.path("other.pub")).unwrap());
    assert!(!verify(&sums, &seal, line.as_bytes(), own, own), "another key");
}

/// What an approval with an OpenSSH key is to somebody who has `ssh-keygen` and the published key alone.
#[test]
fn ssh_keygen_verifies_approvals_with_openssh_keys_and_no_bent_ones() {
    const TEST: &str = "ssh_keygen_verifies_approvals_with_openssh_keys_and_no_bent_ones";
    let Some(mut world) = world(TEST) else { return };
    world.join("a1", "production");
    world.publish("base", "1.0.0", "resources:\n  - file: {path: /etc/motd, content: x}\n").ok();
    for name in ["own", "other"] {
        let file = world.path(name);
        Said::of(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file)).ok();
    }
    let public = world.path("own.pub").display().to_string();
    world.assent(&["policy", "add-key", "lead", "--role", "approver", "--yes", "--ssh", &public]).ok();
    let id = world.request(&NewChange { manifests: &["base@1.0.0"], ..NewChange::default() });
    let ssh = format!("--ssh={}", world.path("own").display());
    world.assent(&["approve", &id, "--yes", "--expires", "24h", &ssh]).ok();
    let [approval] = world.bundle(&id).approvals.try_into().unwrap();
    let document: Value = serde_json::from_slice(&approval.to_bytes()).unwrap();
    let kind = document["payloadType"].as_str().unwrap();
    let [entry] = approval.envelope.signatures.as_slice() else { panic!("{document}") };
    let (payload, sig) = (approval.envelope.payload.clone(), entry.sig.clone());
    let verify = |kind: &str, payload: &[u8], sig: &str, key: &str, namespace: &str| {
        let message = shared::envelope::pae(kind, payload);
        let lines = sig.as_bytes().chunks(70).map(|line| format!("{}\n", String::from_utf8_lossy(line)));
        let armored = format!(
            "-----BEGIN SSH SIGNATURE-----\n{}-----END SSH SIGNATURE-----\n",
            lines.collect::<String>()
        );
        let key = fs::read_to_string(world.path(key)).unwrap();
        for (file, bytes) in
            [("m", message), ("m.sig", armored.into_bytes()), ("allowed", format!("lead {key}").into())]
        {
            fs::write(world.path(file), bytes).unwrap();
        }
        let line = format!("ssh-keygen -Y verify -f allowed -I lead -n {namespace} -s m.sig <m");
        Said::of(Command::new("bash").args(["-c", &line]).current_dir(world.path(""))).code == 0
    };
    let own = shared::signature::namespace("urn:assent:approval:v1");
    assert!(verify(kind, &payload, &sig, "own.pub", &own));
    let text = String::from_utf8(payload.clone()).unwrap();
    for (from, to) in [("\"approve\"", "\"reject\""), (id.as_str(), "C-9"), ("lead", "boss")] {
        let bent = text.replacen(from, to, 1);
        assert_ne!(bent, text, "{from}");
        assert!(!verify(kind, bent.as_bytes(), &sig, "own.pub", &own), "{to} instead of {from}");
    }
    assert!(!verify("text/plain", &payload, &sig, "own.pub", &own), "another kind of document");
    assert!(!verify(kind, &payload, &sig, "other.pub", &own), "another key");
    for namespace in ["git", "file", &shared::signature::namespace("urn:assent:change:v1")] {
        assert!(!verify(kind, &payload, &sig, "own.pub", namespace), "namespace {namespace}");
    }
    let at = sig.len() - 10;
    let bent = if &sig[at..=at] == "A" { "B" } else { "A" };
    let bent = format!("{}{bent}{}", &sig[..at], &sig[at + 1..]);
    assert!(!verify(kind, &payload, &bent, "own.pub", &own), "a bent signature");
}

#[test]
fn another_program_follows_the_ledger_and_refuses_it_with_anything_changed() {
    const TEST: &str = "another_program_follows_the_ledger_and_refuses_it_with_anything_changed";
    let Some(tools) = tools(TEST) else { return };
    let Some(mut world) = world(TEST) else { return };
    world.publish("old", "1.0.0", BODY).ok();
    let old = world.get("/v1/log/checkpoint").text();
    let made = world.assent(&["key", "witness", "watch.test", "--out", "witness.key"]).ok();
    let vkey = format!("watch.test{}", made.after("watch.test"));
    world.assent(&["policy", "ledger", "--add-witness", &vkey, "--yes"]).ok();
    world.assent(&["log", "witness", "--key", "witness.key"]).ok();
    let id = applied(&mut world);
    world.tick_all();
    let receipt = world.hosts["a1"].receipt(&id).unwrap();
    let log = Log::read(&world, &old, receipt.digest.hex().as_str());
    let check = |files: &BTreeMap<String, Vec<u8>>| {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        Said::of(python(&tools, "tlog.py").arg(dir.path()))
    };
    check(&log.files).ok();
    for (what, files, words) in log.changed(&world) {
        let said = check(&files);
        assert!(said.code == 1 && said.err.contains(words), "{what}: {said}");
    }
}

/// What is changed, the files then, and what the refusal is about.
type ChangedLog = (&'static str, BTreeMap<String, Vec<u8>>, &'static str);

/// A ledger as files: key, two checkpoints, tiles, and the proofs of one statement.
struct Log {
    files: BTreeMap<String, Vec<u8>>,
}

impl Log {
    fn read(world: &World, old: &str, statement: &str) -> Self {
        let vkey = world.policy().log.vkeys[0].clone();
        let since = Checkpoint::open(old, &vkey.parse().unwrap()).unwrap().size;
        let proof = world.get(&format!("/v1/log/proof?digest={statement}&since={since}"));
        let new = proof.json()["checkpoint"].as_str().unwrap().to_owned();
        let size = Checkpoint::open(&new, &vkey.parse().unwrap()).unwrap().size;
        assert!(0 < since && since < size && size < 256, "one tile of each kind: {since} of {size}");
        let mut files = BTreeMap::from([
            ("vkey".to_owned(), vkey.into_bytes()),
            ("old".into(), old.into()),
            ("new".into(), new.into()),
            ("proof.json".into(), proof.body),
        ]);
        let list: WitnessList = serde_json::from_slice(&world.get("/v1/log/witnesses").body).unwrap();
        let WitnessSeen { witness, seen, .. } = &list.witnesses[0];
        files.insert("witness".into(), witness.clone().into());
        files.insert("cosigned".into(), seen.as_ref().unwrap().checkpoint.clone().into());
        for tile in ["0", "entries"].map(|kind| format!("tile/{kind}/000.p/{size}")) {
            files.insert(tile.clone(), world.get(&format!("/v1/log/{tile}")).body);
        }
        Self { files }
    }

    fn changed(&self, world: &World) -> Vec<ChangedLog> {
        let with = |name: &str, bytes: Vec<u8>| {
            let mut files = self.files.clone();
            files.insert(name.into(), bytes);
            files
        };
        let flipped = |name: &str, at: usize| {
            let mut bytes = self.files[name].clone();
            bytes[at] ^= 1;
            with(name, bytes)
        };
        let tile =
            |kind: &str| self.files.keys().find(|name| name.starts_with(&format!("tile/{kind}/"))).unwrap();
        let proof = |path: &str, value: &dyn Fn(&Value) -> Value| {
            let mut proof: Value = serde_json::from_slice(&self.files["proof.json"]).unwrap();
            let field = proof.pointer_mut(path).unwrap();
            *field = value(field);
            with("proof.json", proof.to_string().into_bytes())
        };
        let bent = |value: &Value| {
            let text = value.as_str().unwrap();
            json!(format!("{}{}", if text.starts_with('0') { "1" } else { "0" }, &text[1..]))
        };
        let vkey = String::from_utf8(self.files["vkey"].clone()).unwrap();
        let known = vkey.parse().unwrap();
        let signed = |name: &str, with_size: u64, key: &SigningKey| {
            let text = std::str::from_utf8(&self.files[name]).unwrap();
            let checkpoint = Checkpoint::open(text, &known).unwrap();
            let size = checkpoint.size + with_size;
            let root = shared::digest::Digest::of(b"another history");
            with(name, Checkpoint { size, root, ..checkpoint }.sign(key).unwrap().to_string().into_bytes())
        };
        let cosigned = |bend: &dyn Fn(&mut Vec<u8>)| {
            let text = String::from_utf8(self.files["cosigned"].clone()).unwrap();
            let (head, line) = text.trim_end().rsplit_once(' ').unwrap();
            let mut raw = BASE64.decode(line).unwrap();
            bend(&mut raw);
            with("cosigned", format!("{head} {}\n", BASE64.encode(raw)).into_bytes())
        };
        let (log, stranger) = (world.server_key("log"), SigningKey::from_seed(&[9; 32]));
        vec![
            ("a leaf hash", flipped(tile("0"), 3), "tiles: the root"),
            ("an entry", flipped(tile("entries"), 40), "tiles: entry 0"),
            (
                "the leaf of the proof",
                proof("/inclusion/leaf", &|leaf| json!(format!("{} ", leaf.as_str().unwrap()))),
                "tiles: the entry",
            ),
            ("a hash of the proof", proof("/inclusion/hashes/0", &bent), "InclusionProofInvalid"),
            ("a hash of the growth", proof("/consistency/hashes/0", &bent), "ConsistencyProofInvalid"),
            (
                "the older size",
                proof("/consistency/old_size", &|size| json!(size.as_u64().unwrap() + 1)),
                "other checkpoints",
            ),
            ("an older checkpoint of another history", signed("old", 0, &log), "ConsistencyProofInvalid"),
            ("a newer checkpoint of another history", signed("new", 0, &log), "tiles: the root"),
            ("a witness's key", flipped("witness", 4), "witness:"),
            (
                "the time of a witness's look",
                cosigned(&|raw| raw[11] ^= 1),
                "witness: the signature is wrong",
            ),
            ("a witness's signature", cosigned(&|raw| raw[20] ^= 1), "witness: the signature is wrong"),
            ("no witness", with("cosigned", self.files["new"].clone()), "witness: it has not signed"),
            ("a checkpoint of another key", signed("new", 0, &stranger), "new:"),
        ]
    }
}
