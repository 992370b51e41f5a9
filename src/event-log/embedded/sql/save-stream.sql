-- Parameters: the columns of `streams` in their order.
INSERT OR REPLACE INTO streams VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
