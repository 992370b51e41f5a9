-- Forgets the blocks that begin at a row or behind it.
-- ?1 the row
DELETE FROM landing_blocks WHERE first_rowid >= ?1
