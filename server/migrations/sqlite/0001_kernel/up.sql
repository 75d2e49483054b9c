CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    topic TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    created BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    next_at BIGINT NOT NULL
);
CREATE INDEX outbox_due ON outbox (topic, next_at);

CREATE TABLE lease (
    name TEXT PRIMARY KEY NOT NULL,
    holder TEXT NOT NULL,
    until BIGINT NOT NULL,
    fence BIGINT NOT NULL
);

CREATE TABLE generation (
    name TEXT PRIMARY KEY NOT NULL,
    value BIGINT NOT NULL
);
