//! `assent governance …`, and the one way in which governance signs and publishes, which policy editions, renewals and
//! restores use too: with the keys at hand, or as a proposal that goes from one holder of a key to the next.
//!
//! Never: less than hosts will ask for; what is short of signatures does not leave this machine as anything but a proposal.

pub mod args;
pub mod change;
mod rehearse;
mod sign;

pub use args::{GovernanceCommand, SignArgs, Signers};
pub use rehearse::due;

use crate::author::list::print_json;
use crate::error::{Context as _, Done, Failure};
use crate::net::api::Edition;
use crate::profile::{self, KeyUse};
use crate::session::Session;
use crate::{files, policy, term, text};
use serde::Serialize;
use shared::governance::{Holder, Keeper, Part, Proposal, Standing, keys_of};
use shared::keys::{PublicKey, SigningKey};
use shared::policy::Policy;
use shared::time::Timestamp;
use shared::tuf::metadata::Key;
use shared::tuf::{Root, Targets};
use shared::words;
use std::path::{Path, PathBuf};

/// Life of root, targets and content: a year and a month to renew in.
pub const METADATA_DAYS: i64 = 400;

/// When something that is signed now ends.
pub fn expires(now: Timestamp) -> Timestamp {
    now.plus(METADATA_DAYS * 86_400)
}

pub fn run(session: &Session, command: &GovernanceCommand) -> Done {
    match command {
        GovernanceCommand::Show { json } => show(session, *json),
        GovernanceCommand::Change(args) => change::run(session, args),
        GovernanceCommand::Sign { file, key, yes, json } => sign::sign(session, file, key, (*yes, *json)),
        GovernanceCommand::Publish { file, json } => sign::publish(session, file, *json),
        GovernanceCommand::Rehearse { from } => rehearse::run(session, from.as_deref()),
    }
}

/// Who governs, for programs.
#[derive(Serialize)]
struct Governing {
    root: u64,
    threshold: u32,
    keys: Vec<Held>,
    rehearsal_due: Timestamp,
}

#[derive(Serialize)]
struct Held {
    held_by: String,
    public_key: PublicKey,
}

fn show(session: &Session, json: bool) -> Done {
    let site = policy::current(session)?;
    let root = site.trusted.root();
    let set = keys_of(root, &root.roles.root);
    if json {
        let held =
            |key: &PublicKey| Held { held_by: holder_of(key, &site.policy.governance), public_key: *key };
        return print_json(&Governing {
            root: root.version,
            threshold: set.threshold,
            keys: set.keys.iter().map(held).collect(),
            rehearsal_due: rehearse::due(&session.profile, &site)?,
        });
    }
    let mut rows = vec![["HELD BY", "PUBLIC KEY"].map(str::to_owned).to_vec()];
    rows.extend(set.keys.iter().map(|key| vec![holder_of(key, &site.policy.governance), key.to_string()]));
    term::print(&format!(
        "root {}: {} of {} keys sign root and policy\n{}{}",
        root.version,
        set.threshold,
        set.keys.len(),
        text::table(&rows),
        rehearse::line(session, &site)?
    ))
}

/// Who holds a governance key, in words.
fn holder_of(key: &PublicKey, holders: &[Holder]) -> String {
    match holders.iter().find(|holder| holder.public == *key).map(|holder| &holder.keeper) {
        Some(Keeper::Paper) => "recovery key on paper".into(),
        Some(Keeper::Person(id)) => id.to_string(),
        None => "not in the policy".into(),
    }
}

/// The keys that sign: those given, or the one of the profile. Who only proposes needs none.
pub fn keys(session: &Session, by: &Signers) -> Done<Vec<SigningKey>> {
    if by.key.is_empty() && by.propose.is_some() && session.profile.key_file(KeyUse::Governance).is_none() {
        return Ok(Vec::new());
    }
    opened(session, &by.key)
}

fn opened(session: &Session, files: &[PathBuf]) -> Done<Vec<SigningKey>> {
    if files.is_empty() {
        return Ok(vec![session.key(KeyUse::Governance)?]);
    }
    files.iter().map(|path| profile::open_key(path, "governance", &session.secrets)).collect()
}

/// What governance is to sign in one go.
pub struct Next<'a> {
    pub root: Option<Root>,
    /// Roots before the new one that the server has lost.
    pub roots: Vec<String>,
    pub targets: Targets,
    pub policy: &'a [u8],
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concluded {
    Published,
    /// Others have to sign the file.
    Proposed(Proposed),
}

/// A proposal and how far it has come, for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proposed {
    pub file: String,
    /// To be compared with whoever signs next.
    words: String,
    /// Whether it can be published.
    complete: bool,
    signatures: Vec<Signatures>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Signatures {
    /// `root_before`, `root` or `targets`.
    of: &'static str,
    signed: usize,
    threshold: u32,
}

impl Proposed {
    fn of(proposal: &Proposal, root: &Root, file: &Path) -> Self {
        let signatures = |part: &Standing| Signatures {
            of: match part.part {
                Part::RootBefore => "root_before",
                Part::Root => "root",
                Part::Targets => "targets",
            },
            signed: part.signed.len(),
            threshold: part.threshold,
        };
        Self {
            file: file.display().to_string(),
            words: words::of_proposal(&proposal.digest()),
            complete: proposal.is_complete(root),
            signatures: proposal.standing(root).iter().map(signatures).collect(),
        }
    }
}

/// Signs, and publishes what has enough signatures or writes down what shall get them. What hosts would refuse never leaves
/// this machine.
pub fn conclude(
    session: &Session,
    (root, policy): (&Root, &Policy),
    signers: &[SigningKey],
    next: Next<'_>,
    propose: Option<&Path>,
) -> Done<Concluded> {
    let text = String::from_utf8(next.policy.to_vec()).or_fault("the policy is not text")?;
    let by = session.profile.config.person.clone();
    let mut proposal = Proposal::new(by, session.now, next.root, next.targets, text);
    proposal.roots = next.roots;
    add_signatures(&mut proposal, root, signers)?;
    let proposal =
        Proposal::parse(&proposal.to_bytes()).or_refuse("the new metadata would not be accepted")?;
    if let Some(path) = propose {
        files::write_new(path, &proposal.to_bytes())?;
        term::print(&format!(
            "{} holds the proposal; nothing is published yet\n{}{}",
            path.display(),
            sign::comparison(&proposal),
            sign::signatures(&proposal, root, policy, path)
        ))?;
        return Ok(Concluded::Proposed(Proposed::of(&proposal, root, path)));
    }
    if !proposal.is_complete(root) {
        return Err(too_few(&proposal, root, policy).remedy(
            "run it again with --propose FILE, and let further holders of governance keys sign that file",
        ));
    }
    publish(session, &proposal)?;
    Ok(Concluded::Published)
}

fn add_signatures(proposal: &mut Proposal, root: &Root, signers: &[SigningKey]) -> Done {
    match signers.iter().find(|key| !proposal.sign(root, key)) {
        None => Ok(()),
        Some(stranger) => Err(Failure::refused("a key that shall sign is not a governance key of this site")
            .why(format!("the root does not list the key {}", Key::new(stranger.public()).id()))
            .remedy("see `assent governance show`")),
    }
}

fn too_few(proposal: &Proposal, root: &Root, policy: &Policy) -> Failure {
    let holders = proposal.holders(policy);
    let standing = proposal.standing(root);
    let short: Vec<_> =
        standing.iter().filter(|part| !part.is_enough()).map(|part| told(part, &holders)).collect();
    Failure::refused("more signatures of governance are needed; nothing was published").why(short.join("; "))
}

/// One part and its signatures on one line.
fn told(standing: &Standing, holders: &[Holder]) -> String {
    let part = match standing.part {
        Part::RootBefore => "root, by those who govern until then",
        Part::Root => "root, by those who govern afterwards",
        Part::Targets => "policy",
    };
    let names = |keys: &[PublicKey]| {
        let names: Vec<_> = keys.iter().map(|key| holder_of(key, holders)).collect();
        names.join(", ")
    };
    let missing: Vec<_> = standing.missing().copied().collect();
    let signed =
        if standing.signed.is_empty() { String::new() } else { format!(" ({})", names(&standing.signed)) };
    let left = if standing.is_enough() { String::new() } else { format!(", may sign: {}", names(&missing)) };
    format!("{part}: {} of {} signatures{signed}{left}", standing.signed.len(), standing.threshold)
}

fn publish(session: &Session, proposal: &Proposal) -> Done {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).or_fault("the new metadata is not text");
    let root = proposal.root.as_ref().map(|root| text(root.to_bytes())).transpose()?;
    let targets = text(proposal.targets.to_bytes())?;
    let edition = Edition {
        targets: &targets,
        policy: &proposal.policy,
        root: root.as_deref(),
        roots: &proposal.roots,
    };
    session.api.publish_policy(&edition)
}
