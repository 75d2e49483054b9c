-- The newest word of a host about itself as a whole: why it judges no change at all. Gone when it judges again.
CREATE TABLE host_refusal (
    agent TEXT NOT NULL PRIMARY KEY,
    statement BLOB NOT NULL,
    seq BIGINT NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    retry_at BIGINT,
    received BIGINT NOT NULL
);
