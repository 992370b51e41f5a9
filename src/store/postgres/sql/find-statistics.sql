-- The schema of the extension pg_stat_statements, quoted as an identifier; no row if it is not installed.
SELECT quote_ident(nspname) AS schema
FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'pg_stat_statements'
