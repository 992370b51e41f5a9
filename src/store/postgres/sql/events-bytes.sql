-- Size of the table `events` with its indexes and TOAST data. The server reads it from the file system.
SELECT pg_total_relation_size('events') AS bytes
