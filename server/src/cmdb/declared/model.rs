//! What may be declared, and how two declarations differ. Pure.

use crate::kernel::error::Refusal;
use shared::limits;
use shared::wire::{CiClass, CiRef, Declare, Declared, Item};
use std::collections::BTreeSet;

/// Items in one request.
const ITEMS: usize = 10_000;
/// Bytes of a word such as an owner or a label.
const WORD: usize = 120;
/// Labels, scopes and relations of one item.
const MANY: usize = 200;

fn bad(item: Option<&CiRef>, why: impl Into<String>) -> Refusal {
    let item = item.map_or_else(|| "-".to_owned(), CiRef::to_string);
    Refusal::unprocessable("ci.bad_declaration").with("item", item).with("why", why.into())
}

/// Whether the request can be done as far as can be told from itself alone.
///
/// # Errors
/// `ci.bad_declaration` with the item and what is wrong.
pub(super) fn check(declare: &Declare) -> Result<(), Refusal> {
    if !limits::is_text(&declare.reason) {
        return Err(bad(None, format!("a reason of 1 to {} bytes is needed", limits::TEXT_BYTES)));
    }
    if declare.items.is_empty() || declare.items.len() > ITEMS {
        return Err(bad(
            None,
            format!("1 to {ITEMS} items fit in one request; this has {}", declare.items.len()),
        ));
    }
    let mut seen = BTreeSet::new();
    for item in &declare.items {
        if !seen.insert(&item.item) {
            return Err(bad(Some(&item.item), "it is named twice"));
        }
        check_item(item).map_err(|why| bad(Some(&item.item), why))?;
    }
    Ok(())
}

fn check_item(item: &Item) -> Result<(), String> {
    let Declared { owner, environment, scopes, description, labels, .. } = &item.declared;
    let word = |text: &str| {
        (1..=WORD).contains(&text.len()) && text.trim() == text && !text.chars().any(char::is_control)
    };
    for (what, text) in [("owner", owner), ("environment", environment)] {
        if text.as_ref().is_some_and(|text| !word(text)) {
            return Err(format!("{what} must be a word of 1 to {WORD} bytes"));
        }
    }
    if description.as_ref().is_some_and(|text| !limits::is_text(text)) {
        return Err(format!("description must be a text of 1 to {} bytes", limits::TEXT_BYTES));
    }
    if scopes.len() > MANY || !scopes.iter().all(|scope| word(scope)) {
        return Err(format!("scopes must be at most {MANY} words"));
    }
    let label = |(name, value): (&String, &String)| {
        word(name) && !name.contains('=') && (value.is_empty() || word(value))
    };
    if labels.len() > MANY || !labels.iter().all(label) {
        return Err(format!("labels must be at most {MANY} pairs of words"));
    }
    if item.item.class == CiClass::Host && !labels.is_empty() {
        return Err("labels of a host choose targets of changes: set them with `assent ci label`".into());
    }
    let relations = item.relations.iter().flatten();
    if relations.clone().count() > MANY {
        return Err(format!("at most {MANY} relations begin at one item"));
    }
    match relations.clone().any(|relation| relation.to == item.item) {
        true => Err("it cannot be related to itself".into()),
        false => Ok(()),
    }
}

/// Field by field, such as `owner: web -> shop`.
pub(super) fn differences(before: &Declared, after: &Declared) -> Vec<String> {
    let [before, after] = [before, after].map(fields);
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let told = |value: Option<&serde_json::Value>| match value {
        None => "-".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    keys.into_iter()
        .filter(|key| before.get(*key) != after.get(*key))
        .map(|key| format!("{key}: {} -> {}", told(before.get(key)), told(after.get(key))))
        .collect()
}

/// Labels and scopes one by one, so that a difference names what differs.
fn fields(declared: &Declared) -> serde_json::Map<String, serde_json::Value> {
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::to_value(declared) else {
        return serde_json::Map::new();
    };
    for key in ["labels", "scopes"] {
        match fields.remove(key) {
            Some(serde_json::Value::Object(all)) => {
                fields.extend(all.into_iter().map(|(name, value)| (format!("label {name}"), value)));
            }
            Some(serde_json::Value::Array(all)) => {
                let name = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
                fields.extend(all.iter().map(|value| (format!("scope {}", name(value)), true.into())));
            }
            _ => {}
        }
    }
    fields
}
