-- How far each stream has landed.
SELECT topic, partition, lane, epoch, next_offset FROM landed_streams JOIN streams USING (stream)
