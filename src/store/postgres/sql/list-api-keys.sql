-- Keys behind a name and an id, in the order of their bytes. Parameters: the name, the id, limit.
SELECT key_id AS "keyId", name, hash, scopes, topics, types, rate AS "ratePerSecond",
  (extract(epoch FROM created_at) * 1000000)::bigint AS "createdAtMicros",
  (extract(epoch FROM expires_at) * 1000000)::bigint AS "expiresAtMicros",
  (extract(epoch FROM revoked_at) * 1000000)::bigint AS "revokedAtMicros",
  (extract(epoch FROM last_used_at) * 1000000)::bigint AS "lastUsedAtMicros"
FROM api_keys WHERE (name, key_id) > ($1, $2) ORDER BY name, key_id LIMIT $3
