-- Makes the row of an event, unless its key has one: then nothing changes. OR IGNORE would pass over every other
-- refusal too, and the event would be gone.
-- Parameters: the columns in this order; data comes as the bytes of its text.
INSERT INTO events (
  event_id, id, source, type, subject, time, received_at, topic, priority, key,
  data, data_bytes, data_content_type, attributes, stream, log_offset
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, CAST(? AS TEXT), ?, ?, ?, ?, ?)
ON CONFLICT (event_id) DO NOTHING
