//! Contents that hold a secret: opened at the moment when they are needed, named by keyed digests only.

use super::refuse;
use crate::vault::Opener;
use shared::facts::TemplateFacts;
use shared::manifest::{File, FileSource, FileWant, ParamValue};
use shared::refusal::Refused;
use shared::secret::{Opened, Seal};
use shared::strict::Map;
use shared::template;
use zeroize::{Zeroize, Zeroizing};

/// Bytes that nobody else may see, and the key of their digests.
#[derive(Debug)]
pub struct Hidden {
    pub bytes: Zeroizing<Vec<u8>>,
    pub seal: Seal,
}

impl From<Opened> for Hidden {
    fn from(opened: Opened) -> Self {
        Self { bytes: opened.value, seal: opened.seal }
    }
}

/// Whether the file holds a secret. Nothing is opened for that.
pub fn hides(file: &File, params: &Map<String, ParamValue>) -> bool {
    match &file.want {
        FileWant::Present { source: FileSource::Secret(_), .. } => true,
        FileWant::Present { source: FileSource::Template(text), .. } => uses(text, params),
        FileWant::Present { .. } | FileWant::Absent => false,
    }
}

/// Whether the template needs a parameter that is a secret.
fn uses(text: &str, params: &Map<String, ParamValue>) -> bool {
    let open: Vec<&str> = names(params, |_, value| !is_secret(value));
    open.len() < params.len() && !template::check(text, &open).is_empty()
}

fn is_secret(value: &ParamValue) -> bool {
    matches!(value, ParamValue::Secret(_))
}

fn names(params: &Map<String, ParamValue>, take: impl Fn(&str, &ParamValue) -> bool) -> Vec<&str> {
    params.iter().filter(|(name, value)| take(name, value)).map(|(name, _)| name.as_str()).collect()
}

/// The parameters with the secrets opened that a template needs; wiped when dropped.
struct Readable(Map<String, ParamValue>);

impl Drop for Readable {
    fn drop(&mut self) {
        for value in self.0.values_mut() {
            if let ParamValue::Text(text) = value {
                text.zeroize();
            }
        }
    }
}

/// Renders a template; `None` when it needs no secret.
///
/// # Errors
/// A secret is not for this host, or is no text; the template does not render.
pub fn render(
    path: &str,
    text: &str,
    params: &Map<String, ParamValue>,
    facts: &TemplateFacts,
    opener: Opener<'_>,
) -> Result<Option<Hidden>, Refused> {
    if !uses(text, params) {
        return Ok(None);
    }
    let mut readable = Readable(Map::default());
    let mut seals = Vec::new();
    for (name, value) in params.iter() {
        let ParamValue::Secret(secret) = value else {
            readable.0.insert(name.clone(), value.clone());
            continue;
        };
        if template::check(text, &names(params, |other, _| other != name)).is_empty() {
            continue;
        }
        let what = format!("{path}: the parameter {name}");
        let opened = opener.open(secret, &what)?;
        let value = std::str::from_utf8(&opened.value)
            .map_err(|_| refuse(format!("{what} is no text; give it as content of a file of its own")))?;
        readable.0.insert(name.clone(), ParamValue::Text(value.to_owned()));
        seals.push(opened.seal);
    }
    let bytes =
        template::render(text, &readable.0, facts).map_err(|problem| refuse(format!("{path}: {problem}")))?;
    let bytes = Zeroizing::new(bytes.into_bytes());
    Ok(Seal::joined(&seals).map(|seal| Hidden { bytes, seal }))
}
