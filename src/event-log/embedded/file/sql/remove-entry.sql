-- Parameters: append number.
DELETE FROM entries WHERE append_number = ?
