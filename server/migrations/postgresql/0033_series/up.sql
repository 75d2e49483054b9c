-- Changes that come again, and drafts that are submitted by themselves.
ALTER TABLE change ADD COLUMN series TEXT;
ALTER TABLE change ADD COLUMN submit_at BIGINT;
ALTER TABLE change ADD COLUMN submit_by TEXT;
CREATE INDEX change_series ON change (series);
