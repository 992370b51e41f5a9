-- ?1 a JSON array of UUIDs in hex
SELECT event_id, source FROM events WHERE event_id IN (SELECT unhex(value) FROM json_each(?1))
