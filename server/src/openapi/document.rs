//! The document from the table.

use super::refusals::status;
use super::route::{Answer, Content, Part, Route, Who, schema};
use super::table::ROUTES;
use crate::kernel::http::person::Access;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use shared::news::NewsEvent;
use shared::wire::Problem;
use std::collections::BTreeMap;

/// Where OpenAPI keeps schemas, as a JSON pointer.
const SCHEMAS: &str = "/components/schemas";

/// The whole description.
pub fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = SCHEMAS.into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for (tag, routes) in ROUTES {
        for route in *routes {
            let path = paths.entry(template(route.path)).or_insert_with(|| json!({}));
            path[route.method.to_lowercase()] = operation(&mut generator, tag, route);
            if route.who == Who::Host {
                path["servers"] = json!([agents_port()]);
            }
        }
    }
    let rejected = rejected(&mut generator);
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "assent server",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
        },
        "servers": [people_port()],
        "tags": ROUTES.iter().map(|(tag, _)| json!({ "name": tag })).collect::<Vec<_>>(),
        "paths": paths,
        "webhooks": { "news": received(&mut generator) },
        "components": {
            "responses": { "Rejected": rejected },
            "schemas": generator.take_definitions(true),
            "securitySchemes": security_schemes(),
        },
    });
    without_null(&mut document);
    document
}

/// What subscribers get.
fn received(generator: &mut SchemaGenerator) -> Value {
    let header = |name: &str, about: &str| json!({ "name": name, "in": "header", "required": true, "description": about, "schema": { "type": "string" } });
    json!({ "post": {
        "operationId": "receiveNews",
        "summary": "What a subscriber gets, by the Standard Webhooks specification; at least once, in no promised order.",
        "parameters": [
            header("webhook-id", "the same in each attempt"),
            header("webhook-timestamp", "seconds since 1970 at this attempt"),
            header("webhook-signature", "`v1,` and the base64 of HMAC-SHA256 over id, timestamp and body with dots between them"),
        ],
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": schema::<NewsEvent>(generator) } },
        },
        "responses": { "2XX": { "description": "taken; anything else, or 15 seconds of silence, is tried again" } },
    } })
}

const DESCRIPTION: &str = "The interface of one site's server for people and hosts. It stores, serves and \
records; what counts is signed, and whoever needs certainty verifies the envelopes in the answers. \
Sending a signed statement again answers the same. Keys without a value are left out, never null. \
Every refusal is a Problem (RFC 9457) with a stable code; its sentences follow Accept-Language (de, en).";

fn people_port() -> Value {
    json!({
        "url": "https://{people}",
        "description": "the people's port",
        "variables": { "people": { "default": "localhost:8443", "description": "host and port" } },
    })
}

fn agents_port() -> Value {
    json!({
        "url": "https://{agents}",
        "description": "the hosts' port",
        "variables": { "agents": { "default": "localhost:8444", "description": "host and port" } },
    })
}

fn security_schemes() -> Value {
    json!({
        "personToken": {
            "type": "http", "scheme": "bearer",
            "description": "The token of a person; it gives access to the server and approves nothing.",
        },
        "hostCertificate": {
            "type": "mutualTLS",
            "description": "The certificate that the host got when it joined.",
        },
        "hostSignature": {
            "type": "apiKey", "in": "header", "name": shared::request::HEADER,
            "description": "Through a proxy that ends TLS: the request as the host has signed it, an envelope in base64.",
        },
    })
}

/// The registered path without the patterns of its parts.
fn template(path: &str) -> String {
    let mut template = String::new();
    let mut rest = path;
    while let Some((before, (inside, after))) =
        rest.split_once('{').and_then(|(before, tail)| Some((before, tail.split_once('}')?)))
    {
        let name = inside.split_once(':').map_or(inside, |(name, _)| name);
        template.push_str(&format!("{before}{{{name}}}"));
        rest = after;
    }
    template + rest
}

fn operation(generator: &mut SchemaGenerator, tag: &str, route: &Route) -> Value {
    let mut operation = json!({
        "operationId": route.id,
        "tags": [tag],
        "summary": route.summary,
        "responses": responses(generator, route),
    });
    let parameters = parameters(generator, route);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(content) = content(generator, route.request) {
        operation["requestBody"] = json!({ "required": !route.may_be_empty, "content": content });
    }
    match route.who {
        Who::Public => operation["security"] = json!([]),
        Who::Host => operation["security"] = json!([{ "hostCertificate": [] }, { "hostSignature": [] }]),
        Who::Person { permission, needs } => {
            operation["security"] = json!([{ "personToken": [] }]);
            operation["x-permission"] = permission.into();
            operation["x-access"] = needs.as_str().into();
            if needs > Access::Reader {
                operation["description"] =
                    format!("Needs a person with the access `{}`.", needs.as_str()).into();
            }
        }
    }
    operation
}

fn content(generator: &mut SchemaGenerator, content: Content) -> Option<Value> {
    match content {
        Content::Nothing => None,
        Content::Json(schema) => Some(json!({ "application/json": { "schema": schema(generator) } })),
        Content::Bytes(media) => Some(json!({ media: {} })),
    }
}

fn parameters(generator: &mut SchemaGenerator, route: &Route) -> Vec<Value> {
    let mut all: Vec<Value> = route.parts.iter().map(|part| path_part(generator, part)).collect();
    if let Some(query) = route.query {
        let schema = query(generator);
        all.extend(query_parts(generator, &schema));
    }
    let header = |(name, about): &(&str, &str)| json!({ "name": name, "in": "header", "description": about, "schema": { "type": "string" } });
    all.extend(route.headers.iter().map(header));
    all
}

fn path_part(generator: &mut SchemaGenerator, part: &Part) -> Value {
    json!({ "name": part.name, "in": "path", "required": true, "schema": (part.schema)(generator) })
}

/// One parameter for each field; the type itself is not part of the document.
fn query_parts(generator: &mut SchemaGenerator, reference: &Schema) -> Vec<Value> {
    let name = reference.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    let Some(schema) = name.and_then(|name| generator.definitions_mut().remove(name)) else {
        return Vec::new();
    };
    let required =
        |field: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|name| name == field));
    let fields = schema["properties"].as_object().into_iter().flatten();
    let parameter = |(field, schema): (&String, &Value)| {
        let mut schema = schema.clone();
        let about = schema.as_object_mut().and_then(|keys| keys.remove("description"));
        let mut parameter = json!({ "name": field, "in": "query", "schema": schema });
        if let Some(about) = about {
            parameter["description"] = about;
        }
        if required(field) {
            parameter["required"] = true.into();
        }
        parameter
    };
    fields.map(parameter).collect()
}

fn problem(generator: &mut SchemaGenerator) -> Value {
    json!({ Problem::MEDIA: { "schema": schema::<Problem>(generator) } })
}

/// What no handler has seen, such as a wrong method.
fn rejected(generator: &mut SchemaGenerator) -> Value {
    json!({ "description": "`request.rejected`", "content": problem(generator), "x-codes": ["request.rejected"] })
}

fn responses(generator: &mut SchemaGenerator, route: &Route) -> Value {
    let mut responses = Map::new();
    for Answer { status, about, content: given } in route.answers {
        let mut response = json!({ "description": about });
        if let Some(body) = content(generator, *given) {
            response["content"] = body;
        }
        responses.insert(status.to_string(), response);
    }
    let problem = problem(generator);
    let mut refusals: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in route.codes() {
        refusals.entry(status(code).unwrap_or_default()).or_default().push(code);
    }
    for (status, codes) in refusals {
        let named = codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(", ");
        let refusal = json!({ "description": named, "content": problem, "x-codes": codes });
        responses.insert(status.to_string(), refusal);
    }
    responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Rejected" }));
    responses.into()
}

/// Optional keys are left out, never null.
fn without_null(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(keys) => {
            if let Some(Value::Array(types)) = keys.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    keys.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = keys.get("anyOf")
                && let [Value::Object(inner), null] = choices.as_slice()
                && null["type"] == "null"
            {
                let inner = inner.clone();
                keys.remove("anyOf");
                keys.extend(inner);
            }
            keys.values_mut().for_each(without_null);
        }
        _ => {}
    }
}
