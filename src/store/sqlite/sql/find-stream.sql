-- The number of a stream.
-- ?1 topic, ?2 partition, ?3 lane, ?4 epoch
SELECT stream FROM streams WHERE topic = ?1 AND partition = ?2 AND lane = ?3 AND epoch = ?4
