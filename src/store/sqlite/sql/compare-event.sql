-- Compares an event with the existing row of its key.
-- ?1 event_id, ?2 source, ?3 type, ?4 subject, ?5 time or NULL if the producer set none, ?6 key, ?7 data,
-- ?8 data_bytes, ?9 data_content_type
-- Attributes are not compared: the server may add some, so two copies of one event may differ in them.
SELECT
  source = ?2 AS same_source,
  type = ?3 AND subject IS ?4 AND (?5 IS NULL OR time = ?5) AND key IS ?6
    AND data IS CAST(?7 AS TEXT) AND data_bytes IS ?8 AND data_content_type = ?9 AS same_content
FROM events WHERE event_id = ?1
