//! `assent renew`: signs again what would end, with keys that the server does not hold.
//!
//! Root and targets get their next version with the same contents, the own team's content too. Owns also the one
//! way in which governance signs and publishes, which policy editions use. Never: freshness of what it signs
//! again; signatures and versions are checked, and the newest that was ever seen here counts.

use crate::error::{Context as _, Done, Failure};
use crate::net::api::{Edition, Publish};
use crate::profile::{self, KeyUse};
use crate::session::Session;
use crate::trust::{self, Site};
use crate::{clock, files, init, site, term};
use shared::keys::SigningKey;
use shared::time::Timestamp;
use shared::tuf::metadata::{Key, Payload, RoleKeys};
use shared::tuf::writer::{self, KeySet};
use shared::tuf::{Role, Root, Signed, Targets, profile as rules};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Life of root, targets and content: a year and a month to renew in.
const METADATA_DAYS: i64 = 400;

/// When something that is signed now ends.
pub fn expires(now: Timestamp) -> Timestamp {
    now.plus(METADATA_DAYS * 86_400)
}

pub fn run(session: &Session, dry_run: bool, keys: &[PathBuf], replace_lost: Option<&Path>) -> Done {
    let (info, _) = session.api.site()?;
    let before = trust::refresh_expired(&session.profile, &session.api, session.now)?;
    let team = &session.profile.config.team;
    let until = expires(session.now);
    term::print(&site::expiry_table(&site::expiries(&info, &before), session.now, session.lang)?)?;
    let what = format!("root, targets (with the policy) and content.{team}");
    let others = "the server renews timestamp, snapshot, changes and certificates of the site's authority by itself; \
                  a key's end is moved by an edition of the policy (assent policy edit)";
    if dry_run {
        return term::print(&format!("\nassent renew would sign {what} until {until}\n{others}\n"));
    }
    let signers = governance(session, keys)?;
    let root = next_root(session, &before, &signers, replace_lost)?;
    let policy = before.policy_bytes(&session.api)?;
    let targets = Targets { version: before.targets()?.version + 1, expires: until, ..before.targets()? };
    send(session, &signers, (Some(root), &[]), targets, &policy)?;
    renew_content(session, &before, until)?;
    let after = session.site()?;
    let (info, _) = session.api.site()?;
    term::print(&format!(
        "\nrenewed: {what}\n{}\n{others}\n",
        site::expiry_table(&site::expiries(&info, &after), session.now, session.lang)?
    ))
}

/// The keys that sign: those given, or the one of the profile.
pub fn governance(session: &Session, keys: &[PathBuf]) -> Done<Vec<SigningKey>> {
    if keys.is_empty() {
        return Ok(vec![session.key(KeyUse::Governance)?]);
    }
    keys.iter().map(|path| profile::open_key(path, "governance", &session.secrets)).collect()
}

/// The next root: the same keys, or new ones in place of the lost.
fn next_root(
    session: &Session,
    before: &Site,
    signers: &[SigningKey],
    replace_lost: Option<&Path>,
) -> Done<Root> {
    let old = before.trusted.root();
    are_governance(old, signers)?;
    let until = expires(session.now);
    let Some(path) = replace_lost else {
        return Ok(Root { version: old.version + 1, expires: until, ..old.clone() });
    };
    let new = SigningKey::from_seed(&Zeroizing::new(clock::random::<32>()?));
    let mut public: Vec<_> = signers.iter().map(SigningKey::public).collect();
    public.push(new.public());
    let governance = KeySet { keys: public, threshold: old.roles.root.threshold };
    let online = keys_of(old, &old.roles.timestamp)?;
    let root = writer::new_root(old.version + 1, until, &governance, &online)
        .or_refuse("the new root would not be accepted")?;
    let passphrase = session.secrets.passphrase_for_new()?;
    files::write_new(path, init::sealed(&new, &passphrase)?.as_bytes())?;
    term::print(&format!(
        "{} holds a new governance key, sealed; every governance key that did not sign is dropped\n  public key  {}\n",
        path.display(),
        new.public()
    ))?;
    Ok(root)
}

/// Whether this root lets all of them sign for governance.
pub fn are_governance(root: &Root, signers: &[SigningKey]) -> Done {
    let mut ids = signers.iter().map(|key| Key::new(key.public()).id());
    match ids.find(|id| !root.roles.root.keyids.contains(id)) {
        None => Ok(()),
        Some(stranger) => Err(Failure::refused("a key that shall sign is not a governance key of this site")
            .why(format!("the root does not list the key {stranger}"))
            .remedy("see `assent key show`")),
    }
}

/// The keys of a role of this root.
pub fn keys_of(root: &Root, role: &RoleKeys) -> Done<KeySet> {
    let keys: Option<Vec<_>> =
        role.keyids.iter().map(|id| root.keys.get(id).map(|key| *key.public())).collect();
    let keys = keys.ok_or_else(|| Failure::fault("the trusted root names a key that it does not hold"))?;
    Ok(KeySet { keys, threshold: role.threshold })
}

/// Signs with governance and publishes in one step: what hosts would refuse never leaves this machine. `roots` are
/// those before the new one that the server has lost.
pub fn send(
    session: &Session,
    signers: &[SigningKey],
    (root, roots): (Option<Root>, &[String]),
    targets: Targets,
    policy: &[u8],
) -> Done {
    let unfit = "the new metadata would not be accepted";
    let root = root.map(|root| signed(root, signers)).transpose()?;
    if let Some(root) = &root {
        rules::read_root(root.as_bytes()).or_refuse(unfit)?;
    }
    let targets = signed(targets, signers)?;
    rules::read_targets(&Role::Targets, targets.as_bytes()).or_refuse(unfit)?;
    let policy = std::str::from_utf8(policy).or_fault("the policy is not text")?;
    session.api.publish_policy(&Edition { targets: &targets, policy, root: root.as_deref(), roots })
}

fn signed<T: Payload>(payload: T, keys: &[SigningKey]) -> Done<String> {
    let keys: Vec<_> = keys.iter().collect();
    String::from_utf8(Signed::by(payload, &keys).to_bytes()).or_fault("the new metadata is not text")
}

/// The own team's list of manifests; other teams renew theirs.
fn renew_content(session: &Session, before: &Site, until: Timestamp) -> Done {
    let team = &session.profile.config.team;
    let Some(content) = before.expired_content(team)? else { return Ok(()) };
    if session.profile.key_file(KeyUse::Publisher).is_none() {
        return Ok(());
    }
    let next = Targets { version: content.version + 1, expires: until, ..content };
    let text = signed(next, &[session.key(KeyUse::Publisher)?])?;
    session.api.publish(&Publish { team, content: &text, target: None, older: false })
}
