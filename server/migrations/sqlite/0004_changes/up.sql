CREATE TABLE change_number (
    id INTEGER PRIMARY KEY NOT NULL,
    last BIGINT NOT NULL
);
INSERT INTO change_number (id, last) VALUES (1, 0);

CREATE TABLE change (
    id TEXT PRIMARY KEY NOT NULL,
    number BIGINT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT,
    version BIGINT NOT NULL,
    revision INTEGER NOT NULL,
    statement BLOB,
    title TEXT NOT NULL,
    author TEXT NOT NULL,
    targets INTEGER NOT NULL,
    not_after BIGINT,
    intervals TEXT NOT NULL,
    gated BOOLEAN NOT NULL,
    plan_set BLOB,
    planned INTEGER NOT NULL,
    created BIGINT NOT NULL,
    submitted BIGINT,
    closed BIGINT,
    unpublished BOOLEAN NOT NULL
);
CREATE INDEX change_state ON change (state, number);
CREATE INDEX change_unpublished ON change (unpublished);

CREATE TABLE change_revision (
    statement BLOB PRIMARY KEY NOT NULL,
    change_id TEXT NOT NULL REFERENCES change (id),
    revision INTEGER NOT NULL,
    stored BIGINT NOT NULL,
    UNIQUE (change_id, revision)
);

CREATE TABLE change_target (
    statement BLOB NOT NULL REFERENCES change_revision (statement),
    agent TEXT NOT NULL,
    plan BLOB,
    report BLOB,
    succeeded BOOLEAN,
    wave INTEGER NOT NULL,
    PRIMARY KEY (statement, agent)
);
CREATE INDEX change_target_agent ON change_target (agent);

CREATE TABLE change_plan (
    statement BLOB PRIMARY KEY NOT NULL,
    change BLOB NOT NULL REFERENCES change_revision (statement),
    agent TEXT NOT NULL,
    hostname TEXT NOT NULL,
    host_class TEXT NOT NULL,
    class BLOB NOT NULL,
    action_classes TEXT NOT NULL,
    actions INTEGER NOT NULL,
    made BIGINT NOT NULL,
    stored BIGINT NOT NULL
);
CREATE INDEX change_plan_change ON change_plan (change, agent);

CREATE TABLE change_plan_set (
    sha256 BLOB PRIMARY KEY NOT NULL,
    change BLOB NOT NULL REFERENCES change_revision (statement),
    stored BIGINT NOT NULL
);
CREATE INDEX change_plan_set_change ON change_plan_set (change);

CREATE TABLE change_approval (
    statement BLOB PRIMARY KEY NOT NULL,
    change BLOB NOT NULL REFERENCES change_revision (statement),
    person TEXT NOT NULL,
    decision TEXT NOT NULL,
    plan_set BLOB NOT NULL,
    at BIGINT NOT NULL,
    stored BIGINT NOT NULL
);
CREATE INDEX change_approval_change ON change_approval (change);

CREATE TABLE change_refusal (
    statement BLOB PRIMARY KEY NOT NULL,
    change BLOB NOT NULL REFERENCES change_revision (statement),
    agent TEXT NOT NULL,
    seq BIGINT NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    retry_at BIGINT,
    at BIGINT NOT NULL
);
CREATE INDEX change_refusal_change ON change_refusal (change, agent, seq);

CREATE TABLE change_event (
    change_id TEXT NOT NULL REFERENCES change (id),
    version BIGINT NOT NULL,
    event TEXT NOT NULL,
    person TEXT,
    note TEXT NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT,
    at BIGINT NOT NULL,
    PRIMARY KEY (change_id, version)
);
