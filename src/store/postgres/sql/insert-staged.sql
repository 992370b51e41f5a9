-- Inserts each staged event that has no row; among equal keys the first one wins. In the order of the keys, so that two
-- transactions with the same events wait for each other instead of deadlocking.
INSERT INTO events (event_id, id, source, type, subject, time, received_at, topic, priority, key, data, data_bytes,
  data_content_type, attributes, stream, log_offset)
SELECT DISTINCT ON (event_id) event_id, id, source, type, subject, time, received_at, topic, priority, key, data,
  data_bytes, data_content_type, attributes, stream, log_offset
FROM pg_temp.millrace_staging
ORDER BY event_id, place
ON CONFLICT (event_id) DO NOTHING
