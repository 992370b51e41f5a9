-- Counts the events of one stream entry by entry, from the covering index alone.
-- Parameters: stream, first offset (included), last offset (excluded), max entries.
SELECT count(*) AS entries, coalesce(sum(event_count), 0.0) AS events, coalesce(max(first_offset), -1.0) AS lastOffset
FROM (
  SELECT CAST(event_count AS REAL) AS event_count, CAST(first_offset AS REAL) AS first_offset
  FROM entries INDEXED BY entries_by_offset
  WHERE stream = ? AND first_offset >= ? AND first_offset < ?
  ORDER BY first_offset
  LIMIT ? + 0
)
