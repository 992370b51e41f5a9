-- Stores agents, except where the row has a later heartbeat. In the order of their ids, so that two processes never wait
-- for each other. Parameters: ids, times in microseconds, metadata.
INSERT INTO agents (agent_id, last_seen, metadata)
SELECT agent_id, timestamptz 'epoch' + last_seen * interval '1 microsecond', metadata::jsonb
FROM unnest($1::text[], $2::bigint[], $3::text[]) AS given (agent_id, last_seen, metadata)
ORDER BY agent_id COLLATE "C"
ON CONFLICT (agent_id) DO UPDATE SET last_seen = excluded.last_seen, metadata = excluded.metadata
WHERE excluded.last_seen >= agents.last_seen
