-- When the first entry at or after an offset was received. Parameters: stream, offset.
SELECT CAST(received_at AS REAL) AS receivedAtMicros
FROM entries INDEXED BY entries_by_offset
WHERE stream = ? AND first_offset >= ?
ORDER BY first_offset
LIMIT 1
