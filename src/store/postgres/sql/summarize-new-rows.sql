-- Brings the BRIN index up to date. Only the table's owner may. It must not wait for a VACUUM, which does the same and
-- would be cancelled in favour of whoever waits for a second.
BEGIN;
SET LOCAL lock_timeout = '100ms';
SELECT brin_summarize_new_values('events_received_at');
COMMIT
