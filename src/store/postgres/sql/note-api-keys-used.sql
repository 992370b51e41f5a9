-- Notes when keys were used, unless a later time is noted. In the order of their ids, so that two processes never wait for
-- each other. Parameters: ids, times in microseconds.
WITH used AS MATERIALIZED (
  SELECT api_keys.key_id, timestamptz 'epoch' + micros * interval '1 microsecond' AS used_at
  FROM api_keys JOIN unnest($1::text[], $2::bigint[]) AS given (key_id, micros) USING (key_id)
  ORDER BY api_keys.key_id FOR UPDATE OF api_keys
)
UPDATE api_keys SET last_used_at = used_at FROM used
WHERE api_keys.key_id = used.key_id AND (last_used_at IS NULL OR last_used_at < used_at)
