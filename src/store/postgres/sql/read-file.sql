-- One file. Parameter: its id.
SELECT filename, content_type AS "contentType", size, sha256,
  (extract(epoch FROM received_at) * 1000000)::bigint AS "receivedAtMicros", analysis::text AS analysis
FROM files WHERE file_id = $1
