-- The schema of the extension that counts statements, ready to be put into a statement; no row where it is not installed.
SELECT quote_ident(nspname) AS schema
FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'pg_stat_statements'
