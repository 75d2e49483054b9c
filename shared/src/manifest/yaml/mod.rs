//! The YAML form that authors write, compiled into a manifest; all problems at once, with lines.
//!
//! A strict subset of YAML 1.2: one document, no anchors, aliases, tags, directives, duplicate keys or nulls.
//! Scalars are read by the type that is wanted, and what another YAML reader would take for another type
//! (`0644`, `1.10`, `no`) must be quoted. Keys, types and limits come from the JSON Schema of the types.

mod scalar;
mod shape;
mod tree;

use super::{Manifest, Problem, Resource, schema, validate};
use crate::limits;
use tree::Node;

/// Compiles the YAML text of a manifest.
///
/// # Errors
/// All problems that could be found: first those of the text, then those of keys, types and values,
/// and, once these are mended, those between the parts of the manifest.
pub fn compile(yaml: &[u8]) -> Result<Manifest, Vec<Problem>> {
    let tree = tree::parse(text(yaml)?)?;
    let schema = schema::schema();
    let value = shape::check(&schema, &tree)?;
    let manifest: Manifest = serde_json::from_value(value).map_err(|e| {
        vec![Problem::new("", crate::strict::shorten(&e.to_string()), "compare with the JSON Schema")]
    })?;
    let mut problems = validate(&manifest);
    if problems.is_empty() && manifest.to_json().len() > limits::MANIFEST_BYTES {
        problems.push(too_large(manifest.to_json().len()));
    }
    // Whoever writes it would rely on it.
    if manifest.corrects() && !manifest.resources().iter().any(Resource::can_be_put_back) {
        problems.push(Problem::new(
            "on_drift",
            "nothing of this manifest is ever put back by a host itself",
            "write report",
        ));
    }
    for problem in &mut problems {
        problem.line = tree.line_of(&problem.place);
    }
    if problems.is_empty() { Ok(manifest) } else { Err(problems) }
}

fn text(yaml: &[u8]) -> Result<&str, Vec<Problem>> {
    if yaml.len() > limits::MANIFEST_BYTES {
        return Err(vec![too_large(yaml.len())]);
    }
    if yaml.starts_with(&[0xff, 0xfe]) || yaml.starts_with(&[0xfe, 0xff]) {
        return Err(vec![Problem::new("", "the text is UTF-16, not UTF-8", "save it as UTF-8")]);
    }
    std::str::from_utf8(yaml).map_err(|e| {
        let line = 1 + yaml[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count();
        let problem = Problem::new("", "the text is not UTF-8", "save it as UTF-8");
        vec![Problem { line: Some(line), ..problem }]
    })
}

fn too_large(bytes: usize) -> Problem {
    let remedy = format!("use at most {} bytes; ship large files as artifacts", limits::MANIFEST_BYTES);
    Problem::new("", format!("the manifest has {bytes} bytes"), remedy)
}

impl Node {
    /// Line of a place such as `resources[3].file.mode`, or of the innermost part of it that exists.
    fn line_of(&self, place: &str) -> Option<usize> {
        let mut node = self;
        for step in place.split(['.', '[']).filter(|step| !step.is_empty()) {
            let inner = match step.strip_suffix(']') {
                Some(index) => index.parse().ok().and_then(|index: usize| node.item(index)),
                None => node.get(step),
            };
            match inner {
                Some(inner) => node = inner,
                None => break,
            }
        }
        Some(node.line)
    }
}

#[cfg(test)]
mod tests;
