CREATE TABLE request_used (
    agent TEXT NOT NULL,
    nonce TEXT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (agent, nonce)
);
CREATE INDEX request_used_until ON request_used (until);
