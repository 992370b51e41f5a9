-- One page is read from one snapshot. Before its first ANALYZE a table has no statistics: the planner then expects a
-- third of the table in each time window and scans all of it. Reading a page is faster than starting a parallel worker.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL enable_seqscan = off;
SET LOCAL max_parallel_workers_per_gather = 0
