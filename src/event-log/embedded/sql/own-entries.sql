-- The entries of a group's own stream in a range, without the bytes.
-- Parameters: stream, first offset (included), last offset (excluded).
SELECT
  CAST(first_offset AS REAL) AS firstOffset, CAST(event_count AS REAL) AS count,
  CAST(coalesce(due_at, -1) AS REAL) AS dueAtMs
FROM entries INDEXED BY entries_by_offset
WHERE stream = ? AND first_offset >= ? AND first_offset < ?
ORDER BY first_offset
