//! The two ways a request can fail: the domain said no (refusal), or the world is broken (fault).
//!
//! A refusal has a stable code and sentences in the catalogue and is told to the user. A fault's chain is logged
//! once at the edge; the user gets a reference number only.

use super::db::DbError;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use std::fmt::{self, Display};

/// `with` are the facts that the sentences of `code` name as `{key}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: &'static str,
    pub status: StatusCode,
    pub with: Vec<(&'static str, String)>,
    /// Seconds after which the same request will do.
    pub retry_after: Option<u64>,
}

impl Refusal {
    pub fn new(code: &'static str, status: StatusCode) -> Self {
        Self { code, status, with: Vec::new(), retry_after: None }
    }

    pub fn bad_request(code: &'static str) -> Self {
        Self::new(code, StatusCode::BAD_REQUEST)
    }

    /// A body that is not what the route reads.
    pub fn bad_json(error: impl std::fmt::Display) -> Self {
        Self::bad_request("request.bad_json").with("detail", error)
    }

    pub fn forbidden(code: &'static str) -> Self {
        Self::new(code, StatusCode::FORBIDDEN)
    }

    pub fn not_found(code: &'static str) -> Self {
        Self::new(code, StatusCode::NOT_FOUND)
    }

    pub fn conflict(code: &'static str) -> Self {
        Self::new(code, StatusCode::CONFLICT)
    }

    /// A condition of the request does not hold.
    pub fn precondition(code: &'static str) -> Self {
        Self::new(code, StatusCode::PRECONDITION_FAILED)
    }

    pub fn too_large(code: &'static str) -> Self {
        Self::new(code, StatusCode::PAYLOAD_TOO_LARGE)
    }

    pub fn unprocessable(code: &'static str) -> Self {
        Self::new(code, StatusCode::UNPROCESSABLE_ENTITY)
    }

    #[must_use]
    pub fn retry_after(self, secs: u64) -> Self {
        Self { retry_after: Some(secs), ..self }
    }

    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Display) -> Self {
        self.with.push((key, value.to_string()));
        self
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("refused: {}", .0.code)]
    Refusal(Refusal),
    /// Nothing was changed; the same request may succeed soon.
    #[error("busy")]
    Busy,
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// `doing` says what was tried; the cause is the source.
#[derive(Debug)]
pub struct Fault {
    doing: String,
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.cause)
    }
}

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Characters of an error of another program that are kept.
pub const TOLD_CHARS: usize = 300;

/// What another program said, as it may stand in a table: one line, not too long.
pub fn one_line(said: &str) -> String {
    said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TOLD_CHARS).collect()
}

impl Error {
    pub fn fault(
        doing: impl Into<String>,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Fault(Fault { doing: doing.into(), cause: cause.into() })
    }

    /// The error and its causes in one line, for logs.
    pub fn chain(&self) -> String {
        chain(self)
    }

    /// What the edge tells the user.
    pub fn as_refusal(&self) -> Refusal {
        match self {
            Self::Refusal(refusal) => refusal.clone(),
            Self::Busy => Refusal::new("server.busy", StatusCode::SERVICE_UNAVAILABLE).retry_after(5),
            Self::Fault(_) => Refusal::new("server.fault", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Busy => Self::Busy,
            other => Self::fault("using the database", other),
        }
    }
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        Self::fault("querying the database", error)
    }
}

/// Only the status: the edge replaces the body, because only it knows the language and the reference number.
impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        self.as_refusal().status
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line() {
        assert_eq!(one_line("a\r\nb\u{1b}[2J"), "a  b [2J");
        assert_eq!(one_line(&"ä".repeat(1_000)).chars().count(), TOLD_CHARS);
    }
}
