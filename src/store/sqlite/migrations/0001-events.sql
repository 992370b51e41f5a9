-- The landed events, and what the store keeps beside them.
--
-- Relies on: an empty database, or one that this migration has not been applied to.
-- The tables `events` and `streams` are for everybody to read; the other two are the store's own.
--
-- `events` is a rowid table with its key beside it, not WITHOUT ROWID: random ids then touch 20 bytes a row, not the row
-- (docs/decisions/0003-embedded-store-tables.md has the figures). Every further index is the user's choice.

PRAGMA application_id = 1835823731; -- 0x6d6c7273, 'mlrs'

CREATE TABLE events (
  event_id          BLOB NOT NULL PRIMARY KEY, -- the 16 bytes of a UUID
  id                TEXT,                      -- NULL when it is the lower-case text of event_id
  source            TEXT NOT NULL,
  type              TEXT NOT NULL,
  subject           TEXT,                      -- NULL when the event has none; so are key, data and attributes
  time              INTEGER NOT NULL,          -- microseconds since 1970; received_at when the producer gave none
  received_at       INTEGER NOT NULL,          -- microseconds since 1970
  topic             TEXT NOT NULL,
  priority          INTEGER NOT NULL,          -- 1 low, 2 normal, 3 high
  key               TEXT,
  data              TEXT,                      -- JSON as it was sent
  data_bytes        BLOB,                      -- data that is not JSON
  data_content_type TEXT NOT NULL,
  attributes        TEXT,                      -- a JSON object of texts
  stream            INTEGER NOT NULL,          -- the row of streams
  log_offset        INTEGER NOT NULL           -- where the event stood in that stream
) STRICT;

CREATE TABLE streams (
  stream    INTEGER PRIMARY KEY,
  topic     TEXT NOT NULL,
  partition INTEGER NOT NULL,
  lane      TEXT NOT NULL,
  epoch     INTEGER NOT NULL,
  UNIQUE (topic, partition, lane, epoch)
) STRICT;

-- How far each stream has come into this database: the offset behind the last event that a landing brought, whatever
-- became of it. A log that ends before that is an old copy.
CREATE TABLE landed_streams (
  stream      INTEGER PRIMARY KEY,
  next_offset INTEGER NOT NULL
) STRICT;

-- Which rows of `events` hold which times of receipt, some thousand rows in each block (landing-blocks.ts).
CREATE TABLE landing_blocks (
  first_rowid     INTEGER PRIMARY KEY,
  last_rowid      INTEGER NOT NULL,
  min_received_at INTEGER NOT NULL,
  max_received_at INTEGER NOT NULL
) STRICT;

CREATE INDEX landing_blocks_by_time ON landing_blocks (max_received_at);
