-- Parameters: group number, topic number, name, crc.
INSERT OR REPLACE INTO consumer_groups VALUES (?, ?, ?, ?)
