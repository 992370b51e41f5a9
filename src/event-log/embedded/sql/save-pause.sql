-- Parameters: group number, reason, crc.
INSERT OR REPLACE INTO paused_groups VALUES (?, ?, ?)
