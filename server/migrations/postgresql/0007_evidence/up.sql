-- Which document of the ledger a step of a change is, and where the ledger was when a bundle left.
ALTER TABLE change_event ADD COLUMN statement BYTEA;
ALTER TABLE export ADD COLUMN log TEXT;
ALTER TABLE export ADD COLUMN log_size BIGINT;
