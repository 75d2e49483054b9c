CREATE TABLE ledger_witness (
    vkey TEXT PRIMARY KEY NOT NULL,
    place INTEGER NOT NULL,
    log BIGINT,
    size BIGINT,
    checkpoint TEXT,
    received BIGINT
);
