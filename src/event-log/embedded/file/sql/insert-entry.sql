-- Stores one entry. Parameters: the columns of `entries` in their order.
INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
