-- Addresses under which calendars of people read the schedule; of each only the digest of its secret.
CREATE TABLE feed (
    sha256 BYTEA PRIMARY KEY NOT NULL,
    person TEXT NOT NULL,
    created BIGINT NOT NULL,
    ended BIGINT
);
CREATE INDEX feed_person ON feed (person);
