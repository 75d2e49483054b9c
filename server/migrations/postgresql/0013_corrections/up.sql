ALTER TABLE change ADD COLUMN correct_until BIGINT;
CREATE INDEX change_correct_until ON change (correct_until);
ALTER TABLE receipt ADD COLUMN corrects BIGINT;
