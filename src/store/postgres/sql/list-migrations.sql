SELECT number, name, checksum FROM millrace_migrations ORDER BY number
