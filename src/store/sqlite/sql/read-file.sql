-- One file. Parameter: its id.
SELECT filename, content_type AS contentType, size, sha256, received_at AS receivedAtMicros, analysis
FROM files WHERE file_id = ?1
