-- The events with these keys, and where they stood in the log.
-- ?1 a JSON array of UUIDs in hex
-- The time as REAL: an integer beyond 2^53 would be refused when it is read.
SELECT event_id, id, source, type, subject, CAST(time AS REAL) AS time, received_at, events.topic, priority, key,
  data, data_bytes, data_content_type, attributes, log_offset, streams.topic AS stream_topic, partition, lane, epoch
FROM events JOIN streams USING (stream)
WHERE event_id IN (SELECT unhex(value) FROM json_each(?1))
