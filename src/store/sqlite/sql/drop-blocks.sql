-- Deletes the blocks that begin at or after a row.
-- ?1 the rowid
DELETE FROM landing_blocks WHERE first_rowid >= ?1
