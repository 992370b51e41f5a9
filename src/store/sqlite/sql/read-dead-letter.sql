-- One dead letter, with its event.
SELECT dead_letter_id, event_id, topic, "group", type, source, code, message, attempts, first_failed_at, dead_at,
  history, redriven_at, redrives, event
FROM dead_letters WHERE dead_letter_id = ?1
