CREATE TABLE receipt (
    statement BLOB PRIMARY KEY NOT NULL,
    agent TEXT NOT NULL,
    ci BIGINT NOT NULL REFERENCES ci (id),
    seq BIGINT NOT NULL,
    change_id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    change_sha256 BLOB NOT NULL,
    wave BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    self_approved BOOLEAN NOT NULL,
    started BIGINT NOT NULL,
    finished BIGINT NOT NULL,
    received BIGINT NOT NULL,
    ledger_index BIGINT NOT NULL
);
CREATE INDEX receipt_change ON receipt (change_id, agent, seq);
CREATE INDEX receipt_finished ON receipt (finished);
CREATE INDEX receipt_ci ON receipt (ci, ledger_index);

CREATE TABLE refusal (
    statement BLOB PRIMARY KEY NOT NULL,
    agent TEXT NOT NULL,
    ci BIGINT NOT NULL REFERENCES ci (id),
    seq BIGINT NOT NULL,
    change_id TEXT,
    revision BIGINT,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    retry_at BIGINT,
    at BIGINT NOT NULL,
    received BIGINT NOT NULL,
    ledger_index BIGINT NOT NULL
);
CREATE INDEX refusal_change ON refusal (change_id, agent, seq);

CREATE TABLE alarm (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    agent TEXT NOT NULL,
    detail TEXT NOT NULL,
    evidence BLOB NOT NULL,
    body BLOB,
    UNIQUE (kind, agent, evidence)
);
