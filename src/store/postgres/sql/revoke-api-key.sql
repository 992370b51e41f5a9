-- Revokes a key; the first time stays. Parameters: its id, the time in microseconds.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, timestamptz 'epoch' + $2::bigint * interval '1 microsecond')
WHERE key_id = $1
