-- The entries of a stream in order, without their bytes. Parameters: stream.
SELECT
  CAST(append_number AS REAL) AS appendNumber, CAST(first_offset AS REAL) AS firstOffset,
  CAST(event_count AS REAL) AS count, CAST(start_byte AS REAL) AS startByte, length(batch) AS byteLength,
  CAST(coalesce(attempt, -1) AS REAL) AS attempt, CAST(coalesce(due_at, -1) AS REAL) AS dueAtMs
FROM entries INDEXED BY entries_by_offset
WHERE stream = ?
ORDER BY first_offset, append_number
