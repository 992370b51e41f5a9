-- A letter that is there already came twice: a crash between writing it to the log and settling what it is about.
INSERT INTO dead_letters (dead_letter_id, event_id, topic, "group", type, source, code, message, attempts, first_failed_at,
  dead_at, event, history, redriven_at, redrives)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
ON CONFLICT (dead_letter_id) DO NOTHING
