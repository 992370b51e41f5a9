-- One page is read from one snapshot. Without statistics, which a table has not got before its first ANALYZE, the planner
-- takes a third of the table for each stretch and reads all of it; and starting a parallel worker takes longer than a page.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL enable_seqscan = off;
SET LOCAL max_parallel_workers_per_gather = 0
