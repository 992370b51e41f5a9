-- A mark between rows: the check of its deferred constraint always fails. Deferred constraints are checked in the order of
-- the rows, so this failure shows that the rows before the mark have passed. It must run in an attempt that is undone.
CREATE TEMPORARY TABLE millrace_mark (
  mark integer CONSTRAINT millrace_mark_once UNIQUE DEFERRABLE INITIALLY DEFERRED
) ON COMMIT DROP;
INSERT INTO millrace_mark VALUES (1), (1)
