-- Agents with an id or one behind it, in the order of the bytes of their ids. Parameters: the id, limit.
SELECT agent_id AS "agentId", (extract(epoch FROM last_seen) * 1000000)::bigint AS "lastSeenMicros", metadata::text AS metadata
FROM agents WHERE agent_id >= $1 ORDER BY agent_id LIMIT $2
