-- What the statements that make rows of events have cost in this database: the COPY, and the INSERT of those that may
-- have their rows already. All three are null where none is on record. For the schema see find-statistics.sql.
SELECT sum(calls)::float8 AS calls, sum(rows)::float8 AS rows, sum(total_exec_time)::float8 / 1000 AS seconds
FROM {schema}.pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (query LIKE 'COPY events (%' OR query LIKE '%INSERT INTO events (event_id%')
