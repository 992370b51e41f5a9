-- Which staged events have a row that is another event's, or has other content. Not the attributes: the server may add to
-- those. The time only where the producer gave one.
SELECT staged.place, stored.source = staged.source AS "isSameSource"
FROM pg_temp.millrace_staging AS staged
JOIN events AS stored USING (event_id)
WHERE stored.source <> staged.source
  OR stored.type <> staged.type
  OR stored.subject IS DISTINCT FROM staged.subject
  OR (staged.has_time AND stored.time <> staged.time)
  OR stored.key IS DISTINCT FROM staged.key
  OR stored.data IS DISTINCT FROM staged.data
  OR stored.data_bytes IS DISTINCT FROM staged.data_bytes
  OR stored.data_content_type <> staged.data_content_type
