-- Inserts a key. Times in microseconds.
INSERT INTO api_keys (key_id, name, hash, scopes, topics, types, rate, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, timestamptz 'epoch' + $8::bigint * interval '1 microsecond',
  timestamptz 'epoch' + $9::bigint * interval '1 microsecond')
