-- Groups that hand out nothing, and why. Not in a log that was made before groups could be paused: opening it makes the table,
-- and a version that does not know it passes it over.
CREATE TABLE IF NOT EXISTS paused_groups (
  group_number INTEGER PRIMARY KEY,
  reason TEXT NOT NULL,
  crc INTEGER NOT NULL
) STRICT
