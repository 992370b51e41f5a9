-- Dead letters below a place in the order (dead_at, dead_letter_id), newest first. {filter}: see dead-letter-filter.ts.
SELECT dead_letter_id, event_id, topic, "group", type, source, code, message, attempts, first_failed_at, dead_at,
  history, redriven_at, redrives
FROM dead_letters
WHERE {filter} AND (dead_at, dead_letter_id) < ($placeMicros, $placeId)
ORDER BY dead_at DESC, dead_letter_id DESC
LIMIT $limit
