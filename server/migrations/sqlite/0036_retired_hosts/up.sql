-- Changes that take hosts out of the register.
ALTER TABLE change ADD COLUMN retires BOOLEAN NOT NULL DEFAULT FALSE;

-- The change with which a host left for good.
ALTER TABLE host ADD COLUMN retired_by TEXT;
-- The entry under which a host goes on that follows another one; else it stands under the one that it got when it joined.
ALTER TABLE host ADD COLUMN entry BIGINT REFERENCES ci (id);

-- Since when nobody stands behind an entry any more.
ALTER TABLE ci ADD COLUMN ended BIGINT;

-- A machine that goes on under its entry with another key. What receipts of the successor put on record stays filed under
-- the entry that it had before (`former`), which ends.
CREATE TABLE ci_succession (
    former BIGINT PRIMARY KEY NOT NULL REFERENCES ci (id),
    ci BIGINT NOT NULL REFERENCES ci (id),
    predecessor TEXT NOT NULL,
    successor TEXT NOT NULL,
    change_id TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX ci_succession_ci ON ci_succession (ci, at);
