-- Staged events that have no row, whose key belongs to another source's event, or whose stored row has other content.
-- Attributes are not compared, because the server may add some; the time is compared only if the producer set one.
--
-- OFFSET 0 forces the planner to look up key by key: it does not know the size of the staging table and would otherwise
-- scan all of `events`.
SELECT staged.place, stored.event_id IS NOT NULL AS "isStored", stored.source = staged.source AS "isSameSource"
FROM pg_temp.millrace_staging AS staged
LEFT JOIN LATERAL (SELECT * FROM events WHERE event_id = staged.event_id OFFSET 0) AS stored ON true
WHERE stored.event_id IS NULL
  OR stored.source <> staged.source
  OR stored.type <> staged.type
  OR stored.subject IS DISTINCT FROM staged.subject
  OR (staged.has_time AND stored.time <> staged.time)
  OR stored.key IS DISTINCT FROM staged.key
  OR stored.data IS DISTINCT FROM staged.data
  OR stored.data_bytes IS DISTINCT FROM staged.data_bytes
  OR stored.data_content_type <> staged.data_content_type
