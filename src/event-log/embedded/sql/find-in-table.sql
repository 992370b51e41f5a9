-- Whether the table has an entry that the index does not lead to. Parameters: append numbers between which it must be,
-- both excluded, stream, first offset (included), last offset (excluded).
SELECT CAST(append_number AS REAL) AS appendNumber
FROM entries NOT INDEXED
WHERE append_number > ? AND append_number < ? AND stream = ? AND first_offset >= ? AND first_offset < ?
LIMIT 1
