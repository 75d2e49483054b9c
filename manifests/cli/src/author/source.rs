//! Manifests as their authors write them: linting with all problems, compiling, signing.

use super::list::print_json;
use crate::args::Global;
use crate::clock;
use crate::error::{Done, Failure};
use crate::profile::{KeyUse, Profile, Secrets};
use crate::{files, term, text};
use serde::Serialize;
use shared::digest::Digest;
use shared::ids::{PersonId, SiteId};
use shared::keys::SigningKey;
use shared::limits;
use shared::manifest::{Manifest, Problem, yaml};
use shared::publication::Publication;
use shared::statement::Statement;
use shared::strict;
use shared::time::Timestamp;
use std::path::{Path, PathBuf};

/// What `assent lint --json` says of a file.
#[derive(Serialize)]
struct Linted {
    file: String,
    /// `name@version`, of one that is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<String>,
    /// Resources that hosts never put back by themselves.
    only_reported: Vec<String>,
    problems: Vec<Problem>,
}

/// Checks every file and prints every problem; `out` takes the one manifest compiled.
///
/// # Errors
/// Usage (exit code 2) when any file has a problem.
pub fn lint(paths: &[PathBuf], out: Option<&Path>, json: bool) -> Done {
    term::for_programs(json);
    if out.is_some() && paths.len() != 1 {
        return Err(Failure::usage("--out takes one manifest").remedy("run lint for each file"));
    }
    let (mut report, mut count, mut linted) = (String::new(), 0, Vec::new());
    for path in paths {
        let file = path.display().to_string();
        match yaml::compile(&files::read(path, limits::MANIFEST_BYTES)?) {
            Ok(manifest) => {
                report.push_str(&format!("{}: {} is good\n", path.display(), manifest.id()));
                let reported: Vec<_> = manifest.only_reported().map(|r| r.id().to_string()).collect();
                if !reported.is_empty() {
                    let all = reported.join(", ");
                    report.push_str(&format!("  never put back by hosts themselves, only reported: {all}\n"));
                }
                if let Some(out) = out {
                    files::replace(out, &strict::to_json(&manifest))?;
                    report.push_str(&format!("  compiled  {}\n", out.display()));
                }
                let manifest = Some(manifest.id().to_string());
                linted.push(Linted { file, manifest, only_reported: reported, problems: Vec::new() });
            }
            Err(problems) => {
                count += problems.len();
                report.push_str(&listing(path, &problems));
                linted.push(Linted { file, manifest: None, only_reported: Vec::new(), problems });
            }
        }
    }
    term::print(&report)?;
    if json {
        print_json(&linted)?;
    }
    if count > 0 {
        let noun = if count == 1 { "problem" } else { "problems" };
        return Err(Failure::usage(format!("{count} {noun} found")).remedy("mend them and run lint again"));
    }
    Ok(())
}

/// `file:line: place: message` and the remedy below it, as editors and people read it.
fn listing(path: &Path, problems: &[Problem]) -> String {
    let mut out = String::new();
    for problem in problems {
        let line = problem.line.map(|line| format!("{line}:")).unwrap_or_default();
        let place = if problem.place.is_empty() { String::new() } else { format!("{}: ", problem.place) };
        let message = text::clean(&format!("{place}{}", problem.message));
        out.push_str(&format!(
            "{}:{line} {message}\n  try: {}\n",
            path.display(),
            text::clean(&problem.remedy)
        ));
    }
    out
}

/// Reads and compiles one manifest; all problems are printed.
pub fn compile(path: &Path) -> Done<(Manifest, Digest)> {
    let bytes = files::read(path, limits::MANIFEST_BYTES)?;
    match yaml::compile(&bytes) {
        Ok(manifest) => Ok((manifest, Digest::of(&bytes))),
        Err(problems) => {
            term::note(&listing(path, &problems));
            let message = format!("{} is not a valid manifest", path.display());
            Err(Failure::usage(message).remedy(format!("assent lint {}", path.display())))
        }
    }
}

/// Signs a compiled manifest.
pub fn sign(
    manifest: Manifest,
    source: Digest,
    site: &SiteId,
    publisher: &PersonId,
    at: Timestamp,
    key: &SigningKey,
) -> Statement<Publication> {
    let publication = Publication { site: site.clone(), publisher: publisher.clone(), at, source, manifest };
    Statement::sign(publication, key)
}

/// `assent sign`: works without a server.
pub fn sign_file(global: &Global, path: &Path, out: Option<&Path>) -> Done {
    let profile = Profile::open(global.site.as_deref())?;
    let (manifest, source) = compile(path)?;
    let name = format!("{}-{}.manifest.json", manifest.name, manifest.version);
    let out = out.map_or_else(|| path.with_file_name(&name), Path::to_owned);
    let key = profile.key(KeyUse::Publisher, &Secrets::new(global.passphrase_file.clone()))?;
    let config = &profile.config;
    let statement = sign(manifest, source, &config.site, &config.person, clock::now()?, &key);
    files::replace(&out, &statement.to_bytes())?;
    let id = statement.body.manifest.id();
    term::print(&format!("{id} signed\n  file       {}\n  statement  {}\n", out.display(), statement.digest))
}
