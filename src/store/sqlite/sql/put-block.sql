-- Inserts a block, or updates the bounds of the one that begins at the same row.
-- ?1 first_rowid, ?2 last_rowid, ?3 min_received_at, ?4 max_received_at
INSERT INTO landing_blocks (first_rowid, last_rowid, min_received_at, max_received_at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (first_rowid) DO UPDATE SET
  last_rowid = excluded.last_rowid,
  min_received_at = excluded.min_received_at,
  max_received_at = excluded.max_received_at
