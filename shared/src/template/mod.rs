//! Templates of host files and addresses: a small, checkable part of handlebars in strict mode.
//!
//! Variables are `params.<declared>` and `facts.<known>` only; an unknown one is an error, before anything is
//! rendered and on the author's desk already. Helpers: if, unless, each (over `facts.addresses`), eq, ne, gt,
//! gte, lt, lte, and, or, not, len. Nothing is escaped. No partials, decorators, raw blocks or `\{{`: with them
//! neither time nor stack would be bounded. Literal braces go into a parameter or into `content`.

mod plain;
mod scan;
mod walk;

use crate::facts::{TEMPLATE_FACTS, TemplateFacts};
use crate::manifest::ParamValue;
use crate::strict::Map;
use handlebars::{Handlebars, RenderErrorReason, Template, no_escape};
use serde::Serialize;
use std::io::{self, Write};

/// A template; larger texts are artifacts.
pub const TEMPLATE_BYTES: usize = 256 << 10;
/// A rendered template.
pub const RENDERED_BYTES: usize = 1 << 20;

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template line {line}: {message}; {remedy}")]
pub struct TemplateProblem {
    /// Line within the template, from 1.
    pub line: usize,
    pub message: String,
    pub remedy: String,
}

impl TemplateProblem {
    fn new(line: usize, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { line, message: message.into(), remedy: remedy.into() }
    }
}

/// All problems of a template whose parameters are `params`; empty when it can be rendered.
pub fn check(template: &str, params: &[&str]) -> Vec<TemplateProblem> {
    if plain::is_plain(template, params) {
        return Vec::new();
    }
    match compile(template) {
        Ok(compiled) => walk::problems(&compiled, params),
        Err(problem) => vec![problem],
    }
}

/// Renders a template.
///
/// # Errors
/// The first problem of [`check`], a missing list item such as `facts.addresses.3`, values that cannot be
/// compared, or a result above [`RENDERED_BYTES`].
pub fn render(
    template: &str,
    params: &Map<String, ParamValue>,
    facts: &TemplateFacts,
) -> Result<String, TemplateProblem> {
    match plain::render(template, params, facts) {
        Some(text) => Ok(text),
        None => render_any(template, params, facts),
    }
}

fn render_any(
    template: &str,
    params: &Map<String, ParamValue>,
    facts: &TemplateFacts,
) -> Result<String, TemplateProblem> {
    let compiled = compile(template)?;
    let names: Vec<&str> = params.keys().map(String::as_str).collect();
    if let Some(problem) = walk::problems(&compiled, &names).into_iter().next() {
        return Err(problem);
    }
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_escape_fn(no_escape);
    registry.register_template(NAME, compiled);
    let mut output = Capped(Vec::new());
    registry.render_to_write(NAME, &Data { params, facts }, &mut output).map_err(explain)?;
    String::from_utf8(output.0)
        .map_err(|e| TemplateProblem::new(1, e.to_string(), "remove the part that is not text"))
}

const NAME: &str = "template";

#[derive(Serialize)]
struct Data<'a> {
    params: &'a Map<String, ParamValue>,
    facts: &'a TemplateFacts,
}

fn compile(template: &str) -> Result<Template, TemplateProblem> {
    if template.len() > TEMPLATE_BYTES {
        let message = format!("the template has {} bytes", template.len());
        return Err(TemplateProblem::new(
            1,
            message,
            format!("use at most {TEMPLATE_BYTES} bytes, or an artifact"),
        ));
    }
    scan::scan(template)?;
    Template::compile(template).map_err(|e| {
        let line = e.pos().map_or(1, |(line, _)| line);
        TemplateProblem::new(line, first_line(&e.reason().to_string()), "correct the handlebars syntax")
    })
}

fn first_line(text: &str) -> String {
    crate::strict::shorten(text.lines().map(str::trim).rfind(|l| !l.is_empty()).unwrap_or("not a template"))
}

fn explain(error: handlebars::RenderError) -> TemplateProblem {
    let line = error.line_no.unwrap_or(1);
    match error.reason() {
        RenderErrorReason::MissingVariable(Some(name)) => TemplateProblem::new(
            line,
            format!("{} has no value here", crate::strict::shorten(name)),
            format!("use params.<name> or facts.<one of {}>", TEMPLATE_FACTS.join(", ")),
        ),
        RenderErrorReason::IOError(error) => {
            TemplateProblem::new(line, error.to_string(), "split the file or ship it as an artifact")
        }
        reason => {
            TemplateProblem::new(line, first_line(&reason.to_string()), "compare values of the same type")
        }
    }
}

/// Memory that refuses to grow above [`RENDERED_BYTES`].
struct Capped(Vec<u8>);

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > RENDERED_BYTES {
            return Err(io::Error::other(format!("the result has more than {RENDERED_BYTES} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
