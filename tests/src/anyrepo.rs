//! A repository by the TUF specification alone, as no site has it, served over plain HTTP. It tells what it was asked.
//! With it the client of the command line that the public conformance suite uses.

use crate::programs::{Said, own};
use serde_json::{Value, json};
use shared::digest::{Digest, hex};
use shared::keys::SigningKey;
use shared::tuf::canonical;
use shared::tuf::metadata::Key;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Served {
    files: BTreeMap<String, Vec<u8>>,
    asked: Vec<String>,
}

/// Files by path; everything else is not found.
pub struct AnyRepository {
    address: SocketAddr,
    served: Arc<Mutex<Served>>,
}

impl AnyRepository {
    /// Serves until the test ends.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let served = Arc::<Mutex<Served>>::default();
        let shared = served.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                // A client that goes away in the middle of an answer is none of the server's business.
                std::thread::spawn(move || drop(answer(&stream, &shared)));
            }
        });
        Self { address, served }
    }

    pub fn url(&self, folder: &str) -> String {
        format!("http://{}/{folder}/", self.address)
    }

    pub fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.served.lock().unwrap().files.insert(path.into(), bytes.into());
    }

    pub fn get(&self, path: &str) -> Vec<u8> {
        self.served.lock().unwrap().files[path].clone()
    }

    /// What was asked for since the last time, without the folder.
    pub fn asked(&self) -> Vec<String> {
        let asked = std::mem::take(&mut self.served.lock().unwrap().asked);
        asked.iter().map(|path| path.rsplit('/').next().unwrap_or_default().to_owned()).collect()
    }
}

fn answer(mut stream: &TcpStream, served: &Mutex<Served>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            lines.push(line);
        }
        let mut words = lines[0].split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let path = path.trim_start_matches('/').to_owned();
        let file = {
            let mut served = served.lock().unwrap();
            let asked = if method == "GET" { path.clone() } else { format!("{method} {path}") };
            served.asked.push(asked);
            served.files.get(&path).cloned()
        };
        let (status, body) = file.map_or((404, Vec::new()), |body| (200, body));
        write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", body.len())?;
        stream.write_all(&body)?;
    }
}

/// The metadata file of `content`, in a form that is not the canonical one.
pub fn signed(content: &Value, keys: &[&SigningKey]) -> Vec<u8> {
    let message = canonical::encode(content).unwrap();
    let signature = |key: &&SigningKey| json!({"keyid": id(key), "sig": hex(&key.sign(&message))});
    let signatures: Vec<Value> = keys.iter().map(signature).collect();
    serde_json::to_vec_pretty(
        &json!({"signatures": signatures, "signed": content, "x-note": "kept as it is"}),
    )
    .unwrap()
}

fn id(key: &SigningKey) -> String {
    Key::new(key.public()).id().hex()
}

/// Keys by their id, as root and delegations list them.
fn keys(all: &[&SigningKey]) -> Value {
    let key = |key: &&SigningKey| {
        let public = hex(key.public().as_bytes());
        (id(key), json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}}))
    };
    all.iter().map(key).collect::<serde_json::Map<_, _>>().into()
}

/// Any metadata: its type, its version, a year until it expires, and the rest.
fn metadata(kind: &str, version: u64, expires: &str, rest: Value) -> Value {
    let mut all = json!({"_type": kind, "version": version, "expires": expires, "spec_version": "1.0.31"});
    let (all_fields, rest) = (all.as_object_mut().unwrap(), rest);
    all_fields.extend(rest.as_object().unwrap().clone());
    all
}

pub const LATER: &str = "2099-01-01T00:00:00Z";
pub const BEFORE: &str = "2020-01-01T00:00:00Z";

pub fn root(version: u64, governance: &SigningKey, online: &SigningKey) -> Value {
    let role = |key: &SigningKey| json!({"keyids": [id(key)], "threshold": 1});
    let roles = json!({
        "root": role(governance), "targets": role(governance), "snapshot": role(online), "timestamp": role(online)
    });
    let rest = json!({"consistent_snapshot": true, "keys": keys(&[governance, online]), "roles": roles});
    metadata("root", version, LATER, rest)
}

/// `pin` is the version of the snapshot.
pub fn timestamp(version: u64, expires: &str, pin: u64) -> Value {
    metadata("timestamp", version, expires, json!({"meta": {"snapshot.json": {"version": pin}}}))
}

pub fn snapshot(version: u64, expires: &str, pins: &[(&str, u64)]) -> Value {
    let pin = |(role, version): &(&str, u64)| (format!("{role}.json"), json!({"version": version}));
    metadata(
        "snapshot",
        version,
        expires,
        json!({"meta": pins.iter().map(pin).collect::<serde_json::Map<_, _>>()}),
    )
}

/// Files by name, and delegations as (role, key, path pattern, terminating), in their order.
pub fn targets(
    version: u64,
    files: &[(&str, &[u8])],
    delegations: &[(&str, &SigningKey, &str, bool)],
) -> Value {
    let file = |(name, bytes): &(&str, &[u8])| {
        let hashes = json!({"sha256": Digest::of(bytes).hex()});
        ((*name).to_owned(), json!({"length": bytes.len(), "hashes": hashes}))
    };
    let files: serde_json::Map<_, _> = files.iter().map(file).collect();
    let mut rest = json!({"targets": files});
    if !delegations.is_empty() {
        let role = |(name, key, path, terminating): &(&str, &SigningKey, &str, bool)| json!({"name": name, "keyids": [id(key)], "threshold": 1, "paths": [path], "terminating": terminating});
        let all: Vec<_> = delegations.iter().map(|(_, key, ..)| *key).collect();
        let roles: Vec<_> = delegations.iter().map(role).collect();
        rest["delegations"] = json!({"keys": keys(&all), "roles": roles});
    }
    metadata("targets", version, LATER, rest)
}

/// A repository with its keys, and a client that trusts its first root.
pub struct Pair {
    pub repository: AnyRepository,
    pub governance: SigningKey,
    pub online: SigningKey,
    pub dir: tempfile::TempDir,
}

impl Pair {
    /// Governance has published version 1 of everything.
    pub fn start() -> Self {
        let [governance, online] = [1, 2].map(|seed| SigningKey::from_seed(&[seed; 32]));
        let pair = Self {
            repository: AnyRepository::start(),
            governance,
            online,
            dir: tempfile::tempdir().unwrap(),
        };
        pair.put("1.root", &root(1, &pair.governance, &pair.online), &pair.governance);
        pair.publish(1, &targets(1, &[], &[]), &[]);
        pair
    }

    /// A metadata file by its name without `.json`, signed.
    pub fn put(&self, name: &str, content: &Value, key: &SigningKey) {
        self.repository.put(&format!("metadata/{name}.json"), signed(content, &[key]));
    }

    /// Snapshot and timestamp of this version over top-level targets and the first version of other roles.
    pub fn publish(&self, version: u64, top: &Value, roles: &[&str]) {
        self.put(&format!("{version}.targets"), top, &self.governance);
        let mut pins = vec![("targets", version)];
        pins.extend(roles.iter().map(|role| (*role, 1)));
        self.put(&format!("{version}.snapshot"), &snapshot(version, LATER, &pins), &self.online);
        self.put("timestamp", &timestamp(version, LATER, version), &self.online);
    }

    fn client(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(own("tuf-client"));
        command.arg("--metadata-dir").arg(self.dir.path().join("metadata"));
        Said::of(command.args(arguments))
    }

    pub fn init(&self) -> Said {
        let file = self.dir.path().join("trusted");
        std::fs::write(&file, self.repository.get("metadata/1.root.json")).unwrap();
        self.client(&["init", file.to_str().unwrap()])
    }

    pub fn refresh(&self) -> Said {
        self.client(&["--metadata-url", &self.repository.url("metadata"), "refresh"])
    }

    pub fn download(&self, names: &[&str]) -> Said {
        let (metadata, base) = (self.repository.url("metadata"), self.repository.url("targets"));
        let into = self.dir.path().join("targets");
        let mut arguments = vec![
            "--metadata-url",
            &metadata,
            "--target-base-url",
            &base,
            "--target-dir",
            into.to_str().unwrap(),
        ];
        names.iter().for_each(|name| arguments.extend(["--target-name", name]));
        arguments.push("download");
        self.client(&arguments)
    }

    /// What the client keeps, by file name.
    pub fn trusted(&self) -> BTreeMap<String, Vec<u8>> {
        files(&self.dir.path().join("metadata"))
    }

    /// Versions of root, timestamp, snapshot, targets; 0 for none.
    pub fn versions(&self) -> [u64; 4] {
        let trusted = self.trusted();
        ["root", "timestamp", "snapshot", "targets"].map(|role| {
            let version = |bytes: &Vec<u8>| {
                serde_json::from_slice::<Value>(bytes).unwrap()["signed"]["version"].as_u64()
            };
            trusted.get(&format!("{role}.json")).and_then(version).unwrap_or(0)
        })
    }
}

/// Contents by name of every file in the folder; none where there is no folder.
pub fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(dir) else { return BTreeMap::new() };
    let read = |entry: std::fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
    };
    entries.map(|entry| read(entry.unwrap())).collect()
}
