-- Notes when a key was used, unless a later time is noted. Parameters: its id, the time.
UPDATE api_keys SET last_used_at = ?2 WHERE key_id = ?1 AND coalesce(last_used_at < ?2, true)
