-- The statement timeout in effect, in milliseconds.
SELECT setting::integer AS "statementMs" FROM pg_settings WHERE name = 'statement_timeout'
