-- Addresses under which machines without an agent take slots of a budget; of each only the digest of its secret.
CREATE TABLE budget_address (
    sha256 BYTEA PRIMARY KEY NOT NULL,
    budget TEXT NOT NULL,
    person TEXT NOT NULL,
    created BIGINT NOT NULL,
    ended BIGINT
);
