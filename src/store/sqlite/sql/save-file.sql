-- Inserts a file, or replaces what is stored under its id.
INSERT INTO files (file_id, filename, content_type, size, sha256, received_at, analysis)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (file_id) DO UPDATE
SET filename = excluded.filename, content_type = excluded.content_type, size = excluded.size, sha256 = excluded.sha256,
  received_at = excluded.received_at, analysis = excluded.analysis
