-- Parameters: producer number.
DELETE FROM producers WHERE producer_number = ?
