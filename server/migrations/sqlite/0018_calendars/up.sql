-- Blackout calendars: each revision whole; one without content ends the calendar.
CREATE TABLE calendars (
    name TEXT NOT NULL,
    revision BIGINT NOT NULL,
    at BIGINT NOT NULL,
    person TEXT NOT NULL,
    reason TEXT NOT NULL,
    content TEXT,
    PRIMARY KEY (name, revision)
);
