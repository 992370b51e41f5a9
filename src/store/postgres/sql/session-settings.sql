-- Settings of a direct connection. Parameter: the longest time of a transaction, in milliseconds.
--
-- While the server waits for rows of a COPY, no statement timeout ends it. When the client's host has vanished, keepalive
-- ends the connection, and with it the locks, within 25 s. When the client is only frozen, transaction_timeout does;
-- PostgreSQL has it since version 17.
SELECT set_config(name, value, false)
FROM (VALUES ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),
  ('transaction_timeout', $1)) AS wanted (name, value)
WHERE current_setting(name, true) IS NOT NULL
