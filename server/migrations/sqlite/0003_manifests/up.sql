CREATE TABLE site_file (
    role TEXT NOT NULL,
    version BIGINT NOT NULL,
    bytes BLOB NOT NULL,
    expires BIGINT NOT NULL,
    snapshot BIGINT NOT NULL,
    stored BIGINT NOT NULL,
    PRIMARY KEY (role, version)
);

CREATE TABLE site_target (
    name TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    bytes BLOB NOT NULL,
    stored BIGINT NOT NULL,
    unlisted BIGINT,
    PRIMARY KEY (name, sha256)
);
CREATE INDEX site_target_unlisted ON site_target (unlisted);

CREATE TABLE manifest (
    team TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    statement BLOB NOT NULL,
    target TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    publisher TEXT NOT NULL,
    published BIGINT NOT NULL,
    PRIMARY KEY (team, name, version)
);
CREATE UNIQUE INDEX manifest_statement ON manifest (statement);

CREATE TABLE policy_edition (
    version BIGINT PRIMARY KEY NOT NULL,
    sha256 BLOB NOT NULL,
    stored BIGINT NOT NULL
);

CREATE TABLE upload (
    id TEXT PRIMARY KEY NOT NULL,
    sha256 BLOB NOT NULL,
    length BIGINT NOT NULL,
    person TEXT NOT NULL,
    started BIGINT NOT NULL
);
CREATE UNIQUE INDEX upload_sha256 ON upload (sha256, person);
