-- The agents, each with its last heartbeat (docs/tables.md).

CREATE TABLE agents (
  agent_id  text COLLATE "C" PRIMARY KEY, -- listed in the order of its bytes
  last_seen timestamptz NOT NULL,         -- when a server received it
  metadata  jsonb NOT NULL                -- an object
);
