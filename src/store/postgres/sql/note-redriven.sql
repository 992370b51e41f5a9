-- Parameters: ids, the time in microseconds since 1970.
UPDATE dead_letters
SET redriven_at = timestamptz 'epoch' + $2::bigint * interval '1 microsecond', redrives = redrives + 1
WHERE dead_letter_id = ANY ($1::uuid[])
