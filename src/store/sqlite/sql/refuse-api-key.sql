-- Why a key must not be inserted; NULL if it may. Parameters: its id, its name, the time, whether no other admin key may be
-- valid, how many keys may be stored, how many of a name may be valid.
SELECT CASE
  WHEN EXISTS (SELECT 1 FROM api_keys WHERE key_id = ?1) THEN 'id_taken'
  WHEN ?4 AND EXISTS (
    SELECT 1 FROM api_keys, json_each(scopes)
    WHERE value = 'admin' AND revoked_at IS NULL AND coalesce(expires_at > ?3, true)
  ) THEN 'admin_exists'
  WHEN (SELECT count(*) FROM api_keys WHERE name = ?2 AND revoked_at IS NULL AND coalesce(expires_at > ?3, true)) >= ?6
    THEN 'name_taken'
  WHEN (SELECT count(*) FROM api_keys) >= ?5 THEN 'full'
END AS refusal
