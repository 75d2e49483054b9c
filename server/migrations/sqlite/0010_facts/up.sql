CREATE TABLE ci_mark (
    ci BIGINT NOT NULL REFERENCES ci (id),
    kind TEXT NOT NULL,
    word TEXT NOT NULL,
    number BIGINT,
    PRIMARY KEY (ci, kind, word)
);
CREATE INDEX ci_mark_kind ON ci_mark (kind, number);
