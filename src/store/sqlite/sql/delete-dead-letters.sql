-- ?1 a JSON array of UUIDs in hex
DELETE FROM dead_letters WHERE dead_letter_id IN (SELECT unhex(value) FROM json_each(?1))
