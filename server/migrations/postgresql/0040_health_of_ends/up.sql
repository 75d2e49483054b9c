-- Whether a host ended a change badly by its health checks.
ALTER TABLE change_target ADD COLUMN unhealthy BOOLEAN NOT NULL DEFAULT FALSE;
