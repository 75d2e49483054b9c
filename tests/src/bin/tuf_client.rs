//! The agent's TUF client behind the command line of the public conformance suite for TUF clients.
//!
//! All that decides is the agent's: the state machine of `shared::tuf`, the loop that drives it (`agent::pull`), the
//! connection with its limits (`agent::net`) and the durable files (`agent::disk`). Only the rules differ: any
//! repository's instead of a site's, signatures of more kinds, and requests without TLS, to this machine only.

#![expect(clippy::print_stderr, reason = "a command line tool")]

use agent::clock::Clock;
use agent::disk::{Disk, RealDisk};
use agent::net::{Call, Carrier as _, Limits, Link, NetError};
use agent::pull::follow;
use agent::state::StateError;
use rustls::SignatureScheme;
use shared::limits;
use shared::time::Timestamp;
use shared::tuf::client::start_by;
use shared::tuf::plain::{Plain, Search, Target, also_verify};
use shared::tuf::{Role, Step, Stored};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

type Outcome<T> = Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: tuf-client --metadata-dir DIR init ROOT_FILE
       tuf-client --metadata-dir DIR --metadata-url URL refresh
       tuf-client --metadata-dir DIR --metadata-url URL --target-name NAME [--target-name NAME ...]
                  --target-dir DIR --target-base-url URL download";

/// Bounds of the agent's settings when nothing else is set, but nobody waits a minute for this machine.
const LIMITS: Limits =
    Limits { connect: Duration::from_secs(10), request: Duration::from_secs(20), min_rate: 1_024 };

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Arguments {
    metadata_dir: Option<PathBuf>,
    metadata_url: Option<String>,
    target_names: Vec<String>,
    target_dir: Option<PathBuf>,
    target_base_url: Option<String>,
    words: Vec<String>,
}

impl Arguments {
    fn read() -> Outcome<Self> {
        let (mut read, mut words) = (Self::default(), std::env::args().skip(1));
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value\n{USAGE}"));
            match word.as_str() {
                "--metadata-dir" => read.metadata_dir = Some(value()?.into()),
                "--metadata-url" => read.metadata_url = Some(value()?),
                "--target-name" => read.target_names.push(value()?),
                "--target-dir" => read.target_dir = Some(value()?.into()),
                "--target-base-url" => read.target_base_url = Some(value()?),
                option if option.starts_with('-') => return Err(format!("{option}?\n{USAGE}").into()),
                _ => read.words.push(word),
            }
        }
        Ok(read)
    }
}

fn run() -> Outcome<()> {
    let arguments = Arguments::read()?;
    let dir = arguments.metadata_dir.as_deref().ok_or(USAGE)?;
    also_verify(verify);
    match arguments.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["init", file] => init(dir, Path::new(file)),
        ["refresh"] => {
            let mut metadata = Source::new(arguments.metadata_url.as_deref().ok_or(USAGE)?)?;
            let step = start_by(Plain::default(), stored(dir)?, now()?)?;
            metadata.follow(step, dir).map(drop)
        }
        ["download"] => download(&arguments, dir),
        _ => Err(USAGE.into()),
    }
}

/// Trusts a root that signs itself; makes no request.
fn init(dir: &Path, file: &Path) -> Outcome<()> {
    let root = RealDisk.read(file, limits::TUF_ROOT_BYTES as u64)?.ok_or("there is no such root file")?;
    drop(start_by(Plain::default(), Stored { root: root.clone(), ..Stored::default() }, now()?)?);
    Ok(RealDisk.write(&dir.join(Role::Root.stored_file()), &root)?)
}

fn download(arguments: &Arguments, dir: &Path) -> Outcome<()> {
    let mut metadata = Source::new(arguments.metadata_url.as_deref().ok_or(USAGE)?)?;
    let mut targets = Source::new(arguments.target_base_url.as_deref().ok_or(USAGE)?)?;
    let into = arguments.target_dir.as_deref().ok_or(USAGE)?;
    let (first, others) = arguments.target_names.split_first().ok_or(USAGE)?;
    let step = start_by(Plain::looking_for(first), stored(dir)?, now()?)?;
    let mut search = metadata.follow(step, dir)?;
    targets.download(first, &search, into)?;
    for name in others {
        search = metadata.follow(search.again(name)?, dir)?;
        targets.download(name, &search, into)?;
    }
    Ok(())
}

/// One base address on this machine.
struct Source {
    link: Link,
    base: String,
}

impl Source {
    fn new(url: &str) -> Outcome<Self> {
        let not_local = || format!("{url} is no address like http://127.0.0.1:PORT/PATH");
        let rest = url.strip_prefix("http://127.0.0.1:").ok_or_else(not_local)?;
        let (port, base) = rest.split_once('/').unwrap_or((rest, ""));
        let link = Link::loopback(port.parse().map_err(|_| not_local())?, LIMITS)?;
        Ok(Self { link, base: format!("/{base}").trim_end_matches('/').to_owned() })
    }

    fn get(&mut self, name: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, NetError> {
        let path = format!("{}/{name}", self.base);
        let reply = self.link.call(&Call::get(&path, max_bytes))?;
        match reply.status.as_u16() {
            200 => Ok(Some(reply.body)),
            404 => Ok(None),
            status => Err(NetError::Protocol { what: path, why: format!("status {status}") }),
        }
    }

    fn follow(&mut self, step: Step<Plain>, dir: &Path) -> Outcome<Search> {
        let store = |role: &Role, bytes: &[u8]| {
            let path = dir.join(role.stored_file());
            RealDisk.write(&path, bytes).map_err(|source| StateError::Io { action: "write", path, source })
        };
        Ok(follow(step, |name, max_bytes| self.get(name, max_bytes), store)?)
    }

    /// Fetches the target that was found, unless it is there already.
    fn download(&mut self, name: &str, search: &Search, into: &Path) -> Outcome<()> {
        let target: Target = search.found().ok_or_else(|| format!("no role lists the target {name}"))?;
        let path = into.join(target.kept_as());
        if RealDisk
            .read(&path, target.length)
            .is_ok_and(|there| there.is_some_and(|b| target.check(&b).is_ok()))
        {
            return Ok(());
        }
        let served = target.served_as()?;
        let bytes = self.get(&served, target.length)?.ok_or_else(|| format!("there is no {served}"))?;
        target.check(&bytes)?;
        Ok(RealDisk.write(&path, &bytes)?)
    }
}

/// The trusted files of earlier runs.
fn stored(dir: &Path) -> Outcome<Stored> {
    let mut stored = Stored::default();
    for name in RealDisk.list(dir)? {
        let Some(stem) = name.strip_suffix(".json") else { continue };
        let bytes = RealDisk.read(&dir.join(&name), limits::TUF_DELEGATED_BYTES as u64)?.unwrap_or_default();
        let role = match stem {
            "root" => {
                stored.root = bytes;
                continue;
            }
            "timestamp" => Role::Timestamp,
            "snapshot" => Role::Snapshot,
            "targets" => Role::Targets,
            other => {
                Role::Other(unquoted(other).ok_or_else(|| format!("{name} is not a file of this program"))?)
            }
        };
        stored.others.insert(role, bytes);
    }
    Ok(stored)
}

/// A role's name from the name of its file.
fn unquoted(stem: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), stem.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

fn now() -> Outcome<Timestamp> {
    Ok(Clock::from_env()?.now())
}

/// Signatures that a site never has, by the library that also does TLS.
fn verify(scheme: &str, public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let scheme = match scheme {
        "ECDSA_P256_SHA256" => SignatureScheme::ECDSA_NISTP256_SHA256,
        "ECDSA_P384_SHA384" => SignatureScheme::ECDSA_NISTP384_SHA384,
        "RSA_PSS_SHA256" => SignatureScheme::RSA_PSS_SHA256,
        _ => return false,
    };
    let known = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let found = known.mapping.iter().filter(|(other, _)| *other == scheme).flat_map(|(_, all)| all.iter());
    let mut found = found.copied();
    found.any(|algorithm| algorithm.verify_signature(public, message, signature).is_ok())
}
