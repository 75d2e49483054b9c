ALTER TABLE change ADD COLUMN retroactive BOOLEAN NOT NULL DEFAULT FALSE;
CREATE TABLE change_accepts (
    statement BYTEA NOT NULL REFERENCES change_revision (statement),
    finding BYTEA NOT NULL,
    agent TEXT NOT NULL,
    number BIGINT NOT NULL,
    fingerprint BYTEA NOT NULL,
    PRIMARY KEY (statement, finding)
);
CREATE INDEX change_accepts_finding ON change_accepts (agent, number);
