-- What groups have given up. For everybody to read, as `events` is.

CREATE TABLE dead_letters (
  dead_letter_id  BLOB NOT NULL PRIMARY KEY, -- the 16 bytes of a UUID
  event_id        BLOB,                      -- of the event; NULL when a whole entry of the log is damaged
  topic           TEXT NOT NULL,
  "group"         TEXT NOT NULL,
  type            TEXT NOT NULL,
  source          TEXT NOT NULL,
  code            TEXT NOT NULL,
  message         TEXT NOT NULL,
  attempts        INTEGER NOT NULL,
  first_failed_at INTEGER NOT NULL,          -- microseconds since 1970; so are the other times
  dead_at         INTEGER NOT NULL,
  event           BLOB NOT NULL,             -- an encoded millrace.v1.Event
  history         TEXT NOT NULL,             -- a JSON array of every try
  redriven_at     INTEGER,
  redrives        INTEGER NOT NULL
) STRICT;

CREATE INDEX dead_letters_by_time ON dead_letters (dead_at, dead_letter_id);
CREATE INDEX dead_letters_by_event ON dead_letters (event_id);
