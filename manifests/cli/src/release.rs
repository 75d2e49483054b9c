//! `assent release …`: what vendors say of a program of the agent, and how a site judges it.
//!
//! Version and target are read from the program's own mark, never typed. Never: a signature on a statement whose program
//! was not looked at.

pub mod args;

use crate::args::{Global, ReleaseCommand};
use crate::author::list::print_json;
use crate::error::{Context as _, Done, Failure};
use crate::profile::{self, Secrets};
use crate::session::Session;
use crate::{files, term};
use shared::digest::Digest;
use shared::keys::SigningKey;
use shared::limits;
use shared::release::{self, PRODUCT, Release, SignedRelease};
use shared::statement::Statement;
use std::path::{Path, PathBuf};

pub fn run(global: &Global, command: &ReleaseCommand) -> Done {
    match command {
        ReleaseCommand::Sign { program, min_from, key, out } => {
            sign(program, min_from, &open(global, key)?, out.as_deref())
        }
        ReleaseCommand::Cosign { file, program, key } => cosign(file, program, || open(global, key)),
        ReleaseCommand::Show { file, json: true } => print_json(read(file)?.body()),
        ReleaseCommand::Show { file, json: false } => term::print(&shown(&read(file)?)),
        ReleaseCommand::Verify { file, program, json } => {
            verify(&Session::open(global)?, file, (program.as_deref(), *json))
        }
        ReleaseCommand::Manifest { file } => term::print_exactly(&manifest(&read(file)?)),
    }
}

fn open(global: &Global, key: &Path) -> Done<SigningKey> {
    profile::open_key(key, "vendor", &Secrets::new(global.passphrase_file.clone()))
}

fn read(file: &Path) -> Done<SignedRelease> {
    let text = files::read_text(file, limits::RELEASE_BYTES)?;
    text.parse().or_usage(format!("{} is not a release statement", file.display()))
}

/// The program's bytes with what its mark says.
fn marked(program: &Path) -> Done<(Vec<u8>, semver::Version, release::Target)> {
    let bytes = files::read(program, usize::try_from(limits::ARTIFACT_BYTES).unwrap_or(usize::MAX))?;
    let (version, target) = release::marked(&bytes).ok_or_else(|| {
        Failure::refused(format!("{} is no program of the agent: it has no mark", program.display()))
            .remedy("give the file assent-agent as it was built")
    })?;
    Ok((bytes, version, target))
}

fn sign(program: &Path, min_from: &semver::Version, key: &SigningKey, out: Option<&Path>) -> Done {
    let (bytes, version, target) = marked(program)?;
    let body = Release {
        product: PRODUCT.into(),
        version,
        target,
        min_from: min_from.clone(),
        sha256: Digest::of(&bytes),
        length: bytes.len() as u64,
    };
    let name = format!("{PRODUCT}-{}-{}.release.json", body.version, body.target);
    let signed = SignedRelease::new(Statement::sign(body, key)).or_usage("this cannot be released")?;
    let out = out.map_or_else(|| PathBuf::from(name), Path::to_owned);
    files::write_new(&out, format!("{signed}\n").as_bytes())?;
    term::print(&format!("{}{} holds the statement, signed once\n", shown(&signed), out.display()))?;
    term::print("next: the other holders of vendor keys look at the program and run assent release cosign\n")
}

fn cosign(file: &Path, program: &Path, key: impl FnOnce() -> Done<SigningKey>) -> Done {
    let signed = read(file)?;
    fits(&signed, program)?;
    let key = key()?;
    let mut statement = signed.statement().clone();
    if statement.is_signed_by(&key.public()) {
        return Err(Failure::refused(format!("{} is signed by this key already", file.display()))
            .remedy("another holder signs with another key"));
    }
    statement.envelope.add_signature(&key);
    let signed = SignedRelease::new(statement).or_refuse("there are too many signatures")?;
    files::replace(file, format!("{signed}\n").as_bytes())?;
    term::print(&shown(&signed))
}

/// The statement says of the program what its bytes and its mark say.
fn fits(signed: &SignedRelease, program: &Path) -> Done {
    let (bytes, version, target) = marked(program)?;
    let body = signed.body();
    let same = (&version, &target) == (&body.version, &body.target)
        && (Digest::of(&bytes), bytes.len() as u64) == (body.sha256, body.length);
    if same {
        return Ok(());
    }
    Err(Failure::refused(format!("{} is not the program of the statement", program.display())).why(format!(
        "the statement is about {body} with sha256 {}; the file is {version} for {target} with sha256 {}",
        body.sha256,
        Digest::of(&bytes)
    )))
}

fn shown(signed: &SignedRelease) -> String {
    let body = signed.body();
    format!(
        "{body}\n  may follow  {} or newer\n  program     sha256 {}, {} bytes\n  signatures  {}, to be judged by a policy\n",
        body.min_from,
        body.sha256,
        body.length,
        signed.statement().envelope.signatures.len()
    )
}

/// Judged by the site's policy, as hosts judge it.
fn verify(session: &Session, file: &Path, (program, json): (Option<&Path>, bool)) -> Done {
    let signed = read(file)?;
    if let Some(program) = program {
        fits(&signed, program)?;
    }
    let site = session.site()?;
    let vendor = site.policy.vendor.as_ref();
    let signers =
        release::signers(&signed, vendor).or_refuse("hosts of this site would refuse this release")?;
    let (of, needed) = vendor.map_or((0, 0), |vendor| (vendor.keys.len(), vendor.threshold));
    if json {
        return print_json(&serde_json::json!({
            "release": signed.body(), "signers": signers, "keys": of, "threshold": needed,
            "policy": site.policy.version,
        }));
    }
    term::print(&format!(
        "{}signed by {signers} of the {of} vendor keys of policy version {}, which demands {needed}\n",
        shown(&signed),
        site.policy.version
    ))
}

/// A manifest that brings it; one name for each target, so that their versions do not mix.
fn manifest(signed: &SignedRelease) -> String {
    let body = signed.body();
    let target = body.target.to_string();
    format!(
        "# Brings {body}, as the vendor has released it. Upload the program with: assent artifact put FILE\n\
         manifest: agent-{}\nversion: \"{}\"\ntitle: The agent {} for {target}\nresources:\n  - agent:\n      release: '{signed}'\n",
        target.replace('_', "-"),
        body.version,
        body.version
    )
}
