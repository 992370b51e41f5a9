-- The events with these keys, and their positions in the log.
SELECT event_id AS "eventId", id, source, type, subject, (extract(epoch FROM time) * 1000000)::bigint AS "timeMicros",
  (extract(epoch FROM received_at) * 1000000)::bigint AS "receivedAtMicros", events.topic, priority, key,
  data::text AS data, data_bytes AS "dataBytes", data_content_type AS "dataContentType", attributes,
  log_offset AS "logOffset", streams.topic AS "streamTopic", partition, lane, epoch
FROM events JOIN streams USING (stream)
WHERE event_id = ANY ($1::uuid[])
