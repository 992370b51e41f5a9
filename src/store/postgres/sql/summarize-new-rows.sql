-- Brings the BRIN index up to date; only the table's owner may do so. It must not wait for an autovacuum, which does
-- the same: PostgreSQL cancels an autovacuum that blocks another session for a second.
BEGIN;
SET LOCAL lock_timeout = '100ms';
SELECT brin_summarize_new_values('events_received_at');
COMMIT
