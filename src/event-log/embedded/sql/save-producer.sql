-- Parameters: the columns of `producers` in their order.
INSERT OR REPLACE INTO producers VALUES (?, ?, ?, ?, ?, ?, ?, ?)
