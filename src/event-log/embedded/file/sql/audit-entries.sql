-- Counts the events of one stream entry by entry, from the covering index alone.
-- Parameters: stream, first offset (included), last offset (excluded), max entries (-1: all).
SELECT count(*) AS entries, coalesce(sum(event_count), 0.0) AS events
FROM (
  SELECT CAST(event_count AS REAL) AS event_count
  FROM entries INDEXED BY entries_by_offset
  WHERE stream = ? AND first_offset >= ? AND first_offset < ?
  ORDER BY first_offset
  LIMIT ?
)
