-- Counts the newest rows by type, the most frequent first. "examined" is the total number of rows examined, the same in
-- each result row. Parameters: max rows, max types.
SELECT type, count(*) AS events, sum(count(*)) OVER () AS examined
FROM (SELECT type FROM events ORDER BY rowid DESC LIMIT ?1)
GROUP BY type
ORDER BY events DESC, type
LIMIT ?2
