//! The least that planning over files needs: parse the manifest, render, read, hash and stat each file.

use serde::Deserialize;
use shared::digest::Digest;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

#[derive(Deserialize)]
struct Manifest<'a> {
    #[serde(borrow)]
    parameters: BTreeMap<&'a str, Parameter<'a>>,
    #[serde(borrow)]
    resources: Vec<Resource<'a>>,
}

#[derive(Deserialize)]
struct Parameter<'a> {
    #[serde(borrow)]
    default: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow)]
    file: Want<'a>,
}

#[derive(Deserialize)]
struct Want<'a> {
    path: &'a str,
    #[serde(borrow)]
    template: Option<Cow<'a, str>>,
    artifact: Option<Artifact>,
}

#[derive(Deserialize)]
struct Artifact {
    sha256: Digest,
}

/// Counts files that differ.
///
/// # Panics
/// One does: then this is not the work that was to be measured.
pub fn plan(manifest: &Path, root: &Path) {
    let bytes = fs::read(manifest).unwrap();
    let manifest: Manifest<'_> = serde_json::from_slice(&bytes).unwrap();
    let hostname = fs::read_to_string(root.join("etc/hostname")).unwrap();
    let mut values = BTreeMap::from([("facts.hostname".to_owned(), hostname.trim())]);
    values.extend(manifest.parameters.iter().map(|(name, p)| (format!("params.{name}"), p.default.as_ref())));
    let (mut content, mut text) = (Vec::new(), String::new());
    for Resource { file } in &manifest.resources {
        let wanted = match (&file.template, &file.artifact) {
            (Some(template), _) => {
                render(template, &values, &mut text);
                Digest::of(text.as_bytes())
            }
            (None, artifact) => artifact.as_ref().unwrap().sha256,
        };
        let mut found = File::open(root.join(&file.path[1..])).unwrap();
        let meta = found.metadata().unwrap();
        content.clear();
        found.read_to_end(&mut content).unwrap();
        let same = Digest::of(&content) == wanted && meta.is_file() && meta.mode() & 0o022 == 0;
        assert!(same, "{} differs", file.path);
    }
}

fn render(template: &str, values: &BTreeMap<String, &str>, text: &mut String) {
    text.clear();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap();
        text.push_str(before);
        text.push_str(values[name]);
        rest = after;
    }
    text.push_str(rest);
}
