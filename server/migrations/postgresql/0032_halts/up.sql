-- When a change halts by itself, and the failed hosts that whoever resumed it knew of.
ALTER TABLE change ADD COLUMN halt_above INTEGER;
ALTER TABLE change ADD COLUMN failed_known INTEGER NOT NULL DEFAULT 0;
