//! All sentences people read, German and English, keyed by code. Whole sentences only; `{name}` is filled in.
//!
//! A slice adds `i18n/de/<slice>.toml` and `i18n/en/<slice>.toml` and its name to [`CATALOGUES`].

use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

macro_rules! catalogues {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../i18n/de/", $name, ".toml")),
            include_str!(concat!("../../i18n/en/", $name, ".toml")))),*]
    };
}

const CATALOGUES: [(&str, &str, &str); 18] = catalogues![
    "kernel",
    "ledger",
    "people",
    "cmdb",
    "fleet",
    "receipts",
    "manifests",
    "calendars",
    "budgets",
    "changes",
    "schedule",
    "rollout",
    "progress",
    "findings",
    "kpi",
    "compliance",
    "reminders",
    "webhooks"
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    De,
    En,
}

/// A refusal told to a person: what happened, why, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sentence {
    /// The kind of refusal, without facts of this one; the message itself where that names none.
    #[serde(default)]
    pub title: String,
    pub message: String,
    pub why: String,
    #[serde(rename = "try")]
    pub remedy: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    #[serde(default)]
    refusals: BTreeMap<String, Sentence>,
    #[serde(default)]
    texts: BTreeMap<String, String>,
}

struct Both {
    de: Catalogue,
    en: Catalogue,
}

static ALL: LazyLock<Both> = LazyLock::new(|| Both {
    de: join(CATALOGUES.map(|(name, de, _)| (name, de))),
    en: join(CATALOGUES.map(|(name, _, en)| (name, en))),
});

/// Every embedded file is parsed by a test, so the error branch is for a build that was not tested.
fn join<const N: usize>(sources: [(&str, &str); N]) -> Catalogue {
    let mut all = Catalogue::default();
    for (name, text) in sources {
        match toml::from_str::<Catalogue>(text) {
            Ok(part) => {
                all.refusals.extend(part.refusals);
                all.texts.extend(part.texts);
            }
            Err(error) => tracing::error!(catalogue = name, %error, "message catalogue does not parse"),
        }
    }
    all
}

impl Language {
    /// The first supported language of an `Accept-Language` header, by weight; else `self`.
    pub fn or_accepted(self, header: &str) -> Self {
        let mut best = (self, 0.0_f32);
        for part in header.split(',').take(16) {
            let (tag, weight) = part.split_once(";q=").unwrap_or((part, "1"));
            let weight = weight.trim().parse().unwrap_or(0.0);
            let language = match tag.trim().get(..2).map(str::to_ascii_lowercase).as_deref() {
                Some("de") => Self::De,
                Some("en") => Self::En,
                _ => continue,
            };
            if weight > best.1 {
                best = (language, weight);
            }
        }
        best.0
    }

    pub fn tag(self) -> &'static str {
        match self {
            Self::De => "de",
            Self::En => "en",
        }
    }

    pub fn parse(tag: &str) -> Option<Self> {
        [Self::De, Self::En].into_iter().find(|language| language.tag() == tag)
    }

    fn catalogue(self) -> &'static Catalogue {
        match self {
            Self::De => &ALL.de,
            Self::En => &ALL.en,
        }
    }

    /// The text under `key`, or the key itself, which shows in the page that it is missing.
    pub fn text(self, key: &str) -> &str {
        self.catalogue().texts.get(key).map_or(key, String::as_str)
    }

    pub fn fill(self, key: &str, with: &[(&str, String)]) -> String {
        fill(self.text(key), with)
    }

    /// The refusal `code` with its facts filled in.
    pub fn refusal(self, code: &str, with: &[(&str, String)]) -> Sentence {
        match self.catalogue().refusals.get(code) {
            Some(found) => Sentence {
                title: if found.title.is_empty() { &found.message } else { &found.title }.clone(),
                message: fill(&found.message, with),
                why: fill(&found.why, with),
                remedy: fill(&found.remedy, with),
            },
            None => {
                let (title, message) = (code.to_owned(), code.to_owned());
                Sentence { title, message, why: String::new(), remedy: String::new() }
            }
        }
    }
}

/// One pass, so that a value that looks like a placeholder stays a value.
fn fill(text: &str, with: &[(&str, String)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let known = after.split_once('}').and_then(|(name, tail)| {
            with.iter().find(|(key, _)| *key == name).map(|(_, value)| (value.as_str(), tail))
        });
        let (value, tail) = known.unwrap_or(("{", after));
        filled.push_str(value);
        rest = tail;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn placeholders(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
    }

    fn shape(text: &str) -> BTreeMap<String, BTreeSet<String>> {
        let catalogue: Catalogue = toml::from_str(text).unwrap();
        let refusals = catalogue.refusals.into_iter().map(|(code, s)| {
            assert!(![&s.message, &s.why, &s.remedy].iter().any(|text| text.is_empty()), "{code}");
            // The title of a problem is the same each time (RFC 9457 §3.1.3).
            assert_eq!(s.title.is_empty(), placeholders(&s.message).is_empty(), "{code}");
            assert!(placeholders(&s.title).is_empty(), "{code}");
            (code, format!("{} {} {}", s.message, s.why, s.remedy))
        });
        let all =
            refusals.chain(catalogue.texts.into_iter().map(|(key, text)| (format!("text {key}"), text)));
        all.map(|(key, text)| (key, placeholders(&text).into_iter().map(str::to_owned).collect())).collect()
    }

    #[test]
    fn both_languages_have_the_same_keys_and_placeholders() {
        for (name, de, en) in CATALOGUES {
            assert_eq!(shape(de), shape(en), "{name}");
        }
    }

    #[test]
    fn every_refusal_code_in_the_source_has_its_sentences() {
        let mut missing = Vec::new();
        let mut pending = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(path) = pending.pop() {
            if path.is_dir() {
                pending.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            let kinds =
                ["bad_request", "forbidden", "not_found", "conflict", "too_large", "unprocessable", "new"];
            for kind in kinds {
                let call = format!("Refusal::{kind}(");
                let codes =
                    source.split(&call).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
                missing.extend(
                    codes
                        .filter_map(|rest| rest.split_once('"').map(|(code, _)| code.to_owned()))
                        .filter(|code| !ALL.en.refusals.contains_key(code)),
                );
            }
        }
        assert!(missing.is_empty(), "no sentence for {missing:?}");
    }

    #[test]
    fn values_are_filled_in_once() {
        let with = [("a", "{b}".to_owned()), ("b", "x".to_owned())];
        assert_eq!(fill("{a} {b} {c} {", &with), "{b} x {c} {");
    }

    #[test]
    fn the_browser_chooses_the_language() {
        let table = [
            ("", Language::De),
            ("en-GB", Language::En),
            ("fr, en;q=0.5, de;q=0.9", Language::De),
            ("xx;q=1", Language::De),
            ("en;q=0", Language::De),
        ];
        for (header, expected) in table {
            assert_eq!(Language::De.or_accepted(header), expected, "{header}");
        }
    }
}
