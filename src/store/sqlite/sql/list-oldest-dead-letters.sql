-- Dead letters above a place in the order (dead_at, dead_letter_id), oldest first. {filter}: see dead-letter-filter.ts.
SELECT dead_letter_id, event_id, topic, "group", type, source, code, message, attempts, first_failed_at, dead_at,
  history, redriven_at, redrives
FROM dead_letters
WHERE {filter} AND (dead_at, dead_letter_id) > ($placeMicros, $placeId)
ORDER BY dead_at, dead_letter_id
LIMIT $limit
