-- Where a person's reminders go, and the day of the last daily letter (days since 1970).
CREATE TABLE person_mail (
    person TEXT PRIMARY KEY NOT NULL,
    address TEXT NOT NULL,
    language TEXT NOT NULL,
    mailed BIGINT NOT NULL,
    error TEXT
);
-- What was said already, so that it is said once.
CREATE TABLE reminded (
    key TEXT PRIMARY KEY NOT NULL,
    at BIGINT NOT NULL
);
