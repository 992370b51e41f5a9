-- Returns the number of a stream and assigns one if it has none. Parameters: topic, partition, lane, epoch.
INSERT INTO streams (topic, partition, lane, epoch) VALUES ($1, $2, $3, $4)
ON CONFLICT (topic, partition, lane, epoch) DO UPDATE SET topic = excluded.topic
RETURNING stream
