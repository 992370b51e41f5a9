-- The newest events of one time window. Parameters: from (inclusive, may be null) and to (exclusive) in microseconds
-- since 1970, the place of the last shown event (microseconds, key), type, source, limit.
--
-- The inner query sorts and limits; only its result is converted to text. A single query would serialize the JSON of
-- every row of the window, which takes five times as long.
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
