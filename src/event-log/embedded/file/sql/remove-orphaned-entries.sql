-- Removes entries of unknown streams. Parameters: the known streams, as a JSON array.
DELETE FROM entries WHERE stream NOT IN (SELECT value FROM json_each(?))
