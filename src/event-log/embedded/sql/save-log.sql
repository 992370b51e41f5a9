-- Parameters: epoch, last append number, topics, groups, producers, crc.
INSERT OR REPLACE INTO log VALUES (1, ?, ?, ?, ?, ?, ?)
