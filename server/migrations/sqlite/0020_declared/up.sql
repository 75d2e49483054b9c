-- What people declare of configuration items: each record whole, the newest one counts.
CREATE TABLE ci_declared (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    ci BIGINT NOT NULL REFERENCES ci (id),
    newest BOOLEAN NOT NULL,
    at BIGINT NOT NULL,
    person TEXT NOT NULL,
    reason TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX ci_declared_ci ON ci_declared (ci, newest);
CREATE INDEX ci_declared_newest ON ci_declared (newest, ci);

CREATE TABLE ci_relation (
    source BIGINT NOT NULL REFERENCES ci (id),
    kind TEXT NOT NULL,
    target BIGINT NOT NULL REFERENCES ci (id),
    PRIMARY KEY (source, kind, target)
);
CREATE INDEX ci_relation_target ON ci_relation (target, kind);
CREATE INDEX ci_kind_name ON ci (kind, name);
