-- The tables of log.db, with that of requests.sql. The format version is in log-format.ts. received_at is in
-- microseconds, due_at and due_at_ms in milliseconds since 1970. Every `crc` is a CRC-32: for an entry over its fields
-- and bytes (entry-checksum.ts), for any other row over its values (book-table.ts). What the columns of the books mean is
-- in books.ts.

CREATE TABLE log (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  epoch INTEGER NOT NULL,
  last_append_number INTEGER NOT NULL,
  last_number INTEGER NOT NULL,
  topics INTEGER NOT NULL,
  groups INTEGER NOT NULL,
  producers INTEGER NOT NULL,
  crc INTEGER NOT NULL
) STRICT;

CREATE TABLE topics (
  topic_number INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  partitions INTEGER NOT NULL,
  crc INTEGER NOT NULL
) STRICT;

CREATE TABLE consumer_groups (
  group_number INTEGER PRIMARY KEY,
  topic_number INTEGER NOT NULL,
  name TEXT NOT NULL,
  reason TEXT NOT NULL,
  state TEXT NOT NULL,
  ordered INTEGER NOT NULL,
  crc INTEGER NOT NULL
) STRICT;

CREATE TABLE streams (
  stream INTEGER PRIMARY KEY,
  topic_number INTEGER NOT NULL,
  partition INTEGER NOT NULL,
  lane TEXT NOT NULL,
  group_number INTEGER NOT NULL,
  next_offset INTEGER NOT NULL,
  next_byte INTEGER NOT NULL,
  trimmed_below INTEGER NOT NULL,
  trimmed_byte INTEGER NOT NULL,
  due_kept INTEGER NOT NULL,
  crc INTEGER NOT NULL
) STRICT;

-- Keyed by the append number, so that new entries of any stream go to the right edge of the table.
-- attempt, due_at and origin_offset (where its events were first stored) are null in the streams of a topic.
CREATE TABLE entries (
  append_number INTEGER PRIMARY KEY,
  stream INTEGER NOT NULL,
  first_offset INTEGER NOT NULL,
  event_count INTEGER NOT NULL,
  start_byte INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  attempt INTEGER,
  due_at INTEGER,
  origin_offset INTEGER,
  crc INTEGER NOT NULL,
  batch BLOB NOT NULL
) STRICT;

-- Covers the columns that the audit, the trimming and the readers need.
CREATE INDEX entries_by_offset ON entries (stream, first_offset, event_count, start_byte);

CREATE TABLE cursors (
  group_number INTEGER NOT NULL,
  stream INTEGER NOT NULL,
  start_offset INTEGER NOT NULL,
  settled_below INTEGER NOT NULL,
  handed_out_below INTEGER NOT NULL,
  ranges_ahead INTEGER NOT NULL,
  attempts_kept INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  PRIMARY KEY (group_number, stream)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledgers (
  group_number INTEGER NOT NULL,
  partition INTEGER NOT NULL,
  reopened INTEGER NOT NULL,
  landed INTEGER NOT NULL,
  dead INTEGER NOT NULL,
  lost INTEGER NOT NULL,
  skipped INTEGER NOT NULL,
  waiting_events INTEGER NOT NULL,
  waiting_bytes INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  PRIMARY KEY (group_number, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE settled_ahead (
  group_number INTEGER NOT NULL,
  stream INTEGER NOT NULL,
  first_offset INTEGER NOT NULL,
  end_offset INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  PRIMARY KEY (group_number, stream, first_offset)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
  group_number INTEGER NOT NULL,
  stream INTEGER NOT NULL,
  first_offset INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  PRIMARY KEY (group_number, stream, first_offset)
) STRICT, WITHOUT ROWID;

-- The unsettled entries of the groups' own streams in the order in which they are handed out.
CREATE TABLE due (
  stream INTEGER NOT NULL,
  due_at_ms INTEGER NOT NULL,
  first_offset INTEGER NOT NULL,
  event_count INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  event_key TEXT NOT NULL,
  origin_offset INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  PRIMARY KEY (stream, due_at_ms, first_offset)
) STRICT, WITHOUT ROWID;

-- Finds the first one of a key.
CREATE INDEX due_by_key ON due (stream, event_key, origin_offset, first_offset) WHERE event_key <> '';

-- stored has one bit for each of the producer's latest sequences (producer-window.ts).
CREATE TABLE producers (
  stream INTEGER NOT NULL,
  name TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  last_sequence INTEGER NOT NULL,
  stored BLOB NOT NULL,
  used_at INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  PRIMARY KEY (stream, name)
) STRICT, WITHOUT ROWID;

-- The least recently used one is forgotten first.
CREATE INDEX producers_by_use ON producers (used_at);
