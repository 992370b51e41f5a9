-- One event by its rowid.
-- ?1 rowid
-- The time is cast to TEXT: node:sqlite refuses to read an integer beyond 2^53.
SELECT event_id, id, source, type, subject, CAST(time AS TEXT) AS time, received_at, topic, priority, key,
  data, data_bytes, data_content_type, attributes
FROM events WHERE rowid = ?1
