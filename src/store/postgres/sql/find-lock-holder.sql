-- The session that has longest held a lock for which statements of Millrace may wait. Locks that conflict with every INSERT
-- come first; among those on rows, Millrace's own come last, because one of its processes may be frozen, and those that wait
-- themselves do not count. PostgreSQL hides what other roles' sessions do from a role without pg_read_all_stats; `seconds` is
-- null then.
SELECT pid, usename AS role, application_name AS application, mode, pg_class.relname AS table,
  mode <> 'RowExclusiveLock' AS "isOnTable", extract(epoch FROM now() - xact_start)::integer AS seconds
FROM pg_locks JOIN pg_stat_activity USING (pid) JOIN pg_class ON pg_class.oid = relation
WHERE locktype = 'relation' AND granted AND pid <> pg_backend_pid()
  AND relation IN (to_regclass('events'), to_regclass('dead_letters'), to_regclass('streams'),
    to_regclass('millrace_migrations'))
  AND (mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
    OR mode = 'RowExclusiveLock' AND (application_name <> 'millrace' OR wait_event_type IS DISTINCT FROM 'Lock'))
ORDER BY mode = 'RowExclusiveLock', application_name = 'millrace', xact_start
LIMIT 1
