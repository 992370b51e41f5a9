-- Counts the newest rows near the end of the table by type, the most frequent first.
-- Parameters: max rows, number of table pages at the end to read, max types.
--
-- "examined" is the total number of rows examined, the same in each result row.
SELECT type, count(*)::integer AS events, (sum(count(*)) OVER ())::integer AS examined
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
