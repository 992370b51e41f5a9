-- The requests of the topics, and their replies: reply is empty while replied is 0. Format version 5 did not have it.
CREATE TABLE requests (
  topic_number INTEGER NOT NULL,
  id TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  first_offset INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  replied INTEGER NOT NULL,
  reply BLOB NOT NULL,
  crc INTEGER NOT NULL,
  PRIMARY KEY (topic_number, id)
) STRICT;

-- Finds those to be removed.
CREATE INDEX requests_by_expiry ON requests (topic_number, expires_at_ms);
