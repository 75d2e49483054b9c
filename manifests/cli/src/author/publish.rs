//! `assent publish`: the team's repository metadata grows by one manifest, signed with the publisher's key.

use super::source;
use crate::error::{Context as _, Done, Failure};
use crate::files;
use crate::net::api::Publish;
use crate::profile::KeyUse;
use crate::session::Session;
use crate::trust::Site;
use crate::written::{self, Written};
use shared::admit::verify_publication;
use shared::keys::SigningKey;
use shared::limits;
use shared::publication::Publication;
use shared::statement::Statement;
use shared::strict::Map;
use shared::tuf::writer;
use shared::tuf::{Signed, TargetFile, TargetName, Targets};
use std::path::Path;

pub fn run(session: &Session, path: &Path, older: bool, json: bool) -> Done {
    let site = session.site()?;
    let (statement, key) = statement(session, path)?;
    verify_publication(&site.policy, &statement.to_bytes(), session.now)
        .or_refuse("this manifest would not be accepted")?;
    let manifest = &statement.body.manifest;
    let (id, team) = (manifest.id(), manifest.team.clone());
    let target = TargetName::manifest(&team, &manifest.name, &manifest.version);
    let content = site.content(&team)?;
    if let Some(listed) = content.as_ref().and_then(|content| content.targets.get(&target)) {
        return already_there(session, &site, &statement, (listed, json));
    }
    check_order(&site, &statement, older)?;
    let next = next_content(content, target, &statement, session.now)?;
    let signed = Signed::by(next, &[&key]).to_bytes();
    let text = std::str::from_utf8(&signed).or_fault("the new metadata is not text")?;
    session.api.publish(&Publish { team: &team, content: text, target: Some(&statement.envelope), older })?;
    let words = format!("{id} is published by team {team}\n  statement  {}\n", statement.digest);
    let now = serde_json::json!({ "team": team, "statement": statement.digest });
    written::tell(json, Written::of("manifest", &id, &now)?, &words)
}

/// A signed file as it is; a YAML file is compiled and signed now.
fn statement(session: &Session, path: &Path) -> Done<(Statement<Publication>, SigningKey)> {
    let signed = path.extension().is_some_and(|extension| extension == "json");
    if signed {
        let bytes = files::read(path, limits::ENVELOPE_BYTES)?;
        let statement =
            Statement::parse(&bytes).or_usage(format!("{} is not a signed manifest", path.display()))?;
        return Ok((statement, session.key(KeyUse::Publisher)?));
    }
    let (manifest, source) = source::compile(path)?;
    let key = session.key(KeyUse::Publisher)?;
    let config = &session.profile.config;
    Ok((source::sign(manifest, source, &config.site, &config.person, session.now, &key), key))
}

/// Publishing the same manifest again changes nothing; another content under the same version never goes.
fn already_there(
    session: &Session,
    site: &Site,
    new: &Statement<Publication>,
    (listed, json): (&TargetFile, bool),
) -> Done {
    let manifest = &new.body.manifest;
    let published = site.manifest(&session.api, &manifest.team, &manifest.name, &manifest.version)?;
    let same =
        listed.hashes.sha256 == TargetFile::of(&new.to_bytes()).hashes.sha256 || published.get() == manifest;
    if same {
        let words = format!(
            "{} is published already; nothing was changed\n  statement  {}\n",
            manifest.id(),
            published.digest()
        );
        return written::tell_all(json, Vec::new(), &words);
    }
    Err(Failure::refused(format!("{} is published with other contents", manifest.id()))
        .why("a published version never changes, because approvals and receipts name it")
        .remedy("raise the version in the manifest"))
}

fn check_order(site: &Site, new: &Statement<Publication>, older: bool) -> Done {
    let manifest = &new.body.manifest;
    let listed = site.trusted.manifests(&manifest.team).or_refuse("the team's manifests cannot be used")?;
    let highest =
        listed.iter().filter(|(name, ..)| **name == manifest.name).map(|(_, version, _)| *version).max();
    match highest {
        Some(highest) if manifest.version < *highest && !older => {
            let message =
                format!("{} is older than the published {}@{highest}", manifest.id(), manifest.name);
            Err(Failure::refused(message)
                .remedy("raise the version, or add --older if an old line is maintained on purpose"))
        }
        _ => Ok(()),
    }
}

fn next_content(
    content: Option<Targets>,
    target: TargetName,
    new: &Statement<Publication>,
    now: shared::time::Timestamp,
) -> Done<Targets> {
    let (version, mut files) =
        content.map_or((0, Map::default()), |content| (content.version, content.targets));
    files.insert(target, TargetFile::of(&new.to_bytes()));
    let until = crate::governance::expires(now);
    writer::content(version + 1, until, &new.body.manifest.team, files)
        .or_refuse("the new metadata would not be accepted")
}
