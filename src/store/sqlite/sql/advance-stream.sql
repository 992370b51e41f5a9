-- Remembers how far a stream has come into this database. Entries may come again and out of order: the farthest counts.
-- ?1 stream, ?2 the offset behind the last event
INSERT INTO landed_streams (stream, next_offset) VALUES (?1, ?2)
ON CONFLICT (stream) DO UPDATE SET next_offset = excluded.next_offset WHERE excluded.next_offset > next_offset
