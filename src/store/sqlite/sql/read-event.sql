-- One event by its rowid.
-- ?1 rowid, ?2 the bytes beyond which its data is left out
-- The data is cast to BLOB, because it is passed on as bytes.
-- The time is cast to TEXT: node:sqlite refuses to read an integer beyond 2^53.
SELECT event_id, id, source, type, subject, CAST(time AS TEXT) AS time, received_at, topic, priority, key,
  iif(coalesce(octet_length(data), octet_length(data_bytes)) <= ?2, CAST(coalesce(data, data_bytes) AS BLOB), NULL) AS data,
  data IS NOT NULL AS is_json, coalesce(octet_length(data), octet_length(data_bytes), 0) AS data_length, data_content_type, attributes
FROM events WHERE rowid = ?1
