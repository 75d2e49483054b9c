//! What a plan shows only in part: the whole of it from the verified manifest, or a name that nobody has seen it.
//!
//! Never believed: a text is shown only when its digest is the one that the host signed. Facts come from the
//! server, and a wrong one gives another digest. Artifacts are named by their digest, which the manifest signs.

use super::review::Review;
use crate::text::{clean, clean_lines};
use shared::digest::Digest;
use shared::facts::Facts;
use shared::ids::AgentId;
use shared::manifest::{File, FileSource, FileWant, Resource, resolve_params};
use shared::plan::{Action, CUT, Plan};
use shared::template;
use std::collections::BTreeSet;

/// One content that a plan shows in part or not at all.
pub struct Hidden {
    /// Resource and one host, as people know them.
    pub what: String,
    pub sha256: Digest,
    /// The whole text, when its digest is the one in the plan.
    pub text: Option<String>,
}

/// Everything that the plans do not show whole, each content once.
pub fn hidden(review: &Review, facts: impl Fn(AgentId) -> Option<Facts>) -> Vec<Hidden> {
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    for class in review.classes() {
        for action in class.plan.actions.iter().filter(|action| is_hidden(review, action)) {
            // Without a digest of the contents nothing can be compared; what the step ends with names it then.
            let sha256 = action.content.unwrap_or(action.after);
            if !seen.insert((action.resource.clone(), sha256)) {
                continue;
            }
            let host = review.host_name(class.plan.agent_id);
            let text = action.content.and_then(|wanted| {
                let bytes = resolved(review, class.plan, action, &facts)?;
                (Digest::of(bytes.as_bytes()) == wanted).then_some(bytes)
            });
            all.push(Hidden { what: format!("{} ({host})", clean(action.resource.as_str())), sha256, text });
        }
    }
    all
}

fn is_hidden(review: &Review, action: &Action) -> bool {
    match &action.diff {
        // Lines of a difference have a mark before them, so the note can be nothing else.
        Some(diff) => diff.contains(CUT),
        // New contents without a difference: too long to be compared, or no text. Artifacts are shown by digest.
        None => {
            action.content.is_some() && !matches!(source(review, action), Some((_, FileSource::Artifact(_))))
        }
    }
}

/// The place of the manifest that the file comes from, and its source.
fn source<'r>(review: &'r Review, action: &Action) -> Option<(usize, &'r FileSource)> {
    review.manifests.iter().enumerate().find_map(|(at, manifest)| {
        manifest.get().resources().iter().find_map(|resource| match resource {
            Resource::File(File { want: FileWant::Present { source, .. }, .. })
                if resource.id() == action.resource =>
            {
                Some((at, source))
            }
            _ => None,
        })
    })
}

fn resolved(
    review: &Review,
    plan: &Plan,
    action: &Action,
    facts: impl Fn(AgentId) -> Option<Facts>,
) -> Option<String> {
    let (at, source) = source(review, action)?;
    match source {
        FileSource::Content(text) => Some(text.clone()),
        FileSource::Template(text) => {
            let manifest = review.manifests.get(at)?;
            let used = review.change.body.manifests.iter().find(|used| used.sha256 == manifest.digest())?;
            let given = used.params.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
            let params = resolve_params(&manifest.get().parameters, &given).ok()?;
            template::render(text, &params, &facts(plan.agent_id)?.view(plan.agent_id)).ok()
        }
        FileSource::Artifact(_) | FileSource::Secret(_) => None,
    }
}

/// The whole texts, for the page or a file.
pub fn shown(hidden: &[Hidden]) -> String {
    let mut out = String::new();
    for (one, text) in hidden.iter().filter_map(|one| Some((one, one.text.as_ref()?))) {
        out.push_str(&format!("\n{}: sha256 {}, {} bytes\n", one.what, one.sha256, text.len()));
        clean_lines(text).for_each(|line| out.push_str(&format!("    | {line}\n")));
    }
    out
}
