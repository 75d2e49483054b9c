CREATE TABLE export (
    id TEXT NOT NULL,
    at BIGINT NOT NULL,
    person TEXT NOT NULL,
    query TEXT NOT NULL,
    sums BLOB NOT NULL,
    PRIMARY KEY (id, at, person)
);
