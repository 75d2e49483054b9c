//! `assent manifest list`: what the repository's signatures vouch for now.

use crate::error::{Context as _, Done};
use crate::session::Session;
use crate::{term, text};
use serde::Serialize;
use shared::digest::Digest;
use shared::ids::{ManifestName, Team};

#[derive(Serialize)]
struct Line {
    team: Team,
    name: ManifestName,
    version: semver::Version,
    sha256: Digest,
    length: u64,
}

pub fn run(session: &Session, team: Option<&Team>, json: bool) -> Done {
    let site = session.site()?;
    let mut lines = Vec::new();
    for (found, refused) in site.trusted.teams() {
        if team.is_some_and(|wanted| wanted != found) {
            continue;
        }
        if let Some(refused) = refused {
            term::note(&format!("note: the manifests of team {found} cannot be used: {refused}\n"));
            continue;
        }
        for (name, version, file) in
            site.trusted.manifests(found).or_refuse("the repository cannot be listed")?
        {
            let (name, version) = (name.clone(), version.clone());
            lines.push(Line {
                team: found.clone(),
                name,
                version,
                sha256: file.hashes.sha256,
                length: file.length,
            });
        }
    }
    if json {
        return print_json(&lines);
    }
    let mut rows = vec![["TEAM", "NAME", "VERSION", "BYTES"].map(str::to_owned).to_vec()];
    rows.extend(
        lines.iter().map(|l| {
            vec![l.team.to_string(), l.name.to_string(), l.version.to_string(), l.length.to_string()]
        }),
    );
    term::print(&text::table(&rows))
}

/// One JSON document, indented.
pub fn print_json(value: &impl Serialize) -> Done {
    let text = serde_json::to_string_pretty(value).or_fault("the output could not be written")?;
    term::print_json(&format!("{text}\n"))
}
