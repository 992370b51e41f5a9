-- The last entry of a stream that begins at or before an offset. Parameters: stream, offset.
SELECT
  CAST(append_number AS REAL) AS appendNumber, CAST(first_offset AS REAL) AS firstOffset,
  CAST(event_count AS REAL) AS count
FROM entries INDEXED BY entries_by_offset
WHERE stream = ? AND first_offset <= ?
ORDER BY first_offset DESC
LIMIT 1
