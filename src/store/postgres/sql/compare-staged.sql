-- Which staged events have a row that is another event's, or has other content. Not the attributes: the server may add to
-- those. The time only where the producer gave one.
--
-- OFFSET 0 keeps the planner from joining in another way than key by key: it knows nothing of the staging table's size, and
-- would read the whole of `events`.
SELECT staged.place, stored.source = staged.source AS "isSameSource"
FROM pg_temp.millrace_staging AS staged
CROSS JOIN LATERAL (SELECT * FROM events WHERE event_id = staged.event_id OFFSET 0) AS stored
WHERE stored.source <> staged.source
  OR stored.type <> staged.type
  OR stored.subject IS DISTINCT FROM staged.subject
  OR (staged.has_time AND stored.time <> staged.time)
  OR stored.key IS DISTINCT FROM staged.key
  OR stored.data IS DISTINCT FROM staged.data
  OR stored.data_bytes IS DISTINCT FROM staged.data_bytes
  OR stored.data_content_type <> staged.data_content_type
