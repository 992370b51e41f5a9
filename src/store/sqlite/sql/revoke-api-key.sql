-- Revokes a key; the first time stays. Parameters: its id, the time.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?2) WHERE key_id = ?1
