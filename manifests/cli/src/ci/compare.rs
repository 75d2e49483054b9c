//! `assent ci compare`: two entries, one entry at two times, or an entry with a manifest. By the server's record; manifests
//! are verified.

use crate::author::list::print_json;
use crate::change::new::named_manifest;
use crate::error::{Done, Failure};
use crate::lang::{Lang, Word};
use crate::session::Session;
use crate::{term, text, window};
use serde::Serialize;
use shared::manifest::{Body, Manifest, PackageWant, Resource, WantedVersion};
use shared::search::folded;
use shared::wire::{CiFile, CiState};
use std::collections::{BTreeMap, BTreeSet};

/// What an entry is like, by section and what it is about.
type Sheet = BTreeMap<(&'static str, String), String>;

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Difference {
    /// `system`, `declared`, `relation`, `label`, `state`, `package` or `service`.
    section: &'static str,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    right: Option<String>,
}

#[derive(Debug, Serialize)]
struct Compared {
    left: String,
    right: String,
    differences: Vec<Difference>,
    /// How much was alike.
    same: usize,
}

pub fn run(session: &Session, (left, right): (&str, &str), json: bool) -> Done {
    let of_left = entry(session, left)?;
    let (differences, same) = match right.strip_prefix("manifest:") {
        Some(named) => {
            let (used, manifest) = named_manifest(session, &session.site()?, named)?;
            let place = format!("{}/{}", used.team, used.name);
            against(&of_left, (&place, &used.version.to_string()), manifest.get(), session.lang)?
        }
        None => differences(&sheet(&of_left), &sheet(&entry(session, right)?)),
    };
    let compared = Compared { left: left.to_owned(), right: right.to_owned(), differences, same };
    if json { print_json(&compared) } else { term::print(&told(&compared, session.lang)) }
}

/// `NAME` as it is, or `NAME@TIME` as it was.
fn entry(session: &Session, text: &str) -> Done<CiFile> {
    let (name, at) = text.split_once('@').map_or((text, None), |(name, at)| (name, Some(at)));
    if name.is_empty() {
        return Err(Failure::usage("an entry is missing").remedy("write web1, CI-7 or web1@2026-10-01"));
    }
    let at = match at {
        None => session.now,
        Some(at) => window::time(at, &window::zone(None)?, session.now)?,
    };
    session.api.ci_at(name, at)
}

fn sheet(file: &CiFile) -> Sheet {
    let mut sheet = Sheet::new();
    let line = &file.line;
    for (what, value) in [
        ("os", &line.os),
        ("os version", &line.os_version),
        ("kernel", &line.kernel),
        ("arch", &line.arch),
        ("agent", &line.agent_version),
    ] {
        sheet.extend(value.clone().map(|value| (("system", what.to_owned()), value)));
    }
    if let Some(said) = &file.declared
        && let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(&said.declared)
    {
        for (name, value) in fields {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let empty = ["{}", "[]"].contains(&value.as_str());
            sheet.extend((!empty).then_some((("declared", name), value)));
        }
    }
    for relation in &file.relations {
        let way = if relation.inward { "from" } else { "to" };
        let what = format!("{} {way} {}", relation.kind.as_str(), relation.other);
        sheet.insert(("relation", what), "yes".into());
    }
    for state in &file.states {
        let manifests = state.manifests.join(" ");
        let digest = state.state.map_or("?".to_owned(), |digest| digest.hex().chars().take(12).collect());
        sheet
            .insert(("state", state.resource.to_string()), format!("{manifests} {digest}").trim().to_owned());
    }
    let Some(then) = &file.then else { return sheet };
    for (name, value) in then.labels.iter() {
        sheet.insert(("label", name.clone()), value.clone());
    }
    for service in &then.services {
        sheet.insert(("service", service.clone()), "yes".into());
    }
    // Of some packages several versions are installed at a time.
    for package in &then.packages {
        let versions = sheet.entry(("package", package.name.clone())).or_default();
        let blank = if versions.is_empty() { "" } else { ", " };
        versions.push_str(&format!("{blank}{}", package.version));
    }
    sheet
}

fn differences(left: &Sheet, right: &Sheet) -> (Vec<Difference>, usize) {
    let keys: BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let all = keys.len();
    let differ = keys.into_iter().filter(|key| left.get(*key) != right.get(*key));
    let differences: Vec<_> = differ
        .map(|(section, what)| {
            let of = |sheet: &Sheet| sheet.get(&(*section, what.clone())).cloned();
            Difference { section, what: what.clone(), left: of(left), right: of(right) }
        })
        .collect();
    let same = all - differences.len();
    (differences, same)
}

/// What is on record of a manifest's resources; contents are compared by the version that brought them, versions of
/// packages by what the host reported.
fn against(
    file: &CiFile,
    (place, version): (&str, &str),
    manifest: &Manifest,
    lang: Lang,
) -> Done<(Vec<Difference>, usize)> {
    let Body::Resources(resources) = &manifest.body else {
        return Err(Failure::refused(format!(
            "{place}@{version} updates packages and has no state to compare"
        ))
        .remedy("compare the entry at two times instead, such as web1@2026-10-01 web1"));
    };
    let full = format!("{place}@{version}");
    let recorded: BTreeMap<String, &CiState> =
        file.states.iter().map(|state| (state.resource.to_string(), state)).collect();
    let (mut left, mut right) = (Sheet::new(), Sheet::new());
    for resource in resources {
        let id = resource.id().to_string();
        right.insert(("state", id.clone()), full.clone());
        let is = match recorded.get(&id) {
            None => lang.word(Word::NotOnRecord).to_owned(),
            Some(state) if state.state.is_none() => {
                format!("{} ({})", lang.word(Word::NotKnown), state.outcome.as_str())
            }
            Some(state) if state.manifests.contains(&full) => full.clone(),
            Some(state) => format!("{} ({})", state.manifests.join(" "), state.change_id),
        };
        left.insert(("state", id), is);
        if let (Resource::Package(package), Some(then)) = (resource, &file.then) {
            let name = folded(package.name.as_str());
            let has: Vec<_> =
                then.packages.iter().filter(|has| has.name == name).map(|has| has.version.as_str()).collect();
            let wanted = match &package.want {
                PackageWant::Absent => Some(None),
                PackageWant::Present { version: WantedVersion::Exact(version), .. } => Some(Some(version)),
                PackageWant::Present { .. } => None,
            };
            if let Some(wanted) = wanted {
                let there = has.join(", ");
                left.extend((!has.is_empty()).then(|| (("package", name.clone()), there)));
                right.extend(wanted.map(|wanted| (("package", name), wanted.to_string())));
            }
        }
    }
    for (id, state) in recorded {
        let from_it =
            state.manifests.iter().any(|from| from.split_once('@').is_some_and(|(of, _)| of == place));
        if from_it && !right.contains_key(&("state", id.clone())) {
            left.insert(
                ("state", id.clone()),
                format!("{} ({})", state.manifests.join(" "), state.change_id),
            );
            right.insert(("state", id), lang.word(Word::NotInManifest).to_owned());
        }
    }
    Ok(differences(&left, &right))
}

fn told(compared: &Compared, lang: Lang) -> String {
    if compared.differences.is_empty() {
        return format!("{}\n", lang.fill(Word::NoDifference, &compared.same.to_string()));
    }
    let sides = format!("{}|{}", text::clean(&compared.left), text::clean(&compared.right));
    let heads = lang.fill(Word::HeadsOfDifferences, &sides);
    let mut rows: Vec<Vec<String>> = vec![heads.split('|').map(str::to_owned).collect()];
    let side = |value: &Option<String>| value.as_deref().map_or("-".to_owned(), text::clean);
    rows.extend(compared.differences.iter().map(|one| {
        let what = format!("  {} {}", one.section, text::clean(&one.what));
        vec![what, side(&one.left), side(&one.right)]
    }));
    let alike = lang.fill(Word::AlikeIs, &compared.same.to_string());
    format!("{}{alike}; {}\n", text::table(&rows), lang.word(Word::Unsigned))
}

#[cfg(test)]
mod tests;
