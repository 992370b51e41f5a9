-- When the newest rows near the table's end were received: the first and the last of them, microseconds since 1970, both
-- null when there are none. Parameters: how many rows, how many pages at the end to look at.
--
-- A hint only: rows come in about the order in which they were received, but a later page may hold an earlier row.
SELECT (extract(epoch FROM min(received_at)) * 1000000)::bigint AS "oldestMicros",
  (extract(epoch FROM max(received_at)) * 1000000)::bigint AS "newestMicros"
FROM (
  SELECT received_at FROM events
  WHERE ctid >= (
    SELECT format('(%s,0)', greatest(0, pg_relation_size('events') / current_setting('block_size')::integer - $2::integer))::tid
  )
  ORDER BY received_at DESC
  LIMIT $1
) AS recent
