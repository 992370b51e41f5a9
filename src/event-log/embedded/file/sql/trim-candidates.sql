-- The oldest entries of a stream. Parameters: stream, offset below which all is settled, max entries.
SELECT
  CAST(first_offset AS REAL) AS firstOffset, CAST(event_count AS REAL) AS count, CAST(start_byte AS REAL) AS startByte,
  CAST(received_at AS REAL) AS receivedAtMicros, length(batch) AS byteLength
FROM entries INDEXED BY entries_by_offset
WHERE stream = ? AND first_offset < ?
ORDER BY first_offset
LIMIT ? + 0
