-- The record of applied migrations. Created in the transaction of the first migration.
CREATE TABLE IF NOT EXISTS migrations (
  number     INTEGER PRIMARY KEY,
  name       TEXT NOT NULL,
  checksum   TEXT NOT NULL,    -- SHA-256 of the file, hex
  applied_at INTEGER NOT NULL  -- microseconds since 1970
) STRICT;
