//! What is said of one route. Knows no route itself.

use crate::kernel::http::person::{Access, Permission};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use shared::ids::ChangeRef;

/// Adds a type to the schemas of the document and gives a reference to it.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Who may call a route. Hosts have a port of their own, everybody else uses the people's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Public,
    Person {
        permission: &'static str,
        needs: Access,
    },
    /// An enrolled host, by its client certificate or by its signature on the request.
    Host,
}

/// What a host's request may be answered that comes through a proxy, because of its signature.
const SIGNED: [&str; 6] = [
    "request.unsigned",
    "request.forged",
    "request.other",
    "request.clock",
    "request.replayed",
    "agent.too_much",
];

pub const PUBLIC: Who = Who::Public;
pub const HOST: Who = Who::Host;

pub const fn may<P: Permission>() -> Who {
    Who::Person { permission: P::NAME, needs: P::NEEDS }
}

#[derive(Clone, Copy)]
pub enum Content {
    Nothing,
    Json(SchemaOf),
    /// Of this media type.
    Bytes(&'static str),
}

pub const fn json<T: JsonSchema>() -> Content {
    Content::Json(schema::<T>)
}

pub fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A part of the path, by its name in the pattern.
#[derive(Clone, Copy)]
pub struct Part {
    pub name: &'static str,
    pub schema: SchemaOf,
    /// Texts that are looked up as they are cannot be malformed.
    pub parsed: bool,
    /// Codes of refusals that come of it.
    refusals: &'static [&'static str],
}

impl Part {
    /// Whether it names a change.
    pub fn is_change(&self) -> bool {
        self.refusals == NUMBERED
    }
}

pub const fn part<T: JsonSchema>(name: &'static str) -> Part {
    Part { name, schema: schema::<T>, parsed: true, refusals: &[] }
}

/// Of changes that are named by their number of the year.
const NUMBERED: &[&str] = &["number.none", "number.unknown"];

/// A change, by its id or its number of the year.
pub const fn change(name: &'static str) -> Part {
    Part { refusals: NUMBERED, ..part::<ChangeRef>(name) }
}

pub const fn text(name: &'static str) -> Part {
    Part { name, schema: schema::<String>, parsed: false, refusals: &[] }
}

#[derive(Clone, Copy)]
pub struct Answer {
    pub status: u16,
    pub about: &'static str,
    pub content: Content,
}

pub const fn answer(status: u16, about: &'static str, content: Content) -> Answer {
    Answer { status, about, content }
}

/// One method of one path.
#[derive(Clone, Copy)]
pub struct Route {
    pub method: &'static str,
    /// As it is registered, with the patterns of its parts.
    pub path: &'static str,
    pub id: &'static str,
    pub who: Who,
    pub summary: &'static str,
    pub parts: &'static [Part],
    /// A type whose fields are the parameters behind `?`.
    pub query: Option<SchemaOf>,
    /// Name and meaning of headers that count.
    pub headers: &'static [(&'static str, &'static str)],
    pub request: Content,
    /// Whether a request without a body is understood too.
    pub may_be_empty: bool,
    pub answers: &'static [Answer],
    /// Codes of its own refusals; those of authority, reading and faults follow from the rest.
    pub refusals: &'static [&'static str],
}

pub const fn route(
    (method, path): (&'static str, &'static str),
    id: &'static str,
    who: Who,
    summary: &'static str,
) -> Route {
    let (parts, headers, answers, refusals) = (&[], &[], &[], &[]);
    let (request, may_be_empty, query) = (Content::Nothing, false, None);
    Route { method, path, id, who, summary, parts, query, headers, request, may_be_empty, answers, refusals }
}

impl Route {
    pub const fn parts(self, parts: &'static [Part]) -> Self {
        Self { parts, ..self }
    }

    pub const fn query<T: JsonSchema>(self) -> Self {
        Self { query: Some(schema::<T>), ..self }
    }

    pub const fn headers(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }

    pub const fn takes(self, request: Content) -> Self {
        Self { request, ..self }
    }

    pub const fn may_take(self, request: Content) -> Self {
        Self { request, may_be_empty: true, ..self }
    }

    pub const fn answers(self, answers: &'static [Answer]) -> Self {
        Self { answers, ..self }
    }

    pub const fn refuses(self, refusals: &'static [&'static str]) -> Self {
        Self { refusals, ..self }
    }

    /// Every code that it may answer, but the one for what the framework itself rejects.
    pub fn codes(&self) -> Vec<&'static str> {
        let mut codes = match self.who {
            Who::Public => vec![],
            Who::Person { needs: Access::Reader, .. } => {
                vec!["person.no_token", "person.unknown", "request.too_many", "person.out_of_scope"]
            }
            Who::Person { .. } => {
                let all = ["person.no_token", "person.unknown", "request.too_many"];
                [&all[..], &["person.not_allowed", "person.out_of_scope"]].concat()
            }
            Who::Host => {
                let mut codes = vec!["agent.no_identity", "agent.certificate_expired", "agent.not_enabled"];
                codes.extend(SIGNED);
                codes
            }
        };
        if matches!(self.request, Content::Json(_)) {
            codes.extend(["request.bad_json", "request.too_large"]);
        }
        if !matches!(self.request, Content::Nothing) {
            codes.extend(["request.broken_off", "request.too_slow"]);
        }
        if self.query.is_some() || self.parts.iter().any(|part| part.parsed) {
            codes.push("request.bad_parameter");
        }
        if self.parts.iter().any(Part::is_change) {
            codes.extend(NUMBERED);
        }
        if self.headers.iter().any(|(name, _)| *name == "If-Match") {
            codes.extend(["request.exists", "request.not_there", "request.other_version"]);
        }
        // Some of these a signed request may get from its signature already.
        codes.extend(self.refusals.iter().filter(|code| self.who != Who::Host || !SIGNED.contains(code)));
        codes.extend(["server.busy", "server.fault"]);
        codes
    }
}
