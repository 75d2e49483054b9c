//! Routes of webhooks.

use super::DONE;
use crate::kernel::http::person::ManageWebhooks;
use crate::openapi::route::{Route, answer, json, may, part, route};
use crate::webhooks;
use shared::ids::WebhookName;
use shared::wire;

pub(super) const WEBHOOKS: &[Route] = &[
    route(
        ("GET", "/v1/webhooks"),
        "listWebhooks",
        may::<ManageWebhooks>(),
        "Lists the webhooks that have not ended, by name, and how they go.",
    )
    .answers(&[answer(200, "the webhooks, without their secrets", json::<Vec<wire::WebhookLine>>())]),
    route(
        ("POST", "/v1/webhooks"),
        "addWebhook",
        may::<ManageWebhooks>(),
        "Subscribes to news; with a secret of one's own the same request again changes nothing.",
    )
    .takes(json::<wire::NewWebhook>())
    .answers(&[answer(200, "a secret that the server made, shown once", json::<wire::WebhookMade>())])
    .refuses(&["webhook.bad", "webhook.taken", "webhook.too_many"]),
    route(
        ("DELETE", "/v1/webhooks/{webhook}"),
        "endWebhook",
        may::<ManageWebhooks>(),
        "Ends a webhook: nothing more is sent to it.",
    )
    .parts(&[part::<WebhookName>("webhook")])
    .answers(DONE)
    .refuses(&["webhook.unknown"]),
    route(
        ("POST", "/v1/webhooks/{webhook}/test"),
        "testWebhook",
        may::<ManageWebhooks>(),
        "Sends a webhook an event that means nothing.",
    )
    .parts(&[part::<WebhookName>("webhook")])
    .answers(&[answer(200, "the event", json::<wire::WebhookTried>())])
    .refuses(&["webhook.unknown"]),
    route(
        ("GET", "/v1/webhooks/{webhook}/deliveries"),
        "listDeliveries",
        may::<ManageWebhooks>(),
        "Lists the deliveries of a webhook, newest first.",
    )
    .parts(&[part::<WebhookName>("webhook")])
    .query::<webhooks::Wanted>()
    .answers(&[answer(200, "a page", json::<wire::DeliveryPage>())])
    .refuses(&["webhook.unknown"]),
    route(
        ("POST", "/v1/webhooks/{webhook}/deliveries/{number}/again"),
        "redeliver",
        may::<ManageWebhooks>(),
        "Sends a delivery again, whatever became of it.",
    )
    .parts(&[part::<WebhookName>("webhook"), part::<u64>("number")])
    .answers(DONE)
    .refuses(&["webhook.unknown", "webhook.no_delivery"]),
];
