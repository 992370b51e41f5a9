-- Calls, rows and time of the statements that insert events in this database: the COPY, and the INSERT from the staging
-- table. All three columns are null if none is recorded. For the schema see find-statistics.sql.
SELECT sum(calls)::float8 AS calls, sum(rows)::float8 AS rows, sum(total_exec_time)::float8 / 1000 AS seconds
FROM {schema}.pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (query LIKE 'COPY events (%' OR query LIKE '%INSERT INTO events (event_id%')
