-- The entries of one stream, in order. Parameters: stream, first offset (included), last offset (excluded).
-- Cast to floats, because a flipped high bit can make an integer that node:sqlite refuses to read. The checksum then
-- detects the damage.
SELECT
  CAST(append_number AS REAL), CAST(first_offset AS REAL), CAST(event_count AS REAL), CAST(start_byte AS REAL),
  CAST(received_at AS REAL), CAST(coalesce(attempt, -1) AS REAL), CAST(coalesce(due_at, -1) AS REAL),
  CAST(coalesce(origin_offset, -1) AS REAL), CAST(crc AS REAL), batch
FROM entries INDEXED BY entries_by_offset
WHERE stream = ? AND first_offset >= ? AND first_offset < ?
ORDER BY first_offset
