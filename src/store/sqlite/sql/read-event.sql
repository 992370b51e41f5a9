-- One row, to be shown.
-- ?1 rowid
-- The time as REAL: an integer beyond 2^53 would be refused when it is read.
SELECT event_id, id, source, type, subject, CAST(time AS REAL) AS time, received_at, topic, priority, key,
  data, data_bytes, data_content_type, attributes
FROM events WHERE rowid = ?1
