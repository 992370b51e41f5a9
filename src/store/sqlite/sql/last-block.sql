-- The block of the newest rows.
SELECT first_rowid, last_rowid, min_received_at, max_received_at FROM landing_blocks ORDER BY first_rowid DESC LIMIT 1
