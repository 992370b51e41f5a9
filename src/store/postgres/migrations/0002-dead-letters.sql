-- What groups have given up (docs/tables.md).

CREATE TABLE dead_letters (
  dead_letter_id  uuid PRIMARY KEY,
  event_id        uuid,                 -- of the event; null when a whole entry of the log is damaged
  topic           text NOT NULL,
  "group"         text NOT NULL,
  type            text NOT NULL,
  source          text NOT NULL,
  code            text NOT NULL,
  message         text NOT NULL,
  attempts        integer NOT NULL,
  first_failed_at timestamptz NOT NULL,
  dead_at         timestamptz NOT NULL,
  event           bytea NOT NULL,       -- an encoded millrace.v1.Event
  history         jsonb NOT NULL,       -- an array of every try
  redriven_at     timestamptz,
  redrives        integer NOT NULL
);

CREATE INDEX dead_letters_by_time ON dead_letters (dead_at, dead_letter_id);
CREATE INDEX dead_letters_by_event ON dead_letters (event_id);
