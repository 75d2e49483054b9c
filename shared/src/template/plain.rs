//! The shortcut for templates that are text with plain variables, as most are: no parser, no registry.
//!
//! Not a second meaning: it takes only what the full renderer gives the same text for, which a test compares,
//! and leaves everything else to it. Planning renders each template of a host anew, so this is most of its cost.

use super::{RENDERED_BYTES, TEMPLATE_BYTES};
use crate::facts::TemplateFacts;
use crate::manifest::ParamValue;
use crate::strict::Map;

/// Words that mean something to the full parser in some places.
const RESERVED: [&str; 6] = ["this", "else", "true", "false", "null", "as"];

/// A variable of a template.
enum Variable<'t> {
    Param(&'t str),
    Fact(&'t str),
}

/// True for a plain template of these parameters; it then has no problems.
pub(super) fn is_plain(template: &str, params: &[&str]) -> bool {
    each(template, |_, variable| match variable {
        Variable::Param(name) => params.contains(&name).then_some(()),
        Variable::Fact(name) => FACTS.iter().any(|(known, _)| *known == name).then_some(()),
    })
    .is_some()
}

/// The text of a plain template; `None` for any other, and for everything that has a problem.
pub(super) fn render(
    template: &str,
    params: &Map<String, ParamValue>,
    facts: &TemplateFacts,
) -> Option<String> {
    let mut output = String::with_capacity(template.len() + 64);
    let rest = each(template, |text, variable| {
        output.push_str(text);
        match variable {
            Variable::Param(name) => match params.get(name)? {
                ParamValue::Text(value) => output.push_str(value),
                ParamValue::Integer(value) => output.push_str(&value.to_string()),
                ParamValue::Boolean(value) => output.push_str(&value.to_string()),
                // Whoever may use it gives its text instead.
                ParamValue::Secret(_) => return None,
            },
            Variable::Fact(name) => {
                let (_, fact) = FACTS.iter().find(|(known, _)| *known == name)?;
                output.push_str(fact(facts));
            }
        }
        (output.len() <= RENDERED_BYTES).then_some(())
    })?;
    output.push_str(rest);
    (output.len() <= RENDERED_BYTES).then_some(output)
}

type Text = fn(&TemplateFacts) -> &str;

/// The facts that are one text each.
const FACTS: [(&str, Text); 9] = [
    ("hostname", |f| &f.hostname),
    ("fqdn", |f| &f.fqdn),
    ("os_id", |f| &f.os_id),
    ("os_version", |f| &f.os_version),
    ("os_codename", |f| &f.os_codename),
    ("kernel", |f| &f.kernel),
    ("arch", |f| &f.arch),
    ("agent_id", |f| &f.agent_id),
    ("host_class", |f| &f.host_class),
];

/// Calls `tag` for each variable with the text before it; gives the text after the last one. `None` as soon
/// as something is not plain, or `tag` says so.
fn each<'t>(template: &'t str, mut tag: impl FnMut(&'t str, Variable<'t>) -> Option<()>) -> Option<&'t str> {
    if template.len() > TEMPLATE_BYTES {
        return None;
    }
    let mut rest = template;
    while let Some((text, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}")?;
        // A backslash or a third brace makes something else of the tag.
        if text.ends_with('\\') || after.starts_with('}') {
            return None;
        }
        tag(text, variable(name)?)?;
        rest = after;
    }
    Some(rest)
}

fn variable(tag: &str) -> Option<Variable<'_>> {
    let (of, name) = tag.split_once('.')?;
    let word = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    if name.is_empty() || !name.bytes().all(word) || RESERVED.contains(&name) {
        return None;
    }
    match of {
        "params" => Some(Variable::Param(name)),
        "facts" => Some(Variable::Fact(name)),
        _ => None,
    }
}
