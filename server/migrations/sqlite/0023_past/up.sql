-- Which manifests the change had that put a state on record, as `team/name@version`, parted by blanks.
ALTER TABLE ci_state ADD COLUMN manifests TEXT NOT NULL DEFAULT '';

-- Every state that was ever on record, by the place of its receipt in the host's chain. Only added to, and made again
-- from the ledger where rows are missing, as at the first start with this table.
CREATE TABLE ci_state_past (
    ci BIGINT NOT NULL REFERENCES ci (id),
    resource TEXT NOT NULL,
    seq BIGINT NOT NULL,
    state BLOB,
    verb TEXT NOT NULL,
    outcome TEXT NOT NULL,
    summary TEXT NOT NULL,
    change_id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    approved_by TEXT NOT NULL,
    applied_at BIGINT NOT NULL,
    receipt BLOB NOT NULL,
    ledger_index BIGINT NOT NULL,
    installed_at BIGINT,
    effective_at BIGINT,
    verified_at BIGINT,
    manifests TEXT NOT NULL,
    PRIMARY KEY (ci, resource, seq)
);

-- A later receipt said that what an earlier one brought is in effect.
CREATE TABLE ci_effect_past (
    ci BIGINT NOT NULL REFERENCES ci (id),
    receipt BLOB NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    effective_at BIGINT,
    verified_at BIGINT,
    PRIMARY KEY (ci, receipt, seq)
);

CREATE TABLE ci_relation_past (
    source BIGINT NOT NULL REFERENCES ci (id),
    kind TEXT NOT NULL,
    target BIGINT NOT NULL REFERENCES ci (id),
    since BIGINT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (source, kind, target, since)
);
CREATE INDEX ci_relation_past_target ON ci_relation_past (target, kind);
INSERT INTO ci_relation_past (source, kind, target, since, until)
SELECT source, kind, target, unixepoch(), 9223372036854775807 FROM ci_relation;

-- Where what people declare and what hosts report, or fail to, do not fit together: one row for each entry and kind.
CREATE TABLE mismatch (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    ci BIGINT NOT NULL REFERENCES ci (id),
    kind TEXT NOT NULL,
    declared TEXT NOT NULL,
    observed TEXT NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    count BIGINT NOT NULL,
    presence TEXT NOT NULL,
    disposition TEXT NOT NULL,
    until BIGINT,
    UNIQUE (ci, kind)
);
CREATE INDEX mismatch_disposition ON mismatch (disposition, presence, id);

CREATE TABLE mismatch_step (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    mismatch BIGINT NOT NULL REFERENCES mismatch (id),
    at BIGINT NOT NULL,
    by_person TEXT,
    disposition TEXT NOT NULL,
    reason TEXT NOT NULL,
    until BIGINT
);
CREATE INDEX mismatch_step_mismatch ON mismatch_step (mismatch, id);
