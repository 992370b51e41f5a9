-- One dead letter, with its event.
SELECT dead_letter_id AS "deadLetterId", event_id AS "eventId", topic, "group", type, source, code, message, attempts,
  (extract(epoch FROM first_failed_at) * 1000000)::bigint AS "firstFailedAtMicros",
  (extract(epoch FROM dead_at) * 1000000)::bigint AS "deadAtMicros", history::text AS history,
  (extract(epoch FROM redriven_at) * 1000000)::bigint AS "redrivenAtMicros", redrives, event
FROM dead_letters WHERE dead_letter_id = $1
