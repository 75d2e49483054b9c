-- Whether each step of the plan has a way back, at least in part; unknown of plans from before.
ALTER TABLE change_plan ADD COLUMN undone BOOLEAN;
