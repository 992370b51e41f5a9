-- Staging table for events whose row may already exist. `onCommit`: one per connection is emptied after each transaction
-- (DELETE ROWS); behind a pooler the session is shared, so each transaction has its own (DROP).
CREATE TEMPORARY TABLE IF NOT EXISTS millrace_staging (
  place             integer NOT NULL,
  has_time          boolean NOT NULL,
  event_id          uuid NOT NULL,
  id                text,
  source            text NOT NULL,
  type              text NOT NULL,
  subject           text,
  time              timestamptz NOT NULL,
  received_at       timestamptz NOT NULL,
  topic             text NOT NULL,
  priority          smallint NOT NULL,
  key               text,
  data              jsonb,
  data_bytes        bytea,
  data_content_type text NOT NULL,
  attributes        jsonb,
  stream            integer NOT NULL,
  log_offset        bigint NOT NULL
) ON COMMIT {onCommit}
