-- Parameters: group number, stream, first offset, end offset, crc.
INSERT OR REPLACE INTO settled_ahead VALUES (?, ?, ?, ?, ?)
