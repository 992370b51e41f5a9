-- Assigns a number to a stream that has none.
-- ?1 topic, ?2 partition, ?3 lane, ?4 epoch
INSERT INTO streams (topic, partition, lane, epoch) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (topic, partition, lane, epoch) DO NOTHING
