-- The files that were uploaded: what is known of each. Their bytes are in MILLRACE_FILES_DIR. For everybody to read, as
-- `events` is.

CREATE TABLE files (
  file_id      BLOB NOT NULL PRIMARY KEY, -- the 16 bytes of a UUID
  filename     TEXT NOT NULL,             -- as the uploader wrote it; the file on the disk has the name of its file_id
  content_type TEXT NOT NULL,
  size         INTEGER NOT NULL,          -- in bytes
  sha256       TEXT NOT NULL,             -- 64 lower-case hexadecimal digits
  received_at  INTEGER NOT NULL,          -- microseconds since 1970
  analysis     TEXT                       -- JSON; NULL while there is none
) STRICT;
