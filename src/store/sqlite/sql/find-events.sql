-- The events with these keys, and their positions in the log.
-- ?1 a JSON array of UUIDs in hex, ?2 the bytes beyond which an event's data is left out
-- The data is cast to BLOB, because it is passed on as bytes.
-- The time is cast to TEXT: node:sqlite refuses to read an integer beyond 2^53.
SELECT event_id, id, source, type, subject, CAST(time AS TEXT) AS time, received_at, events.topic, priority, key,
  iif(coalesce(octet_length(data), octet_length(data_bytes)) <= ?2, CAST(coalesce(data, data_bytes) AS BLOB), NULL) AS data,
  data IS NOT NULL AS is_json, coalesce(octet_length(data), octet_length(data_bytes), 0) AS data_length, data_content_type, attributes,
  log_offset, streams.topic AS stream_topic, partition, lane, epoch
FROM events JOIN streams USING (stream)
WHERE event_id IN (SELECT unhex(value) FROM json_each(?1))
