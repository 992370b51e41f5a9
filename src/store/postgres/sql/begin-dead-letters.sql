-- Before its first ANALYZE the planner takes the dead letters for few, and would sort all of them for each page.
BEGIN READ ONLY;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off
