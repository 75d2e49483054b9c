-- Addresses that calendars are read from; they often hold a secret. `scope` is the calendar without its times. `attempt` grows with
-- each reading, so that only the newest one is noted. `waiting` was read and is not taken without a person's word.
CREATE TABLE calendar_subscription (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    url TEXT NOT NULL,
    every_s BIGINT NOT NULL,
    zone TEXT NOT NULL,
    scope TEXT NOT NULL,
    person TEXT NOT NULL,
    reason TEXT NOT NULL,
    created BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    tried_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    read_at BIGINT,
    changed_at BIGINT,
    etag TEXT,
    last_modified TEXT,
    failures INTEGER NOT NULL,
    failing_since BIGINT,
    last_error TEXT,
    waiting TEXT,
    waiting_since BIGINT
);
