-- Dead letters above a place in the order (dead_at, dead_letter_id), oldest first.
-- Further parameters: the place (microseconds, id), limit.
SELECT dead_letter_id AS "deadLetterId", event_id AS "eventId", topic, "group", type, source, code, message, attempts,
  (extract(epoch FROM first_failed_at) * 1000000)::bigint AS "firstFailedAtMicros",
  (extract(epoch FROM dead_at) * 1000000)::bigint AS "deadAtMicros", history::text AS history,
  (extract(epoch FROM redriven_at) * 1000000)::bigint AS "redrivenAtMicros", redrives
FROM dead_letters
WHERE {filter}
  AND (dead_at, dead_letter_id) > (timestamptz 'epoch' + $10::bigint * interval '1 microsecond', $11::uuid)
ORDER BY dead_at, dead_letter_id
LIMIT $12
