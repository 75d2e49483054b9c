//! Around every request: an id, one log line for a fault, errors in the reader's language, security headers.

use super::outgoing::{self, Outgoing};
use super::{pace, person};
use crate::kernel::error::{Error, Refusal};
use crate::kernel::i18n::{Language, Sentence};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::{
    InternalError, JsonPayloadError, PathError, PayloadError, QueryPayloadError, UrlencodedError,
};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse};
use shared::wire::Problem;
use std::future::{Ready, ready};

/// The id of a request, which is the reference number of a fault: 16 hex digits.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// The language a listener answers in when the client does not ask for one.
#[derive(Debug, Clone, Copy)]
pub struct DefaultLanguage(pub Language);

const HEADERS: [(HeaderName, &str); 7] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // For browsers that do not know `frame-ancestors` below.
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Outermost middleware of both listeners.
pub async fn edge<B: MessageBody + 'static>(
    mut req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<Outgoing>, actix_web::Error> {
    let (id, line) = (request_id(), outgoing::line(&req));
    let language = language_of(req.request());
    req.extensions_mut().insert(RequestId(id.clone()));
    req.extensions_mut().insert(language);
    person::recognise(req.request()).await;
    pace::watch(&mut req);
    let mut response = match next.call(req).await {
        Ok(response) => match response.response().error() {
            Some(error) => {
                let told = tell(error, response.status(), response.request(), &id, language);
                response.into_response(told).map_into_right_body()
            }
            // The framework refuses some requests by itself, such as a method that a path does not have.
            None if response.status().is_client_error()
                && !response.headers().contains_key(header::CONTENT_TYPE) =>
            {
                let status = response.status();
                let refusal = Refusal::new("request.rejected", status).with("status", status.as_u16());
                let mut told = body(&refusal, &id, language);
                if let Some(allow) = response.headers().get(header::ALLOW) {
                    told.headers_mut().insert(header::ALLOW, allow.clone());
                }
                response.into_response(told).map_into_right_body()
            }
            None => response.map_into_left_body(),
        },
        Err(error) => {
            let status = error.as_response_error().status_code();
            let refusal = Refusal::new("request.rejected", status).with("status", status.as_u16());
            let mut told = body(&refusal, &id, language);
            secure(told.headers_mut(), &id);
            return Err(InternalError::from_response(error, told).into());
        }
    };
    secure(response.headers_mut(), &id);
    Ok(outgoing::watch(response, line))
}

fn tell(
    error: &actix_web::Error,
    status: StatusCode,
    req: &HttpRequest,
    id: &str,
    language: Language,
) -> HttpResponse<BoxBody> {
    let path = req.match_pattern().unwrap_or_default();
    let refusal = match error.as_error::<Error>() {
        Some(ours) => {
            match ours {
                Error::Fault(_) => {
                    tracing::error!(r#ref = id, method = %req.method(), path, error = ours.chain(), "fault");
                }
                Error::Busy => tracing::warn!(r#ref = id, method = %req.method(), path, "busy"),
                Error::Refusal(refusal) => {
                    tracing::debug!(r#ref = id, method = %req.method(), path, code = refusal.code, "refused");
                }
            }
            ours.as_refusal()
        }
        None => match error.as_error::<PayloadError>() {
            Some(broken) => pace::broken(broken),
            None => Refusal::new("request.rejected", status).with("status", status.as_u16()),
        },
    };
    body(&refusal, id, language)
}

fn body(refusal: &Refusal, id: &str, language: Language) -> HttpResponse<BoxBody> {
    let Sentence { title, message, why, remedy } = language.refusal(refusal.code, &refusal.with);
    let problem = Problem::new(refusal.code, refusal.status.as_u16(), id, [title, message, why, remedy]);
    let mut response = HttpResponse::build(refusal.status);
    if let Some(secs) = refusal.retry_after {
        response.insert_header((header::RETRY_AFTER, secs));
    }
    if refusal.status == StatusCode::UNAUTHORIZED {
        // RFC 6750 §3: no error code for somebody who has shown no token.
        let why = if refusal.code == "person.no_token" { "" } else { ", error=\"invalid_token\"" };
        response.insert_header((header::WWW_AUTHENTICATE, format!("Bearer realm=\"assent\"{why}")));
    }
    response
        .insert_header((header::CONTENT_LANGUAGE, language.tag()))
        .content_type(Problem::MEDIA)
        .body(shared::strict::to_json(&problem))
}

/// A handler's own header wins, except where the edge must be sure.
fn secure(headers: &mut HeaderMap, id: &str) {
    for (name, value) in HEADERS {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
}

fn language_of(req: &HttpRequest) -> Language {
    let default = req.app_data::<Data<DefaultLanguage>>().map_or(Language::De, |default| default.0);
    let asked = req.headers().get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    asked.map_or(default, |asked| default.or_accepted(asked))
}

fn request_id() -> String {
    let mut random = [0; 8];
    if let Err(error) = getrandom::fill(&mut random) {
        // An id that is not unique is better than no answer.
        tracing::warn!(%error, "no randomness for a request id");
    }
    shared::digest::hex(&random)
}

/// Extractor: the language of this request.
impl FromRequest for Language {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(req: &HttpRequest, _: &mut actix_web::dev::Payload) -> Self::Future {
        let language = req.extensions().get::<Self>().copied();
        ready(Ok(language.unwrap_or_else(|| language_of(req))))
    }
}

/// Body limits and typed extractor errors, the same on both listeners.
pub fn extractors(limit: usize) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        config
            .app_data(web::PayloadConfig::new(limit))
            .app_data(web::JsonConfig::default().limit(limit).error_handler(move |error, _| match &error {
                JsonPayloadError::Overflow { .. }
                | JsonPayloadError::OverflowKnownLength { .. }
                | JsonPayloadError::Payload(PayloadError::Overflow) => too_large(limit),
                JsonPayloadError::Payload(broken) => Error::from(pace::broken(broken)).into(),
                other => unreadable("request.bad_json", other),
            }))
            .app_data(web::FormConfig::default().limit(limit).error_handler(move |error, _| match &error {
                UrlencodedError::Overflow { .. } => too_large(limit),
                UrlencodedError::Payload(broken) => Error::from(pace::broken(broken)).into(),
                other => unreadable("request.bad_parameter", other),
            }))
            .app_data(
                web::PathConfig::default()
                    .error_handler(|error: PathError, _| unreadable("request.bad_parameter", &error)),
            )
            .app_data(
                web::QueryConfig::default()
                    .error_handler(|error: QueryPayloadError, _| unreadable("request.bad_parameter", &error)),
            );
    }
}

fn too_large(limit: usize) -> actix_web::Error {
    Error::from(Refusal::too_large("request.too_large").with("limit", limit)).into()
}

fn unreadable(code: &'static str, error: &dyn std::fmt::Display) -> actix_web::Error {
    Error::from(Refusal::bad_request(code).with("detail", shared::strict::shorten(&error.to_string()))).into()
}

/// Answer for every path that no route has.
pub async fn nowhere(req: HttpRequest) -> Result<HttpResponse, Error> {
    Err(Refusal::not_found("request.not_found").with("path", shared::strict::shorten(req.path())).into())
}
