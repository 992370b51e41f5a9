-- The entries of one stream in order, without their bytes. Parameters: stream, first offset (included), last offset
-- (excluded), max entries. Cast to floats, because a flipped high bit can make an integer that node:sqlite refuses to
-- read.
SELECT
  CAST(append_number AS REAL), CAST(first_offset AS REAL), CAST(event_count AS REAL), CAST(received_at AS REAL),
  length(batch)
FROM entries INDEXED BY entries_by_offset
WHERE stream = ? AND first_offset >= ? AND first_offset < ?
ORDER BY first_offset
LIMIT ? + 0
