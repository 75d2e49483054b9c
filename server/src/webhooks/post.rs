//! One attempt: nothing of the answer counts but its status and how long to wait.

use crate::kernel::call::{Limits, Way, call};
use crate::kernel::endpoint::Endpoint;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use shared::time::Timestamp;
use shared::webhook::WebhookSecret;
use std::time::Duration;

const LIMITS: Limits = Limits { patience: Duration::from_secs(15), body: None };

/// What one attempt carries.
pub(super) struct Message<'a> {
    pub id: &'a str,
    pub body: &'a str,
    pub secret: &'a WebhookSecret,
    /// When this attempt begins.
    pub at: Timestamp,
}

/// It did not arrive, or nobody knows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub why: String,
    /// Seconds that the subscriber asks for.
    pub wait: Option<i64>,
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self { why, wait: None }
    }
}

/// # Errors
/// Anything but a 2xx answer in time.
pub(super) async fn post(endpoint: &Endpoint, message: &Message<'_>, way: Way<'_>) -> Result<(), Failed> {
    let request = Request::post("/")
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", message.id)
        .header("webhook-timestamp", message.at.0)
        .header("webhook-signature", message.secret.sign(message.id, message.at, message.body.as_bytes()));
    let body = Bytes::copy_from_slice(message.body.as_bytes());
    let answer = call(endpoint, (request, body), way, LIMITS).await?;
    match answer.status.is_success() {
        true => Ok(()),
        false => Err(Failed { why: answer.told(), wait: answer.wait(message.at) }),
    }
}
