-- The applied migrations, lowest number first.
SELECT number, name, checksum FROM migrations ORDER BY number
