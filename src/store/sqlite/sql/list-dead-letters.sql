-- Dead letters below a place in the order (dead_at, dead_letter_id), newest first.
-- ?10 and ?11 the place, ?12 how many
SELECT dead_letter_id, event_id, topic, "group", type, source, code, message, attempts, first_failed_at, dead_at,
  history, redriven_at, redrives
FROM dead_letters
WHERE {filter} AND (dead_at, dead_letter_id) < (?10, ?11)
ORDER BY dead_at DESC, dead_letter_id DESC
LIMIT ?12
