-- Stores how far a stream has landed. Entries may be redelivered and out of order, so the highest offset wins.
-- ?1 stream, ?2 the offset after the last event
INSERT INTO landed_streams (stream, next_offset) VALUES (?1, ?2)
ON CONFLICT (stream) DO UPDATE SET next_offset = excluded.next_offset WHERE excluded.next_offset > next_offset
