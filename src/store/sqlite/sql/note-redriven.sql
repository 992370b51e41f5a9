-- ?1 a JSON array of UUIDs in hex, ?2 the time in microseconds since 1970
UPDATE dead_letters SET redriven_at = ?2, redrives = redrives + 1
WHERE dead_letter_id IN (SELECT unhex(value) FROM json_each(?1))
