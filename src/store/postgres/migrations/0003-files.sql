-- The files that were uploaded: what is known of each (docs/tables.md). Their bytes are in MILLRACE_FILES_DIR.

CREATE TABLE files (
  file_id      uuid PRIMARY KEY,
  filename     text NOT NULL,        -- as the uploader wrote it; the file on the disk has the name of its file_id
  content_type text NOT NULL,
  size         bigint NOT NULL,      -- in bytes
  sha256       text NOT NULL,        -- 64 lower-case hexadecimal digits
  received_at  timestamptz NOT NULL,
  analysis     jsonb                 -- null while there is none
);
