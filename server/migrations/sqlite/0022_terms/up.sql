-- What is looked for in the CMDB: words of all entries, each once, and which entry had which of them from when until when.
-- `until` is the largest number while it holds.
CREATE TABLE term (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    field TEXT NOT NULL,
    word TEXT NOT NULL,
    detail TEXT NOT NULL,
    source TEXT NOT NULL,
    source_detail TEXT NOT NULL
);
CREATE UNIQUE INDEX term_word ON term (field, word, detail, source, source_detail);
CREATE INDEX term_source ON term (field, source);

CREATE TABLE ci_term (
    ci BIGINT NOT NULL REFERENCES ci (id),
    term BIGINT NOT NULL REFERENCES term (id),
    since BIGINT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (ci, term, since)
);
CREATE INDEX ci_term_term ON ci_term (term, until, ci);

CREATE TABLE saved_search (
    name TEXT PRIMARY KEY NOT NULL,
    query TEXT NOT NULL,
    about TEXT NOT NULL,
    person TEXT NOT NULL,
    at BIGINT NOT NULL
);

-- Names as they are looked for.
ALTER TABLE ci ADD COLUMN sought TEXT NOT NULL DEFAULT '';
UPDATE ci SET sought = lower(name);
CREATE INDEX ci_name_id ON ci (name, id);
DROP INDEX ci_name;

-- What is known already but facts; hosts send those again, as nothing is said to be here.
CREATE TEMPORARY TABLE known (ci BIGINT, field TEXT, word TEXT, detail TEXT);
INSERT INTO known
SELECT ci.id, 'lifecycle', 'in_use', '' FROM ci WHERE NOT EXISTS (SELECT 1 FROM ci_declared WHERE ci_declared.ci = ci.id)
UNION SELECT host.ci, 'label', lower(pair.key), lower(pair.value) FROM host, json_each(host.labels) AS pair
UNION SELECT ci_declared.ci, 'label', lower(pair.key), lower(pair.value) FROM ci_declared, json_each(ci_declared.body, '$.labels') AS pair WHERE newest
UNION SELECT ci_declared.ci, 'scope', lower(scope.value), '' FROM ci_declared, json_each(ci_declared.body, '$.scopes') AS scope WHERE newest
UNION SELECT ci, 'finding', disposition, '' FROM finding WHERE presence <> 'gone'
UNION SELECT ci, 'lifecycle', json_extract(ci_declared.body, '$.lifecycle'), '' FROM ci_declared WHERE newest
UNION SELECT ci, 'description', lower(substr(json_extract(ci_declared.body, '$.description'), 1, 300)), '' FROM ci_declared WHERE newest AND json_extract(ci_declared.body, '$.description') IS NOT NULL
UNION SELECT ci, 'owner', lower(json_extract(ci_declared.body, '$.owner')), '' FROM ci_declared WHERE newest AND json_extract(ci_declared.body, '$.owner') IS NOT NULL
UNION SELECT ci, 'env', lower(json_extract(ci_declared.body, '$.environment')), '' FROM ci_declared WHERE newest AND json_extract(ci_declared.body, '$.environment') IS NOT NULL
UNION SELECT ci, 'criticality', lower(json_extract(ci_declared.body, '$.criticality')), '' FROM ci_declared WHERE newest AND json_extract(ci_declared.body, '$.criticality') IS NOT NULL
UNION SELECT ci, 'confidentiality', lower(json_extract(ci_declared.body, '$.confidentiality')), '' FROM ci_declared WHERE newest AND json_extract(ci_declared.body, '$.confidentiality') IS NOT NULL
UNION SELECT ci, 'integrity', lower(json_extract(ci_declared.body, '$.integrity')), '' FROM ci_declared WHERE newest AND json_extract(ci_declared.body, '$.integrity') IS NOT NULL
UNION SELECT ci, 'availability', lower(json_extract(ci_declared.body, '$.availability')), '' FROM ci_declared WHERE newest AND json_extract(ci_declared.body, '$.availability') IS NOT NULL
UNION SELECT ci, 'protection', CASE WHEN 'very_high' IN (json_extract(ci_declared.body, '$.confidentiality'), json_extract(ci_declared.body, '$.integrity'), json_extract(ci_declared.body, '$.availability')) THEN 'very_high' WHEN 'high' IN (json_extract(ci_declared.body, '$.confidentiality'), json_extract(ci_declared.body, '$.integrity'), json_extract(ci_declared.body, '$.availability')) THEN 'high' ELSE 'normal' END, ''
    FROM ci_declared WHERE newest AND coalesce(json_extract(ci_declared.body, '$.confidentiality'), json_extract(ci_declared.body, '$.integrity'), json_extract(ci_declared.body, '$.availability')) IS NOT NULL;
INSERT INTO term (field, word, detail, source, source_detail) SELECT DISTINCT field, word, detail, '', '' FROM known;
INSERT INTO ci_term (ci, term, since, until)
SELECT known.ci, term.id, unixepoch(), 9223372036854775807
FROM known JOIN term ON term.field = known.field AND term.word = known.word AND term.detail = known.detail;
DROP TABLE known;
UPDATE ci SET facts_sha256 = NULL;
