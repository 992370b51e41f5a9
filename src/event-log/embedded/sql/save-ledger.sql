-- Parameters: the columns of `ledgers` in their order.
INSERT OR REPLACE INTO ledgers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
