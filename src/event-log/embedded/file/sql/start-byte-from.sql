-- The number of stream bytes before the first entry at or after an offset. Parameters: stream, offset.
SELECT CAST(start_byte AS REAL) AS startByte
FROM entries INDEXED BY entries_by_offset
WHERE stream = ? AND first_offset >= ?
ORDER BY first_offset
LIMIT 1
