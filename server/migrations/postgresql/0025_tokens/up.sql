-- What a token may be used for, by the names of permissions; absent: for all that its person may do.
ALTER TABLE person_token ADD COLUMN name TEXT;
ALTER TABLE person_token ADD COLUMN scopes TEXT;

-- Answers to requests that make something new, by the key that the client gave: the same request gets the same answer.
CREATE TABLE once_answer (
    person TEXT NOT NULL,
    key TEXT NOT NULL,
    request BYTEA NOT NULL,
    answer TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (person, key)
);
CREATE INDEX once_answer_at ON once_answer (at);
