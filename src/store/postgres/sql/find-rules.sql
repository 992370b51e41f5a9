-- Rules on the tables that Millrace inserts into, with their names quoted as identifiers.
SELECT pg_class.relname AS table, quote_ident(rulename) AS rule
FROM pg_rewrite JOIN pg_class ON pg_class.oid = ev_class
WHERE ev_class IN (to_regclass('events'), to_regclass('dead_letters'), to_regclass('streams')) AND rulename <> '_RETURN'
ORDER BY 1, 2
