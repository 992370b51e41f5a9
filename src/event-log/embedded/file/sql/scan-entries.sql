-- Entries in the order of their append numbers, without the index, which may be damaged.
-- Parameters: append number (excluded), max entries.
SELECT
  CAST(append_number AS REAL), CAST(stream AS REAL), CAST(first_offset AS REAL), CAST(event_count AS REAL),
  CAST(start_byte AS REAL), CAST(received_at AS REAL), CAST(coalesce(attempt, -1) AS REAL),
  CAST(coalesce(due_at, -1) AS REAL), CAST(coalesce(origin_offset, -1) AS REAL), CAST(crc AS REAL), batch
FROM entries NOT INDEXED
WHERE append_number > ?
ORDER BY append_number
LIMIT ? + 0
