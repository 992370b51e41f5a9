-- Stores an agent, unless its row has a later heartbeat.
INSERT INTO agents (agent_id, last_seen, metadata) VALUES (?1, ?2, ?3)
ON CONFLICT (agent_id) DO UPDATE SET last_seen = excluded.last_seen, metadata = excluded.metadata
WHERE excluded.last_seen >= agents.last_seen
