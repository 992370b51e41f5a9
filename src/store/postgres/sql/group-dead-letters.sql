-- Dead letters by cause; messages are equal if they are equal up to the first quotation mark. Further parameter: limit.
SELECT topic, "group", type, code, rtrim(split_part(message, '"', 1)) AS message, count(*)::integer AS "deadLetters",
  (extract(epoch FROM min(dead_at)) * 1000000)::bigint AS "firstDeadAtMicros",
  (extract(epoch FROM max(dead_at)) * 1000000)::bigint AS "lastDeadAtMicros"
FROM dead_letters
WHERE {filter}
GROUP BY topic, "group", type, code, rtrim(split_part(message, '"', 1))
ORDER BY count(*) DESC, max(dead_at) DESC
LIMIT $10
