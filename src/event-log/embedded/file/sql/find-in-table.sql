-- Finds an entry that is in the table but not in the index. Parameters: lower and upper append number (both excluded),
-- stream, first offset (included), last offset (excluded).
SELECT CAST(append_number AS REAL) AS appendNumber
FROM entries NOT INDEXED
WHERE append_number > ? AND append_number < ? AND stream = ? AND first_offset >= ? AND first_offset < ?
LIMIT 1
