-- Parameters: the columns of `cursors` in their order.
INSERT OR REPLACE INTO cursors VALUES (?, ?, ?, ?, ?, ?, ?, ?)
