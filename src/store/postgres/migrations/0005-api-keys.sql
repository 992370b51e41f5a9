-- The API keys (docs/tables.md). The key itself is not stored, only its hash.

CREATE TABLE api_keys (
  key_id       text COLLATE "C" PRIMARY KEY,
  name         text COLLATE "C" NOT NULL, -- listed in the order of its bytes
  hash         bytea NOT NULL,            -- SHA-256 of the key
  scopes       text[] NOT NULL,
  topics       text[],                    -- patterns; null: all topics
  types        text[],                    -- patterns; null: all types
  rate         integer,                   -- events per second; null: no limit of its own
  created_at   timestamptz NOT NULL,
  expires_at   timestamptz,
  revoked_at   timestamptz,
  last_used_at timestamptz                -- to the minute
);

CREATE INDEX api_keys_by_name ON api_keys (name, key_id);
