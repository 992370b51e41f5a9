-- Inserts an event unless its key has a row. OR IGNORE would also ignore every other constraint failure, and the event
-- would be lost.
-- Parameters: the columns in this order; data is passed as the bytes of its text.
INSERT INTO events (
  event_id, id, source, type, subject, time, received_at, topic, priority, key,
  data, data_bytes, data_content_type, attributes, stream, log_offset
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, CAST(? AS TEXT), ?, ?, ?, ?, ?)
ON CONFLICT (event_id) DO NOTHING
