-- One process at a time inserts a key, so that what it has counted is still so when it commits. "mrky" is the key of the
-- advisory lock.
BEGIN ISOLATION LEVEL READ COMMITTED;
SELECT pg_advisory_xact_lock(x'6d726b79'::int)
