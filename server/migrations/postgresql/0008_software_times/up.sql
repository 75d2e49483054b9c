ALTER TABLE ci_state ADD COLUMN installed_at BIGINT;
ALTER TABLE ci_state ADD COLUMN effective_at BIGINT;
ALTER TABLE ci_state ADD COLUMN verified_at BIGINT;
CREATE INDEX ci_state_receipt ON ci_state (receipt);
