-- Dead letters by cause; messages are equal if they are equal up to the first quotation mark.
-- {filter}: see dead-letter-filter.ts.
SELECT topic, "group", type, code, rtrim(substr(message, 1, instr(message || '"', '"') - 1)) AS cause, count(*) AS dead_letters,
  min(dead_at) AS first_dead_at, max(dead_at) AS last_dead_at
FROM dead_letters
WHERE {filter}
GROUP BY topic, "group", type, code, cause
ORDER BY dead_letters DESC, last_dead_at DESC
LIMIT $limit
