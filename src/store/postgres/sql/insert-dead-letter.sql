-- If the id exists, the letter was redelivered (a crash between appending it and settling its event), or the event has
-- died again: then the later death replaces the content, and the letter is open (not redriven).
INSERT INTO dead_letters (dead_letter_id, event_id, topic, "group", type, source, code, message, attempts, first_failed_at,
  dead_at, event, history, redriven_at, redrives)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, timestamptz 'epoch' + $10::bigint * interval '1 microsecond',
  timestamptz 'epoch' + $11::bigint * interval '1 microsecond', $12, $13,
  timestamptz 'epoch' + $14::bigint * interval '1 microsecond', $15)
ON CONFLICT (dead_letter_id) DO UPDATE
SET code = excluded.code, message = excluded.message, attempts = excluded.attempts,
  first_failed_at = excluded.first_failed_at, dead_at = excluded.dead_at, event = excluded.event,
  history = excluded.history, redriven_at = NULL
WHERE excluded.dead_at > dead_letters.dead_at
