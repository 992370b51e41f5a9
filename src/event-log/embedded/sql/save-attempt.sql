-- Parameters: group number, stream, first offset, attempt, crc.
INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?)
