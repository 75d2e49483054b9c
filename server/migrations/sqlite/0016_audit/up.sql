-- The audit trail: every administrative action; `statement` is its document in the ledger.
CREATE TABLE audit (
    number BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    person TEXT,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    request BLOB NOT NULL,
    statement BLOB NOT NULL
);
CREATE INDEX audit_at ON audit (at);
