-- What the table of events takes with its indexes and what is kept out of its rows. The server asks the file system.
SELECT pg_total_relation_size('events') AS bytes
