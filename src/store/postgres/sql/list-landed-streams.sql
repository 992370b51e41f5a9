-- How far the streams of the newest rows near the end of the table have landed.
-- Parameter: number of table pages at the end to read.
--
-- A partitioned table has no end; of such a table nothing is read.
SELECT topic, partition, lane, epoch, max(log_offset) + 1 AS "nextOffset"
FROM (
  SELECT stream, log_offset FROM events
  WHERE pg_relation_size('events') > 0 AND ctid >= (
    SELECT format('(%s,0)', greatest(0, pg_relation_size('events') / current_setting('block_size')::integer - $1::integer))::tid
  )
) AS recent
JOIN streams USING (stream)
GROUP BY topic, partition, lane, epoch
