-- Why a key must not be inserted; null if it may. Parameters: its id, its name, the time in microseconds, whether no other
-- admin key may be valid, how many keys may be stored, how many of a name may be valid.
WITH valid AS (
  SELECT name, scopes FROM api_keys
  WHERE revoked_at IS NULL
    AND (expires_at IS NULL OR expires_at > timestamptz 'epoch' + $3::bigint * interval '1 microsecond')
)
SELECT CASE
  WHEN EXISTS (SELECT FROM api_keys WHERE key_id = $1) THEN 'id_taken'
  WHEN $4::boolean AND EXISTS (SELECT FROM valid WHERE 'admin' = ANY (scopes)) THEN 'admin_exists'
  WHEN (SELECT count(*) FROM valid WHERE name = $2) >= $6::bigint THEN 'name_taken'
  WHEN (SELECT count(*) FROM api_keys) >= $5::bigint THEN 'full'
END AS refusal
