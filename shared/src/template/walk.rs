//! Checks each variable and helper of a parsed template against what exists.

use super::TemplateProblem;
use crate::facts::TEMPLATE_FACTS;
use crate::manifest::suggest;
use handlebars::Template;
use handlebars::template::{HelperTemplate, Parameter, TemplateElement};

/// Helpers that give a value, with the number of their arguments.
const VALUES: [(&str, std::ops::RangeInclusive<usize>); 10] = [
    ("eq", 2..=2),
    ("ne", 2..=2),
    ("gt", 2..=2),
    ("gte", 2..=2),
    ("lt", 2..=2),
    ("lte", 2..=2),
    ("and", 2..=8),
    ("or", 2..=8),
    ("not", 1..=1),
    ("len", 1..=1),
];
const BLOCKS: [&str; 3] = ["if", "unless", "each"];
const LOCALS: [&str; 5] = ["this", "@index", "@first", "@last", "@key"];

/// Problems of one template that are told at most, so that a bad one stays cheap.
const PROBLEMS: usize = 100;

struct Walk<'a> {
    params: &'a [&'a str],
    problems: Vec<TemplateProblem>,
    line: usize,
    in_each: bool,
}

pub(super) fn problems(template: &Template, params: &[&str]) -> Vec<TemplateProblem> {
    let mut walk = Walk { params, problems: Vec::new(), line: 1, in_each: false };
    walk.template(template);
    walk.problems
}

impl Walk<'_> {
    fn problem(&mut self, message: String, remedy: impl Into<String>) {
        self.problems.push(TemplateProblem::new(self.line, message, remedy));
    }

    fn template(&mut self, template: &Template) {
        for (element, mapping) in template.elements.iter().zip(&template.mapping) {
            self.line = mapping.0;
            match element {
                TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
                TemplateElement::Expression(tag) | TemplateElement::HtmlExpression(tag) => {
                    self.expression(tag)
                }
                TemplateElement::HelperBlock(tag) => self.block(tag),
                _ => self.problem("partials and decorators are not supported".into(), "write the text out"),
            }
        }
    }

    /// `{{params.port}}` or `{{eq a b}}`.
    fn expression(&mut self, tag: &HelperTemplate) {
        if tag.params.is_empty() && tag.hash.is_empty() {
            if let Some("facts.addresses" | "@root.facts.addresses") = tag.name.as_name() {
                let remedy = "write {{#each facts.addresses}}…{{/each}}, or facts.addresses.0";
                return self.problem("facts.addresses is a list".into(), remedy);
            }
            return self.argument(&tag.name);
        }
        self.value_helper(tag);
    }

    fn block(&mut self, tag: &HelperTemplate) {
        let name = tag.name.as_name().unwrap_or_default();
        if !BLOCKS.contains(&name) {
            self.problem(format!("there is no block {name:?}"), suggest(name, BLOCKS.into_iter()));
        } else if tag.params.len() != 1 || !tag.hash.is_empty() || tag.block_param.is_some() {
            self.problem(
                format!("#{name} takes exactly one argument"),
                format!("write {{{{#{name} params.x}}}}"),
            );
        }
        for argument in &tag.params {
            self.argument(argument);
        }
        let each = name == "each";
        if each && !matches!(tag.params.first().and_then(Parameter::as_name), Some("facts.addresses")) {
            self.problem(
                "#each works on lists only".into(),
                "write {{#each facts.addresses}}, not within another each",
            );
        }
        let outer = self.in_each;
        self.in_each |= each;
        tag.template.iter().for_each(|inner| self.template(inner));
        self.in_each = outer;
        tag.inverse.iter().for_each(|inner| self.template(inner));
    }

    fn value_helper(&mut self, tag: &HelperTemplate) {
        let name = tag.name.as_name().unwrap_or_default();
        match VALUES.iter().find(|(known, _)| *known == name) {
            None => self.problem(
                format!("there is no helper {name:?}"),
                suggest(name, VALUES.iter().map(|(known, _)| *known)),
            ),
            Some((_, count)) if !count.contains(&tag.params.len()) || !tag.hash.is_empty() => self.problem(
                format!("{name} takes {} to {} arguments", count.start(), count.end()),
                "give them without names",
            ),
            Some(_) => {}
        }
        for argument in &tag.params {
            self.argument(argument);
        }
    }

    fn argument(&mut self, argument: &Parameter) {
        match argument {
            Parameter::Literal(_) => {}
            Parameter::Subexpression(inner) => match inner.as_element() {
                TemplateElement::Expression(tag) => self.expression(tag),
                _ => self.problem("this subexpression is not supported".into(), "write (eq a b)"),
            },
            other => {
                let name = other.as_name().unwrap_or_default().to_owned();
                self.variable(&name);
            }
        }
    }

    fn variable(&mut self, name: &str) {
        if self.problems.len() >= PROBLEMS {
            return;
        }
        if LOCALS.contains(&name) {
            if !self.in_each {
                self.problem(format!("{name} exists within #each only"), "use params.<name> or facts.<name>");
            }
            return;
        }
        let (rooted, path) = match name.strip_prefix("@root.") {
            Some(path) => (true, path),
            None => (false, name),
        };
        let known = match path.split_once('.') {
            Some(("params", param)) => self.params.contains(&param),
            Some(("facts", fact)) => is_fact(fact),
            _ => false,
        };
        if !known {
            let params = self.params.iter().map(|p| format!("params.{p}"));
            let all: Vec<String> =
                params.chain(TEMPLATE_FACTS.iter().map(|f| format!("facts.{f}"))).collect();
            let remedy = suggest(path, all.iter().map(String::as_str));
            return self.problem(format!("there is no variable {:?}", crate::strict::shorten(name)), remedy);
        }
        if self.in_each && !rooted {
            self.problem(format!("{name} is not visible within #each"), format!("write @root.{name}"));
        }
    }
}

/// A known fact, or an item of the addresses such as `addresses.0`.
fn is_fact(name: &str) -> bool {
    match name.split_once('.') {
        None => TEMPLATE_FACTS.contains(&name),
        Some(("addresses", item)) => {
            (1..=4).contains(&item.len()) && item.bytes().all(|c| c.is_ascii_digit())
        }
        Some(_) => false,
    }
}
