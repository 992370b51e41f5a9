-- The blocks that may contain rows of a time range, blocks with the newest rows first.
-- ?1 received at this time or later, ?2 received at this time or earlier; both in microseconds since 1970
-- Relies on the index landing_blocks_by_time, so that nothing is sorted and the reader can stop early.
SELECT first_rowid, last_rowid, max_received_at FROM landing_blocks
WHERE max_received_at >= ?1 AND min_received_at <= ?2
ORDER BY max_received_at DESC
