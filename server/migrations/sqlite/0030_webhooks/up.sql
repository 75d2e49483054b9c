-- Subscriptions to news. The secret signs deliveries, so it is stored as it is; one that has ended has none.
CREATE TABLE webhook (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    kinds TEXT NOT NULL,
    secret BLOB NOT NULL,
    person TEXT NOT NULL,
    created BIGINT NOT NULL,
    ended BIGINT,
    failures INTEGER NOT NULL,
    failing_since BIGINT,
    paused_until BIGINT NOT NULL,
    last_error TEXT
);
CREATE INDEX webhook_name ON webhook (name);
CREATE TABLE webhook_event (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    at BIGINT NOT NULL,
    body TEXT NOT NULL
);
-- An event on its way to a subscriber. `since`: from when on it is tried; `next_at` is absent when nobody tries it any more.
CREATE TABLE webhook_delivery (
    number INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    webhook BIGINT NOT NULL,
    event TEXT NOT NULL,
    since BIGINT NOT NULL,
    next_at BIGINT,
    attempts INTEGER NOT NULL,
    delivered BIGINT,
    gave_up BIGINT,
    error TEXT,
    UNIQUE (webhook, event)
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (webhook, next_at);
CREATE INDEX webhook_delivery_event ON webhook_delivery (event);
