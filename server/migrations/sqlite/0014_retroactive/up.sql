ALTER TABLE change ADD COLUMN retroactive BOOLEAN NOT NULL DEFAULT FALSE;
CREATE TABLE change_accepts (
    statement BLOB NOT NULL REFERENCES change_revision (statement),
    finding BLOB NOT NULL,
    agent TEXT NOT NULL,
    number BIGINT NOT NULL,
    fingerprint BLOB NOT NULL,
    PRIMARY KEY (statement, finding)
);
CREATE INDEX change_accepts_finding ON change_accepts (agent, number);
