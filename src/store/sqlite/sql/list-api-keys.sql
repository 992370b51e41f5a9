-- Keys behind a name and an id, in the order of their bytes. Parameters: the name, the id, limit.
SELECT key_id AS keyId, name, hash, scopes, topics, types, rate AS ratePerSecond, created_at AS createdAtMicros,
  expires_at AS expiresAtMicros, revoked_at AS revokedAtMicros, last_used_at AS lastUsedAtMicros
FROM api_keys WHERE (name, key_id) > (?1, ?2) ORDER BY name, key_id LIMIT ?3
