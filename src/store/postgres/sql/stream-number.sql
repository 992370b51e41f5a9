-- The number of a stream, given now when it has none. Parameters: topic, partition, lane, epoch.
INSERT INTO streams (topic, partition, lane, epoch) VALUES ($1, $2, $3, $4)
ON CONFLICT (topic, partition, lane, epoch) DO UPDATE SET topic = excluded.topic
RETURNING stream
