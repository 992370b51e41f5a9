-- Parameters: topic number, name, partitions, crc.
INSERT OR REPLACE INTO topics VALUES (?, ?, ?, ?)
