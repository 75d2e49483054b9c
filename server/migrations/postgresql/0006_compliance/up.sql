CREATE TABLE export (
    id TEXT NOT NULL,
    at BIGINT NOT NULL,
    person TEXT NOT NULL,
    query TEXT NOT NULL,
    sums BYTEA NOT NULL,
    PRIMARY KEY (id, at, person)
);
