CREATE TABLE progress (
    change BLOB NOT NULL,
    place BIGINT NOT NULL,
    agent TEXT NOT NULL,
    started BIGINT NOT NULL,
    part BIGINT NOT NULL,
    number BIGINT NOT NULL,
    received BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    statement BLOB NOT NULL,
    PRIMARY KEY (change, place),
    UNIQUE (change, agent, started, part, number)
);
CREATE INDEX progress_received ON progress (received);

CREATE TABLE progress_end (
    change BLOB PRIMARY KEY NOT NULL,
    place BIGINT NOT NULL
);

CREATE TABLE ci_health (
    ci BIGINT NOT NULL REFERENCES ci (id),
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    since BIGINT NOT NULL,
    at BIGINT NOT NULL,
    output TEXT NOT NULL,
    metrics TEXT NOT NULL,
    statement BLOB NOT NULL,
    PRIMARY KEY (ci, name)
);
