-- What people say of a change; the words are in the ledger's documents.
CREATE TABLE change_note (
    change_id TEXT NOT NULL REFERENCES change (id),
    number BIGINT NOT NULL,
    kind TEXT NOT NULL,
    settles BIGINT,
    target TEXT,
    statement BLOB NOT NULL,
    PRIMARY KEY (change_id, number)
);
CREATE INDEX change_note_target ON change_note (target);
CREATE INDEX change_note_kind ON change_note (kind, change_id);

-- Numbers by which auditors count: gap-free per kind and year, given when a change is submitted the first time.
CREATE TABLE change_register (
    kind TEXT NOT NULL,
    year BIGINT NOT NULL,
    last BIGINT NOT NULL,
    PRIMARY KEY (kind, year)
);
ALTER TABLE change ADD COLUMN register TEXT;
CREATE UNIQUE INDEX change_register_number ON change (register);
