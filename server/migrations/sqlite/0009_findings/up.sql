CREATE TABLE finding_said (
    statement BLOB PRIMARY KEY NOT NULL,
    agent TEXT NOT NULL,
    ci BIGINT NOT NULL REFERENCES ci (id),
    seq BIGINT NOT NULL,
    change_id TEXT,
    at BIGINT NOT NULL,
    ledger_index BIGINT NOT NULL
);
CREATE INDEX finding_said_change ON finding_said (change_id, ledger_index);

CREATE TABLE finding (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    agent TEXT NOT NULL,
    number BIGINT NOT NULL,
    ci BIGINT NOT NULL REFERENCES ci (id),
    seq BIGINT NOT NULL,
    statement BLOB NOT NULL,
    manifest TEXT,
    about TEXT NOT NULL,
    what TEXT NOT NULL,
    resources TEXT NOT NULL,
    whole BOOLEAN NOT NULL,
    fingerprint BLOB NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    count BIGINT NOT NULL,
    flapping BOOLEAN NOT NULL,
    presence TEXT NOT NULL,
    disposition TEXT NOT NULL,
    until BIGINT,
    rule BIGINT,
    change_id TEXT,
    UNIQUE (agent, number)
);
CREATE INDEX finding_disposition ON finding (disposition, presence, id);
CREATE INDEX finding_ci ON finding (ci, id);
CREATE INDEX finding_fingerprint ON finding (fingerprint, id);

CREATE TABLE finding_step (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    finding BIGINT NOT NULL REFERENCES finding (id),
    at BIGINT NOT NULL,
    by_person TEXT,
    disposition TEXT NOT NULL,
    reason TEXT NOT NULL,
    change_id TEXT,
    until BIGINT,
    rule BIGINT
);
CREATE INDEX finding_step_finding ON finding_step (finding, id);

CREATE TABLE ignore_rule (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    manifest TEXT,
    resource TEXT NOT NULL,
    reason TEXT NOT NULL,
    until BIGINT NOT NULL,
    made_by TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    withdrawn_by TEXT,
    withdrawn_at BIGINT
);
