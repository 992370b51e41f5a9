-- The earliest and the latest time of receipt of the newest rows near the end of the table, in microseconds since 1970;
-- both null if there are no rows. Parameters: max rows, number of table pages at the end to read.
--
-- An estimate only: rows are inserted roughly in the order of receipt, but a later page may hold an earlier row.
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
