//! Where news and reminders are sent.

use super::{LARGE, SMALL};
use crate::error::Done;
use crate::net::{Client, Method, Request};
use serde::Serialize;
use shared::ids::{PersonId, WebhookName};
use shared::strict;
use shared::wire::{DeliveryPage, InboxItem, MailLine, NewWebhook, WebhookLine, WebhookTried};

impl Client {
    pub fn inbox(&self) -> Done<Vec<InboxItem>> {
        self.read("what waits for you", &Request::get("/v1/inbox", SMALL * 4))
    }

    pub fn mail_addresses(&self) -> Done<Vec<MailLine>> {
        self.read("the addresses", &Request::get("/v1/mail-addresses", SMALL * 4))
    }

    /// Without an address there is no mail any more.
    pub fn put_mail(&self, person: &PersonId, address: Option<&str>, language: &str) -> Done {
        #[derive(Serialize)]
        struct Put<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            address: Option<&'a str>,
            language: &'a str,
        }
        let body = strict::to_json(&Put { address, language });
        let path = format!("/v1/people/{person}/mail");
        self.send(&Request::json(Method::PUT, &path, body, SMALL))?.good().map(drop)
    }

    pub fn webhooks(&self) -> Done<Vec<WebhookLine>> {
        self.read("the list of webhooks", &Request::get("/v1/webhooks", SMALL * 4))
    }

    pub fn new_webhook(&self, new: &NewWebhook) -> Done {
        let request = Request::json(Method::POST, "/v1/webhooks", strict::to_json(new), SMALL);
        self.send(&request)?.good().map(drop)
    }

    pub fn end_webhook(&self, name: &WebhookName) -> Done {
        let path = format!("/v1/webhooks/{name}");
        self.send(&Request::json(Method::DELETE, &path, Vec::new(), SMALL))?.good().map(drop)
    }

    pub fn try_webhook(&self, name: &WebhookName) -> Done<WebhookTried> {
        let path = format!("/v1/webhooks/{name}/test");
        self.read("the event", &Request::json(Method::POST, &path, Vec::new(), SMALL))
    }

    pub fn deliveries(&self, name: &WebhookName, before: Option<u64>) -> Done<DeliveryPage> {
        let before = before.map(|before| format!("before={before}")).unwrap_or_default();
        let path = format!("/v1/webhooks/{name}/deliveries?{before}");
        self.read("the deliveries", &Request::get(path.trim_end_matches('?'), LARGE))
    }

    pub fn redeliver(&self, name: &WebhookName, number: u64) -> Done {
        let path = format!("/v1/webhooks/{name}/deliveries/{number}/again");
        self.send(&Request::json(Method::POST, &path, Vec::new(), SMALL))?.good().map(drop)
    }
}
