-- What the server and its tables must be like. `hasKey`: each event_id can have only one row. Names are quoted as
-- identifiers.
SELECT current_setting('synchronous_commit') AS "synchronousCommit", current_setting('fsync') AS fsync,
  (SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass('events')) AS "isPartitioned",
  ARRAY(
    SELECT relname::text FROM pg_class
    WHERE oid IN (to_regclass('events'), to_regclass('streams'), to_regclass('dead_letters')) AND relpersistence = 'u'
    ORDER BY relname
  ) AS "unloggedTables",
  EXISTS (
    SELECT FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
    WHERE indrelid = to_regclass('events') AND attname = 'event_id' AND indnkeyatts = 1
      AND indisunique AND indimmediate AND indisvalid AND indisready AND indpred IS NULL
  ) AS "hasKey",
  (SELECT quote_ident(conname) FROM pg_constraint WHERE conrelid = to_regclass('events') AND contype = 'p') AS "primaryKey",
  CASE WHEN NOT has_database_privilege(current_database(), 'TEMP')
    THEN format('GRANT TEMPORARY ON DATABASE %I TO %I', current_database(), current_user)
  END AS "missingGrant"
