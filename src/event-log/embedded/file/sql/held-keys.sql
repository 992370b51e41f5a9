-- The keys of a group's own stream, with the facts of the first entry of each: SQLite takes the other columns from the row
-- that has the minimum. Parameter: stream.
SELECT event_key AS key, count(*) AS events, min(origin_offset) AS origin, attempt, due_at_ms AS dueAtMs
FROM due INDEXED BY due_by_key
WHERE stream = ? AND event_key <> ''
GROUP BY event_key
