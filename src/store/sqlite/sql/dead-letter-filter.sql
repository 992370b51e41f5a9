-- The condition of every statement that looks for dead letters; it stands for {filter} there. NULL: no condition.
-- ?1 and ?2 JSON arrays of UUIDs in hex: dead letters, events; ?3 topic, ?4 group, ?5 type, ?6 code,
-- ?7 died at this time or later, ?8 before this time, ?9 whether it was redriven
(?1 IS NULL OR dead_letter_id IN (SELECT unhex(value) FROM json_each(?1)))
  AND (?2 IS NULL OR event_id IN (SELECT unhex(value) FROM json_each(?2)))
  AND (?3 IS NULL OR topic = ?3) AND (?4 IS NULL OR "group" = ?4) AND (?5 IS NULL OR type = ?5)
  AND (?6 IS NULL OR code = ?6) AND (?7 IS NULL OR dead_at >= ?7) AND (?8 IS NULL OR dead_at < ?8)
  AND (?9 IS NULL OR (redriven_at IS NOT NULL) = ?9)
