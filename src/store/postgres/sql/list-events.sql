-- The newest events of one stretch of time. Parameters: from and below (microseconds since 1970; the first may be null),
-- the place of the last event that was shown (microseconds, key), type, source, how many.
--
-- The inner query sorts; only what is left of it is turned into text. In one query JSON would be written out for every row
-- of the stretch, which takes five times as long.
SELECT event_id AS "eventId", id, source, type, subject, (extract(epoch FROM time) * 1000000)::bigint AS "timeMicros",
  (extract(epoch FROM received_at) * 1000000)::bigint AS "receivedAtMicros", topic, priority, key, data::text AS data,
  data_bytes AS "dataBytes", data_content_type AS "dataContentType", attributes
FROM (
  SELECT * FROM events
  WHERE ($1::bigint IS NULL OR received_at >= timestamptz 'epoch' + $1::bigint * interval '1 microsecond')
    AND received_at < timestamptz 'epoch' + $2::bigint * interval '1 microsecond'
    AND (received_at, event_id) < (timestamptz 'epoch' + $3::bigint * interval '1 microsecond', $4::uuid)
    AND ($5::text IS NULL OR type = $5::text)
    AND ($6::text IS NULL OR source = $6::text)
  ORDER BY received_at DESC, event_id DESC
  LIMIT $7
) AS newest
ORDER BY received_at DESC, event_id DESC
