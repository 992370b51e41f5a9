-- Counts the events of one of a group's own streams that are due later. Parameters: stream, time (ms), never (ms), max
-- entries.
SELECT count(*) AS entries, coalesce(sum(event_count), 0.0) AS events
FROM (SELECT CAST(event_count AS REAL) AS event_count FROM due WHERE stream = ? AND due_at_ms > ? AND due_at_ms < ? LIMIT ? + 0)
