-- The API keys. The key itself is not stored, only its hash.

CREATE TABLE api_keys (
  key_id       TEXT NOT NULL PRIMARY KEY,
  name         TEXT NOT NULL,
  hash         BLOB NOT NULL,    -- SHA-256 of the key
  scopes       TEXT NOT NULL CHECK (json_valid(scopes)), -- an array
  topics       TEXT CHECK (json_valid(topics)),          -- an array of patterns; NULL: all topics
  types        TEXT CHECK (json_valid(types)),           -- an array of patterns; NULL: all types
  rate         INTEGER,          -- events per second; NULL: no limit of its own
  created_at   INTEGER NOT NULL, -- microseconds since 1970
  expires_at   INTEGER,
  revoked_at   INTEGER,
  last_used_at INTEGER           -- to the minute
) STRICT;

CREATE INDEX api_keys_by_name ON api_keys (name, key_id);
