-- Dead letters with their events in the order of their ids, up to the one whose event reaches a number of bytes.
-- Parameters: ids, that number.
SELECT dead_letter_id AS "deadLetterId", event_id AS "eventId", topic, "group", type, source, code, message, attempts,
  (extract(epoch FROM first_failed_at) * 1000000)::bigint AS "firstFailedAtMicros",
  (extract(epoch FROM dead_at) * 1000000)::bigint AS "deadAtMicros", history::text AS history,
  (extract(epoch FROM redriven_at) * 1000000)::bigint AS "redrivenAtMicros", redrives, event
FROM (
  SELECT dead_letters.*, place, sum(octet_length(event)) OVER (ORDER BY place) AS through
  FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (dead_letter_id, place) JOIN dead_letters USING (dead_letter_id)
) AS counted
WHERE through - octet_length(event) < $2::integer
ORDER BY place
