-- The place that was missing last in a host's chain, and since when.
CREATE TABLE chain_gap (
    agent TEXT NOT NULL PRIMARY KEY,
    place BIGINT NOT NULL,
    since BIGINT NOT NULL
);
