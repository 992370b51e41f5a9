-- The agents, each with its last heartbeat. For everybody to read, as `events` is.

CREATE TABLE agents (
  agent_id  TEXT NOT NULL PRIMARY KEY,
  last_seen INTEGER NOT NULL,                          -- microseconds since 1970, when a server received it
  metadata  TEXT NOT NULL CHECK (json_valid(metadata)) -- an object
) STRICT;
