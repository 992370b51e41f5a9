-- Deletes keys that ended before a time. Parameter: the time.
DELETE FROM api_keys WHERE min(coalesce(revoked_at, expires_at), coalesce(expires_at, revoked_at)) < ?1
