-- The newest rows of a block below a place in the order (received_at, event_id).
-- ?1 first rowid, ?2 last rowid, ?3 received at this time or later, ?4 and ?5 the place: received_at and event_id,
-- ?6 topic, ?7 type and ?8 source, each NULL for all, ?9 limit
SELECT rowid, received_at, event_id FROM events
WHERE rowid BETWEEN ?1 AND ?2 AND received_at >= ?3 AND (received_at, event_id) < (?4, ?5)
  AND (?6 IS NULL OR topic = ?6) AND (?7 IS NULL OR type = ?7) AND (?8 IS NULL OR source = ?8)
ORDER BY received_at DESC, event_id DESC
LIMIT ?9
