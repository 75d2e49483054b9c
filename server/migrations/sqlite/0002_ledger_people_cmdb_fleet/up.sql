CREATE TABLE statement (
    digest BLOB PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    body BLOB NOT NULL,
    received BIGINT NOT NULL
);

CREATE TABLE ledger_log (
    id BIGINT PRIMARY KEY NOT NULL,
    origin TEXT NOT NULL UNIQUE,
    size BIGINT NOT NULL,
    frontier BLOB NOT NULL
);

CREATE TABLE ledger_leaf (
    log BIGINT NOT NULL,
    idx BIGINT NOT NULL,
    hash BLOB NOT NULL,
    entry TEXT NOT NULL,
    statement BLOB NOT NULL,
    PRIMARY KEY (log, idx)
);
CREATE UNIQUE INDEX ledger_leaf_statement ON ledger_leaf (statement, log);

CREATE TABLE ledger_node (
    log BIGINT NOT NULL,
    level INTEGER NOT NULL,
    idx BIGINT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (log, level, idx)
);

CREATE TABLE person (
    id TEXT PRIMARY KEY NOT NULL,
    access TEXT NOT NULL,
    created BIGINT NOT NULL,
    disabled BIGINT
);

CREATE TABLE person_token (
    sha256 BLOB PRIMARY KEY NOT NULL,
    person TEXT NOT NULL REFERENCES person (id),
    created BIGINT NOT NULL,
    created_by TEXT,
    expires BIGINT
);
CREATE INDEX person_token_person ON person_token (person);

CREATE TABLE ci (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    created BIGINT NOT NULL,
    agent TEXT UNIQUE,
    host_class TEXT,
    facts_at BIGINT,
    facts_sha256 BLOB,
    os TEXT,
    os_version TEXT,
    kernel TEXT,
    arch TEXT,
    agent_version TEXT
);
CREATE INDEX ci_name ON ci (name);

CREATE TABLE ci_facts (
    ci BIGINT PRIMARY KEY NOT NULL REFERENCES ci (id),
    body TEXT NOT NULL
);

CREATE TABLE ci_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    ci BIGINT NOT NULL REFERENCES ci (id),
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    summary TEXT NOT NULL,
    by_person TEXT,
    change_id TEXT,
    revision BIGINT,
    statement BLOB,
    ledger_index BIGINT
);
CREATE INDEX ci_history_ci ON ci_history (ci, id);
CREATE INDEX ci_history_change ON ci_history (change_id);

CREATE TABLE ci_state (
    ci BIGINT NOT NULL REFERENCES ci (id),
    resource TEXT NOT NULL,
    state BLOB,
    verb TEXT NOT NULL,
    outcome TEXT NOT NULL,
    summary TEXT NOT NULL,
    change_id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    approved_by TEXT NOT NULL,
    applied_at BIGINT NOT NULL,
    receipt BLOB NOT NULL,
    ledger_index BIGINT NOT NULL,
    PRIMARY KEY (ci, resource)
);

CREATE TABLE join_token (
    sha256 BLOB PRIMARY KEY NOT NULL,
    host_class TEXT NOT NULL,
    labels TEXT NOT NULL,
    created BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires BIGINT NOT NULL,
    used_at BIGINT,
    used_for BLOB
);

CREATE TABLE host (
    agent TEXT PRIMARY KEY NOT NULL,
    public_key TEXT NOT NULL,
    ci BIGINT NOT NULL UNIQUE REFERENCES ci (id),
    hostname TEXT NOT NULL,
    host_class TEXT NOT NULL,
    labels TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    held TEXT,
    invited_by TEXT NOT NULL,
    enrolled BIGINT NOT NULL,
    enrolment BLOB NOT NULL,
    certificate TEXT NOT NULL,
    not_after BIGINT NOT NULL,
    renewed_at BIGINT,
    renewal BLOB,
    marked BIGINT NOT NULL
);
CREATE INDEX host_marked ON host (marked);

CREATE TABLE host_chain (
    agent TEXT NOT NULL REFERENCES host (agent),
    seq BIGINT NOT NULL,
    statement BLOB NOT NULL,
    PRIMARY KEY (agent, seq)
);

CREATE TABLE host_head (
    agent TEXT PRIMARY KEY NOT NULL REFERENCES host (agent),
    seq BIGINT NOT NULL,
    statement BLOB NOT NULL,
    gap_allowed BOOLEAN NOT NULL
);

CREATE TABLE host_seen (
    agent TEXT PRIMARY KEY NOT NULL,
    at BIGINT NOT NULL
);
