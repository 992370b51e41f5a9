-- Deletes keys that ended before a time. Parameter: the time in microseconds.
DELETE FROM api_keys
WHERE least(revoked_at, expires_at) < timestamptz 'epoch' + $1::bigint * interval '1 microsecond'
