-- What a check has said and counted, the oldest first: JSON, of bounded length.
ALTER TABLE ci_health ADD COLUMN course TEXT NOT NULL DEFAULT '[]';
