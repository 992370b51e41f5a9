-- What has been applied, lowest number first.
SELECT number, name, checksum FROM migrations ORDER BY number
