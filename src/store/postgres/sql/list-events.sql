-- The places of the newest events of one time window, and how many bytes their data takes in the table (compressed).
-- Parameters: from (inclusive, may be null) and to (exclusive) in microseconds since 1970, the place of the last shown
-- event (microseconds, key), topic, type, source, limit.
SELECT event_id AS "eventId", (extract(epoch FROM received_at) * 1000000)::bigint AS "receivedAtMicros",
  coalesce(pg_column_size(data), 0) + coalesce(pg_column_size(data_bytes), 0) AS "storedBytes"
FROM events
WHERE ($1::bigint IS NULL OR received_at >= timestamptz 'epoch' + $1::bigint * interval '1 microsecond')
  AND received_at < timestamptz 'epoch' + $2::bigint * interval '1 microsecond'
  AND (received_at, event_id) < (timestamptz 'epoch' + $3::bigint * interval '1 microsecond', $4::uuid)
  AND ($5::text IS NULL OR topic = $5::text)
  AND ($6::text IS NULL OR type = $6::text)
  AND ($7::text IS NULL OR source = $7::text)
ORDER BY received_at DESC, event_id DESC
LIMIT $8
