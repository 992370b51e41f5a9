-- Paused groups, with the reason. Logs created before groups could be paused lack the table: opening them creates it.
-- Versions that do not know the table ignore it.
CREATE TABLE IF NOT EXISTS paused_groups (
  group_number INTEGER PRIMARY KEY,
  reason TEXT NOT NULL,
  crc INTEGER NOT NULL
) STRICT
