-- Documents that people keep by name, of all kinds: each revision whole; one without content ends the document.
CREATE TABLE document_revision (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    revision BIGINT NOT NULL,
    at BIGINT NOT NULL,
    person TEXT NOT NULL,
    reason TEXT NOT NULL,
    content TEXT,
    PRIMARY KEY (kind, name, revision)
);
INSERT INTO document_revision (kind, name, revision, at, person, reason, content)
    SELECT 'calendar', name, revision, at, person, reason, content FROM calendars;
INSERT INTO document_revision (kind, name, revision, at, person, reason, content)
    SELECT 'budget', name, revision, at, person, reason, content FROM budgets;
DROP TABLE calendars;
DROP TABLE budgets;
