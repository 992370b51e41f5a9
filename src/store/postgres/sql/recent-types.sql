-- How many of the newest rows near the table's end have which type, the most frequent first.
-- Parameters: how many rows, how many pages at the end to look at, how many types.
--
-- "looked" is how many rows were looked at, in each line the same.
SELECT type, count(*)::integer AS events, (sum(count(*)) OVER ())::integer AS looked
FROM (
  SELECT type FROM events
  WHERE ctid >= (
    SELECT format('(%s,0)', greatest(0, pg_relation_size('events') / current_setting('block_size')::integer - $2::integer))::tid
  )
  ORDER BY received_at DESC
  LIMIT $1
) AS recent
GROUP BY type
ORDER BY events DESC, type
LIMIT $3
