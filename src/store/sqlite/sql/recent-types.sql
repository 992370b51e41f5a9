-- How many of the newest rows have which type, the most frequent first; "looked" is how many rows were looked at, in each
-- line the same. Parameters: how many rows, how many types.
SELECT type, count(*) AS events, sum(count(*)) OVER () AS looked
FROM (SELECT type FROM events ORDER BY rowid DESC LIMIT ?1)
GROUP BY type
ORDER BY events DESC, type
LIMIT ?2
